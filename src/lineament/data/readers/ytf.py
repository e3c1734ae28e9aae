"""YouTube Faces frames with 68 points that a network made: integer, on a lattice of 2-3 pixels, never a test set."""

from pathlib import Path

from ...errors import DataError, did_you_mean
from ..sample import Sample, check_count, photo_of_numbered
from .pts import read_pts_folder

PARTS: dict[str, int] = {"training": 3462}


def read_ytf(root: Path, part: str) -> list[Sample]:
    """The faces of the `part` "training" below `root`, ibug68; faces of one person share their photo's name.

    Raises: DataError for an unknown part or a broken file.
    """
    if part not in PARTS:
        raise DataError(f"YouTube Faces has no part {part!r}; {did_you_mean(part, PARTS)}")
    return read_pts_folder(root, "ibug68", part, photo_of_numbered)


def missing_ytf(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"YouTube Faces {part}")
