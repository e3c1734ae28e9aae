"""Mirror maps inferred from average point positions, to check those inferred from names."""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from ..geometry import Array, apply_affine, box_side, fit_similarity, landmark_box
from ..schemes import NAMES, scheme
from .sample import Sample

ROUNDS = 3
"""Number of rounds in which faces are aligned to their mean."""
MAX_FACES = 300
"""Maximum number of evenly spaced faces that a mean is computed from."""
SAME_POINT = 0.15
"""Maximum distance, in units of the box side, between a mirrored point and its partner."""
MAX_DISTANCE_RATIO = 0.5
"""Maximum ratio of distances at which another partner is preferred to the one from the names."""


def mirror_warning(samples: Sequence[Sample], name: str) -> str:
    """Return a warning if the mirror map of a user's scheme seems wrong; otherwise "".

    Args:
        samples: Annotated faces; faces of other schemes are ignored.
        name: Name of the scheme.
    """
    if name in NAMES:
        return ""
    landmark_scheme = scheme(name)
    shapes = []
    for sample in samples:
        if sample.scheme == name and len(sample.landmarks) == len(landmark_scheme):
            shapes.append(sample.landmarks)
    better = better_mirror(shapes, landmark_scheme.mirror.tolist())
    if better is None:
        return ""
    text = describe_better(
        landmark_scheme.points, landmark_scheme.mirror.tolist(), better
    )
    return (
        f"the mirror of the scheme {name} seems wrong: {text}; set mirror in its file"
    )


def mirror_fits(shapes: Sequence[Array], mirror: Sequence[int]) -> bool:
    """Return True if the mean face equals its mirror image, or if no face is complete.

    Args:
        shapes: Points (N, 2) of each face, nan where not annotated.
        mirror: Permutation of landmarks under a flip, (N,).
    """
    mean = median_shape(shapes)
    if mean is None:
        return True
    flipped, mirrored = mean * [-1, 1], mean[list(mirror)]
    aligned = apply_affine(fit_similarity(flipped, mirrored), flipped)
    apart = np.linalg.norm(aligned - mirrored, axis=-1)
    return bool(apart.max() < SAME_POINT * box_side(landmark_box(mean)))


def describe_better(
    points: Sequence[str], mirror: Sequence[int], better: Sequence[int]
) -> str:
    """Describe in one line the pairs in which two mirror maps differ."""
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
    """Return a mirror map that fits the mean face clearly better than `mirror`, or None.

    Args:
        shapes: Points (N, 2) of each face, nan where not annotated.
        mirror: Permutation, (N,).
    """
    mean = median_shape(shapes)
    if mean is None:
        return None
    better = _corrected_mirror(mean, mirror)
    if better is not None or mirror_fits(shapes, mirror):
        return better
    # too much of it may be wrong to be corrected point by point
    try:
        return infer_mirror_from_shapes(shapes, "")
    except DataError:
        return None


def _corrected_mirror(mean: Array, mirror: Sequence[int]) -> list[int] | None:
    """Return a mirror map that fits better than a mostly correct one, or None."""
    chosen = list(mirror)
    for _ in range(ROUNDS):
        flipped = mean * [-1, 1]
        aligned = apply_affine(fit_similarity(flipped, mean[chosen]), flipped)
        distances = np.linalg.norm(aligned[:, None] - mean[None], axis=-1)
        nearest = distances.argmin(1).tolist()
        if not _is_pairing(nearest):
            return None
        chosen = nearest
    rows = np.arange(len(mean))
    changed = np.array(chosen) != np.array(mirror)
    before, after = distances[rows, list(mirror)], distances[rows, chosen]
    is_better = changed.any() and (after < MAX_DISTANCE_RATIO * before)[changed].all()
    return chosen if is_better else None


def infer_mirror_from_shapes(shapes: Sequence[Array], location: str) -> list[int]:
    """Return the mirror map under which the mean face is most symmetric.

    Args:
        shapes: Points (N, 2) of each face, nan where not annotated.
        location: Description of the faces for error messages.

    Raises:
        DataError: If the mean face has no such map.
    """
    mean = median_shape(shapes)
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
        f"{location}: the names do not tell left from right, and {problem}; name the points, or "
        "write the scheme by hand with mirror = [[...], ...]"
    )


def _mirror_at(centered: Array, angle: float) -> tuple[list[int], float]:
    """Return the nearest point to each mirrored point, and the maximum distance between them.

    The distance is in units of the box side.
    """
    axis = np.array([np.cos(2 * angle), np.sin(2 * angle)])
    reflect = np.array([[axis[0], axis[1]], [axis[1], -axis[0]]])
    distances = np.linalg.norm((centered @ reflect)[:, None] - centered[None], axis=-1)
    nearest = distances.argmin(1)
    error = distances.min(1).max() / box_side(landmark_box(centered))
    return nearest.tolist(), float(error)


def _is_pairing(mirror: Sequence[int]) -> bool:
    return all(mirror[mirror[i]] == i for i in range(len(mirror)))


def median_shape(shapes: Sequence[Array]) -> Array | None:
    """Return the median (N, 2) of faces aligned to one of them; None if no face is complete."""
    step = 1 + len(shapes) // MAX_FACES
    shapes = shapes[::step]
    complete = [
        shape for shape in shapes if np.isfinite(shape).all() and _is_alignable(shape)
    ]
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
