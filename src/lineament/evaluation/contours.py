"""Errors along and across the facial contours of a scheme."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import Array
from ..scheme_file.table import Scheme
from ..schemes import scheme

Contour = tuple[int, ...]


def contours_of_parts(
    landmark_scheme: Scheme, parts: Sequence[str]
) -> tuple[Contour, ...]:
    """Return the contours of the scheme whose points all belong to one of `parts`."""
    contours: list[Contour] = []
    for part in parts:
        inside = set(landmark_scheme.parts.get(part, ()))
        contours += [
            contour
            for contour in landmark_scheme.contours
            if inside.issuperset(contour)
        ]
    return tuple(contours)


def distance_to_polyline(points: Array, line: Array) -> Array:
    """Return the distance of each of `points`, (M, 2), to a polyline, (K, 2), pixels.

    Segments with a nan end point are skipped; if none is left, the distances are nan.
    """
    starts, steps = line[:-1], np.diff(line, axis=0)
    finite = np.isfinite(steps).all(1)
    starts, steps = starts[finite], steps[finite]
    if not len(starts):
        return np.full(len(points), np.nan)
    away = points[:, None] - starts  # (M, S, 2)
    squares = np.maximum((steps**2).sum(1), 1e-12)
    position = np.clip((away * steps).sum(2) / squares, 0, 1)
    gap = away - position[..., None] * steps
    return np.asarray(np.hypot(gap[..., 0], gap[..., 1]).min(1))


def contour_errors(
    pred: Array, truth: Array, contours: Sequence[Contour]
) -> tuple[Array, Array]:
    """Return the errors along and across contours, (N,), pixels; nan for points on no contour.

    The error across is the distance of a predicted point to the polyline of the true points of
    its own contour. The error along is the remainder: the squares of both sum to the squared error.

    Args:
        pred: Predicted landmarks, (N, 2), pixels.
        truth: Annotated landmarks, (N, 2), same frame; nan if not annotated.
        contours: Point indices of each contour, in order; a closed one ends with its first point.
    """
    across = np.full(len(truth), np.nan)
    for contour in contours:
        rows = np.unique(contour)
        across[rows] = distance_to_polyline(pred[rows], truth[list(contour)])
    error = np.hypot(*(pred - truth).T)
    across[np.isnan(error)] = np.nan
    along = np.sqrt(np.maximum(error**2 - across**2, 0))
    return along, across


@dataclass(frozen=True)
class ContourError:
    """Mean errors of contour points along and across the contour, as fractions of the norm."""

    along: float
    across: float
    """Point-to-contour error: mean distance to the true contour."""


class ContourAccumulator:
    """Collects the errors along and across the contours of parts of a face."""

    def __init__(self, scheme_name: str, parts: Sequence[str]) -> None:
        landmark_scheme = scheme(scheme_name)
        self.contours = contours_of_parts(landmark_scheme, parts)
        self.parts = {part: list(landmark_scheme.parts[part]) for part in parts}
        self._sums = np.zeros((2, len(landmark_scheme)))  # along, across
        self._count = np.zeros(len(landmark_scheme), dtype=np.int64)

    def add(self, pred: Array, truth: Array, norm: float) -> None:
        """Add the landmarks of a face, (N, 2), pixels; points with nan truth are skipped."""
        if self.contours:
            split = np.stack(contour_errors(pred, truth, self.contours)) / norm
            self._sums += np.nan_to_num(split)
            self._count += np.isfinite(split).all(0)

    def per_part(self) -> dict[str, ContourError]:
        """Return the mean errors per part."""
        found = {}
        for part, points in self.parts.items():
            error = self._mean(points)
            if error:
                found[part] = error
        return found

    def total(self) -> ContourError | None:
        """Return the mean errors over the points of all parts; None if there are none."""
        points: list[int] = []
        for part in self.parts.values():
            points += part
        return self._mean(points)

    def _mean(self, points: list[int]) -> ContourError | None:
        counted = [point for point in points if self._count[point]]
        if not counted:
            return None
        along, across = (self._sums[:, counted] / self._count[counted]).mean(1)
        return ContourError(along=along, across=across)
