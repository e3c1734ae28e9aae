"""Errors of trackers on synthetic clips, on the frames in which no tracker lost the face."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.crop_cache import CropCache
from ..data.synthetic_clips import ClipSettings, make_clip
from ..evaluation.metrics import norm_length
from ..geometry import Array
from ..tracking.tracker import Tracker
from ..training.validate import point_norm

SEED = 2_000_000
"""First seed of the clips, different from those of training and validation."""
CLIPS, FRAMES = 24, 150
LOST = 0.2
"""NME at or above which a frame counts as lost."""
SHORT = 3
"""Maximum length of a short occlusion, frames."""

Which = Literal["all", "occluded", "short", "lost"]


class ClipErrors(NamedTuple):
    """Errors on all frames of all clips."""

    errors: Array
    """(T, N), fractions of the norm of validation; nan where the face was missed."""
    occluded: NDArray[np.bool_]
    """(T, N): True for occluded points."""


def mean_errors(measured: Sequence[ClipErrors], which: Which) -> list[float]:
    """Return the mean error of each tracker, a fraction, or its number of lost frames.

    Args:
        measured: Errors of several trackers on the same clips.
        which: "all" points, "occluded" ones, those occluded for a "short" time, or "lost" frames.
    """
    tracked = [
        clip_errors.errors.mean(1) < LOST for clip_errors in measured
    ]  # False for nan
    if which == "lost":
        return [float((~frames).sum()) for frames in tracked]
    common = np.all(tracked, axis=0)
    points = _points(measured[0].occluded, which)[common]
    return [
        float(clip_errors.errors[common][points].mean()) for clip_errors in measured
    ]


def _points(occluded: NDArray[np.bool_], which: Which) -> NDArray[np.bool_]:
    """Return a mask (T, N) of the points to average over."""
    if which == "all":
        return np.ones_like(occluded)
    if which == "occluded":
        return occluded
    return occluded & ~long_occluded(occluded, FRAMES)


def long_occluded(occluded: NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    """Return a mask (T, N) of points occluded for more than SHORT consecutive frames of a clip.

    Args:
        occluded: Mask (T, N) of occluded points, clips concatenated.
        frames: Frames per clip.
    """
    count = np.zeros(occluded.shape[1], int)
    longer = np.zeros_like(occluded)
    for t in range(len(occluded)):
        before = count if t % frames else np.zeros_like(count)
        count = np.where(occluded[t], before + 1, 0)
        longer[t] = count > SHORT
    return longer


@cache
def track_clips(model: Path, faces: CropCache, scheme: str) -> ClipErrors:
    """Track synthetic clips of CLIPS faces with the exported `model`."""
    rule, eyes = point_norm(scheme)
    chosen = np.linspace(0, len(faces) - 1, CLIPS).round().astype(int)
    settings = ClipSettings(frames=FRAMES, occluders=FRAMES // 50 or 1)
    errors, occluded = [], []
    for number, face in enumerate(chosen):
        tracker = Tracker(model, faces=1, smooth=None)
        still = np.ascontiguousarray(faces.crops[face])
        clip = make_clip(still, faces.landmarks[face], scheme, SEED + number, settings)
        for frame in clip:
            tracked_faces = tracker(frame.image, frame.timestamp)
            truth = frame.landmarks
            norm = norm_length(rule, truth, eyes)
            landmarks = (
                tracked_faces[0].landmarks
                if len(tracked_faces)
                else np.full_like(truth, np.nan)
            )
            errors.append(np.linalg.norm(landmarks - truth, axis=1) / norm)
            occluded.append(frame.occluded)
    return ClipErrors(np.stack(errors), np.stack(occluded))
