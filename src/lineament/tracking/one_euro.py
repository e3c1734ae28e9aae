"""One-euro filter: a low-pass filter whose cutoff frequency increases with speed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry import Array
from .temporal_filter import MIN_NOISE, TemporalFilter

REFERENCE_NOISE = 0.02
"""Uncertainty for which the cutoffs are specified, that of a typical landmark, in sides of
the face."""


@dataclass(frozen=True)
class EuroSettings:
    """Settings of OneEuro. Lengths are in units of the face side, radians or log units."""

    min_cutoff_hz: float
    """Cutoff frequency at rest; lower values reduce jitter."""
    beta: float
    """Coefficient of speed**power in the cutoff; higher values reduce lag."""
    power: float
    """Exponent of the speed; higher values delay the increase of the cutoff and make it steeper."""
    derivative_cutoff_hz: float = 4.0
    """Cutoff frequency of the speed estimate."""
    trust: float = 0.5
    """Exponent with which a landmark's uncertainty lowers its cutoff."""


class OneEuro(TemporalFilter):
    """A first-order low-pass filter whose cutoff increases with speed and falls with uncertainty.

    In contrast to the source, the cutoff may depend on a power of the speed, so that jitter raises
    it less and motion more.

    Source: Casiez, Roussel, Vogel 2012, section 3.
    """

    arrays = ("value", "speed")
    value: Array | None
    speed: Array | None

    def __init__(self, settings: EuroSettings) -> None:
        super().__init__()
        self.settings = settings

    def __call__(self, values: Array, noise: Array, dt: float) -> Array:
        s = self.settings
        if self.value is None or self.speed is None:
            self.value, self.speed = values.copy(), np.zeros_like(values)
            return self.value.copy()
        measured = (values - self.value) / dt
        self.speed = self.speed + _weight(s.derivative_cutoff_hz, dt) * (
            measured - self.speed
        )
        cutoff = s.min_cutoff_hz + s.beta * (self.speed**2).sum(1) ** (s.power / 2)
        cutoff = cutoff * (REFERENCE_NOISE / np.maximum(noise, MIN_NOISE)) ** s.trust
        self.value = self.value + _weight(cutoff[:, None], dt) * (values - self.value)
        return self.value.copy()

    def rescale(self, factors: Array) -> None:
        if self.value is not None and self.speed is not None:
            self.value = self.value * factors[:, None]
            self.speed = self.speed * factors[:, None]


def _weight(cutoff_hz: Any, dt: float) -> Any:
    """Return the weight of a new sample in a first-order low-pass filter."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * dt))
