"""AFW (Zhu and Ramanan 2012): 468 faces in any pose in 205 photos, with 6 points and the pose."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..sample import Sample, numbered_name
from .mat import read_cells

PARTS: dict[str, int] = {"all": 468}
ANGLES = ("yaw", "pitch", "roll")
LIST = "anno.mat"


def read_afw(root: Path, part: str) -> list[Sample]:
    """Read the faces, afw6, with boxes and the angles yaw, pitch and roll; skip missing images.

    The list anno.mat is next to the photos, in `root` or its folder `testimages`. Each row
    contains the name of a photo, and per face the box [x0 y0; x1 y1], the angles and the points
    (6, 2), which may be nan. Pixel coordinates start at 1, as in MATLAB. Faces in the same photo
    form one group, like those of 300W, which includes some of them.

    This layout is inferred from three public readers; it was not tested on the original file. The
    readers disagree on the order of the mouth points. This one follows the reader used for scoring
    these points: the corner on the left of the image, the center, the other corner.

    Raises:
        DataError: If the list is missing or broken.
        ExtraError: If h5py or scipy is not installed.
    """
    folder = root if (root / LIST).is_file() else root / "testimages"
    path = folder / LIST
    if not path.is_file():
        raise DataError(
            f"{path}: not found; expected the official AFW.zip, unpacked here"
        )
    faces: Counter[str] = Counter()
    samples = []
    for number, row in enumerate(read_cells(path, "anno"), 1):
        location = f"{path}: row {number}"
        for name, box, angles, points in _faces(row, location):
            image = folder / Path(name).name
            if not image.is_file():
                continue
            relative = image.relative_to(root).as_posix()
            samples.append(
                Sample(
                    image=image,
                    landmarks=points - 1.0,
                    scheme="afw6",
                    name=numbered_name(relative, faces),
                    box=box.ravel() - 1.0,
                    visible=np.isfinite(points).all(1),
                    subset=part,
                    attributes=dict(zip(ANGLES, angles.ravel().tolist(), strict=True)),
                    group=image.stem,
                )
            )
    return samples


def _faces(row: list[Any], location: str) -> list[tuple[str, Any, Any, Any]]:
    """Return name, box (2, 2), angles (3) and points (6, 2) of each face in a row."""
    try:
        name, (boxes,), (angles,), (points,) = row
        if not isinstance(name, str):
            raise TypeError(f"a name of type {type(name).__name__}")
        if not len(boxes) == len(angles) == len(points):
            counts = f"{len(boxes)} boxes, {len(angles)} angles, {len(points)} points"
            raise ValueError(counts)
        faces = []
        for box, angle, point in zip(boxes, angles, points, strict=True):
            if (box.size, angle.size, point.shape) != (4, 3, (6, 2)):
                shapes = f"{box.shape}, {angle.shape}, {point.shape}"
                raise ValueError(f"box, angles, points of shape {shapes}")
            faces.append((name, box, angle, point))
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise DataError(
            f"{location}: {error}; "
            "expected a name, and boxes, angles and 6 points per face"
        ) from error
    return faces
