"""AFLW (Koestinger et al. 2011): 19 points by Zhu et al. 2016 (a .mat), or the original 21 (an SQLite base)."""

import sqlite3
from pathlib import Path

import numpy as np

from ...errors import DataError, did_you_mean, missing_extra
from ..sample import Sample, check_count

PARTS: dict[str, int] = {"train": 20000, "full": 4386, "frontal": 1314, "all21": 25993}
TRAIN = 20000
FOLDERS = ("data/flickr", "flickr", "images", "aflw/data/flickr", "")


def read_aflw(root: Path, part: str) -> list[Sample]:
    """Read the faces of one `part` of AFLW below `root` whose image is here.

    They are aflw19, or aflw21 for "all21". "full" is the test set, "frontal" its faces with all
    19 points visible.

    Raises:
        DataError: If the part is unknown, or a file is missing or broken.
        ExtraError: If scipy is not installed.
    """
    return [sample for sample in annotated_aflw(root, part) if sample.image.is_file()]


def annotated_aflw(root: Path, part: str) -> list[Sample]:
    """Read faces like `read_aflw`, also those whose image is absent."""
    if part not in PARTS:
        raise DataError(f"AFLW has no part {part!r}; {did_you_mean(part, PARTS)}")
    return _read_21(root) if part == "all21" else _read_19(root, part)


def _pictures(root: Path, first: str) -> Path:
    """The folder the names of the pictures start from."""
    return next(
        (root / folder for folder in FOLDERS if (root / folder / first).is_file()),
        root / FOLDERS[0],
    )


def _read_19(root: Path, part: str) -> list[Sample]:
    path = root / "AFLWinfo_release.mat"
    if not path.is_file():
        raise DataError(
            f"{path}: absent; wanted the annotations of Zhu et al. 2016 beside AFLW's pictures"
        )
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise missing_extra("scipy", "data") from error
    table = loadmat(path)
    absent = [key for key in ("bbox", "data", "mask_new", "nameList", "ra") if key not in table]
    if absent:
        raise DataError(
            f"{path}: no variable {', '.join(absent)}; wanted the official AFLWinfo_release.mat"
        )
    order = np.asarray(table["ra"]).ravel().astype(np.intp) - 1
    rows = order[:TRAIN] if part == "train" else order[TRAIN:]
    visible = np.asarray(table["mask_new"]) == 1
    if part == "frontal":
        rows = rows[visible[rows].all(1)]
    names = [str(np.asarray(cell).ravel()[0]) for cell in np.asarray(table["nameList"]).ravel()]
    landmarks = (
        np.asarray(table["data"], np.float64).reshape(-1, 2, 19).transpose(0, 2, 1)
    )  # all x, then all y
    boxes = np.asarray(table["bbox"], np.float64)[
        :, [0, 2, 1, 3]
    ]  # xmin, xmax, ymin, ymax -> x0, y0, x1, y1
    folder = next(
        (_pictures(root, n) for n in names if _pictures(root, n).joinpath(n).is_file()),
        root / FOLDERS[0],
    )
    return [
        Sample(
            image=folder / names[i],
            landmarks=landmarks[i],
            scheme="aflw19",
            name=f"{names[i]}#{i}",
            box=boxes[i],
            visible=visible[i],
            subset="train" if part == "train" else "test",
            photo=Path(names[i]).stem,
        )
        for i in rows.tolist()
    ]


def _read_21(root: Path) -> list[Sample]:
    path = next((p for p in (root / "data/aflw.sqlite", root / "aflw.sqlite") if p.is_file()), None)
    if path is None:
        raise DataError(
            f"{root}: no aflw.sqlite; wanted AFLW's own data base in it or in its folder data"
        )
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        faces = base.execute(
            "SELECT f.face_id, i.filepath, r.x, r.y, r.w, r.h FROM Faces f JOIN FaceImages i ON f.file_id = i.file_id "
            "LEFT JOIN FaceRect r ON f.face_id = r.face_id ORDER BY f.face_id"
        ).fetchall()
        points: dict[int, list[tuple[int, float, float]]] = {}
        for face, feature, x, y in base.execute(
            "SELECT face_id, feature_id, x, y FROM FeatureCoords"
        ):
            points.setdefault(face, []).append((feature, x, y))
    except sqlite3.Error as error:
        raise DataError(f"{path}: {error}; wanted AFLW's own data base") from error
    finally:
        base.close()
    samples = []
    for face, name, x, y, w, h in faces:
        landmarks = np.full((21, 2), np.nan)
        for feature, px, py in points.get(face, ()):
            landmarks[feature - 1] = px, py  # features count from 1, in the order of aflw21
        image = _pictures(root, name) / name
        if not np.isfinite(landmarks).any():
            continue
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme="aflw21",
                name=f"{name}#{face}",
                box=None if x is None else np.array([x, y, x + w, y + h], np.float64),
                visible=np.isfinite(landmarks).all(1),
                subset="all21",
                photo=Path(name).stem,
            )
        )
    return samples


def missing_aflw(samples: list[Sample], part: str) -> str:
    """One plain line where `samples` are fewer than the official count of `part`, else an empty text."""
    return check_count(samples, PARTS[part], f"AFLW {part}")
