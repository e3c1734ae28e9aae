"""SCUT-FBP5500 (Liang et al. 2018): portraits with 86 points in binary .pts files."""

import struct
from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean
from ...geometry import Array
from ..sample import Sample, check_count

PARTS: dict[str, int] = {"all": 5500, "train": 3300, "test": 2200}
POINTS = 86
LAYOUT = "<i172f"
LISTS = "train_test_files/split_of_60%training and 40%testing/{}.txt"


def read_scut_pts(path: Path) -> Array:
    """The points (86, 2) of a binary .pts file, as they stand.    Raises: DataError where it is another file."""
    data = path.read_bytes()
    if len(data) != struct.calcsize(LAYOUT) or struct.unpack_from("<i", data)[0] != POINTS:
        raise DataError(
            f"{path}: {len(data)} bytes; wanted 692: the number 86, then 86 pairs of 32-bit floats"
        )
    return np.array(struct.unpack(LAYOUT, data)[1:], dtype=np.float64).reshape(POINTS, 2)


def read_scut86(root: Path, part: str) -> list[Sample]:
    """The faces of one `part` of SCUT-FBP5500 below `root`, 86 points called scut86; only those with both files.

    Raises: DataError for an unknown part, a missing folder or list, or a broken file.
    """
    if part not in PARTS:
        raise DataError(f"SCUT-FBP5500 has no part {part!r}; {did_you_mean(part, PARTS)}")
    images, points = root / "Images", root / "facial landmark"
    if not points.is_dir():
        raise DataError(
            f"{points}: absent; wanted 'Images' and 'facial landmark' of the official download in {root}"
        )
    wanted = None if part == "all" else _listed(root / LISTS.format(part))
    samples = []
    for path in sorted(points.glob("*.pts")):
        image = images / f"{path.stem}.jpg"
        if image.is_file() and (wanted is None or image.name in wanted):
            samples.append(
                Sample(image, read_scut_pts(path), "scut86", f"Images/{image.name}", subset=part)
            )
    return samples


def _listed(path: Path) -> set[str]:
    if not path.is_file():
        raise DataError(f"{path}: absent; wanted the official lists, or the part 'all'")
    return {
        line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    }


def missing_scut86(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"SCUT-FBP5500 {part}")
