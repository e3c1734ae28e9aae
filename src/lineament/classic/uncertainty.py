"""Sigma and scores of a model without a network, from its variance estimate."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..estimator import CropLandmarks
from ..geometry import Array

UNCALIBRATED = {"sigma_slope": 1.0, "sigma_floor": 4.0, "near_exponent": 10.0}
"""Settings before calibration by `lineament export`: sigma is at least 2 crop pixels."""


@dataclass(frozen=True)
class Uncertainty:
    """sigma_px = sqrt(slope * variance + floor); score = 1 - exp(-near_exponent / sigma_px^2)."""

    slope: float
    floor: float
    near_exponent: float

    @classmethod
    def read(cls, settings: dict[str, Any]) -> "Uncertainty":
        """Read the constants from a model's `settings`."""
        values = UNCALIBRATED | settings
        names = ("sigma_slope", "sigma_floor", "near_exponent")
        return cls(*(float(values[name]) for name in names))

    def __call__(self, landmarks: Array, variance: Array) -> CropLandmarks:
        """Return landmarks (F, N, 2) with their scores and sigma.

        Args:
            landmarks: Pixels of the crop.
            variance: (F, N), crop pixels squared.
        """
        squared = self.slope * variance + self.floor
        scores = 1 - np.exp(-self.near_exponent / squared)
        return CropLandmarks(
            landmarks.astype(np.float32),
            scores.astype(np.float32),
            np.sqrt(squared).astype(np.float32),
        )
