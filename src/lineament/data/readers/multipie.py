"""Multi-PIE (Gross et al. 2010): 68 points on near-frontal faces, 39 on profiles."""

import re
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...geometry import Array, landmark_box
from ..sample import Sample, tight_box
from .mat import read_arrays

PARTS: dict[str, None] = {"frontal": None, "profile": None}
LABELS = "MPie_Labels/labels/*/*_lm.mat"
IMAGES = ("data", "Multi-Pie/data", "Multi-PIE/data")
"""Folders that may contain session01, session02 and so on."""
NAME = re.compile(r"(\d{3})_(\d{2})_(\d{2})_(\d{2})(\d)_\d{2}")
"""Person, session, recording, camera and flash, as in 001_01_01_051_07."""
CAMERAS_FROM_ABOVE = ("081", "191")
"""Cameras that look down at the person."""
WITHOUT_INNER_CORNERS = np.delete(np.arange(68), [60, 64])
"""Indices among the 68 of the points in files with 66."""
MIDDLE = (0, 1, 2, 3, 4, 15, 21, 22, 26, 27, 28, 29, 30)
PROFILE_POINTS = (*range(5, 15), 16, 17, 18, 19, 20, 23, 24, 25, *range(38, 30, -1))
"""Indices of a profile's 39 points in multipie65 order: on the midline, on the visible half."""
NOSE_TIP, EAR = 3, 37


def read_multipie(root: Path, part: str) -> list[Sample]:
    """Read the faces in one part: ibug68, or multipie65 for "profile"; skip missing images.

    The label file MPie_Labels/labels/051/001_01_01_051_07_lm.mat contains the variable `pts`; its
    image is data/session01/multiview/001/01/05_1/001_01_01_051_07.png. Labels with 66 points lack
    the inner mouth corners, which become nan. In a profile, the points of the hidden half are nan
    and not visible; the box spans the others. The faces of one person form one group.

    Layout and order of the 39 points are inferred from public readers; they were not tested on the
    original files. Pixel coordinates are assumed to start at 1, as in MATLAB. Cameras 081 and 191
    are excluded, because one reader turns their images upside down and another does not.

    Raises:
        DataError: If there is no label file, or one is broken.
        ExtraError: If scipy is not installed.
    """
    labels = sorted(root.glob(LABELS))
    if not labels:
        raise DataError(f"{root}: no {LABELS}; expected the official labels there")
    samples = []
    for path in labels:
        stem = path.stem.removesuffix("_lm")
        image = _find_image(root, stem, path)
        if path.parent.name in CAMERAS_FROM_ABOVE or image is None:
            continue
        points = read_arrays(path, ("pts",))["pts"] - 1.0
        if points.shape not in ((68, 2), (66, 2), (39, 2)):
            raise DataError(
                f"{path}: pts has shape {points.shape}; "
                "expected 68, 66 or 39 points (N, 2)"
            )
        profile = len(points) == 39
        if profile != (part == "profile"):
            continue
        landmarks = to_multipie65(points) if profile else _to_68(points)
        shown = np.asarray(np.isfinite(landmarks).all(1))
        samples.append(
            Sample(
                image=image,
                landmarks=landmarks,
                scheme="multipie65" if profile else "ibug68",
                name=image.relative_to(root).as_posix(),
                box=landmark_box(points) if profile else tight_box(landmarks, "ibug68"),
                visible=shown if profile else None,
                subset=part,
                attributes={"profile": profile},
                group=f"multipie_{stem[:3]}",
            )
        )
    return samples


def _find_image(root: Path, stem: str, label: Path) -> Path | None:
    """Return the image of a label file, or None if it is missing."""
    name = NAME.fullmatch(stem)
    if name is None:
        raise DataError(
            f"{label}: not named like 001_01_01_051_07_lm.mat, by person, session, recording, "
            "camera and flash; rename it"
        )
    person, session, recording, *camera = name.groups()
    inner = Path(f"session{session}", "multiview", person, recording, "_".join(camera))
    for folder in IMAGES:
        image = root / folder / inner / f"{stem}.png"
        if image.is_file():
            return image
    return None


def _to_68(points: Array) -> Array:
    """Return the 68 points of a file with 68 or 66."""
    if len(points) == 68:
        return points
    landmarks = np.full((68, 2), np.nan)
    landmarks[WITHOUT_INNER_CORNERS] = points
    return landmarks


def to_multipie65(points: Array) -> Array:
    """Return the 39 points of a profile at their indices among the 65; the others are nan.

    If the nose is to the right of the ear in the image, the subject's right half is visible.
    """
    shows_right = points[NOSE_TIP, 0] > points[EAR, 0]
    first = len(MIDDLE) if shows_right else len(MIDDLE) + len(PROFILE_POINTS)
    landmarks = np.full((len(MIDDLE) + 2 * len(PROFILE_POINTS), 2), np.nan)
    landmarks[: len(MIDDLE)] = points[list(MIDDLE)]
    landmarks[first : first + len(PROFILE_POINTS)] = points[list(PROFILE_POINTS)]
    return landmarks
