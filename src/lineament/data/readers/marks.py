"""Coordinates that mark points as not annotated: (-1, -1) and (0, 0)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..sample import Sample
from .own_data import OwnData

MARKS = (-1.0, 0.0)


def leave_out_marks(
    samples: Sequence[Sample], own: OwnData, place: str, first_pixel: float = 0.0
) -> list[Sample]:
    """Return the samples with marked points replaced by nan, and report how many there were.

    Args:
        samples: Annotated faces.
        own: Receives the note.
        place: Description of the data for the note.
        first_pixel: Coordinate of the center of the first pixel in the files.
    """
    cleaned = list(samples)
    absent_points, absent_faces = _count_absent(samples)
    for mark in MARKS:
        points = faces = 0
        for number, sample in enumerate(cleaned):
            marked = (sample.landmarks == mark - first_pixel).all(1)
            if marked.any():
                points, faces = points + int(marked.sum()), faces + 1
                landmarks = np.where(marked[:, None], np.nan, sample.landmarks)
                cleaned[number] = replace(sample, landmarks=landmarks)
        if points:
            own.note(
                f"{place}: {points} points of {faces} faces are at ({mark:g}, "
                f"{mark:g}), which marks unannotated points; they get no weight"
            )
    if absent_points:
        own.note(absent_note(place, absent_points, absent_faces))
    return cleaned


def note_absent(samples: Sequence[Sample], own: OwnData, place: str) -> None:
    """Report the number of points that are not annotated, if there are any."""
    points, faces = _count_absent(samples)
    if points:
        own.note(absent_note(place, points, faces))


def absent_note(place: str, points: int, faces: int) -> str:
    """Return the message about points that the files mark as not annotated."""
    return f"{place}: {points} points of {faces} faces are not annotated; they get no weight"


def _count_absent(samples: Sequence[Sample]) -> tuple[int, int]:
    """Return the number of points without coordinates, and of faces with such points."""
    counts = [int(np.isnan(sample.landmarks).any(1).sum()) for sample in samples]
    return sum(counts), sum(count > 0 for count in counts)
