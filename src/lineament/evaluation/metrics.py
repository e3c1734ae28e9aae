"""Landmark errors, norms, and summaries: mean, failure rate, AUC, CED, calibration.

Errors are fractions of a norm. A missed face has error inf and is excluded from means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, ShapeError
from ..geometry import Array, as_boxes, as_points, box_side, landmark_box
from ..scheme_file.table import POINT_NORMS

Norm = Literal["interocular", "interpupil", "box", "side", "diagonal", "given-box"]
NORMS: tuple[str, ...] = get_args(Norm)
MIN_NORM_PX = 1e-6
SIGMA_EDGES: Array = 0.001 * 2.0 ** (np.arange(15) / 2)
"""Edges of the calibration bins: 0.1 % to 12.8 % of the norm, two bins per octave."""
SIGMA_COUNTS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Multiples of sigma at which coverage is measured."""


def check_norm(norm: float, what: str = "the norm") -> float:
    """Return the length `norm` as a float after checking it.

    Raises:
        InputError: If it is not finite or nearly zero; the message calls it `what`.
    """
    value = float(norm)
    if not np.isfinite(value) or value < MIN_NORM_PX:
        raise InputError(
            f"{what} is {value:g} px; "
            "expected a finite length above 0: correct the annotation or remove it"
        )
    return value


def norm_length(
    rule: str,
    truth: ArrayLike,
    points: tuple[Sequence[int], Sequence[int]] | None = None,
    box: ArrayLike | None = None,
    name: str = "",
) -> float:
    """Return the normalizing length of a face's errors, in pixels.

    Args:
        rule: "interocular" or "interpupil": distance between the centers of two groups
            of points; "box": square root of the area of the tight box of the truth; "side",
            "diagonal": longer side and diagonal of that box; "given-box": square root of
            the area of `box`.
        truth: Complete annotation, (N, 2), pixels.
        points: Indices of the two groups, for the first two rules.
        box: The data set's own box, (4,), pixels, for "given-box".
        name: Name of the face, for the error message.

    Raises:
        InputError: If the rule is unknown, or the norm is missing, not finite or zero.
    """
    norm_name = f"the {rule} norm" + (f" of {name}" if name else "")
    landmarks = as_points(truth, "truth")
    if rule in POINT_NORMS:
        if points is None:
            raise InputError(
                f"{norm_name} is measured between two groups of points, which this "
                "scheme does not define; choose another norm"
            )
        first, second = (landmarks[list(group)].mean(0) for group in points)
        return check_norm(float(np.hypot(*(first - second))), norm_name)
    if rule == "given-box":
        if box is None:
            raise InputError(
                f"{norm_name} needs a box from the data set, but this face has none"
            )
        return check_norm(_root_area(as_boxes(box)[0]), norm_name)
    tight = landmark_box(landmarks)
    if rule == "box":
        return check_norm(_root_area(tight), norm_name)
    if rule == "side":
        return check_norm(box_side(tight), norm_name)
    if rule == "diagonal":
        return check_norm(float(np.hypot(*(tight[2:] - tight[:2]))), norm_name)
    raise InputError(f"unknown norm {rule!r}; choose one of {', '.join(NORMS)}")


def _root_area(box: Array) -> float:
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))


def point_errors(pred: ArrayLike, truth: ArrayLike) -> Array:
    """Return the distance of each predicted point to the true one, (N,), pixels.

    Args:
        pred: Predicted landmarks, (N, 2), pixels.
        truth: Annotated landmarks, (N, 2), same frame; nan if not annotated.

    Raises:
        ShapeError: If the shapes differ, or a prediction is not finite.
    """
    found = as_points(pred, "predicted landmarks")
    annotated = as_points(truth, "true landmarks")
    if len(found) != len(annotated):
        raise ShapeError(
            f"{len(found)} landmarks were predicted, but the truth has {len(annotated)}; "
            "expected the same number"
        )
    if not np.isfinite(found).all():
        rows = np.flatnonzero(~np.isfinite(found).all(1))
        raise ShapeError(
            f"{len(rows)} predicted landmarks are not finite, e.g. {rows[0]}; "
            "expected finite x and y"
        )
    gap = found - annotated
    return np.asarray(np.hypot(gap[:, 0], gap[:, 1]))


