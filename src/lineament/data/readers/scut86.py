"""SCUT-FBP5500 (Liang et al. 2018): portraits with 86 points in binary .pts files."""

import struct
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ..sample import Sample

PARTS: dict[str, int] = {"all": 5500, "train": 3300, "test": 2200}
POINTS = 86
LAYOUT = "<i172f"
LISTS = "train_test_files/split_of_60%training and 40%testing/{}.txt"


def read_scut86(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part, scut86; skip faces without both files."""
    points = root / "facial landmark"
    if not points.is_dir():
        raise DataError(
            f"{points}: not found; expected the official 'Images' and 'facial landmark'"
        )
    names = None if part == "all" else _read_list(root / LISTS.format(part))
    samples = []
    for path in sorted(points.glob("*.pts")):
        image = root / "Images" / f"{path.stem}.jpg"
        if image.is_file() and (names is None or image.name in names):
            name = f"Images/{image.name}"
            samples.append(
                Sample(image, read_scut_pts(path), "scut86", name, subset=part)
            )
    return samples


def read_scut_pts(path: Path) -> Array:
    """Read the points (86, 2) in a binary .pts file, unchanged.

    Raises:
        DataError: If it is not a file of this format.
    """
    data = path.read_bytes()
    if (
        len(data) != struct.calcsize(LAYOUT)
        or struct.unpack_from("<i", data)[0] != POINTS
    ):
        expected = "692: the number 86, then 86 pairs of 32-bit floats"
        raise DataError(f"{path}: {len(data)} bytes; expected {expected}")
    return np.array(struct.unpack(LAYOUT, data)[1:], dtype=np.float64).reshape(
        POINTS, 2
    )


def _read_list(path: Path) -> set[str]:
    if not path.is_file():
        raise DataError(
            f"{path}: not found; expected the official lists, or the part 'all'"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line.split()[0] for line in lines if line.strip()}
