"""Coordinates that mark points nobody annotated: (-1, -1) and (0, 0)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..sample import Sample
from .own_data import OwnData

MARKS = (-1.0, 0.0)


def leave_out_marks(
    samples: Sequence[Sample], own: OwnData, place: str, first_pixel: float = 0.0
) -> list[Sample]:
    """Return samples whose points at a mark are nan, and note how many there were.

    Args:
        samples: The faces.
        own: Takes the note.
        place: The data in the note.
        first_pixel: Coordinate of the first pixel in the files.
    """
    kept = list(samples)
    for mark in MARKS:
        points = faces = 0
        for number, sample in enumerate(kept):
            marked = (sample.landmarks == mark - first_pixel).all(1)
            if marked.any():
                points, faces = points + int(marked.sum()), faces + 1
                landmarks = np.where(marked[:, None], np.nan, sample.landmarks)
                kept[number] = replace(sample, landmarks=landmarks)
        if points:
            own.note(
                f"{place}: {points} points of {faces} faces are at ({mark:g}, "
                f"{mark:g}), which marks unannotated points; they get no weight"
            )
    return kept