def nme(pred: ArrayLike, truth: ArrayLike, norm: float) -> float:
    """Return the mean error of a face's annotated landmarks as a fraction of `norm`.

    Args:
        pred: Predicted landmarks, (N, 2), pixels.
        truth: Annotated landmarks, (N, 2), same frame; nan if not annotated.
        norm: Normalizing length, pixels, > 0.

    Raises:
        ShapeError: If the shapes differ, or a prediction is not finite.
        InputError: If no point is annotated, or the norm is not a positive length.

    Source: Sagonas et al. 2016 (300 Faces In-The-Wild Challenge), section 4.
    """
    errors = point_errors(pred, truth)
    annotated = np.isfinite(errors)
    if not annotated.any():
        raise InputError("no point of this face is annotated; expected at least one")
    return float(errors[annotated].mean() / check_norm(norm))


def _errors(errors: ArrayLike) -> Array:
    array = np.asarray(errors, dtype=np.float64).reshape(-1)
    if array.size == 0:
        raise InputError(
            "there are no errors to summarize; expected errors of at least one face"
        )
    bad = np.flatnonzero(np.isnan(array) | (array < 0))
    if len(bad):
        row = int(bad[0])
        raise InputError(
            f"error {row} is {array[row]}; "
            "expected fractions of the norm, inf for a missed face"
        )
    return array


def _threshold(threshold: float) -> float:
    if not 0 < threshold < np.inf:
        raise InputError(
            f"the threshold is {threshold}; "
            "expected a fraction of the norm above 0, e.g. 0.08"
        )
    return float(threshold)


def mean_nme(errors: ArrayLike) -> float:
    """Return the mean of the finite `errors`, (M,); nan if every face was missed."""
    array = _errors(errors)
    found = array[np.isfinite(array)]
    return float(found.mean()) if len(found) else float("nan")


def failure_rate(errors: ArrayLike, threshold: float) -> float:
    """Return the fraction of `errors`, (M,), strictly above `threshold`."""
    return float((_errors(errors) > _threshold(threshold)).mean())


def auc(errors: ArrayLike, threshold: float) -> float:
    """Return the area under the CED up to `threshold` a, divided by a.

    It is exactly 1 - mean(min(e, a)) / a.

    >>> auc([0.0, 0.04, 0.5], 0.08)
    0.5
    """
    limit = _threshold(threshold)
    return float(1.0 - np.minimum(_errors(errors), limit).mean() / limit)


def ced(errors: ArrayLike, threshold: float) -> tuple[Array, Array]:
    """Return the cumulative error distribution of `errors`, (M,), as a step function.

    Returns:
        Corners x (K,), from 0 to `threshold`, and the fraction of errors <= each, (K,).
    """
    array, limit = np.sort(_errors(errors)), _threshold(threshold)
    x = np.unique(np.concatenate([[0.0, limit], array[array <= limit]]))
    return x, np.searchsorted(array, x, side="right") / len(array)


