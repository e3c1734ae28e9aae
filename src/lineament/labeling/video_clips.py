"""Clips of faces in unlabeled videos, labeled by tracking.

Depends on the tracker and on data/clip_cache.py.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.array_cache import file_state
from ..data.clip_cache import Clips, LabeledFrame, cache_clips
from ..errors import DataError
from ..geometry import box_side
from ..inference.acceptance import is_face
from ..inference.model_files import find_model
from ..opencv import cv2
from ..tracking.filters import zero_phase
from ..tracking.tracker import Tracker
from .pseudo_labels import LabelThresholds, iter_frames

MAX_SIDE_PX = 720
"""Longer side to which frames are downscaled, since all frames of a video are kept in memory."""
LABEL_SMOOTHING = 1.0
"""Standard deviation, in frames, of the centered Gaussian that smooths the labels."""


def clips_from_videos(
    videos: Sequence[Path],
    model: str,
    scheme_name: str,
    folder: Path,
    frames: int,
    min_length: int,
    note: Callable[[str], None] = lambda line: None,
) -> Clips:
    """Return clips of the faces in videos; created on the first call.

    Labels are the tracker's landmarks, smoothed over time; nan if uncertain or probably not
    visible. A face that is lost and found again becomes two clips.

    Args:
        videos: The video files.
        model: Name or path of the tracker's model.
        scheme_name: Target scheme.
        folder: Cache folder.
        frames: Number of frames read from the start of each video.
        min_length: Minimum number of frames of a clip.
        note: Receives a line of text per video while clips are made.

    Raises:
        ImageError: If a file is not a video.
        DataError: If no face is tracked for at least `min_length` frames.
        ModelError: If the model cannot be loaded.
        SchemeError: If the model's landmarks do not convert to the scheme.
    """
    weights = hashlib.sha256(find_model(model).read_bytes()).hexdigest()
    limits = (asdict(LabelThresholds()), MAX_SIDE_PX, LABEL_SMOOTHING)
    settings = (*limits, frames, min_length)
    files = [file_state(path) for path in videos]
    tracker = Tracker(model, smooth=None, scheme=scheme_name)

    def clips() -> Iterator[list[LabeledFrame]]:
        found = False
        for path in videos:
            note(f"making clips of {path}")
            for clip in label_video(path, tracker, frames, min_length):
                found = True
                yield clip
        if not found:
            raise DataError(
                "no face is tracked long enough in the videos; give other videos"
            )

    return cache_clips(clips, scheme_name, folder, weights, settings, files)


def label_video(
    path: Path, tracker: Tracker, frames: int, min_length: int
) -> Iterator[list[LabeledFrame]]:
    """Yield the clips in one video; for the arguments see `clips_from_videos`."""
    tracker.reset()
    thresholds = LabelThresholds()
    tracks: dict[int, list[tuple[int, LabeledFrame]]] = {}
    for number, (_, image) in enumerate(iter_frames(path, 1)):
        if number == frames:
            break
        image = _shrink(image)
        for face in tracker(image):
            side, score = box_side(face.box), float(face.scores.mean())
            limits = (tracker.predictor.min_presence, thresholds.min_score)
            if side < thresholds.min_box_px or not is_face(
                face.presence, score, *limits
            ):
                continue
            known = (face.sigma_px < thresholds.max_sigma * side) & ~face.occluded
            track = tracks.setdefault(face.track_id or 0, [])
            track.append((number, LabeledFrame(image, face.landmarks, known)))
    for track in tracks.values():
        for run in _unbroken(track):
            if len(run) >= min_length:
                smooth = zero_phase(
                    np.stack([shot.landmarks for shot in run]), LABEL_SMOOTHING
                )
                yield [shot._replace(landmarks=smooth[i]) for i, shot in enumerate(run)]


def _unbroken(track: list[tuple[int, LabeledFrame]]) -> Iterator[list[LabeledFrame]]:
    """Yield the runs of consecutive frames in `track`."""
    run: list[LabeledFrame] = []
    last = -1
    for number, shot in track:
        if run and number > last + 1:
            yield run
            run = []
        run.append(shot)
        last = number
    yield run


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    factor = MAX_SIDE_PX / max(height, width)
    if factor >= 1:
        return image
    size = round(width * factor), round(height * factor)
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)
