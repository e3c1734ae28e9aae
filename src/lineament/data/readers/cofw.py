"""COFW (Burgos-Artizzu et al. 2013): 29 points with occlusion, pictures inside .mat files; and COFW68.

MATLAB counts pixels from 1. Both .mat formats are read: 7.3 (HDF5, by h5py) and older (by scipy).
"""

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, ImageError, did_you_mean, missing_extra
from ...io.image import read_image
from ..sample import Picture, Sample, check_count

PARTS: dict[str, int] = {"train": 1345, "test": 507, "test68": 507}
VARIABLES = {"train": ("IsTr", "phisTr", "bboxesTr"), "test": ("IsT", "phisT", "bboxesT")}
COFW68 = "COFW68_Data"


def read_cofw(root: Path, part: str) -> list[Sample]:
    """The faces of one `part` of COFW below `root`, cofw29 with visibility, or ibug68 for "test68".

    Raises: DataError for an unknown part, a missing or broken file; ExtraError without scipy or h5py.
    """
    if part not in PARTS:
        raise DataError(f"COFW has no part {part!r}; {did_you_mean(part, PARTS)}")
    split = part.removesuffix("68")
    path = _find(root, split)
    _, phis, boxes = VARIABLES[split]
    arrays = _arrays(path, (phis, boxes))
    points, ends = arrays[phis], arrays[boxes]
    count = len(points)
    if points.shape != (count, 87) or ends.shape != (count, 4):
        raise DataError(
            f"{path}: {phis} has shape {points.shape}, {boxes} {ends.shape}; wanted (N, 87) and (N, 4) of the color set"
        )
    if part == "test68":
        return _with_68(root, path, count)
    corners = np.hstack([ends[:, :2], ends[:, :2] + ends[:, 2:]]) - 1.0
    return [
        Sample(
            image=path,
            landmarks=points[i, :58].reshape(2, 29).T - 1.0,
            scheme="cofw29",
            name=f"{path.name}#{i + 1}",
            box=corners[i],
            visible=points[i, 58:] == 0,
            subset=split,
            frame=i,
            photo=f"cofw_{split}_{i + 1}",
            read_frame=read_cofw_picture,
        )
        for i in range(count)
    ]


def _find(root: Path, split: str) -> Path:
    names = [f"COFW_{split}_color.mat", f"COFW_{split}.mat"]
    for folder in (root, root / "common/xpburgos/behavior/code/pose", root / COFW68):
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"{root}: no {names[0]}; wanted the official COFW_color download in this folder"
    )


def _with_68(root: Path, path: Path, count: int) -> list[Sample]:
    folder = root / COFW68 / "test_annotations"
    found = sorted(folder.glob("[0-9]*_points.mat"), key=lambda p: (len(p.name), p.name))
    if not found:
        raise DataError(
            f"{folder}: no <n>_points.mat; wanted COFW68_Data of the cofw68-benchmark in {root}"
        )
    boxes_path = root / COFW68 / "cofw68_test_bboxes.mat"
    boxes = _arrays(boxes_path, ("bboxes",))["bboxes"] if boxes_path.is_file() else None
    samples = []
    for file in found:
        number = int(file.name.split("_")[0])
        table = _arrays(file, ("Points", "Occ"))
        points = table["Points"]
        if points.shape != (68, 2) or not 1 <= number <= count:
            raise DataError(
                f"{file}: Points of shape {points.shape} for picture {number} of {count}; wanted (68, 2)"
            )
        box = (
            None
            if boxes is None
            else np.append(boxes[number - 1, :2], boxes[number - 1, :2] + boxes[number - 1, 2:])
        )
        samples.append(
            Sample(
                image=path,
                landmarks=points - 1.0,
                scheme="ibug68",
                name=f"{path.name}#{number}",
                box=None if box is None else box - 1.0,
                visible=table["Occ"].ravel() == 0,
                subset="test68",
                frame=number - 1,
                photo=f"cofw_test_{number}",
                read_frame=read_cofw_picture,
            )
        )
    return samples


def _is_hdf5(path: Path) -> bool:
    # MATLAB writes 512 bytes of its own before the HDF5 signature.
    with path.open("rb") as file:
        return b"MATLAB 7.3" in file.read(128)


def _hdf5(path: Path) -> Any:
    try:
        h5py: Any = import_module("h5py")
    except ImportError as error:
        raise missing_extra("h5py", "data") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path}: cannot be read as HDF5 ({error}); get the file again") from error


@lru_cache(maxsize=1)
def _old_mat(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing_extra("scipy", "data") from error
    try:
        return dict(loadmat(path))
    except Exception as error:
        # scipy raises whatever its parser meets in a broken file
        raise DataError(
            f"{path}: cannot be read as a .mat file ({error}); get the file again"
        ) from error


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Arrays of a .mat file as MATLAB shapes them."""
    if _is_hdf5(path):
        with _hdf5(path) as file:
            table = {name: np.asarray(file[name], np.float64).T for name in names if name in file}
    else:
        table = {
            name: np.asarray(a, np.float64) for name, a in _old_mat(path).items() if name in names
        }
    absent = [name for name in names if name not in table]
    if absent:
        raise DataError(f"{path}: no variable {', '.join(absent)}; wanted the official COFW file")
    return table


def read_cofw_picture(path: Path, frame: int) -> Picture:
    """Picture number `frame`, from 0, of a COFW .mat file: RGB (H, W, 3).    Raises: ImageError, DataError."""
    name = VARIABLES["train" if "train" in path.name else "test"][0]
    if _is_hdf5(path):
        with _hdf5(path) as file:
            cells = np.asarray(file[name]).ravel() if name in file else np.zeros(0)
            picture = (
                np.asarray(file[cells[frame]]).T if 0 <= frame < len(cells) else None
            )  # (3, W, H) -> (H, W, 3)
    else:
        cells = np.asarray(_old_mat(path).get(name, ())).ravel()
        picture = np.asarray(cells[frame]) if 0 <= frame < len(cells) else None
    if picture is None:
        raise ImageError(
            f"{path}: no picture {frame} among the {len(cells)} of {name}; check the file"
        )
    return read_image(picture)


def missing_cofw(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"COFW {part}")
