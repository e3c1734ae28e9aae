"""Helen's own 194 points (Le et al. 2012), alone or after the 68 of 300W."""

import zipfile
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array
from ...io.media_files import image_next_to
from ..sample import Sample, strip_face_number
from .pts import read_pts

PARTS: dict[str, int] = {"train": 2000, "both": 2000}
"""The same faces: "train" in the scheme helen194, "both" in ibug68_helen194."""
FOLDER = "helen/trainset"
UNIT = 32
"""Coordinate units of the file per pixel."""


def read_helen194(root: Path, part: str) -> list[Sample]:
    """Read the training faces with 194 points; "both" puts the 68 points of 300W before them."""
    path = root / "helen194.npz"
    if not path.is_file():
        raise DataError(
            f"{path}: not found; "
            "expected Helen's 194 points, next to 300W's folder helen"
        )
    samples = []
    for name, points in _read_points(path).items():
        pts = root / FOLDER / f"{name}.pts"
        image = image_next_to(pts)
        if image is None:
            raise DataError(
                f"{path}: no image of {name!r}; expected {FOLDER}/{name}.jpg or .png"
            )
        both = part == "both"
        samples.append(
            Sample(
                image=image,
                landmarks=np.concatenate([read_pts(pts), points]) if both else points,
                scheme="ibug68_helen194" if both else "helen194",
                name=image.relative_to(root).as_posix(),
                subset=FOLDER,
                group=strip_face_number(name),
            )
        )
    return samples


def _read_points(path: Path) -> dict[str, Array]:
    """Read the points (194, 2) by the photo's file stem, 0-based pixels."""
    try:
        with np.load(path, allow_pickle=False) as table:
            names, points = table["names"], table["points"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected the arrays names and points"
        ) from error
    if points.shape != (len(names), 194, 2):
        raise DataError(
            f"{path}: points {points.shape} for {len(names)} names; "
            "expected (F, 194, 2)"
        )
    return {str(name): points[i] / UNIT - 1.0 for i, name in enumerate(names)}
