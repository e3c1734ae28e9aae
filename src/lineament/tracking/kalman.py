"""Kalman filter with constant velocity, weighted by measurement uncertainty."""

from dataclasses import dataclass

import numpy as np

from ..geometry import Array
from .temporal_filter import MIN_NOISE, TemporalFilter


@dataclass(frozen=True)
class KalmanSettings:
    """Settings of Kalman. Lengths are in units of the face side, radians or log units."""

    measurement_noise: float
    """Standard deviation of a measurement as a fraction of its predicted uncertainty."""
    process_noise: float
    """Variance of the speed added per second at rest."""
    beta: float
    """Coefficient of speed**power in the process noise."""
    power: float
    """Exponent of the speed."""
    velocity_decay: float = 1.0
    """Fraction of the speed that remains after one second."""


class Kalman(TemporalFilter):
    """A Kalman filter with constant velocity and white-noise acceleration.

    The process noise increases with the speed, because moving faces also change direction, and
    the speed decays. However large the noise becomes, a speed error at least halves with each
    sample; noise held constant between two samples would cause undamped oscillation.

    Source: Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2.
    """

    arrays = ("value", "speed", "covariance")
    value: Array | None
    speed: Array | None
    covariance: Array | None
    """Covariance of value and speed, (M, 2, 2), shared by all dimensions of a value."""

    def __init__(self, settings: KalmanSettings) -> None:
        super().__init__()
        self.settings = settings

    def __call__(self, values: Array, noise: Array, dt: float) -> Array:
        s = self.settings
        variance = (s.measurement_noise * np.maximum(noise, MIN_NOISE)) ** 2
        if self.value is None or self.speed is None or self.covariance is None:
            self.value, self.speed = values.copy(), np.zeros_like(values)
            self.covariance = np.zeros((len(values), 2, 2))
            self.covariance[:, 0, 0], self.covariance[:, 1, 1] = variance, 1.0
            return self.value.copy()
        keep = s.velocity_decay**dt
        step = np.array([[1.0, dt], [0.0, keep]])
        process_noise = s.process_noise + s.beta * (self.speed**2).sum(1) ** (
            s.power / 2
        )
        shape = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        predicted = (
            step @ self.covariance @ step.T + process_noise[:, None, None] * shape
        )
        gain = predicted[:, :, 0] / (predicted[:, 0, 0] + variance)[:, None]  # (M, 2)
        ahead = self.value + dt * self.speed
        innovation = values - ahead
        self.value = ahead + gain[:, :1] * innovation
        self.speed = keep * self.speed + gain[:, 1:] * innovation
        self.covariance = predicted - gain[:, :, None] * predicted[:, None, 0, :]
        return self.value.copy()

    def rescale(self, factors: Array) -> None:
        if (
            self.value is not None
            and self.speed is not None
            and self.covariance is not None
        ):
            self.value = self.value * factors[:, None]
            self.speed = self.speed * factors[:, None]
            self.covariance = self.covariance * (factors**2)[:, None, None]
