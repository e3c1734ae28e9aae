"""Write README.md's table on finding faces from the figures of bench.detection_curve.

python -m bench.detection_table bench/results/detection.json
The output has the same name with the suffix .md.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from lineament.inference.acceptance import MIN_PRESENCE

MODELS = ("fast", "accurate", "best")
PHOTOS = {
    "landmarks": "faces found: 300W",
    "profiles": "profiles",
    "infants": "infants",
    "wider": "WIDER FACE from 16 pixels",
    "masks": "crowds, many masked, mostly below 24 pixels",
    "people": "photos of people, small among dogs and scenery",
    "pets": "photos with a false detection: pets",
    "objects": "objects",
    "background": "gray backgrounds",
}
"""Row titles by kind of photo of `bench.detection_curve`."""


def detection_table(rows: list[dict[str, Any]]) -> str:
    """Return faces found and photos with false positives, by kind of photo and system.

    Args:
        rows: Results of `bench.detection_curve` with all models and YuNet.
    """
    columns = {f"`{name}`": in_use(rows, name, MIN_PRESENCE) for name in MODELS}
    yunet = next(row for row in rows if row.get("in use") == "YuNet")
    # compare all systems at YuNet's false positives with the default threshold, or nearest
    rows_of_yunet = [row for row in rows if row.get("system") == "YuNet"]
    nearest = min(
        rows_of_yunet, key=lambda row: abs(row["threshold"] - yunet["threshold"])
    )
    false = nearest["false faces"]
    equal = next(
        row
        for row in rows
        if row.get("system") == "accurate" and row["false faces"] == false
    )
    columns[f"`accurate`, `--min-presence {equal['threshold']:.2f}`"] = equal
    columns[f"OpenCV's YuNet at {yunet['threshold']:g}"] = yunet
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for kind, words in PHOTOS.items():
        counts, total = [], ""
        for row in columns.values():
            # "201/203", or "2 of 40 photos"
            count, total = re.findall(r"\d+", row[kind])
            counts.append(count)
        lines.append(f"| {words}, {total} | {' | '.join(counts)} |")
    return "\n".join(lines)


def in_use(rows: list[dict[str, Any]], name: str, threshold: float) -> dict[str, Any]:
    """Return the row of the system `name` at its default threshold."""
    for row in rows:
        if row.get("in use") == name and row["threshold"] == threshold:
            return row
    raise SystemExit(f"no row of {name}; run bench.detection_curve with it")


def main() -> None:
    path = Path(sys.argv[1])
    rows = json.loads(path.read_text(encoding="utf-8"))
    path.with_suffix(".md").write_text(detection_table(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
