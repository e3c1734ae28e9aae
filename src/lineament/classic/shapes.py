"""Shapes as complex numbers: a landmark is x + iy.

A similarity transform is then a complex factor and a complex shift.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
"""Arrays of a model or of one of its stages, by name."""
Shapes = NDArray[np.complex128]
"""(..., N) landmarks x + iy, pixels of a crop."""


def to_complex(landmarks: NDArray[np.float64]) -> Shapes:
    """Return landmarks (..., N, 2) as complex numbers (..., N)."""
    points = np.asarray(landmarks, dtype=np.float64)
    return np.asarray(points[..., 0] + 1j * points[..., 1])


def from_complex(shapes: Shapes) -> NDArray[np.float64]:
    """Return complex landmarks (..., N) as (..., N, 2)."""
    return np.stack([shapes.real, shapes.imag], axis=-1)


def centered(shapes: Shapes) -> Shapes:
    """Return shapes (..., N) shifted to a mean of 0."""
    return np.asarray(shapes - shapes.mean(-1, keepdims=True))


def fit_rotation_and_scale(shapes: Shapes, target: Shapes) -> Shapes:
    """Return the factor (...,) that rotates and scales `shapes` (..., N) to `target` (N,).

    It is the least-squares factor of the centered shapes: |factor| is the scale, its argument the
    rotation.
    """
    source = centered(shapes)
    power = (np.abs(source) ** 2).sum(-1)
    return np.asarray((source.conj() * centered(target)).sum(-1) / power)


def as_rows(updates: Shapes) -> NDArray[np.float32]:
    """Convert complex updates (n, N) to real rows (n, 2 N): all x, then all y."""
    return np.concatenate([updates.real, updates.imag], axis=1).astype(np.float32)


def from_rows(rows: NDArray[np.floating]) -> Shapes:
    """Convert real rows (n, 2 N) to complex updates (n, N); the inverse of `as_rows`."""
    half = rows.shape[1] // 2
    return np.asarray(rows[:, :half] + 1j * rows[:, half:])
