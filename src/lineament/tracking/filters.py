"""Landmarks of one face, frame by frame -> the same without jitter: its pose and its shape are filtered apart.

The pose of the head is fitted to all points at once, so it is known better than any of them and follows motion almost
unfiltered; what a point does beside it is smoothed by how uncertain that point is. Turns and scales change nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import InputError, did_you_mean
from ..geometry import Array, fit_similarity
from ..schemes import scheme

GAP_S = 0.5
"""After a longer gap a filter starts anew."""
REFERENCE = 0.02
"""The uncertainty for which the rates of OneEuro are stated: that of a usual point, in sides of the face."""
TINY = 1e-6


class Filter(Protocol):
    """Filters M values of D dimensions each, sample by sample."""

    def __call__(self, values: Array, noise: Array, dt: float) -> Array:
        """The filtered (M, D) of `values` (M, D), whose standard deviations are `noise` (M,), `dt` seconds later."""

    def rescale(self, factors: Array) -> None:
        """Goes on in other units, in which the values (M, D) are `factors` (M,) times as many."""

    def state(self) -> dict[str, Any]:
        """All that the next sample depends on, as lists and numbers."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""


class _Kept:
    """What a filter keeps from sample to sample: arrays by name, None before the first."""

    kept: tuple[str, ...]

    def __init__(self) -> None:
        for name in self.kept:
            setattr(self, name, None)

    def state(self) -> dict[str, Any]:
        """As of Filter."""
        parts = {name: getattr(self, name) for name in self.kept}
        return {name: None if part is None else part.tolist() for name, part in parts.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """As of Filter."""
        for name in self.kept:
            setattr(self, name, None if state[name] is None else np.array(state[name], np.float64))


@dataclass(frozen=True)
class EuroSettings:
    """Of OneEuro. Rates are in Hz, lengths in sides of the face (for the pose also in radians and logs)."""

    rate: float
    """The rate up to which changes pass while nothing moves: lower jitters less."""
    opening: float
    """By how much that rate rises with a power of the speed: higher lags less."""
    power: float
    """That power: with higher ones the filter opens later, and wider."""
    speed_rate: float = 4.0
    """The rate of the filter of the speed itself."""
    trust: float = 0.5
    """How strongly a point's uncertainty lowers its rate: as so many powers of it."""


class OneEuro(_Kept):
    """A first-order low pass whose rate rises with the speed.

    Source: Casiez, Roussel, Vogel 2012, section 3. Unlike there the rate may rise with a power of the speed, so that
    jitter opens it less and motion more, and falls with the point's uncertainty.
    """

    kept = ("value", "speed")
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
        self.speed = self.speed + _share(s.speed_rate, dt) * (
            (values - self.value) / dt - self.speed
        )
        rates = s.rate + s.opening * (self.speed**2).sum(1) ** (s.power / 2)
        rates = rates * (REFERENCE / np.maximum(noise, TINY)) ** s.trust
        self.value = self.value + _share(rates[:, None], dt) * (values - self.value)
        return self.value.copy()

    def rescale(self, factors: Array) -> None:
        if self.value is not None and self.speed is not None:
            self.value, self.speed = self.value * factors[:, None], self.speed * factors[:, None]


def _share(rate: Any, dt: float) -> Any:
    """The weight of a new sample in a first-order low pass of that rate."""
    return 1 / (1 + 1 / (2 * math.pi * rate * dt))


@dataclass(frozen=True)
class KalmanSettings:
    """Of Kalman. Lengths are in sides of the face (for the pose also in radians and logs)."""

    noise: float
    """The deviation of a measurement from frame to frame, as a part of its stated uncertainty."""
    push: float
    """The power of the noise that accelerates while nothing moves: variance of the speed gained in a second."""
    opening: float
    """By how much that rises with a power of the speed."""
    power: float
    """That power."""
    memory: float = 1.0
    """What is left of a speed after a second without a push."""


class Kalman(_Kept):
    """A Kalman filter of constant velocity, driven by the uncertainty of each measurement.

    Source: Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2 (continuous white noise acceleration); its power rises with
    the speed, as what moves also turns, and speeds die away. However large it grows, a wrong speed is at most half as
    wrong a sample later; noise that is constant between two samples would throw it to and fro without end.
    """

    kept = ("value", "speed", "spread")
    value: Array | None
    speed: Array | None
    spread: Array | None
    """(M, 2, 2): covariance of value and speed, one for all dimensions of a value."""

    def __init__(self, settings: KalmanSettings) -> None:
        super().__init__()
        self.settings = settings

    def __call__(self, values: Array, noise: Array, dt: float) -> Array:
        s = self.settings
        variance = (s.noise * np.maximum(noise, TINY)) ** 2
        if self.value is None or self.speed is None or self.spread is None:
            self.value, self.speed = values.copy(), np.zeros_like(values)
            self.spread = np.zeros((len(values), 2, 2))
            self.spread[:, 0, 0], self.spread[:, 1, 1] = variance, 1.0
            return self.value.copy()
        keep = s.memory**dt
        step = np.array([[1.0, dt], [0.0, keep]])
        push = s.push + s.opening * (self.speed**2).sum(1) ** (s.power / 2)
        shape = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        spread = step @ self.spread @ step.T + push[:, None, None] * shape
        gain = spread[:, :, 0] / (spread[:, 0, 0] + variance)[:, None]  # (M, 2)
        ahead = self.value + dt * self.speed
        surprise = values - ahead
        self.value = ahead + gain[:, :1] * surprise
        self.speed = keep * self.speed + gain[:, 1:] * surprise
        self.spread = spread - gain[:, :, None] * spread[:, None, 0, :]
        return self.value.copy()

    def rescale(self, factors: Array) -> None:
        if self.value is not None and self.speed is not None and self.spread is not None:
            self.value, self.speed = self.value * factors[:, None], self.speed * factors[:, None]
            self.spread = self.spread * (factors**2)[:, None, None]


FILTERS: dict[str, tuple[EuroSettings, EuroSettings] | tuple[KalmanSettings, KalmanSettings]] = {
    "one-euro": (
        EuroSettings(rate=2.1, opening=1900, power=3, speed_rate=1.9, trust=1.0),
        EuroSettings(rate=0.07, opening=24, power=1, speed_rate=3.0, trust=0.5),
    ),
    "kalman": (
        KalmanSettings(noise=0.35, push=0.04, opening=10_000, power=4, memory=0.01),
        KalmanSettings(noise=3.0, push=0.76, opening=730, power=2, memory=0.01),
    ),
}
"""The filters by name: of the pose and of the shape. Rounded from a search by what `scripts/choose_smoothing.py`
weighs, on clips of validation faces and real ones; it prints what these give."""
DEFAULT = "one-euro"


def make_filter(settings: EuroSettings | KalmanSettings) -> Filter:
    """The filter that `settings` are of."""
    return OneEuro(settings) if isinstance(settings, EuroSettings) else Kalman(settings)


class Smoother:
    """The landmarks of one face in a video, in order -> smoothed landmarks. The first come out as they went in.

    kind: a key of FILTERS.    scheme_name: of the points.    settings: of pose and shape; None: those of FILTERS.
    Raises: InputError for an unknown kind.
    """

    def __init__(
        self,
        kind: str,
        scheme_name: str,
        settings: tuple[EuroSettings | KalmanSettings, EuroSettings | KalmanSettings] | None = None,
    ) -> None:
        if kind not in FILTERS:
            raise InputError(f"no filter is called {kind!r}; {did_you_mean(kind, FILTERS)}")
        self.settings = settings or FILTERS[kind]
        self.mean = scheme(scheme_name).mean_shape
        self.shape: Array | None = None
        """(N, 2): the shape whose pose is fitted."""
        self.reset()

    def reset(self) -> None:
        """Forgets the past: the next landmarks are the first."""
        self.shape = self.mean
        self.pose, self.beside = (make_filter(settings) for settings in self.settings)
        self.scale, self.angle = 1.0, 0.0
        self.started = False

    def __call__(self, landmarks: Array, sigma_px: Array, dt: float) -> Array:
        """The smoothed (N, 2) of `landmarks` (N, 2) with uncertainties `sigma_px` (N,), `dt` seconds after the last."""
        if dt > GAP_S:
            self.reset()
        if (
            self.shape is None
        ):  # a scheme without a mean face: its own first shape, of side 1 about the origin
            self.shape = (landmarks - landmarks.mean(0)) / max(
                float(np.ptp(landmarks, axis=0).max()), TINY
            )
        affine = fit_similarity(self.shape, landmarks)
        scale = max(math.hypot(affine[0, 0], affine[1, 0]), TINY)
        # no jump where angles wrap
        angle = self.angle + math.remainder(
            math.atan2(affine[1, 0], affine[0, 0]) - self.angle, 2 * math.pi
        )
        # lengths are in sides of the face, so that near and far faces are filtered alike
        grown = self.scale / scale
        self.pose.rescale(np.array([grown, 1.0]))
        self.scale, self.angle = scale, angle
        noise = np.asarray(sigma_px, dtype=np.float64) / scale
        pose = np.array([affine[:, 2] / scale, [math.log(scale), angle]])
        # errors of neighboring points go together: the pose is about as uncertain as one point
        center, (size, angle) = self.pose(pose, np.full(2, np.sqrt((noise**2).mean())), dt)
        beside = (landmarks - affine[:, 2]) @ affine[:, :2] / scale**2 - self.shape
        beside = self.beside(beside, noise, dt)
        first, self.started = not self.started, True
        if first:
            return landmarks.copy()
        cos, sin = math.exp(size) * math.cos(angle), math.exp(size) * math.sin(angle)
        return np.asarray(
            (self.shape + beside) @ np.array([[cos, sin], [-sin, cos]]) + center * scale
        )

    def state(self) -> dict[str, Any]:
        """All that the next landmarks depend on, fit for JSON."""
        return {
            "shape": None if self.shape is None else self.shape.tolist(),
            "scale": self.scale,
            "angle": self.angle,
            "started": self.started,
            "pose": self.pose.state(),
            "beside": self.beside.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.shape = None if state["shape"] is None else np.array(state["shape"], np.float64)
        self.scale, self.angle, self.started = state["scale"], state["angle"], state["started"]
        self.pose.restore(state["pose"])
        self.beside.restore(state["beside"])


def zero_phase(path: Array, deviation: float) -> Array:
    """`path` (T, N, 2), without gaps, smoothed by a Gaussian of `deviation` frames, which shifts nothing in time."""
    reach = max(int(4 * deviation), 1)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-(offsets**2) / (2 * deviation**2))
    padded = np.concatenate([np.repeat(path[:1], reach, 0), path, np.repeat(path[-1:], reach, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    return np.asarray(windows @ (kernel / kernel.sum()))
