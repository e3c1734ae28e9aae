"""Random face motion: smooth paths, pauses, talking, blinks, and ibug68 expressions."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, fit_roll_deg
from ..opencv import cv2
from ..schemes import scheme

FIELD_RADIUS = 0.35
"""Radius of an expression's displacement field around a landmark, in interocular distances."""
JAW = {
    0.30: (56, 57, 58, 65, 66, 67),
    0.26: (6, 7, 8, 9, 10),
    0.22: (55, 59),
    0.12: (4, 5, 11, 12),
}
"""Downward displacement of landmarks by an open mouth, in interocular distances."""
LIDS = {37: 41, 38: 40, 43: 47, 44: 46}
"""Lower lid landmark that each upper lid landmark meets when the eye closes."""
BROWS = tuple(range(17, 27))
MOUTH_CORNERS = {48: -1, 54: 1}
"""Mouth corners and the direction in which a smile moves each."""

Strength = Callable[[float], float]
"""Strength of an expression as a function of time in seconds."""


class Wave:
    """A smooth random function of time, about -1 to 1: the sum of three slow sines."""

    def __init__(self, rng: np.random.Generator, fastest: float = 1.0) -> None:
        """Draw a wave with frequencies up to `fastest`, in Hz."""
        self.rates = rng.uniform(0.08, fastest, 3) * 2 * math.pi
        self.phases = rng.uniform(0, 2 * math.pi, 3)
        self.sizes = rng.dirichlet(np.ones(3))

    def __call__(self, time: float) -> float:
        return float((self.sizes * np.sin(self.rates * time + self.phases)).sum())


class MovingTime:
    """Time spent moving, in seconds; a path parametrized by it pauses now and then."""

    def __init__(self, rng: np.random.Generator, seconds: float, still: float) -> None:
        """Draw random pauses that fill the fraction `still` of `seconds`."""
        step = 0.01
        count = int(seconds / step) + 200
        # phases of 0.7 to 2 seconds
        gate, at, moves = np.zeros(count), 0, bool(rng.integers(2))
        while at < count:
            share = (1 - still) if moves else still
            length = max(int(rng.uniform(0.7, 2.0) * 2 * share / step), 1)
            gate[at : at + length] = moves
            at, moves = at + length, not moves
        kernel = np.hanning(41)
        self.moved = np.cumsum(np.convolve(gate, kernel / kernel.sum(), "same")) * step
        self.step = step

    def __call__(self, time: float) -> float:
        return float(
            np.interp(time / self.step, np.arange(len(self.moved)), self.moved)
        )


class Talking:
    """Mouth opening of a person who talks in phrases, 0 to about 1."""

    def __init__(self, rng: np.random.Generator, fastest: float) -> None:
        self.wave, self.phrase = Wave(rng, fastest), Wave(rng, 0.3)

    def __call__(self, time: float) -> float:
        loudness = min(max(self.phrase(time) * 4, 0.0), 1.0)
        return loudness * (self.wave(time) + 0.7) / 1.7


class Blinks:
    """Eye closure, 0 to 1: short smooth pulses."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.times = np.cumsum(rng.uniform(0.8, 5.0, 400))

    def __call__(self, time: float) -> float:
        away = float(np.abs(self.times - time).min())
        return 0.5 + 0.5 * math.cos(math.pi * away / 0.12) if away < 0.12 else 0.0


class Expression:
    """A smooth displacement field on a still image, with a strength over time."""

    def __init__(
        self,
        landmarks: Array,
        shifts: Array,
        radius: float,
        size: int,
        strength: Strength,
    ) -> None:
        """Fit a field to the displacements of landmarks.

        Args:
            landmarks: (N, 2), pixels of the still image.
            shifts: Their displacements at strength 1, (N, 2).
            radius: Radius of the field around a landmark, pixels.
            size: Side of the still image, pixels.
            strength: Factor applied to the field, as a function of time.
        """
        self.strength = strength
        self.radius = radius
        # fixed points near the border confine the field to the face
        corners = [(x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1)]
        corners.remove((0.5, 0.5))
        ring = size * np.array(corners)
        self.centers = np.concatenate([landmarks, ring])
        weights = self._weights_at(self.centers)
        displacements = np.concatenate([shifts, np.zeros_like(ring)])
        self.factors = np.linalg.solve(
            weights + 0.05 * np.eye(len(weights)), displacements
        )
        steps = np.arange(0, size, 4.0)
        coarse = np.stack(np.meshgrid(steps, steps), -1)
        field = self.field_at(coarse.reshape(-1, 2)).reshape(coarse.shape)
        field = field.astype(np.float32)
        rows, columns = np.mgrid[:size, :size].astype(np.float32) / 4
        self.field: NDArray[np.float32] = np.asarray(
            cv2.remap(
                field, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            ),
            dtype=np.float32,
        )
        """Displacement of each pixel at strength 1, (size, size, 2)."""

    def _weights_at(self, points: Array) -> Array:
        away = ((points[:, None] - self.centers) ** 2).sum(-1)
        return np.asarray(np.exp(-away / self.radius**2))

    def field_at(self, points: Array) -> Array:
        """Return the displacements (M, 2) at `points` (M, 2), at strength 1."""
        return self._weights_at(points) @ self.factors


def ibug68_expressions(
    landmarks: Array, size: int, rng: np.random.Generator
) -> list[Expression]:
    """Return random motions of the jaw, lids, brows and mouth corners of a still image.

    Args:
        landmarks: (68, 2), pixels of the still image.
        size: Side of the still image, pixels.
        rng: Source of all random draws.
    """
    eyes = float(np.linalg.norm(landmarks[45] - landmarks[36]))
    roll = math.radians(fit_roll_deg(scheme("ibug68").mean_shape, landmarks))
    right = np.array([math.cos(roll), math.sin(roll)])
    down = np.array([-math.sin(roll), math.cos(roll)])
    jaw, lids, brows, smile = np.zeros((4, 68, 2))
    for far, indices in JAW.items():
        jaw[list(indices)] = down * eyes * far
    for upper, lower in LIDS.items():
        lids[upper] = 0.85 * (landmarks[lower] - landmarks[upper])
    brows[list(BROWS)] = -down * eyes * 0.1
    for corner, direction in MOUTH_CORNERS.items():
        smile[corner] = direction * right * eyes * 0.10 - down * eyes * 0.06
    radius = FIELD_RADIUS * eyes
    return [
        Expression(landmarks, jaw, radius, size, Talking(rng, 3.0)),
        Expression(landmarks, lids, radius / 3, size, Blinks(rng)),
        Expression(landmarks, brows, radius, size, Talking(rng, 0.8)),
        Expression(landmarks, smile, radius, size, Talking(rng, 0.8)),
    ]
