"""Errors along and across the contours of a face: the chains of points of its scheme."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry import Array
from ..scheme_file.table import Scheme
from ..schemes import scheme

Chain = tuple[int, ...]


def contour_chains(of: Scheme, parts: Sequence[str]) -> tuple[Chain, ...]:
    """Return the chains of the scheme `of` whose points all belong to one of `parts`."""
    chains: list[Chain] = []
    for part in parts:
        inside = set(of.parts.get(part, ()))
        chains += [chain for chain in of.chains if inside.issuperset(chain)]
    return tuple(chains)


def distance_to_polyline(points: Array, line: Array) -> Array:
    """Return the distance of each of `points`, (M, 2), to a polyline, (K, 2), pixels.

    Segments with an end that is nan are left out; without any, the distances are nan.
    """
    starts, steps = line[:-1], np.diff(line, axis=0)
    finite = np.isfinite(steps).all(1)
    starts, steps = starts[finite], steps[finite]
    if not len(starts):
        return np.full(len(points), np.nan)
    away = points[:, None] - starts  # (M, S, 2)
    squares = np.maximum((steps**2).sum(1), 1e-12)
    share = np.clip((away * steps).sum(2) / squares, 0, 1)
    gap = away - share[..., None] * steps
    return np.asarray(np.hypot(gap[..., 0], gap[..., 1]).min(1))


def contour_errors(
    pred: Array, truth: Array, chains: Sequence[Chain]
) -> tuple[Array, Array]:
    """Return the errors along and across contours, (N,) pixels each; nan off the chains.

    Across is the distance of a predicted point to the polyline of the true points of its
    own chain. Along is the rest: the squares of both add up to that of the point's error.

    Args:
        pred: Predicted landmarks, (N, 2), pixels.
        truth: Annotated landmarks, (N, 2), same frame; nan if not annotated.
        chains: Point indices of each contour, in order; a closed one ends where it starts.
    """
    across = np.full(len(truth), np.nan)
    for chain in chains:
        rows = np.unique(chain)
        across[rows] = distance_to_polyline(pred[rows], truth[list(chain)])
    error = np.hypot(*(pred - truth).T)
    across[np.isnan(error)] = np.nan
    along = np.sqrt(np.maximum(error**2 - across**2, 0))
    return along, across


@dataclass(frozen=True)
class ContourError:
    """Mean error of the points of contours, split, fractions of the norm."""

    along: float
    across: float
    """Point-to-contour error: mean distance to the true contour."""


class ContourAccumulator:
    """Gathers the errors along and across the contours of parts of a face."""

    def __init__(self, scheme_name: str, parts: Sequence[str]) -> None:
        of = scheme(scheme_name)
        self.chains = contour_chains(of, parts)
        self.parts = {part: list(of.parts[part]) for part in parts}
        self._sums = np.zeros((2, len(of)))  # along, across
        self._count = np.zeros(len(of), dtype=np.int64)

    def add(self, pred: Array, truth: Array, norm: float) -> None:
        """Count a face by its landmarks, (N, 2), pixels; truth that is nan is left out."""
        if self.chains:
            split = np.stack(contour_errors(pred, truth, self.chains)) / norm
            self._sums += np.nan_to_num(split)
            self._count += np.isfinite(split).all(0)

    def per_part(self) -> dict[str, ContourError]:
        """Return the mean errors by part."""
        found = {}
        for part, points in self.parts.items():
            error = self._mean(points)
            if error:
                found[part] = error
        return found

    def total(self) -> ContourError | None:
        """Return the mean errors over the points of all parts, None if there are none."""
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
