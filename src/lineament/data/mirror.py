"""Mirror maps from the places of points on average faces, to check those of names."""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from ..geometry import Array, apply_affine, box_side, fit_similarity, landmark_box
from ..schemes import NAMES, scheme
from .sample import Sample

ROUNDS = 3
"""Rounds in which faces are aligned to their mean."""
MAX_FACES = 300
"""Faces that a mean is made of, evenly chosen."""
SAME_POINT = 0.15
"""Distance, in box sides, up to which a mirrored point is its partner."""
MUCH_NEARER = 0.5
"""Ratio of distances from which another partner is better than the one that names tell."""


def mirror_note(samples: Sequence[Sample], name: str) -> str:
    """Return why the mirror of a user's scheme seems wrong; empty if it does not.

    Args:
        samples: Annotated faces; those of other schemes do not count.
        name: The scheme.
    """
    if name in NAMES:
        return ""
    of = scheme(name)
    shapes = []
    for sample in samples:
        if sample.scheme == name and len(sample.landmarks) == len(of):
            shapes.append(sample.landmarks)
    better = better_mirror(shapes, of.mirror.tolist())
    if better is None:
        return ""
    text = describe_better(of.points, of.mirror.tolist(), better)
    return (
        f"the mirror of the scheme {name} seems wrong: {text}; set mirror in its file"
    )


def mirror_fits(shapes: Sequence[Array], mirror: Sequence[int]) -> bool:
    """Return whether the mirror image of the mean of faces is that mean; True if none is complete.

    Args:
        shapes: Points (N, 2) of each face, nan where not annotated.
        mirror: (N,).
    """
    mean = mean_of_shapes(shapes)
    if mean is None:
        return True
    flipped, mirrored = mean * [-1, 1], mean[list(mirror)]
    placed = apply_affine(fit_similarity(flipped, mirrored), flipped)
    apart = np.linalg.norm(placed - mirrored, axis=-1)
    return bool(apart.max() < SAME_POINT * box_side(landmark_box(mean)))


def describe_better(
    points: Sequence[str], mirror: Sequence[int], better: Sequence[int]
) -> str:
    """Return a line on the pairs in which two mirrors differ."""
    pairs = []
    for index, partner in enumerate(better):
        if partner != mirror[index] and index <= partner:
            pairs.append(f"{points[index]} - {points[partner]}")
    first = next(i for i in range(len(points)) if better[i] != mirror[i])
    return (
        f"the names pair {points[first]} with {points[mirror[first]]}, but the "
        f"positions on the mean face pair {', '.join(pairs)}"
    )


def better_mirror(shapes: Sequence[Array], mirror: Sequence[int]) -> list[int] | None:
    """Return a mirror map that fits the mean of faces clearly better than `mirror`, or None.

    Args:
        shapes: Points (N, 2) of each face, nan where not annotated.
        mirror: (N,), mostly right.
    """
    mean = mean_of_shapes(shapes)
    if mean is None:
        return None
    chosen = list(mirror)
    for _ in range(ROUNDS):
        flipped = mean * [-1, 1]
        placed = apply_affine(fit_similarity(flipped, mean[chosen]), flipped)
        apart = np.linalg.norm(placed[:, None] - mean[None], axis=-1)
        nearest = apart.argmin(1).tolist()
        if not _is_pairing(nearest):
            return None
        chosen = nearest
    rows = np.arange(len(mean))
    changed = np.array(chosen) != np.array(mirror)
    before, after = apart[rows, list(mirror)], apart[rows, chosen]
    is_better = changed.any() and (after < MUCH_NEARER * before)[changed].all()
    return chosen if is_better else None


def mirror_of_shapes(shapes: Sequence[Array], place: str) -> list[int]:
    """Return the mirror map by which the mean of faces is most like its mirror image.

    Args:
        shapes: Points (N, 2) of each face, nan where not annotated.
        place: The faces in messages.

    Raises:
        DataError: If the mean has no such map.
    """
    mean = mean_of_shapes(shapes)
    problem = "no face has all points"
    if mean is not None:
        centered = mean - mean.mean(0)
        best: list[int] = []
        least = SAME_POINT
        for angle in np.linspace(0, np.pi, 180, endpoint=False):
            mirror, error = _mirror_at(centered, float(angle))
            if _is_pairing(mirror) and error < least:
                best, least = mirror, error
        if best:
            return best
        problem = "the mean of the faces is not symmetric"
    raise DataError(
        f"{place}: the names do not tell left from right, and {problem}; name the points, or write "
        "the scheme by hand with mirror = [[...], ...]"
    )


def _mirror_at(centered: Array, angle: float) -> tuple[list[int], float]:
    """Return the nearest point to each mirrored one, and the largest distance in box sides."""
    axis = np.array([np.cos(2 * angle), np.sin(2 * angle)])
    reflect = np.array([[axis[0], axis[1]], [axis[1], -axis[0]]])
    apart = np.linalg.norm((centered @ reflect)[:, None] - centered[None], axis=-1)
    nearest = apart.argmin(1)
    error = apart.min(1).max() / box_side(landmark_box(centered))
    return nearest.tolist(), float(error)


def _is_pairing(mirror: Sequence[int]) -> bool:
    return all(mirror[mirror[i]] == i for i in range(len(mirror)))


def mean_of_shapes(shapes: Sequence[Array]) -> Array | None:
    """Return the median (N, 2) of aligned faces, in the pose of one; None if a point has none."""
    step = 1 + len(shapes) // MAX_FACES
    shapes = shapes[::step]
    complete = [shape for shape in shapes if np.isfinite(shape).all()]
    if not complete:
        return None
    mean = complete[0]
    for _ in range(ROUNDS):
        aligned = [_align(shape, mean) for shape in shapes if _is_alignable(shape)]
        mean = np.nanmedian(np.stack(aligned), axis=0)
    return mean


def _is_alignable(shape: Array) -> bool:
    known = np.isfinite(shape).all(1)
    return bool(known.sum() >= 2 and np.ptp(shape[known], axis=0).max() > 0)


def _align(shape: Array, mean: Array) -> Array:
    known = np.isfinite(shape).all(1)
    return apply_affine(fit_similarity(shape[known], mean[known]), shape)
