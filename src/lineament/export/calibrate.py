"""The variance of a head -> `sigma_px` and `scores`, fitted on validation faces."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError, ExportError
from ..geometry import Array

COVERED = 0.95
"""Share of errors that shall lie under 2 sigma_px."""
NEAR = 0.05
"""A score is the probability that the landmark is within this many box sides of the truth."""


@dataclass(frozen=True)
class SigmaScale:
    """sigma_px = sqrt(slope * variance + floor): `floor` in crop pixels squared."""

    slope: float
    floor: float

    def as_dict(self) -> dict[str, float]:
        """Return the entries of a card."""
        return asdict(self)

    def sigma_px(self, variance: ArrayLike) -> Array:
        """Return the calibrated sigma of `variance` (crop pixels squared)."""
        return np.asarray(
            np.sqrt(self.slope * np.asarray(variance, dtype=np.float64) + self.floor)
        )


def fit_sigma(errors: ArrayLike, variances: ArrayLike) -> SigmaScale:
    """Fit the likeliest scale, then stretch it until 2 sigma cover `COVERED`.

    Errors count as Rayleigh: lengths of isotropic Gaussian steps.

    Args:
        errors: Distances from the truth, crop pixels.
        variances: Of the head, crop pixels squared, same shape.

    Raises:
        DataError: If fewer than 20 are finite.
    """
    distance, variance = (
        np.asarray(a, dtype=np.float64).ravel() for a in (errors, variances)
    )
    kept = np.isfinite(distance) & np.isfinite(variance)
    distance, variance = distance[kept], variance[kept]
    if len(distance) < 20:
        raise DataError(
            f"{len(distance)} points to calibrate on; wanted at least 20: give more validation "
            "faces"
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
    stretch = (np.quantile(ratio, COVERED) / 2) ** 2
    return SigmaScale(slope * float(stretch), floor * float(stretch))


def near_exponent(size: int, padding: float) -> float:
    """Return k of score = 1 - exp(-k / sigma_px^2), P(error below NEAR sides).

    95 % of the errors lie under 2 sigma_px, so the Rayleigh parameter is
    2 sigma_px / sqrt(-2 ln 0.05).
    """
    radius = NEAR * size / padding
    return float(radius**2 * -np.log(1 - COVERED) / 4)


def write_scale(path: Path, scale: SigmaScale) -> None:
    """Replace the calibration in the ONNX file at `path`.

    Raises:
        ExportError: If the graph does not hold it under the names of LandmarkGraph's buffers.
    """
    import onnx

    model = onnx.load(str(path))
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, value in (("sigma_slope", scale.slope), ("sigma_floor", scale.floor)):
        if name not in tensors:
            raise ExportError(
                f"{path.name}: no constant {name!r} in the graph; export fp32 instead"
            )
        replaced = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        tensors[name].CopyFrom(replaced)
    onnx.save(model, str(path))
