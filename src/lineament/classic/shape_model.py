"""Statistical shape model: a mean shape and principal directions of variation.

Source: Cootes, Taylor, Cooper, Graham 1995.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .shapes import (
    Arrays,
    Shapes,
    as_rows,
    centered,
    fit_rotation_and_scale,
    from_complex,
    from_rows,
    to_complex,
)

ROUNDS = 5
"""Alignment rounds; mean shape and poses hardly change after three."""


def project_to_tangent_space(
    shapes: Shapes, mean: Shapes
) -> tuple[NDArray[np.float64], Shapes]:
    """Return the differences (n, 2 N) of shapes (n, N) from `mean`, and their alignment factors.

    Shapes are aligned to the mean (N,) by rotation and scale, then projected into its tangent
    space.
    """
    factors = fit_rotation_and_scale(shapes, mean)
    aligned = centered(shapes) * factors[:, None]
    along = (aligned * mean.conj()).real.sum(1) / (np.abs(mean) ** 2).sum()
    rows = as_rows(aligned / along[:, None] - mean).astype(np.float64)
    return rows, factors / along


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Linear model x = mean + b P, in the frame of the mean shape."""

    mean: Shapes
    """(N,), centered, pixels of a crop around the mean box."""
    directions: NDArray[np.float64]
    """P (K, 2 N), orthonormal rows: all x, then all y."""
    deviations: NDArray[np.float64]
    """(K,): sqrt(lambda), the standard deviation of each coefficient b, pixels."""

    @classmethod
    def fit(cls, shapes: Shapes, variance_fraction: float) -> "ShapeModel":
        """Fit the model to shapes (M, N), aligned by generalized Procrustes analysis.

        The directions explain at least `variance_fraction` of the variance. The mean has the
        average size and roll of the shapes.
        """
        mean = centered(shapes.mean(0))
        for _ in range(ROUNDS):
            aligned = centered(shapes) * fit_rotation_and_scale(shapes, mean)[:, None]
            # rescaled, since otherwise each round shrinks the mean slightly
            size = np.linalg.norm(mean)
            mean = aligned.mean(0)
            mean = mean * (size / np.linalg.norm(mean))
        rows = project_to_tangent_space(shapes, mean)[0]
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        values, vectors = values[::-1], vectors[:, ::-1]
        count = (
            int(np.searchsorted(np.cumsum(values) / values.sum(), variance_fraction))
            + 1
        )
        return cls(mean, vectors[:, :count].T.copy(), np.sqrt(values[:count]))

    def coefficients(self, shapes: Shapes) -> tuple[NDArray[np.float64], Shapes]:
        """Return the coefficients b (n, K) of shapes (n, N), and their alignment factors (n,)."""
        rows, factors = project_to_tangent_space(shapes, self.mean)
        return rows @ self.directions.T, factors

    def plausible(self, shapes: Shapes, limit: float, noise: float = 0.0) -> Shapes:
        """Return the closest shapes (n, N) with coefficients within `limit` standard deviations.

        Args:
            noise: Standard deviation of the error of a landmark along x and y, pixels of the mean
                shape. Coefficients are shrunk by lambda / (lambda + noise^2), the
                maximum a posteriori estimate.
        """
        b, factors = self.coefficients(shapes)
        variances = self.deviations**2
        b = b * (variances / np.maximum(variances + noise**2, 1e-12))
        b = np.clip(b, -limit * self.deviations, limit * self.deviations)
        modeled = self.mean + from_rows(b @ self.directions)
        return np.asarray(modeled / factors[:, None] + shapes.mean(-1, keepdims=True))

    def arrays(self) -> Arrays:
        """Return the arrays for `read`."""
        return {
            "shape.mean": from_complex(self.mean),
            "shape.directions": self.directions.astype(np.float32),
            "shape.deviations": self.deviations,
        }

    @classmethod
    def read(cls, arrays: Arrays) -> "ShapeModel":
        """Return the model from the arrays of a file.

        Raises:
            KeyError: If one is missing.
        """
        return cls(
            to_complex(arrays["shape.mean"]),
            arrays["shape.directions"].astype(np.float64),
            arrays["shape.deviations"].astype(np.float64),
        )
