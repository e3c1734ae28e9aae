"""Errors, their norms, and what is said of many of them: mean, failure rate, area, curve, calibration. NumPy only.

An error is a fraction of its norm; that of a missed face is inf: it fails at every threshold, and no mean counts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, ShapeError
from ..geometry import Array, as_boxes, as_points, landmark_box

NORMS = ("interocular", "interpupil", "box", "diagonal", "given-box")
POINT_NORMS = ("interocular", "interpupil")  # those that a scheme's norm points make
MIN_NORM_PX = 1e-6
SIGMA_EDGES: Array = 0.001 * 2.0 ** (
    np.arange(15) / 2
)  # 0.1 % to 12.8 % of the norm, two bins an octave
SIGMA_COUNTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


def check_norm(norm: float, what: str = "the norm") -> float:
    """`norm`, where it can be divided by.    Raises: InputError where it is not finite or (near) zero."""
    value = float(norm)
    if not np.isfinite(value) or value < MIN_NORM_PX:
        raise InputError(
            f"{what} is {value:g} px; wanted a finite length above 0: mend the annotation or leave it out"
        )
    return value


def norm_length(
    rule: str,
    truth: ArrayLike,
    points: tuple[Sequence[int], Sequence[int]] | None = None,
    box: ArrayLike | None = None,
    name: str = "",
) -> float:
    """The length in pixels by which errors of a face are divided.

    rule: "interocular" and "interpupil" are the distance between the centres of two groups of `points`; "box" is the
    root of the area of the tight box of the truth, "diagonal" its diagonal; "given-box" the root of the area of `box`.
    truth: (N, 2), the whole annotation, pixels.    box: (4,), pixels.    name: the face, for the message.
    Raises: InputError for an unknown rule, or a norm that is missing, not finite or zero.
    """
    whose = f"the {rule} norm" + (f" of {name}" if name else "")
    landmarks = as_points(truth, "truth")
    if rule in POINT_NORMS:
        if points is None:
            raise InputError(
                f"{whose} needs the points it is measured between; this scheme states none for it"
            )
        a, b = (landmarks[list(group)].mean(0) for group in points)
        return check_norm(float(np.hypot(*(a - b))), whose)
    if rule == "given-box":
        if box is None:
            raise InputError(f"{whose} needs the box that the data set gives; this face has none")
        return check_norm(_root_area(as_boxes(box)[0]), whose)
    if rule not in NORMS:
        raise InputError(f"no norm is called {rule!r}; choose one of {', '.join(NORMS)}")
    tight = landmark_box(landmarks)
    return check_norm(
        _root_area(tight) if rule == "box" else float(np.hypot(*(tight[2:] - tight[:2]))), whose
    )


def _root_area(box: Array) -> float:
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


def point_errors(pred: ArrayLike, truth: ArrayLike) -> Array:
    """The distance (N,) of each predicted point from the true one, in their pixels; nan where that is not annotated.

    pred, truth: (N, 2), same frame.    Raises: ShapeError for unlike shapes or a prediction that is not finite.
    """
    found, wanted = as_points(pred, "predicted landmarks"), as_points(truth, "true landmarks")
    if len(found) != len(wanted):
        raise ShapeError(
            f"{len(found)} landmarks were predicted, the truth has {len(wanted)}; wanted the same number"
        )
    if not np.isfinite(found).all():
        rows = np.flatnonzero(~np.isfinite(found).all(1))
        raise ShapeError(
            f"predicted landmark {rows[0]} is not finite ({len(rows)} are not); wanted two numbers each"
        )
    gap = found - wanted
    return np.asarray(np.hypot(gap[:, 0], gap[:, 1]))


def nme(pred: ArrayLike, truth: ArrayLike, norm: float) -> float:
    """Mean landmark error of one face as a fraction of `norm`, over the annotated points.

    pred, truth: (N, 2), pixels, same frame.    norm: pixels, > 0.
    Raises: ShapeError, InputError.    Source: Sagonas et al. 2016 (300 Faces In-The-Wild Challenge), section 4.
    """
    errors = point_errors(pred, truth)
    annotated = np.isfinite(errors)
    if not annotated.any():
        raise InputError(
            "no point of this face is annotated; wanted at least one to measure an error by"
        )
    return float(errors[annotated].mean() / check_norm(norm))


def _errors(errors: ArrayLike) -> Array:
    array = np.asarray(errors, dtype=np.float64).reshape(-1)
    if array.size == 0:
        raise InputError("there are no errors to summarize; wanted those of at least one face")
    if np.isnan(array).any() or (array < 0).any():
        row = int(np.flatnonzero(np.isnan(array) | (array < 0))[0])
        raise InputError(
            f"error {row} is {array[row]}; wanted fractions of the norm, inf for a missed face"
        )
    return array


def _threshold(threshold: float) -> float:
    if not 0 < threshold < np.inf:
        raise InputError(
            f"the threshold is {threshold}; wanted a fraction of the norm above 0, e.g. 0.08"
        )
    return float(threshold)


def mean_nme(errors: ArrayLike) -> float:
    """The mean of the errors (M,) of the faces found; nan where every face was missed (inf)."""
    array = _errors(errors)
    found = array[np.isfinite(array)]
    return float(found.mean()) if len(found) else float("nan")


def failure_rate(errors: ArrayLike, threshold: float) -> float:
    """The share of `errors` (M,) above `threshold`, strictly; a missed face (inf) is above any."""
    return float((_errors(errors) > _threshold(threshold)).mean())


def auc(errors: ArrayLike, threshold: float) -> float:
    """The area under the CED of `errors` (M,) from 0 to `threshold`, over `threshold`; exact: 1 - mean(min(e, a)) / a.

    >>> auc([0.0, 0.04, 0.5], 0.08)
    0.5
    """
    a = _threshold(threshold)
    return float(1.0 - np.minimum(_errors(errors), a).mean() / a)


def ced(errors: ArrayLike, threshold: float) -> tuple[Array, Array]:
    """The cumulative error distribution: corners x (K,) and shares y (K,) of a right-continuous staircase.

    y[i] is the share of `errors` <= x[i]; x starts at 0 and ends at `threshold`.
    """
    array, a = np.sort(_errors(errors)), _threshold(threshold)
    x = np.unique(np.concatenate([[0.0, a], array[array <= a]]))
    return x, np.searchsorted(array, x, side="right") / len(array)


def per_part(per_landmark: ArrayLike, parts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """The mean error of each part, of the mean errors (N,) of the points; points that are nan do not count.

    A part without a counting point is left out.
    """
    values = np.asarray(per_landmark, dtype=np.float64)
    means: dict[str, float] = {}
    for part, points in parts.items():
        inside = values[list(points)]
        inside = inside[np.isfinite(inside)]
        if len(inside):
            means[part] = float(inside.mean())
    return means


@dataclass(frozen=True, eq=False)
class Calibration:
    """How well a stated sigma (the expected error of a point) foretells the true one; both in fractions of the norm."""

    points: int
    """How many points of faces were counted."""
    under: dict[float, float]
    """k -> the share of points whose error lies under k sigma."""
    expected_under: dict[float, float]
    """k -> that share where errors are round Gaussians of that mean: 1 - exp(-pi k^2 / 4)."""
    bin_points: NDArray[np.int64]
    """(K,): points in each bin of sigma; the bins without any are left out."""
    bin_sigma: Array
    """(K,): mean sigma in each bin."""
    bin_error: Array
    """(K,): mean error in each bin: the diagonal is perfect."""
    ece: float
    """Expected calibration error: mean over points of |mean error - mean sigma| of their bin."""
    ece_relative: float
    """`ece` over the mean error."""


class CalibrationSum:
    """Gathers errors and sigmas face by face in constant memory, and gives their Calibration."""

    def __init__(self) -> None:
        bins = len(SIGMA_EDGES) + 1
        self._count = np.zeros(bins, dtype=np.int64)
        self._sigma, self._error = np.zeros(bins), np.zeros(bins)
        self._under = np.zeros(len(SIGMA_COUNTS), dtype=np.int64)

    def add(self, errors: ArrayLike, sigmas: ArrayLike) -> None:
        """Count `errors` with their `sigmas`, both (N,), fractions of one norm; errors that are nan do not count.

        Raises: ShapeError for unlike shapes, a negative sigma or one that is not finite.
        """
        error, sigma = (np.asarray(a, dtype=np.float64).reshape(-1) for a in (errors, sigmas))
        if error.shape != sigma.shape:
            raise ShapeError(
                f"{len(error)} errors and {len(sigma)} sigmas; wanted one sigma for each point"
            )
        if not (np.isfinite(sigma) & (sigma >= 0)).all():
            row = int(np.flatnonzero(~(np.isfinite(sigma) & (sigma >= 0)))[0])
            raise ShapeError(
                f"sigma {row} is {sigma[row]}; wanted a finite expected error, 0 or more"
            )
        error, sigma = error[np.isfinite(error)], sigma[np.isfinite(error)]
        place = np.searchsorted(SIGMA_EDGES, sigma, side="right")
        for total, weights in ((self._sigma, sigma), (self._error, error)):
            total += np.bincount(place, weights, minlength=len(total))
        self._count += np.bincount(place, minlength=len(self._count))
        self._under += (error[None] < np.array(SIGMA_COUNTS)[:, None] * sigma[None]).sum(1)

    def result(self) -> Calibration | None:
        """The calibration of all points so far, or None before the first."""
        total = int(self._count.sum())
        if not total:
            return None
        used = self._count > 0
        count, sigma, error = self._count[used], self._sigma[used], self._error[used]
        ece = float(np.abs(error - sigma).sum() / total)
        mean_error = float(error.sum() / total)
        return Calibration(
            points=total,
            under={k: int(n) / total for k, n in zip(SIGMA_COUNTS, self._under, strict=True)},
            expected_under={k: float(1 - np.exp(-np.pi * k * k / 4)) for k in SIGMA_COUNTS},
            bin_points=count,
            bin_sigma=sigma / count,
            bin_error=error / count,
            ece=ece,
            ece_relative=ece / mean_error if mean_error else 0.0,
        )


def calibration(errors: ArrayLike, sigmas: ArrayLike) -> Calibration:
    """The Calibration of `errors` and `sigmas`, both (M,), fractions of the norm.    Raises: InputError where empty."""
    gathered = CalibrationSum()
    gathered.add(errors, sigmas)
    result = gathered.result()
    if result is None:
        raise InputError("there are no errors to calibrate; wanted those of at least one point")
    return result
