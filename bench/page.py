"""Time the page's networks in node, as shipped int8 and converted for browsers; print its size.

`python -m bench.page`; needs node, onnx, and npm or --runtime.
"""

import argparse
import gzip
import json
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from PIL import Image

from lineament.serving import page as pages

from .machine import describe

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "astronaut.jpg"
BOTH = ("fast", "accurate")


def frame() -> bytes:
    """Return 640 x 480 pixels of a photo with a face, as RGBA."""
    photo = Image.open(PHOTO).convert("RGBA").crop((60, 40, 380, 280))
    return np.asarray(photo.resize((640, 480))).tobytes()


def sizes(folder: Path) -> tuple[float, float]:
    """Return the size of a page's files in MB, plain and compressed by gzip."""
    contents = [path.read_bytes() for path in folder.iterdir()]
    plain = sum(map(len, contents))
    packed = sum(len(gzip.compress(content)) for content in contents)
    return plain / 1e6, packed / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", type=Path, help="folder of onnxruntime-web")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shipped, web = Path(folder) / "int8", Path(folder) / "for browsers"
        with patch.object(pages, "has_onnx", lambda: False):
            pages.write_page(shipped, BOTH, runtime=options.runtime)
        pages.write_page(web, ["fast"], runtime=options.runtime)
        plain, packed = sizes(web)
        print(f"page with fast: {plain:.1f} MB, {packed:.1f} MB by gzip")
        pages.write_page(web, BOTH, runtime=options.runtime)
        command = ["node", Path(__file__).parent / "page_times.mjs", shipped, web]
        done = subprocess.run(
            [*command, str(options.rounds)],
            input=frame(),
            capture_output=True,
            check=True,
        )
    times = json.loads(done.stdout)
    print("| ms, least / median | int8 | for browsers |\n|---|---:|---:|")
    for name in times[str(web)]:
        cells = [name]
        for kind in (shipped, web):
            timing = times[str(kind)][name]
            cells.append(f"{min(timing):.1f} / {median(timing):.1f}")
        print("| " + " | ".join(cells) + " |")
    print(json.dumps(describe()))


if __name__ == "__main__":
    main()
