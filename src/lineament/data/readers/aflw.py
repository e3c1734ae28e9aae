"""AFLW (Koestinger et al. 2011): 19 points of Zhu et al. 2016, or its own 21."""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..sample import Sample
from .mat import read_mat

PARTS: dict[str, int] = {"train": 20000, "full": 4386, "frontal": 1314, "all21": 25993}
TRAIN = 20000
FOLDERS = ("data/flickr", "flickr", "images", "aflw/data/flickr", "")
"""Folders that image names may be relative to."""
VARIABLES = ("bbox", "data", "mask_new", "nameList", "ra")


def read_aflw(root: Path, part: str) -> list[Sample]:
    """Read the faces of one part, aflw19, or aflw21 for "all21"; skip missing images.

    "full" is the test set; "frontal" contains its faces with 19 visible points.
    """
    return [sample for sample in annotated_aflw(root, part) if sample.image.is_file()]


def annotated_aflw(root: Path, part: str) -> list[Sample]:
    """Read faces like `read_aflw`, including those whose image is missing."""
    return _read_21(root) if part == "all21" else _read_19(root, part)


def _image_folder(root: Path, name: str) -> Path:
    """Return the folder that contains the image `name`, or the default one."""
    for folder in FOLDERS:
        if (root / folder / name).is_file():
            return root / folder
    return root / FOLDERS[0]


def _read_19(root: Path, part: str) -> list[Sample]:
    path = root / "AFLWinfo_release.mat"
    if not path.is_file():
        raise DataError(
            f"{path}: not found; expected the annotations of Zhu et al. 2016"
        )
    table = read_mat(path)
    absent = [key for key in VARIABLES if key not in table]
    if absent:
        raise DataError(
            f"{path}: no variable {', '.join(absent)}; expected the official file"
        )
    order = np.asarray(table["ra"]).ravel().astype(np.intp) - 1
    rows = order[:TRAIN] if part == "train" else order[TRAIN:]
    visible = np.asarray(table["mask_new"]) == 1
    if part == "frontal":
        rows = rows[visible[rows].all(1)]
    cells = np.asarray(table["nameList"]).ravel()
    names = [str(np.asarray(cell).ravel()[0]) for cell in cells]
    # all x, then all y
    landmarks = (
        np.asarray(table["data"], np.float64).reshape(-1, 2, 19).transpose(0, 2, 1)
    )
    # xmin, xmax, ymin, ymax -> x0, y0, x1, y1
    boxes = np.asarray(table["bbox"], np.float64)[:, [0, 2, 1, 3]]
    samples = []
    for i in rows.tolist():
        samples.append(
            Sample(
                image=_image_folder(root, names[i]) / names[i],
                landmarks=landmarks[i],
                scheme="aflw19",
                name=f"{names[i]}#{i}",
                box=boxes[i],
                visible=visible[i],
                subset="train" if part == "train" else "test",
                group=Path(names[i]).stem,
            )
        )
    return samples


def _read_21(root: Path) -> list[Sample]:
    paths = (root / "data/aflw.sqlite", root / "aflw.sqlite")
    path = next((location for location in paths if location.is_file()), None)
    if path is None:
        raise DataError(
            f"{root}: no aflw.sqlite; expected AFLW's own database here or in data"
        )
    faces, points = _query(path)
    samples = []
    for face, name, x, y, width, height in faces:
        landmarks = np.full((21, 2), np.nan)
        for feature, px, py in points.get(face, ()):
            # feature numbers start at 1, in the order of aflw21
            landmarks[feature - 1] = px, py
        if not np.isfinite(landmarks).any():
            continue
        box = None if x is None else np.array([x, y, x + width, y + height], np.float64)
        samples.append(
            Sample(
                image=_image_folder(root, name) / name,
                landmarks=landmarks,
                scheme="aflw21",
                name=f"{name}#{face}",
                box=box,
                visible=np.isfinite(landmarks).all(1),
                subset="all21",
                group=Path(name).stem,
            )
        )
    return samples


def _query(path: Path) -> tuple[list[Any], dict[int, list[tuple[int, float, float]]]]:
    """Return rows (face, image, x, y, w, h), and points (feature, x, y) by face."""
    points: dict[int, list[tuple[int, float, float]]] = {}
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        faces = base.execute(
            "SELECT f.face_id, i.filepath, r.x, r.y, r.w, r.h "
            "FROM Faces f JOIN FaceImages i ON f.file_id = i.file_id "
            "LEFT JOIN FaceRect r ON f.face_id = r.face_id ORDER BY f.face_id"
        ).fetchall()
        for face, *point in base.execute(
            "SELECT face_id, feature_id, x, y FROM FeatureCoords"
        ):
            points.setdefault(face, []).append(tuple(point))
    except sqlite3.Error as error:
        raise DataError(f"{path}: {error}; expected AFLW's own database") from error
    finally:
        base.close()
    return faces, points
