"""Offline tracking of recorded videos, and filtering of stored tracks."""

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
    """Track the faces in all frames and keep the results in memory.

    Args:
        frames: The frames of one video, in order.
        tracker: A Tracker, or any callable (image, timestamp) -> Faces.
        step: Called after each frame.

    Raises:
        DataError: If there are no frames.
    """
    times, found = [], []
    for frame in frames:
        times.append(frame.timestamp)
        found.append(tracker(frame.image, frame.timestamp))
        step()
    if not times:
        raise DataError(
            "there are no frames to track; expected a video of at least one"
        )
    return Tracks(found[0].scheme, {}, np.array(times, np.float64), tuple(found))


def smoothed(tracks: Tracks, kind: str) -> Tracks:
    """Return the tracks smoothed over time; the filter restarts after each gap of a face.

    A Tracker with the same filter gives the same result, except for faces that were
    unconfirmed at first: their filter already runs before they are confirmed.

    Args:
        tracks: Tracks made without a filter.
        kind: Name of the filter, "one-euro" or "kalman".

    Raises:
        InputError: If the kind is unknown.
    """
    filters: dict[int | None, Smoother] = {}
    # the first time step is arbitrary, because no filter uses it
    steps = np.diff(tracks.times, prepend=tracks.times[:1] - 1 / 30)
    frames = []
    for faces, dt in zip(tracks.faces, steps.tolist(), strict=True):
        before, filters = filters, {}
        results = []
        for face in faces:
            smoother = before.get(face.track_id) or Smoother(kind, tracks.scheme)
            filters[face.track_id] = smoother
            landmarks = smoother(face.landmarks, face.sigma_px, dt)
            results.append(
                replace(face, landmarks=landmarks, box=landmark_box(landmarks))
            )
        frames.append(replace(faces, faces=tuple(results)))
    return replace(tracks, faces=tuple(frames))
