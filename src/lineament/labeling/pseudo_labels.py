"""Unlabelled pictures and videos -> a folder of face crops with .pts files, labelled by a model: self-training.

Stands on Predictor. Points the model is unsure of, or of which it changes its mind when the crop moves, are left nan:
they carry no weight in training.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..analysis.draw import save_image
from ..atomic import atomic_path
from ..crop import warp
from ..data.crop_cache import CONTEXT
from ..data.sample import OF_ONE_PHOTO
from ..errors import ImageError
from ..geometry import Array, apply_affine, box_center, box_side, crop_affine, landmark_box
from ..inference.predictor import Predictor
from ..io.formats import format_pts
from ..io.image import read_image
from ..io.media_files import find_images, find_videos, is_video
from ..io.video_reader import VideoReader

LOOKS = (
    (0.0, 0.0, 1.0),
    (0.04, 0.03, 1.05),
    (-0.04, 0.03, 0.96),
    (0.03, -0.04, 1.0),
    (-0.03, -0.03, 1.03),
)
"""How the crop is moved for each look at a face: along x and y in box sides, and in scale."""


@dataclass(frozen=True)
class Limits:
    """Which faces and points are sure enough to learn from; lengths as fractions of the landmark box's side."""

    smallest_px: float = 40.0
    """Faces with a smaller box side are left out."""
    least_score: float = 0.55
    """Faces with a lower mean score are left out."""
    sigma: float = 0.03
    """Points of a larger uncertainty are nan."""
    spread: float = 0.012
    """Points whose looks differ by a larger standard deviation are nan."""
    least_points: float = 0.6
    """Faces with a smaller fraction of points left are left out."""


def label_faces(
    predictor: Predictor, picture: NDArray[np.uint8], limits: Limits
) -> list[tuple[NDArray[np.uint8], Array]]:
    """The faces of one `picture` (H, W, 3) that are sure enough: crops (S, S, 3) and points (N, 2) in pixels of them.

    Each face is looked at several times, the crop moved a little; the points are the means, nan where not sure.
    A crop is 2.2 box sides wide, at the resolution of the picture, at most 320 pixels.    Raises: nothing of its own.
    """
    made = []
    found = [
        face
        for face in predictor(picture)
        if box_side(landmark_box(face.landmarks)) >= limits.smallest_px
    ]
    for face in found:
        box = landmark_box(face.landmarks)
        looks = predictor(picture, [moved(box, *look) for look in LOOKS])
        landmarks = np.stack([look.landmarks for look in looks])
        mean, side = landmarks.mean(0), box_side(box)
        spread = np.sqrt(landmarks.var(0).sum(-1)) / side
        sigma = np.mean([look.sigma_px for look in looks], axis=0) / side
        unsure = (spread > limits.spread) | (sigma > limits.sigma)
        score = float(np.mean([look.scores.mean() for look in looks]))
        if score < limits.least_score or 1 - unsure.mean() < limits.least_points:
            continue
        size = min(320, int(np.ceil(CONTEXT * side)))
        affine = crop_affine(landmark_box(mean), size, CONTEXT)
        points = apply_affine(affine, mean)
        points[unsure] = np.nan
        made.append((warp(picture, affine, size), points))
    return made


def moved(box: Array, x: float, y: float, scale: float) -> Array:
    """`box` (4,) moved by `x` and `y` in sides of it and scaled about its centre."""
    center = box_center(box) + np.array([x, y]) * box_side(box)
    half = (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([center - half, center + half])


def frames_of(path: Path, every: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The pictures of a picture or video file, of a video each `every`-th frame, with the number of each in words.

    Raises: ImageError where the file is neither.
    """
    if not is_video(path):
        yield "", read_image(path)
        return
    with VideoReader(path, exact_times=False) as video:
        number = 0
        while True:
            try:
                picture = video.read(number)
            except ImageError:
                if number == 0:
                    raise
                return
            yield f"{number:06d}_", picture
            number += every


def label_into(
    predictor: Predictor, path: Path, stem: Path, limits: Limits, every: int = 10
) -> int:
    """Labels the faces of one file: a JPEG and a .pts file each, called `stem`__<frame>_<face>; gives how many.

    `read_folder` takes what comes before the two lines for the photo's name, so that the validation tenth holds all
    faces of a photo or video or none. The .pts file is written last: a crop without one is no face to a reader.
    Raises: ImageError.
    """
    count = 0
    for frame, picture in frames_of(path, every):
        for number, (crop, points) in enumerate(label_faces(predictor, picture, limits)):
            name = f"{stem.name}{OF_ONE_PHOTO}{frame}{number}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            save_image(stem.with_name(f"{name}.jpg"), crop)
            with atomic_path(stem.with_name(f"{name}.pts")) as beside:
                beside.write_text(format_pts(points), encoding="utf-8")
            count += 1
    return count


def find_media(paths: Sequence[str | os.PathLike[str]]) -> dict[Path, Path]:
    """The picture and video files that `paths` (files, folders) name, in order, each with a place for its labels.

    The place is the path below the folder given, without suffix; with it where that is taken.
    Raises: ImageError for a path that names none.
    """
    found: dict[Path, Path] = {}
    for given in paths:
        path = Path(given)
        if path.is_file():
            found.setdefault(path, Path(path.name))
            continue
        videos = find_videos(path) if path.is_dir() else []
        try:
            images = find_images(path)
        except ImageError:
            if not videos:
                raise
            images = []
        for file in sorted({*videos, *images}):
            found.setdefault(
                file, file.relative_to(path) if path in file.parents else Path(file.name)
            )
    taken: set[Path] = set()
    places = {}
    for number, (file, below) in enumerate(found.items()):
        free = (
            p
            for p in (below.with_suffix(""), below, below.with_name(f"{below.name}-{number}"))
            if p not in taken
        )
        places[file] = next(free)
        taken.add(places[file])
    return places
