"""Anonymization of videos: each region is also covered in neighboring frames.

A face missed in some frames is covered on its way between the frames where it is found.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..face import Faces
from ..geometry import Image, box_center, landmark_box
from ..opencv import cv2
from .anonymize import MARGIN, Region, cover, face_regions

HOLD_S = 0.3
"""Time in seconds before and after its frame during which a region is covered."""
MAX_DISTANCE = 2.0
"""Distance up to which regions of two frames may be one face, in units of the larger box side."""
GROWTH = 2.0
"""Ratio of box sides up to which regions of two frames may be one face."""


class _Waiting(NamedTuple):
    """A frame that is not covered yet."""

    number: int
    time: float
    image: Image
    between: list[Region]
    """Regions of faces that are missed in this frame, but found before and after it."""


def anonymize_frames(
    frames: Iterable[tuple[float, Image]],
    find: Callable[[Image], Faces],
    method: str = "blur",
    margin: float = MARGIN,
    hold_s: float = HOLD_S,
) -> Iterator[tuple[float, Image]]:
    """Yield the frames of a video with their faces covered.

    A face missed in some frames is covered where it is found in neighboring frames, and between
    these places.

    Args:
        frames: Time in seconds, ascending, and RGB image of each frame.
        find: Finds the faces of an image, e.g. a Predictor.
        method: Method, as in `anonymize_faces`.
        margin: Distance to cover beyond the face, as a fraction of the longer side of its box.
        hold_s: Time in seconds before and after its frame during which a region is covered.

    Raises:
        ImageError: If an image has another type or shape.
        InputError: If the method is unknown, or the margin or the time is negative.
    """
    if not hold_s >= 0:
        raise InputError(f"hold_s is {hold_s}; expected 0 or more, in seconds")
    waiting: deque[_Waiting] = deque()
    known: deque[tuple[float, list[Region]]] = deque()
    last_seen: list[tuple[int, Region]] = []

    def covered() -> tuple[float, Image]:
        frame = waiting.popleft()
        while known[0][0] < frame.time - hold_s:
            known.popleft()
        regions = list(frame.between)
        for seen, found in known:
            if seen <= frame.time + hold_s:
                regions += found
        return frame.time, cover(frame.image, regions, method)

    for number, (time, image) in enumerate(frames):
        found = face_regions(find(image), margin)
        last_seen = _bridge(last_seen, found, number, waiting)
        waiting.append(_Waiting(number, time, image, []))
        known.append((time, found))
        while time > waiting[0].time + hold_s:
            yield covered()
    while waiting:
        yield covered()


def _bridge(
    last_seen: list[tuple[int, Region]],
    found: list[Region],
    number: int,
    waiting: deque[_Waiting],
) -> list[tuple[int, Region]]:
    """Cover faces in the waiting frames between two in which they are found.

    Args:
        last_seen: Number of the last frame of each face, and its region there.
        found: Regions in frame `number`.
        waiting: The frames before it, to which regions are added.

    Returns:
        `last_seen` for the next frame, without faces that were lost before the waiting frames.
    """
    pairs = []
    for row, (_, before) in enumerate(last_seen):
        for column, after in enumerate(found):
            distance = _distance(before, after)
            if distance <= MAX_DISTANCE:
                pairs.append((distance, row, column))
    rows, columns = set[int](), set[int]()
    for _, row, column in sorted(pairs):
        if row in rows or column in columns:
            continue
        rows.add(row)
        columns.add(column)
        since, before = last_seen[row]
        between = _union(before, found[column])
        for frame in waiting:
            if frame.number > since:
                frame.between.append(between)
    first = waiting[0].number if waiting else number
    kept = [(number, region) for region in found]
    for row, (since, region) in enumerate(last_seen):
        if row not in rows and since + 1 >= first:
            kept.append((since, region))
    return kept


def _distance(first: Region, second: Region) -> float:
    """Return the distance of two regions in units of the larger box side; inf if sizes differ."""
    small, large = sorted((first.side_px, second.side_px))
    if large > GROWTH * small:
        return np.inf
    centers = [box_center(landmark_box(region.outline)) for region in (first, second)]
    return float(np.linalg.norm(centers[1] - centers[0])) / large


def _union(first: Region, second: Region) -> Region:
    """Return the convex hull of two regions."""
    points = np.concatenate([first.outline, second.outline]).astype(np.float32)
    hull = np.asarray(cv2.convexHull(points)[:, 0], np.float64)
    margin_px = max(first.margin_px, second.margin_px)
    return Region(hull, margin_px, max(first.side_px, second.side_px))
