"""The variance of a head -> `sigma_px` and `scores` that can be believed, fitted on the validation faces."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ..geometry import Array

COVERED = 0.95
"""The share of errors that shall lie under 2 sigma_px."""
NEAR = 0.05
"""A score is the chance that the point lies within this many box sides of the truth."""


@dataclass(frozen=True)
class SigmaScale:
    """sigma_px = sqrt(slope * variance + floor): `floor` in crop pixels squared."""

    slope: float
    floor: float

    def as_dict(self) -> dict[str, float]:
        """For a model's metadata and card."""
        return asdict(self)

    def sigma_px(self, variance: ArrayLike) -> Array:
        """Calibrated sigma of `variance` in crop pixels squared; any shape."""
        return np.asarray(np.sqrt(self.slope * np.asarray(variance, dtype=np.float64) + self.floor))


def fit_sigma(errors: ArrayLike, variances: ArrayLike) -> SigmaScale:
    """The scale under which the errors are most likely, then stretched until `COVERED` of them lie under 2 sigma.

    errors: distances from the truth in crop pixels.    variances: the head's, crop pixels squared, same shape.
    The errors are taken as lengths of round Gaussian steps (Rayleigh) when comparing scales.
    """
    distance, variance = (np.asarray(a, dtype=np.float64).ravel() for a in (errors, variances))
    kept = np.isfinite(distance) & np.isfinite(variance)
    distance, variance = distance[kept], variance[kept]
    if len(distance) < 20:
        raise DataError(
            f"{len(distance)} points to calibrate on; wanted at least 20: give more validation faces"
        )
    best: tuple[float, float, float] | None = None
    typical = float(np.mean(distance**2)) / 2
    for slope in typical / max(float(variance.mean()), 1e-9) * np.geomspace(0.02, 4, 40):
        for floor in typical * np.concatenate([[1e-3], np.geomspace(0.02, 1.5, 30)]):
            per_axis = slope * variance + floor
            cost = float(np.mean(np.log(per_axis) + distance**2 / (2 * per_axis)))
            if best is None or cost < best[0]:
                best = (cost, float(slope), float(floor))
    assert best is not None
    _, slope, floor = best
    ratio = distance / np.sqrt(slope * variance + floor)
    stretch = (np.quantile(ratio, COVERED) / 2) ** 2
    return SigmaScale(slope * float(stretch), floor * float(stretch))


def near_exponent(size: int, padding: float) -> float:
    """k in score = 1 - exp(-k / sigma_px^2): the chance of lying within `NEAR` box sides, errors taken as Rayleigh.

    Under 2 sigma_px lie 95 %, so the Rayleigh parameter is 2 sigma_px / sqrt(-2 ln 0.05).
    """
    radius = NEAR * size / padding
    return float(radius**2 * -np.log(1 - COVERED) / 4)
