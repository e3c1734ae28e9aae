"""Temporal smoothing of a face's landmarks, with separate filters for pose and shape.

The pose, a similarity transform fitted to all landmarks, is more accurate than any single landmark
and hardly filtered; the remaining shape is smoothed according to each landmark's uncertainty.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InputError, did_you_mean
from ..geometry import Array, fit_similarity
from ..schemes import scheme
from .kalman import Kalman, KalmanSettings
from .one_euro import REFERENCE_NOISE, EuroSettings, OneEuro
from .temporal_filter import TemporalFilter

MAX_GAP_S = 0.5
"""Gap in seconds above which a filter is reset."""
MIN_SCALE = 1e-6
Settings = EuroSettings | KalmanSettings

FILTERS: dict[str, tuple[Settings, Settings]] = {
    "one-euro": (
        EuroSettings(
            min_cutoff_hz=2.1, beta=1900, power=3, derivative_cutoff_hz=1.9, trust=1.0
        ),
        EuroSettings(
            min_cutoff_hz=0.07, beta=24, power=1, derivative_cutoff_hz=3.0, trust=0.5
        ),
    ),
    "kalman": (
        KalmanSettings(
            measurement_noise=0.35,
            process_noise=0.04,
            beta=10_000,
            power=4,
            velocity_decay=0.01,
        ),
        KalmanSettings(
            measurement_noise=3.0,
            process_noise=0.76,
            beta=730,
            power=2,
            velocity_decay=0.01,
        ),
    ),
}
"""Settings of the pose and shape filters by name; rounded results of `python -m
bench.choose_filters` on clips of validation faces and real videos."""
DEFAULT = "one-euro"


def make_filter(settings: Settings) -> TemporalFilter:
    """Return a new filter for these settings."""
    return OneEuro(settings) if isinstance(settings, EuroSettings) else Kalman(settings)


class Smoother:
    """Smooth the landmarks of one face, frame by frame.

    The first landmarks are returned unchanged.

    Args:
        kind: A key of FILTERS.
        scheme_name: Scheme of the landmarks.
        settings: Settings of the pose and shape filters; None: those in FILTERS.

    Raises:
        InputError: If the kind is unknown.
    """

    def __init__(
        self,
        kind: str,
        scheme_name: str,
        settings: tuple[Settings, Settings] | None = None,
    ) -> None:
        if kind not in FILTERS:
            raise InputError(f"unknown filter {kind!r}; {did_you_mean(kind, FILTERS)}")
        self.settings = settings or FILTERS[kind]
        self.mean_shape = scheme(scheme_name).mean_shape
        self.shape: Array | None = None
        """Reference shape (N, 2) to which the pose is fitted."""
        self.reset()

    def reset(self) -> None:
        """Reset the state, so that the next landmarks count as the first."""
        self.shape = self.mean_shape
        self.pose_filter, self.shape_filter = map(make_filter, self.settings)
        self.scale, self.angle = 1.0, 0.0
        self.started = False

    def __call__(self, landmarks: Array, sigma_px: Array, dt: float) -> Array:
        """Smooth the landmarks of the next frame.

        Args:
            landmarks: (N, 2), pixels.
            sigma_px: Uncertainty of each landmark, (N,), pixels; nan if unknown.
            dt: Seconds since the last frame.

        Returns:
            The smoothed landmarks, (N, 2).
        """
        if dt > MAX_GAP_S:
            self.reset()
        if self.shape is None:
            # without a mean face, use the first shape, scaled to side 1 and centered at the origin
            side = max(float(np.ptp(landmarks, axis=0).max()), MIN_SCALE)
            self.shape = (landmarks - landmarks.mean(0)) / side
        affine = fit_similarity(self.shape, landmarks)
        scale = max(math.hypot(affine[0, 0], affine[1, 0]), MIN_SCALE)
        # unwrapped, because a jump from 180 to -180 degrees is not a motion
        turn = math.atan2(affine[1, 0], affine[0, 0]) - self.angle
        angle = self.angle + math.remainder(turn, 2 * math.pi)
        # in units of the face side, so that near and far faces are filtered alike
        self.pose_filter.rescale(np.array([self.scale / scale, 1.0]))
        self.scale, self.angle = scale, angle
        noise = without_gaps(np.asarray(sigma_px, dtype=np.float64) / scale)
        pose = np.array([affine[:, 2] / scale, [math.log(scale), angle]])
        # errors of neighboring landmarks are correlated, so a pose is as uncertain as a landmark
        pose_noise = np.full(2, np.sqrt((noise**2).mean()))
        center, (log_scale, angle) = self.pose_filter(pose, pose_noise, dt)
        offsets = (landmarks - affine[:, 2]) @ affine[:, :2] / scale**2 - self.shape
        offsets = self.shape_filter(offsets, noise, dt)
        first, self.started = not self.started, True
        if first:
            return landmarks.copy()
        size = math.exp(log_scale)
        cos, sin = size * math.cos(angle), size * math.sin(angle)
        rotation = np.array([[cos, sin], [-sin, cos]])
        return np.asarray((self.shape + offsets) @ rotation + center * scale)

    def state(self) -> dict[str, Any]:
        """Return everything that the next output depends on, as JSON values."""
        return {
            "shape": None if self.shape is None else self.shape.tolist(),
            "scale": self.scale,
            "angle": self.angle,
            "started": self.started,
            "pose_filter": self.pose_filter.state(),
            "shape_filter": self.shape_filter.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a stored `state`."""
        shape = state["shape"]
        self.shape = None if shape is None else np.array(shape, np.float64)
        self.scale, self.angle = state["scale"], state["angle"]
        self.started = state["started"]
        self.pose_filter.restore(state["pose_filter"])
        self.shape_filter.restore(state["shape_filter"])


def without_gaps(noise: Array) -> Array:
    """Return uncertainties (N,) with the mean of the known ones in place of nan.

    If none is known, all are REFERENCE_NOISE.
    """
    known = np.isfinite(noise)
    if known.all():
        return noise
    typical = float(noise[known].mean()) if known.any() else REFERENCE_NOISE
    return np.where(known, noise, typical)


def zero_phase(path: Array, deviation: float) -> Array:
    """Smooth a path with a centered Gaussian, which causes no delay.

    Args:
        path: (T, N, 2), without gaps.
        deviation: Standard deviation of the Gaussian, frames.
    """
    radius = max(int(4 * deviation), 1)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-(offsets**2) / (2 * deviation**2))
    first, last = np.repeat(path[:1], radius, 0), np.repeat(path[-1:], radius, 0)
    padded = np.concatenate([first, path, last])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis=0)
    return np.asarray(windows @ (kernel / kernel.sum()))
