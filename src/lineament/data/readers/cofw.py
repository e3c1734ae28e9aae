"""COFW (Burgos-Artizzu et al. 2013): 29 points with occlusion; and COFW68."""

from pathlib import Path

import numpy as np

from ...errors import DataError, ImageError
from ...geometry import Array
from ...io.image import read_image
from ..sample import Image, Sample
from .mat import read_arrays, read_cell

PARTS: dict[str, int] = {"train": 1345, "test": 507, "test68": 507}
VARIABLES = {
    "train": ("IsTr", "phisTr", "bboxesTr"),
    "test": ("IsT", "phisT", "bboxesT"),
}
"""Variable names of images, points and boxes, by split."""
COFW68 = "COFW68_Data"


def read_cofw(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part: cofw29 with visibility, or ibug68 for "test68"."""
    split = part.removesuffix("68")
    path = _find_mat(root, split)
    _, phis, bboxes = VARIABLES[split]
    arrays = read_arrays(path, (phis, bboxes))
    points, boxes = arrays[phis], arrays[bboxes]
    count = len(points)
    if points.shape != (count, 87) or boxes.shape != (count, 4):
        raise DataError(
            f"{path}: {phis} has shape {points.shape}, {bboxes} {boxes.shape}; "
            "expected (N, 87) and (N, 4) of the color set"
        )
    if part == "test68":
        return _read_68(root, path, count)
    samples = []
    for i in range(count):
        samples.append(
            Sample(
                image=path,
                landmarks=points[i, :58].reshape(2, 29).T - 1.0,
                scheme="cofw29",
                name=f"{path.name}#{i + 1}",
                box=_corners(boxes[i]),
                visible=points[i, 58:] == 0,
                subset=split,
                frame=i,
                group=f"cofw_{split}_{i + 1}",
                read_frame=read_cofw_image,
            )
        )
    return samples


def _find_mat(root: Path, split: str) -> Path:
    names = [f"COFW_{split}_color.mat", f"COFW_{split}.mat"]
    for folder in (root, root / "common/xpburgos/behavior/code/pose", root / COFW68):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"{root}: no {names[0]}; expected the official COFW_color download here"
    )


def _corners(box: Array) -> Array:
    """Return the 0-based box x0, y0, x1, y1 of a 1-based MATLAB box x, y, width, height."""
    return np.append(box[:2], box[:2] + box[2:]) - 1.0


def _read_68(root: Path, path: Path, count: int) -> list[Sample]:
    folder = root / COFW68 / "test_annotations"
    files = sorted(
        folder.glob("[0-9]*_points.mat"), key=lambda p: (len(p.name), p.name)
    )
    if not files:
        raise DataError(f"{folder}: no <n>_points.mat; expected COFW68_Data in {root}")
    boxes_path = root / COFW68 / "cofw68_test_bboxes.mat"
    boxes = None
    if boxes_path.is_file():
        boxes = read_arrays(boxes_path, ("bboxes",))["bboxes"]
    samples = []
    for file in files:
        number = int(file.name.split("_")[0])
        table = read_arrays(file, ("Points", "Occ"))
        points = table["Points"]
        if points.shape != (68, 2) or not 1 <= number <= count:
            found = f"Points of shape {points.shape} for image {number} of {count}"
            raise DataError(f"{file}: {found}; expected (68, 2)")
        samples.append(
            Sample(
                image=path,
                landmarks=points - 1.0,
                scheme="ibug68",
                name=f"{path.name}#{number}",
                box=None if boxes is None else _corners(boxes[number - 1]),
                visible=table["Occ"].ravel() == 0,
                subset="test68",
                frame=number - 1,
                group=f"cofw_test_{number}",
                read_frame=read_cofw_image,
            )
        )
    return samples


def read_cofw_image(path: Path, frame: int) -> Image:
    """Read image number `frame`, counted from 0, from a COFW .mat file: RGB (H, W, 3).

    Raises:
        ImageError: If the file does not contain the image.
        DataError: If the file is broken.
    """
    name = VARIABLES["train" if "train" in path.name else "test"][0]
    pixels, count = read_cell(path, name, frame)
    if pixels is None:
        raise ImageError(
            f"{path}: no image {frame} among the {count} of {name}; check the file"
        )
    return read_image(pixels)