def per_part(
    per_landmark: ArrayLike, parts: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Return the mean error of each part; parts without counted points are omitted.

    Args:
        per_landmark: Mean error of each point, (N,); nan if it is not counted.
        parts: Point indices by part.
    """
    values = np.asarray(per_landmark, dtype=np.float64)
    means: dict[str, float] = {}
    for part, points in parts.items():
        inside = values[list(points)]
        inside = inside[np.isfinite(inside)]
        if len(inside):
            means[part] = float(inside.mean())
    return means


@dataclass(frozen=True)
class CalibrationBin:
    """The points whose predicted sigma is in one bin."""

    points: int
    sigma: float
    """Mean predicted sigma."""
    error: float
    """Mean true error; equals `sigma` if perfectly calibrated."""


@dataclass(frozen=True)
class Calibration:
    """Agreement between predicted sigma (the expected error of a point) and the true error.

    Both are fractions of the norm.
    """

    points: int
    """Number of points counted, over all faces."""
    under: dict[float, float]
    """Fraction of points with an error below k sigma, by k."""
    expected_under: dict[float, float]
    """The same fraction for isotropic Gaussian errors, by k: 1 - exp(-pi k^2 / 4)."""
    bins: tuple[CalibrationBin, ...]
    """Nonempty bins of sigma, in ascending order."""
    ece: float
    """Expected calibration error: mean over points of their bin's |error - sigma|."""
    ece_relative: float
    """`ece` divided by the mean error."""


class CalibrationAccumulator:
    """Collects errors and sigmas, in constant memory, for a Calibration."""

    def __init__(self) -> None:
        bins = len(SIGMA_EDGES) + 1
        self._count = np.zeros(bins, dtype=np.int64)
        self._sigma, self._error = np.zeros(bins), np.zeros(bins)
        self._under = np.zeros(len(SIGMA_COUNTS), dtype=np.int64)

    def add(self, errors: ArrayLike, sigmas: ArrayLike) -> None:
        """Add points by errors and sigmas, (N,); points with error nan are ignored.

        Raises:
            ShapeError: If the shapes differ, or a sigma is negative or not finite.
        """
        error = np.asarray(errors, dtype=np.float64).reshape(-1)
        sigma = np.asarray(sigmas, dtype=np.float64).reshape(-1)
        if error.shape != sigma.shape:
            raise ShapeError(
                f"{len(error)} errors and {len(sigma)} sigmas; "
                "expected one sigma for each point"
            )
        bad = np.flatnonzero(~(np.isfinite(sigma) & (sigma >= 0)))
        if len(bad):
            raise ShapeError(
                f"sigma {bad[0]} is {sigma[bad[0]]}; expected a finite sigma, 0 or more"
            )
        error, sigma = error[np.isfinite(error)], sigma[np.isfinite(error)]
        bins = np.searchsorted(SIGMA_EDGES, sigma, side="right")
        self._sigma += np.bincount(bins, sigma, minlength=len(self._sigma))
        self._error += np.bincount(bins, error, minlength=len(self._error))
        self._count += np.bincount(bins, minlength=len(self._count))
        self._under += (
            error[None] < np.array(SIGMA_COUNTS)[:, None] * sigma[None]
        ).sum(1)

    def result(self) -> Calibration | None:
        """Return the calibration over all points so far; None if there are none."""
        total = int(self._count.sum())
        if not total:
            return None
        bins = []
        for count, sigma, error in zip(
            self._count, self._sigma, self._error, strict=True
        ):
            if count:
                means = float(sigma / count), float(error / count)
                bins.append(CalibrationBin(int(count), *means))
        ece = float(np.abs(self._error - self._sigma).sum() / total)
        mean_error = float(self._error.sum() / total)
        return Calibration(
            points=total,
            under={
                k: int(n) / total
                for k, n in zip(SIGMA_COUNTS, self._under, strict=True)
            },
            expected_under={
                k: float(1 - np.exp(-np.pi * k * k / 4)) for k in SIGMA_COUNTS
            },
            bins=tuple(bins),
            ece=ece,
            ece_relative=ece / mean_error if mean_error else 0.0,
        )


def calibration(errors: ArrayLike, sigmas: ArrayLike) -> Calibration:
    """Return the Calibration of `errors` and `sigmas`, (M,), fractions of the norm.

    Raises:
        InputError: If there are none.
    """
    gathered = CalibrationAccumulator()
    gathered.add(errors, sigmas)
    result = gathered.result()
    if result is None:
        raise InputError(
            "there are no errors to calibrate; expected errors of at least one point"
        )
    return result
