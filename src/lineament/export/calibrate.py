"""Calibrate `sigma_px`, `scores` and probabilities of a network on validation crops.

`sigma_px` is fitted on annotated points: first on all of them, then, for a network that predicts
visibility, its increase at points that are not visible is fitted on occluded copies of the same
faces. Points on the far side of a profile are not annotated, so their errors are not known.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError, ExportError
from ..estimator import LandmarkModel, ValidationLimits
from ..geometry import Array, box_error, box_in_crop, landmark_box
from ..inference.box_shape import BoxShape, learned_points
from ..training.validate import MIN_POINTS

COVERAGE = 0.95
"""Target fraction of errors below 2 sigma_px."""
NEAR = 0.05
"""A score is the probability that the landmark is within this many box sides of the truth."""
LIMIT_QUANTILE = 0.05
"""Fraction of validation faces beyond each of a model's `ValidationLimits`."""
MAX_INCREASE = 24.0
"""Largest increase of the squared sigma_px of a point that is not visible."""


@dataclass(frozen=True)
class SigmaScale:
    """sigma_px^2 = (slope * variance + floor) * (1 + occluded * (1 - visible)).

    `floor` has crop pixels squared. `occluded` is None for a network without visibility; the last
    factor is then 1.
    """

    slope: float
    floor: float
    occluded: float | None = None

    def as_dict(self) -> dict[str, float]:
        """Return the entries of a card."""
        stated = asdict(self)
        return {name: value for name, value in stated.items() if value is not None}

    def constants(self) -> dict[str, float]:
        """Return the constants of a graph by name."""
        return {f"sigma_{name}": value for name, value in self.as_dict().items()}

    def sigma_px(self, variance: ArrayLike, visible: ArrayLike | None = None) -> Array:
        """Return the calibrated sigma of `variance` (crop pixels squared)."""
        squared = self.slope * np.asarray(variance, dtype=np.float64) + self.floor
        return np.asarray(np.sqrt(squared * self._increase(visible)))

    def variance(self, sigma_px: ArrayLike, visible: ArrayLike | None = None) -> Array:
        """Return the variance (crop pixels squared) that has the calibrated `sigma_px`."""
        squared = np.asarray(sigma_px, dtype=np.float64) ** 2 / self._increase(visible)
        return np.asarray((squared - self.floor) / self.slope)

    def _increase(self, visible: ArrayLike | None) -> Array:
        if visible is None or self.occluded is None:
            return np.ones(())
        return np.asarray(
            1 + self.occluded * (1 - np.asarray(visible, dtype=np.float64))
        )


def fit_sigma(errors: ArrayLike, variances: ArrayLike) -> SigmaScale:
    """Fit the maximum-likelihood scale, then enlarge it until 2 sigma cover `COVERAGE`.

    Errors are modeled as Rayleigh-distributed: lengths of isotropic Gaussian vectors.

    Args:
        errors: Distances from the truth, crop pixels.
        variances: Variances predicted by the head, crop pixels squared, same shape.

    Raises:
        DataError: If fewer than MIN_POINTS are finite.
    """
    distance, variance = (
        np.asarray(a, dtype=np.float64).ravel() for a in (errors, variances)
    )
    finite = np.isfinite(distance) & np.isfinite(variance)
    distance, variance = distance[finite], variance[finite]
    if len(distance) < MIN_POINTS:
        raise DataError(
            f"{len(distance)} points to calibrate on; "
            f"expected at least {MIN_POINTS}: give more validation faces"
        )
    best: tuple[float, float, float] | None = None
    typical = float(np.mean(distance**2)) / 2
    for slope in (
        typical / max(float(variance.mean()), 1e-9) * np.geomspace(0.02, 4, 40)
    ):
        for floor in typical * np.concatenate([[1e-3], np.geomspace(0.02, 1.5, 30)]):
            per_axis = slope * variance + floor
            cost = float(np.mean(np.log(per_axis) + distance**2 / (2 * per_axis)))
            if best is None or cost < best[0]:
                best = (cost, float(slope), float(floor))
    assert best is not None
    _, slope, floor = best
    ratio = distance / np.sqrt(slope * variance + floor)
    stretch = (np.quantile(ratio, COVERAGE) / 2) ** 2
    return SigmaScale(slope * float(stretch), floor * float(stretch))


def fit_occluded(
    scale: SigmaScale, errors: ArrayLike, variances: ArrayLike, visible: ArrayLike
) -> SigmaScale:
    """Return `scale` with the smallest increase for which 2 sigma cover `COVERAGE`.

    Args:
        scale: Fitted on plain crops.
        errors: Distances from the truth of occluded points, crop pixels, (K,).
        variances: Variances predicted for them, crop pixels squared, (K,).
        visible: Their predicted visibility, (K,), in [0, 1].
    """
    distance = np.asarray(errors, dtype=np.float64)
    finite = np.isfinite(distance)
    # zero would be folded out of the graph, where it is replaced after quantization
    low, high = 1e-3, MAX_INCREASE
    if finite.sum() < MIN_POINTS:
        return replace(scale, occluded=low)
    for _ in range(30):
        middle = (low + high) / 2
        tried = replace(scale, occluded=middle)
        under = distance <= 2 * tried.sigma_px(variances, visible)
        if under[finite].mean() < COVERAGE:
            low = middle
        else:
            high = middle
    return replace(scale, occluded=high)


