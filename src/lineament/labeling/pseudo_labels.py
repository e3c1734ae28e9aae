"""Self-training labels: face crops with .pts files, from unlabeled images and videos.

Depends on the predictor. Landmarks that are uncertain, or that move when the crop moves, are
nan and get no weight in training.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..analysis.draw import save_image
from ..atomic import write_text
from ..crop import warp
from ..data.box_noise import shift_box
from ..data.crop_cache import CACHE_PADDING
from ..data.sample import GROUP_SEPARATOR
from ..errors import ImageError
from ..geometry import Array, apply_affine, box_side, crop_affine, landmark_box
from ..inference.acceptance import is_face
from ..inference.predictor import Predictor
from ..io.image import read_image
from ..io.media_files import find_images, find_videos, is_video
from ..io.pts import format_pts
from ..io.unique_names import UsedNames, unique_name
from ..io.video_reader import every_nth_frame

BOX_MOVES = (
    (0.0, 0.0, 1.0),
    (0.04, 0.03, 1.05),
    (-0.04, 0.03, 0.96),
    (0.03, -0.04, 1.0),
    (-0.03, -0.03, 1.03),
)
"""Box shift in x and y (box sides) and scale factor for each prediction of a face."""
MAX_CROP = 320
"""Maximum side of a labeled crop, pixels."""


@dataclass(frozen=True)
class LabelThresholds:
    """Thresholds for labeling faces and landmarks; lengths are fractions of the box side."""

    min_box_px: float = 40.0
    """Minimum box side of a face, pixels."""
    min_score: float = 0.55
    """Minimum mean score of a face, if the model does not predict presence; otherwise the
    predictor's `min_presence` applies."""
    max_sigma: float = 0.03
    """Maximum uncertainty of a landmark; others become nan."""
    max_spread: float = 0.012
    """Maximum standard deviation of a landmark's predictions; others become nan."""
    min_known: float = 0.6
    """Minimum fraction of known landmarks among a face's visible ones."""


def label_faces(
    predictor: Predictor, image: NDArray[np.uint8], thresholds: LabelThresholds
) -> list[tuple[NDArray[np.uint8], Array]]:
    """Label the faces in an image that the model is confident about.

    Each face is predicted several times with slightly shifted boxes; the labels are the means.

    Args:
        predictor: The labeling model.
        image: RGB (H, W, 3).
        thresholds: Thresholds for labeling faces and landmarks.

    Returns:
        Crops (S, S, 3) of 2.2 box sides, at most 320 pixels, and their landmarks (N, 2), pixels
        of the crop, nan if uncertain or not visible.
    """
    labeled = []
    for face in predictor(image):
        box = landmark_box(face.landmarks)
        side = box_side(box)
        if side < thresholds.min_box_px:
            continue
        predictions = predictor(image, [shift_box(box, *move) for move in BOX_MOVES])
        landmarks = np.stack([prediction.landmarks for prediction in predictions])
        mean, spread = landmarks.mean(0), np.sqrt(landmarks.var(0).sum(-1)) / side
        sigmas = [prediction.sigma_px for prediction in predictions]
        sigma = np.mean(sigmas, axis=0) / side
        is_uncertain = (spread > thresholds.max_spread) | (sigma > thresholds.max_sigma)
        visible = ~(predictions.visible.mean(0) < 0.5)  # all if unknown
        score = float(np.mean([prediction.scores.mean() for prediction in predictions]))
        means = (float(predictions.presence.mean()), score)
        if not is_face(*means, predictor.min_presence, thresholds.min_score):
            continue
        known = visible & ~is_uncertain
        if known.sum() < max(thresholds.min_known * visible.sum(), 1):
            continue
        size = min(MAX_CROP, int(np.ceil(CACHE_PADDING * side)))
        affine = crop_affine(landmark_box(mean), size, CACHE_PADDING)
        landmarks_crop = apply_affine(affine, mean)
        landmarks_crop[~known] = np.nan
        labeled.append((warp(image, affine, size), landmarks_crop))
    return labeled


def iter_frames(path: Path, every: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the image in an image file, or every N-th frame of a video.

    Each comes with a prefix: the frame number followed by "_", or "" for an image.

    Raises:
        ImageError: If the file is neither an image nor a video.
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
    """Label the faces in a file, writing `stem`__<frame>_<face> as JPEG and .pts for each.

    `read_folder` groups faces by the name before "__". The .pts file is written last, because
    readers ignore crops without one.

    Args:
        predictor: The labeling model.
        path: An image or video file.
        stem: Output path without suffix.
        thresholds: Thresholds for labeling faces and landmarks.
        every: Label every N-th frame of a video.

    Returns:
        Number of faces written.

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
            write_text(stem.with_name(f"{name}.pts"), format_pts(landmarks))
            count += 1
    return count


def find_media(paths: Sequence[str | os.PathLike[str]]) -> dict[Path, Path]:
    """Find image and video files, and a unique output name for the labels of each.

    Args:
        paths: Files and folders.

    Returns:
        Output path by file: relative to the given folder, without suffix unless that is taken.

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
    outputs: dict[Path, Path] = {}
    used_names = UsedNames()
    for file, below in found.items():
        candidates = (below.with_suffix("").as_posix(), below.as_posix())
        name = unique_name(candidates, used_names.is_free)
        used_names.add(name)
        outputs[file] = Path(name)
    return outputs


def _media_in(path: Path) -> list[Path]:
    """Return the media files matched by a folder or pattern, sorted."""
    videos = find_videos(path) if path.is_dir() else []
    try:
        images = find_images(path)
    except ImageError:
        if not videos:
            raise
        images = []
    return sorted({*videos, *images})
