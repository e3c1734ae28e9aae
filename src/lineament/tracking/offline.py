"""Tracking of recorded videos: all frames at once, and filters over stored tracks."""

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
    """The tracks that `tracker` finds in `frames`, held in memory.    step: called for each frame.

    Raises: DataError where there is no frame.
    """
    times, found = [], []
    for frame in frames:
        times.append(frame.timestamp)
        found.append(tracker(frame.image, frame.timestamp))
        step()
    if not times:
        raise DataError("there is no frame to track in; wanted a video of at least one")
    return Tracks(found[0].scheme, {}, np.array(times, np.float64), tuple(found))


def smoothed(tracks: Tracks, kind: str) -> Tracks:
    """`tracks`, made without a filter, as they are behind the filter called `kind`; a face that was away starts anew.

    A Tracker with that filter gives the same, but for faces that it doubts at first and whose filter then runs already.
    Raises: InputError for an unknown filter.
    """
    filters: dict[int | None, Smoother] = {}
    steps = np.diff(
        tracks.times, prepend=tracks.times[:1] - 1 / 30
    )  # the first is used by no filter
    frames = []
    for faces, dt in zip(tracks.faces, steps.tolist(), strict=True):
        filters = {
            face.track_id: filters.get(face.track_id) or Smoother(kind, tracks.scheme)
            for face in faces
        }
        shown = []
        for face in faces:
            landmarks = filters[face.track_id](face.landmarks, face.sigma_px, dt)
            shown.append(replace(face, landmarks=landmarks, box=landmark_box(landmarks)))
        frames.append(replace(faces, faces=tuple(shown)))
    return replace(tracks, faces=tuple(frames))
