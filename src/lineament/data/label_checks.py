"""Faults of a user's labels that would train or score on the wrong pixels.

Coordinates that are fractions or percent, images of another size, points far outside.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import DataError
from .mean_face import SWAP_REMEDY, known_rows, swapped_sides_message
from .readers.image_finder import image_size
from .readers.own_data import Note, ignore
from .sample import Sample

MIN_FACES = 3
"""Minimum number of faces that must all look like percent; one small face may be in a corner."""
MIN_SIDE = 250
"""Minimum shorter image side, pixels, at which faces within the first 100 pixels are unusual."""
MAX_IMAGES = 50
"""Maximum number of images whose size is read to recognize percent."""
MAX_FACES = 10_000
"""Maximum number of evenly spaced faces that are compared with their images."""
MAX_FRACTION = 1.5
"""Largest coordinate of a face whose coordinates are taken for fractions."""
KNOWN_SIZES = 1 << 16
"""Number of images whose sizes are remembered."""
Size = tuple[int, int]
"""Width and height of an image, pixels."""


def check_labels(
    samples: Sequence[Sample], location: str, note: Note = ignore
) -> list[Sample]:
    """Return the faces that have a point.

    Args:
        samples: The faces of a user's data set.
        location: Description of the data set for messages.
        note: Called with a line about faces without a point.

    Raises:
        DataError: If labels cannot be right (see `label_error_message`), or no face has a point.
    """
    if fault := label_error_message(samples):
        raise DataError(f"{location}: {fault}")
    kept = keep_annotated(samples, location, note)
    if samples and not kept:
        raise DataError(
            f"{location}: none of {len(samples)} faces has an annotated point; annotate "
            "them"
        )
    return kept


def check_faces(
    samples: Sequence[Sample], location: str, note: Note = ignore
) -> list[Sample]:
    """Return the faces that have a point, like `check_labels`; also check their sides."""
    kept = check_labels(samples, location, note)
    if fault := swapped_sides_message(kept):
        raise DataError(f"{location}: {fault}; {SWAP_REMEDY}")
    return kept


def keep_annotated(
    samples: Sequence[Sample], location: str, note: Note = ignore
) -> list[Sample]:
    """Return the faces that have a point; see `check_labels`."""
    kept = [sample for sample in samples if _is_known(sample)]
    if kept and len(kept) < len(samples):
        bare = next(sample for sample in samples if not _is_known(sample))
        count = f"{len(samples) - len(kept)} of {len(samples)} faces"
        note(
            f"{location}: {count} have no annotated point, e.g. {bare.name}; they are "
            "skipped"
        )
    return kept


def label_error_message(samples: Sequence[Sample]) -> str:
    """Return why points cannot be right, and a remedy; empty if they may be."""
    known = [sample for sample in samples if _is_known(sample)]
    return (
        unit_error_message(known)
        or _fraction_error_message(known)
        or _image_error_message(known)
    )


def unit_error_message(samples: Sequence[Sample]) -> str:
    """Return why the points of a set cannot be pixels, and a remedy; empty if they may be."""
    largest = [float(np.nanmax(s.landmarks)) for s in samples if _is_known(s)]
    smallest = [float(np.nanmin(s.landmarks)) for s in samples if _is_known(s)]
    if not largest:
        return ""
    span = f"all points lie between {min(smallest):.3g} and {max(largest):.3g}"
    if max(largest) <= MAX_FRACTION:
        return (
            f"{span}: fractions of the image, not pixels; multiply x by its width and "
            "y by its height, in pixels"
        )
    if max(largest) <= 100 and min(smallest) >= 0 and _images_are_large(samples):
        return (
            f"{span}, in images of more than {MIN_SIDE} pixels: percent of the image, "
            "not pixels; multiply x by a hundredth of its width and y by a hundredth "
            "of its height"
        )
    return ""


def _fraction_error_message(samples: Sequence[Sample]) -> str:
    """Return a message about single faces whose coordinates seem to be fractions."""
    found = []
    for sample in samples:
        points = sample.landmarks[known_rows(sample.landmarks)]
        if len(points) > 1 and np.abs(points).max() <= MAX_FRACTION:
            found.append(sample)
    if not found:
        return ""
    return (
        f"{len(found)} of {len(samples)} faces have coordinates of at most "
        f"{MAX_FRACTION}, e.g. {found[0].name}: fractions of the image, not pixels; "
        "multiply x by its width and y by its height, or remove them"
    )


def _image_error_message(samples: Sequence[Sample]) -> str:
    """Return a message about images of another size, or points far outside."""
    resized: list[tuple[Sample, Size]] = []
    outside: list[tuple[Sample, Size]] = []
    checked = samples[:: 1 + len(samples) // MAX_FACES]
    for sample in checked:
        size = None if sample.frame is not None else _size_of(sample.image)
        if size is None:
            continue
        if sample.stated_size not in (None, size):
            resized.append((sample, size))
        if _is_outside(sample, size):
            outside.append((sample, size))
    if resized:
        return _resized_text(resized, len(checked))
    return _outside_text(outside, len(checked)) if outside else ""


def _is_outside(sample: Sample, size: Size) -> bool:
    """Return True if all points are outside, or one by more than the longer side."""
    points = sample.landmarks[known_rows(sample.landmarks)]
    if not len(points):
        return False
    beyond = np.maximum(-0.5 - points, points - (np.array(size) - 0.5)).max(1)
    return bool((beyond > 0).all() or beyond.max() > max(size))


def _resized_text(resized: Sequence[tuple[Sample, Size]], faces: int) -> str:
    sample, size = resized[0]
    stated = sample.stated_size or size
    text = (
        f"{len(resized)} of {faces} faces are in images of another size than stated in "
        f"the labels, e.g. {sample.name}: {_shown(size)} pixels instead of "
        f"{_shown(stated)}"
    )
    if all(each.stated_size == has[::-1] for each, has in resized):
        return (
            f"{text}: width and height are exchanged, as without the EXIF rotation; "
            "correct the size and, if they do not fit, the points in the labels, or "
            "store the images upright"
        )
    return (
        f"{text}; use the images that were annotated (--pictures), or correct the size "
        "and, if they do not fit, the points in the labels"
    )


def _outside_text(outside: Sequence[tuple[Sample, Size]], faces: int) -> str:
    sample, size = outside[0]
    low, high = np.nanmin(sample.landmarks, 0), np.nanmax(sample.landmarks, 0)
    span = (
        f"x from {low[0]:.6g} to {high[0]:.6g} and y from {low[1]:.6g} to {high[1]:.6g}"
    )
    return (
        f"{len(outside)} of {faces} faces have points far outside their images, e.g. "
        f"{sample.name}: {span} in {_shown(size)} pixels; they may be of another "
        "image, in another unit, or mark missing points: correct them, or leave "
        "missing ones empty"
    )


def _shown(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _is_known(sample: Sample) -> bool:
    return bool(known_rows(sample.landmarks).any())


def _images_are_large(samples: Sequence[Sample]) -> bool:
    """Return True if there are several faces, all in images larger than MIN_SIDE."""
    if len(samples) < MIN_FACES:
        return False
    images = dict.fromkeys(s.image for s in samples if s.frame is None)
    sizes = [_size_of(image) for image in list(images)[:MAX_IMAGES]]
    known = [min(size) for size in sizes if size is not None]
    return bool(known) and min(known) > MIN_SIDE


def _size_of(path: Path) -> Size | None:
    """Return the size of an image; None if unreadable, which is reported later."""
    try:
        return _size_at(path, path.stat().st_mtime_ns)
    except (OSError, DataError):
        return None


@lru_cache(maxsize=KNOWN_SIZES)
def _size_at(path: Path, changed_ns: int) -> Size:
    return image_size(path)
