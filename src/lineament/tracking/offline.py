"""Offline tracking of recorded videos, and filters over stored tracks."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..face import Faces
from ..geometry import landmark_box
from ..io.track_files import Tracks
from ..io.video_reader import Frame
from .filters import Smoother


def track_all(
    frames: Iterable[Frame],
    tracker: Callable[[Any, float], Faces],
    step: Callable[[], None] = lambda: None,
) -> Tracks:
    """Track the faces of all frames and hold them in memory.

    Args:
        frames: The frames of one video, in order.
        tracker: A Tracker, or any callable (image, timestamp) -> Faces.
        step: Called after each frame.

    Raises:
        DataError: If there is no frame.
    """
    times, found = [], []
    for frame in frames:
        times.append(frame.timestamp)
        found.append(tracker(frame.image, frame.timestamp))
        step()
    if not times:
        raise DataError("there are no frames to track; wanted a video of at least one")
    return Tracks(found[0].scheme, {}, np.array(times, np.float64), tuple(found))


def smoothed(tracks: Tracks, kind: str) -> Tracks:
    """Return tracks smoothed over time; a face that was away starts a new filter.

    A Tracker with that filter gives the same, except for faces that were doubtful at
    first, as their filter is running when they are confirmed.

    Args:
        tracks: Tracks made without a filter.
        kind: Name of the filter, "one-euro" or "kalman".

    Raises:
        InputError: If there is no filter of this kind.
    """
    filters: dict[int | None, Smoother] = {}
    # no filter uses the first step
    steps = np.diff(tracks.times, prepend=tracks.times[:1] - 1 / 30)
    frames = []
    for faces, dt in zip(tracks.faces, steps.tolist(), strict=True):
        before, filters = filters, {}
        shown = []
        for face in faces:
            smoother = before.get(face.track_id) or Smoother(kind, tracks.scheme)
            filters[face.track_id] = smoother
            landmarks = smoother(face.landmarks, face.sigma_px, dt)
            shown.append(
                replace(face, landmarks=landmarks, box=landmark_box(landmarks))
            )
        frames.append(replace(faces, faces=tuple(shown)))
    return replace(tracks, faces=tuple(frames))
