"""Marks of points in label files: (-1, -1), (0, 0) and infinity if not annotated; visibility."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..sample import Sample
from .own_data import OwnData

MARKS = (-1.0, 0.0)


def mask_sentinels(
    samples: Sequence[Sample], own: OwnData, location: str, first_pixel: float = 0.0
) -> list[Sample]:
    """Return the samples with marked points replaced by nan, and report how many there were.

    Args:
        samples: Annotated faces.
        own: Receives the note.
        location: Description of the data for the note.
        first_pixel: Coordinate of the center of the first pixel in the files.
    """
    cleaned = [_without_infinity(sample) for sample in samples]
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
                f"{location}: {points} points of {faces} faces are at ({mark:g}, "
                f"{mark:g}), which marks unannotated points; they get no weight"
            )
    note_absent(samples, own, location)
    return cleaned


def _without_infinity(sample: Sample) -> Sample:
    infinite = np.asarray(np.isinf(sample.landmarks).any(1))
    if not infinite.any():
        return sample
    landmarks = np.where(infinite[:, None], np.nan, sample.landmarks)
    return replace(sample, landmarks=landmarks)


def note_absent(samples: Sequence[Sample], own: OwnData, location: str) -> None:
    """Report the number of points without coordinates, if there are any."""
    counts = [int(np.isnan(sample.landmarks).any(1).sum()) for sample in samples]
    if any(counts):
        faces = sum(count > 0 for count in counts)
        own.note(
            f"{location}: {sum(counts)} points of {faces} faces are not annotated; they get no "
            "weight"
        )


def without_useless_flags(
    samples: Sequence[Sample], own: OwnData, place: str
) -> list[Sample]:
    """Return the samples with unknown visibility if no point of several faces has v = 2.

    Such files only tell annotated points from others, so v = 1 does not mean occluded.

    Args:
        samples: Faces from a COCO or YOLO file.
        own: Receives the note.
        place: Description of the data for the note.
    """
    flags = [sample.visible for sample in samples if sample.visible is not None]
    if len(flags) < 2 or any(visible.any() for visible in flags):
        return list(samples)
    own.note(
        f"{place}: no point has v = 2, which means visible, so v = 1 is not taken for "
        "occluded"
    )
    return [replace(sample, visible=None) for sample in samples]