def near_exponent(size: int, padding: float) -> float:
    """Return k of score = 1 - exp(-k / sigma_px^2), P(error below NEAR sides).

    95 % of the errors are below 2 sigma_px, so the Rayleigh parameter is 2 sigma_px / sqrt(-2 ln
    0.05).
    """
    radius = NEAR * size / padding
    return float(radius**2 * -np.log(1 - COVERAGE) / 4)


def validation_limits(
    model: LandmarkModel, landmarks: ArrayLike, scores: ArrayLike
) -> ValidationLimits:
    """Return the limits of a model, from its results on plain crops of validation faces.

    Args:
        model: The model.
        landmarks: (F, N, 2), pixels of the crop.
        scores: (F, N).
    """
    never_learned = getattr(model, "never_learned", ())
    points = np.asarray(scores, dtype=np.float64)
    # as in the predictor, whose scores of other points do not count
    means = points[:, learned_points(points.shape[1], never_learned)].mean(axis=1)
    shape = BoxShape(model.scheme, never_learned)
    box = box_in_crop(model.size, model.padding)
    errors = []
    for face_landmarks in np.asarray(landmarks, dtype=np.float64):
        errors.append(box_error(box, landmark_box(shape.points(face_landmarks))))
    # rounded outwards, since all faces have the same score if a model predicts no errors
    return ValidationLimits(
        math.floor(1e4 * float(np.quantile(means, LIMIT_QUANTILE))) / 1e4,
        math.ceil(1e4 * float(np.quantile(errors, 1 - LIMIT_QUANTILE))) / 1e4,
    )


@dataclass(frozen=True)
class LogitScale:
    """probability = sigmoid(slope * logit + offset)."""

    slope: float = 1.0
    offset: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the entries of a card."""
        return asdict(self)

    def probability(self, logits: ArrayLike) -> Array:
        """Return the calibrated probability of `logits`."""
        scaled = self.slope * np.asarray(logits, dtype=np.float64) + self.offset
        return np.asarray((1 + np.tanh(scaled / 2)) / 2)

    def logits(self, probability: ArrayLike) -> Array:
        """Return the logits of calibrated probabilities, clipped to [1e-7, 1 - 1e-7]."""
        p = np.clip(np.asarray(probability, dtype=np.float64), 1e-7, 1 - 1e-7)
        return np.asarray((np.log(p / (1 - p)) - self.offset) / self.slope)


@dataclass(frozen=True)
class StateScales:
    """Calibration of presence and visibility."""

    presence: LogitScale
    visible: LogitScale

    def constants(self) -> dict[str, float]:
        """Return the constants of a graph by name."""
        return {
            "presence_slope": self.presence.slope,
            "presence_offset": self.presence.offset,
            "visible_slope": self.visible.slope,
            "visible_offset": self.visible.offset,
        }


def fit_logits(
    logits: ArrayLike, truth: ArrayLike, balanced: bool = False
) -> LogitScale:
    """Fit the maximum-likelihood scale of `logits`; the identity if a class is absent.

    Args:
        logits: Logits of a network, any shape.
        truth: True for the positive class, same shape.
        balanced: Give both classes the same total weight.

    Source: Platt 1999, with its targets slightly inside (0, 1).
    """
    x = np.asarray(logits, dtype=np.float64).ravel()
    positive = np.asarray(truth, dtype=bool).ravel()
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return LogitScale()
    target = np.where(positive, (count + 1) / (count + 2), 1 / (others + 2))
    weight = np.ones_like(x)
    if balanced:
        weight = np.where(positive, 0.5 / count, 0.5 / others) * len(x)
    center, spread = float(x.mean()), max(float(x.std()), 1e-9)
    columns = np.stack([(x - center) / spread, np.ones_like(x)])
    values = np.zeros(2)
    for _ in range(100):
        probability = LogitScale().probability(values @ columns)
        gradient = columns @ (weight * (probability - target))
        curvature = weight * probability * (1 - probability)
        hessian = (columns * curvature) @ columns.T + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # a full Newton step may leave the region in which the quadratic model is valid
        values -= step * min(1.0, 2 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    slope = values[0] / spread
    return LogitScale(float(slope), float(values[1] - slope * center))


def write_constants(path: Path, constants: Mapping[str, float]) -> None:
    """Replace the named constants in the ONNX file at `path`.

    Raises:
        ExportError: If the graph lacks one of the constants.
    """
    import onnx

    model = onnx.load(str(path))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, value in constants.items():
        if name not in tensors:
            raise ExportError(
                f"{path.name}: no constant {name!r} in the graph; export fp32 instead"
            )
        replaced = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        tensors[name].CopyFrom(replaced)
    onnx.save(model, str(path))
