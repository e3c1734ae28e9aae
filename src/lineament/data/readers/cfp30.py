"""CFP with 30 points (Sengupta et al. 2016): celebrities' profiles and frontal faces, the shown half annotated."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean
from ...geometry import landmark_box
from ..sample import Sample, check_count, tight_box
from .pts import read_pts_folder

PARTS: dict[str, int] = {"train": 7000, "profile": 2000, "frontal": 5000}
"""Four profiles and ten frontal faces of 500 persons; "train" is both."""
SHOWN: dict[str, tuple[int, ...]] = {
    "right": (
        *(0, 1, 2, 3, 4, 5, 6, 7, 8, 17, 19, 21, 36, 37, 38, 39, 40, 41),
        *(27, 28, 29, 30, 33, 32, 31, 48, 51, 62, 57, 66),
    ),
    "left": (
        *(16, 15, 14, 13, 12, 11, 10, 9, 8, 26, 24, 22, 45, 44, 43, 42, 47, 46),
        *(27, 28, 29, 30, 33, 34, 35, 54, 51, 62, 57, 66),
    ),
}
"""By the half of the face that is shown: which point of ibug68 each of the 30 is."""


def read_cfp30(root: Path, part: str) -> list[Sample]:
    """Read the faces of one part of CFP as ibug68, the 38 points that are not annotated being nan.

    Faces of one person share their photo's name, so that a person is for training or for validation. The box of a
    frontal face is that of its 68 points, as far as a mean face completes them; in a profile, where the other half is
    behind the shown one, the annotated points span the whole box.

    Args:
        root: The folder of `profile`, `frontal` and `faces.csv`.
        part: "train", "profile" or "frontal".

    Raises:
        DataError: If the part is unknown, a file broken or a face not in the table.
    """
    if part not in PARTS:
        raise DataError(f"CFP has no part {part!r}; {did_you_mean(part, PARTS)}")
    table = root / "faces.csv"
    shown = _shown_sides(table) if table.is_file() else {}
    samples: list[Sample] = []
    for kind in ("profile", "frontal") if part == "train" else (part,):
        for sample in read_pts_folder(root, "ibug68", kind, lambda stem: stem.partition("_")[0]):
            samples.append(_complete(sample, shown, table))
    return samples


def _shown_sides(table: Path) -> dict[str, str]:
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        absent = {"name", "side_shown"} - set(rows.fieldnames or ())
        if absent:
            raise DataError(
                f"{table}: no column {', '.join(sorted(absent))}; wanted name, side_shown"
            )
        return {row["name"]: row["side_shown"] for row in rows}


def _complete(sample: Sample, shown: dict[str, str], table: Path) -> Sample:
    """Return `sample` with its 30 points at their places among the 68."""
    name = Path(sample.name).with_suffix("").as_posix()
    side = shown.get(name, "")
    if side not in SHOWN:
        raise DataError(
            f"{table}: the side shown of {name} is {side!r}; wanted right or left in its row"
        )
    if len(sample.landmarks) != len(SHOWN[side]):
        raise DataError(
            f"{sample.image}: {len(sample.landmarks)} points; wanted {len(SHOWN[side])} in its .pts file"
        )
    landmarks = np.full((68, 2), np.nan)
    landmarks[list(SHOWN[side])] = sample.landmarks
    profile = sample.subset == "profile"
    box = landmark_box(sample.landmarks) if profile else tight_box(landmarks, "ibug68")
    return replace(sample, landmarks=landmarks, box=box, attributes={"profile": profile})


def missing_cfp30(samples: list[Sample], part: str) -> str:
    """Return a line on how many faces of `part` are absent, or an empty text."""
    return check_count(samples, PARTS[part], f"CFP {part}")
