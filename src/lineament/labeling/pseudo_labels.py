"""Unlabeled images and videos -> face crops with .pts files, labeled by a model: self-training.

Depends on the predictor. Landmarks that the model is unsure of, or that move when the crop
moves, are nan and carry no weight in training.
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
from ..data.box_noise import move_box
from ..data.crop_cache import CACHE_PADDING
from ..data.sample import GROUP_SEPARATOR
from ..errors import ImageError
from ..geometry import Array, apply_affine, box_side, crop_affine, landmark_box
from ..inference.acceptance import is_face
from ..inference.predictor import Predictor
from ..io.image import read_image
from ..io.media_files import find_images, find_videos, is_video
from ..io.pts import format_pts
from ..io.unique_names import unique_name
from ..io.video_reader import every_nth_frame

BOX_MOVES = (
    (0.0, 0.0, 1.0),
    (0.04, 0.03, 1.05),
    (-0.04, 0.03, 0.96),
    (0.03, -0.04, 1.0),
    (-0.03, -0.03, 1.03),
)
"""How the box is moved for each prediction of a face: x and y in box sides, and scale."""
MAX_CROP = 320
"""Largest side of a labeled crop, pixels."""


@dataclass(frozen=True)
class LabelThresholds:
    """Thresholds of faces and landmarks to train on; lengths are in landmark box sides."""

    min_box_px: float = 40.0
    """Faces with a smaller box side, in pixels, are left out."""
    min_score: float = 0.55
    """Faces with a lower mean score are left out, if the model predicts no presence; else
    the predictor's `min_presence` decides."""
    max_sigma: float = 0.03
    """Landmarks of a larger uncertainty are nan."""
    max_spread: float = 0.012
    """Landmarks whose predictions have a larger standard deviation are nan."""
    min_known: float = 0.6
    """Faces with a smaller fraction of known landmarks among the visible are left out."""


def label_faces(
    predictor: Predictor, image: NDArray[np.uint8], thresholds: LabelThresholds
) -> list[tuple[NDArray[np.uint8], Array]]:
    """Label the faces of one image that the model is sure of.

    Each face is predicted several times, with its box moved a little. The labels are the means.

    Args:
        predictor: The labeling model.
        image: RGB (H, W, 3).
        thresholds: What is sure enough.

    Returns:
        Crops (S, S, 3) of 2.2 box sides, of at most 320 pixels, and their landmarks (N, 2), pixels
        of the crop, nan where not sure or not visible.
    """
    labeled = []
    for face in predictor(image):
        box = landmark_box(face.landmarks)
        side = box_side(box)
        if side < thresholds.min_box_px:
            continue
        predictions = predictor(image, [move_box(box, *move) for move in BOX_MOVES])
        landmarks = np.stack([prediction.landmarks for prediction in predictions])
        mean, spread = landmarks.mean(0), np.sqrt(landmarks.var(0).sum(-1)) / side
        sigmas = [prediction.sigma_px for prediction in predictions]
        sigma = np.mean(sigmas, axis=0) / side
        unsure = (spread > thresholds.max_spread) | (sigma > thresholds.max_sigma)
        visible = ~(predictions.visible.mean(0) < 0.5)  # all if unknown
        score = float(np.mean([prediction.scores.mean() for prediction in predictions]))
        means = (float(predictions.presence.mean()), score)
        if not is_face(*means, predictor.min_presence, thresholds.min_score):
            continue
        known = visible & ~unsure
        if known.sum() < max(thresholds.min_known * visible.sum(), 1):
            continue
        size = min(MAX_CROP, int(np.ceil(CACHE_PADDING * side)))
        affine = crop_affine(landmark_box(mean), size, CACHE_PADDING)
        landmarks_crop = apply_affine(affine, mean)
        landmarks_crop[~known] = np.nan
        labeled.append((warp(image, affine, size), landmarks_crop))
    return labeled


def iter_frames(path: Path, every: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the image of an image file, or every N-th frame of a video.

    Each comes with the number of the frame as text that ends in "_", empty for an image.

    Raises:
        ImageError: If the file is neither.
    """
    if not is_video(path):
        yield "", read_image(path)
        return
    for number, image in every_nth_frame(path, every):
        yield f"{number:06d}_", image


def write_labels(
    predictor: Predictor,
    path: Path,
    stem: Path,
    thresholds: LabelThresholds,
    every: int = 10,
) -> int:
    """Label the faces of one file: a JPEG and a .pts file each, `stem`__<frame>_<face>.

    `read_folder` groups faces by the name before the "__". The .pts file is written last, because
    readers ignore a crop without one.

    Args:
        predictor: The labeling model.
        path: An image or video file.
        stem: Where to write, without suffix.
        thresholds: What is sure enough.
        every: Label every N-th frame of a video.

    Returns:
        The number of faces written.

    Raises:
        ImageError: If the file cannot be read.
    """
    count = 0
    for frame, image in iter_frames(path, every):
        for number, (crop, landmarks) in enumerate(
            label_faces(predictor, image, thresholds)
        ):
            name = f"{stem.name}{GROUP_SEPARATOR}{frame}{number}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            save_image(stem.with_name(f"{name}.jpg"), crop)
            with atomic_path(stem.with_name(f"{name}.pts")) as temporary:
                temporary.write_text(format_pts(landmarks), encoding="utf-8")
            count += 1
    return count


def find_media(paths: Sequence[str | os.PathLike[str]]) -> dict[Path, Path]:
    """Find image and video files, each with a unique place for its labels.

    Args:
        paths: Files and folders.

    Returns:
        By file: its path below the given folder, without suffix unless that is taken.

    Raises:
        ImageError: If a path names neither an image nor a video.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if path.is_file():
            found.setdefault(path, Path(path.name))
            continue
        for file in _media_in(path):
            inside = path in file.parents
            found.setdefault(
                file, file.relative_to(path) if inside else Path(file.name)
            )
    places: dict[str, Path] = {}
    for file, below in found.items():
        candidates = (below.with_suffix("").as_posix(), below.as_posix())
        places[unique_name(candidates, lambda name: name not in places)] = file
    return {file: Path(place) for place, file in places.items()}


def _media_in(path: Path) -> list[Path]:
    """Return the files of a folder or pattern, sorted."""
    videos = find_videos(path) if path.is_dir() else []
    try:
        images = find_images(path)
    except ImageError:
        if not videos:
            raise
        images = []
    return sorted({*videos, *images})
