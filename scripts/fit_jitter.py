"""Prints the [augment] shift and scale that fit a detector's boxes.

usage: python scripts/fit_jitter.py PAIRS.json     a list of {"detected": [x0, y0, x1, y1], "truth": [x0, y0, x1, y1]}
"""

import json
import sys
from pathlib import Path

from lineament.data.jitter import fit_jitter

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pairs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    shift, scale = fit_jitter([pair["detected"] for pair in pairs], [pair["truth"] for pair in pairs])
    print(f"[augment]  # fitted to {len(pairs)} boxes\nshift = {shift:.4f}\nscale = {scale:.4f}")
