"""Audit checks that compare the faces of a set: units, scale, point order, people."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ...geometry import Array, box_side, landmark_box
from ...schemes import scheme_names
from ..label_checks import unit_error_message
from ..mean_face import known_rows, mean_face
from ..mirror import median_shape, mirror_warning
from ..sample import Sample
from .checks import Finding, make_finding

SCALE = 10.0
"""Maximum ratio between the side of a face and the median side of the set."""
SPREAD = 6.0
"""Maximum deviation of the log side, in median absolute deviations."""
MIN_FACES = 5
"""Minimum number of faces for estimating the typical scale and the mean face of a set."""
SENTINEL = -1.0
"""Coordinate that marks unannotated points, if both x and y have this value."""


def check_set(samples: Sequence[Sample], grouped: bool) -> Iterator[Finding]:
    """Find problems that only show across a set of faces, and coordinates that are markers.

    Args:
        samples: The faces.
        grouped: True if the user specified which faces belong to the same person.
    """
    fault = unit_error_message(samples)
    if fault:
        yield Finding("error", "unit", ".", fault, tuple(samples[:1]), 9.0)
        return
    for sample in samples:
        yield from _check_sentinels(sample)
    yield from _check_scale(samples)
    for name in dict.fromkeys(sample.scheme for sample in samples):
        if name in scheme_names() and (fault := mirror_warning(samples, name)):
            yield Finding("error", "swapped", ".", fault, tuple(samples[:1]), 9.0)
    if grouped:
        yield from _check_persons(samples)


def _check_sentinels(sample: Sample) -> Iterator[Finding]:
    """Find points with a marker for "not annotated" in only one coordinate."""
    marked = sample.landmarks == SENTINEL
    halves = np.flatnonzero(marked.any(1) & ~marked.all(1))
    if len(halves):
        text = (
            f"{len(halves)} points have only one coordinate of -1, e.g. point "
            f"{halves[0]}, but an unannotated point has two: set the other to -1 as "
            "well, or annotate the point"
        )
        yield make_finding("error", "mark", sample, text, float(len(halves)))


def _check_scale(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Find faces that are much larger or smaller than the others."""
    sides, kept = [], []
    for sample in samples:
        points = sample.landmarks[known_rows(sample.landmarks)]
        if len(points) >= 2 and np.ptp(points, axis=0).max() > 0:
            sides.append(np.log(box_side(landmark_box(points))))
            kept.append(sample)
    if len(kept) < MIN_FACES:
        return
    apart = np.array(sides) - np.median(sides)
    spread = float(np.median(np.abs(apart)))
    for sample, log_side, difference in zip(kept, sides, apart, strict=True):
        far = abs(float(difference))
        if far > np.log(SCALE) and far > SPREAD * spread:
            text = (
                f"the face is {np.exp(log_side):.3g} pixels large, {np.exp(far):.0f} "
                f"times {'larger' if difference > 0 else 'smaller'} than usual in the "
                "set; its points may be in another unit or from another image: "
                "correct or remove it"
            )
            yield make_finding("error", "scale", sample, text, far)


def _check_persons(samples: Sequence[Sample]) -> Iterator[Finding]:
    """Find people, photos or videos that occur in several splits."""
    splits: dict[str, dict[str, Sample]] = defaultdict(dict)
    for sample in samples:
        if sample.group:
            splits[sample.group].setdefault(sample.subset, sample)
    for group, faces in splits.items():
        names = {sample.image for sample in faces.values()}
        if len(faces) > 1 and len(names) > 1:
            text = (
                f"{group!r} is in the splits {', '.join(sorted(faces))}; keep the faces of one "
                "person in one split"
            )
            first = next(iter(faces.values()))
            yield make_finding("error", "person", first, text, float(len(faces)))


def check_resized(sample: Sample, size: tuple[int, int]) -> Iterator[Finding]:
    """Find an image whose size differs from the size stated in its annotation.

    Args:
        sample: The face.
        size: Width and height of the image.
    """
    stated_size = sample.stated_size
    if stated_size is None or stated_size == size:
        return
    factors = size[0] / stated_size[0], size[1] / stated_size[1]
    text = (
        f"the annotation is for an image of {stated_size[0]} x {stated_size[1]} pixels, but this "
        f"one has {size[0]} x {size[1]}"
    )
    if stated_size == size[::-1]:
        text += (
            ": it was annotated rotated; rotate the points, or store the image upright"
        )
    else:
        text += (
            f": multiply x by {factors[0]:.4g} and y by {factors[1]:.4g}, or use the images that "
            "were annotated (pictures = ...)"
        )
    yield make_finding("error", "resized", sample, text, abs(float(np.log(factors[0]))))


def check_all_outside(outside: Sequence[Finding], faces: int) -> Iterator[Finding]:
    """Report if most faces extend beyond their images, as if annotated on larger copies.

    Args:
        outside: Findings about points outside an image.
        faces: Number of faces in the set.
    """
    if faces >= 2 and len(outside) > faces / 2:
        factor = 1 + float(np.median([finding.weight for finding in outside]))
        text = (
            f"{len(outside)} of {faces} faces have points outside their images, up to "
            f"{factor:.1f} times their size: the points seem to be from a larger copy; "
            "scale them, or use that copy"
        )
        samples = outside[0].samples
        yield Finding("error", "resized", ".", text, samples, factor)


def own_means(samples: Sequence[Sample]) -> dict[str, Array]:
    """Return the mean face (N, 2) of each scheme with enough faces, in its own frame."""
    shapes: dict[str, list[Array]] = defaultdict(list)
    for sample in samples:
        if mean_face(sample.scheme) is None:
            shapes[sample.scheme].append(sample.landmarks)
    means = {}
    for name, listed in shapes.items():
        same = [shape for shape in listed if len(shape) == len(listed[0])]
        mean = median_shape(same) if len(same) >= MIN_FACES else None
        if mean is not None and np.isfinite(mean).all():
            means[name] = (mean - mean.mean(0)) / box_side(landmark_box(mean))
    return means
