"""Boosted ferns and trees, fitted to residuals one after the other.

Source: Cao et al. 2012, section 2.3 (ferns by correlation); Kazemi, Sullivan 2014, section 2.3
(trees by residual power after a split; nearby pixels are paired more often).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...classic.forest import Forest
from ...recipe.classic import CascadeSettings

Values = NDArray[np.int16]
Targets = NDArray[np.float32]
PRIOR_DECAY = 0.1
"""A pair of pixels is kept with probability exp(-distance / (PRIOR_DECAY * box side))."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """Values and positions of the pixels of a stage."""

    values: Values
    """(P, n): values of each pixel in all samples."""
    positions: NDArray[np.complex128]
    """(P,): positions on the mean shape, in units of its box side."""


def fit_ferns(
    pixels: Pixels,
    residuals: Targets,
    settings: CascadeSettings,
    rng: np.random.Generator,
) -> Forest:
    """Fit ferns one by one; `residuals` (n, D) are reduced in place.

    A fern uses the pixel pairs whose differences correlate most with random projections of the
    residuals.
    """
    centered = pixels.values.astype(np.float32)
    centered -= centered.mean(1, keepdims=True)
    count = centered.shape[1]
    covariance = centered @ centered.T / count
    variance = np.diag(covariance)
    spread = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 1e-3))
    pairs, thresholds, outputs = [], [], []
    for _ in range(settings.trees):
        directions = rng.normal(size=(residuals.shape[1], settings.depth))
        projections = residuals @ directions.astype(np.float32)
        with_pixels = (
            centered @ (projections - projections.mean(0)) / count
        )  # (P, depth)
        own_pairs, own_thresholds = [], []
        leaf = np.zeros(count, np.intp)
        for column in with_pixels.T:
            correlation = (column[:, None] - column[None, :]) / spread
            first, second = np.unravel_index(correlation.argmax(), correlation.shape)
            difference = pixels.values[first] - pixels.values[second]
            threshold = _draw_threshold(rng, difference)
            leaf = 2 * leaf + (difference > threshold)
            own_pairs.append((first, second))
            own_thresholds.append(threshold)
        pairs.append(own_pairs)
        thresholds.append(own_thresholds)
        output = leaf_outputs(leaf, residuals, 2**settings.depth, settings.fern_prior)
        residuals -= output[leaf]
        outputs.append(output)
    return _forest(pairs, thresholds, outputs)


def fit_trees(
    pixels: Pixels,
    residuals: Targets,
    settings: CascadeSettings,
    rng: np.random.Generator,
) -> Forest:
    """Fit trees one by one; `residuals` (n, D) are reduced in place.

    Each node takes the best of the `candidates` splits drawn for its level.
    """
    count = len(residuals)
    pairs, thresholds, outputs = [], [], []
    for _ in range(settings.trees):
        own_pairs: list[tuple[int, int]] = []
        own_thresholds: list[int] = []
        leaf = np.zeros(count, np.intp)
        for level in range(settings.depth):
            candidates = draw_pairs(rng, pixels.positions, settings.candidates)
            differences = (
                pixels.values[candidates[:, 0]] - pixels.values[candidates[:, 1]]
            )
            cuts = np.array(
                [_draw_threshold(rng, row) for row in differences], np.int16
            )
            is_second = differences > cuts[:, None]  # (C, n)
            best = best_splits(is_second, residuals, leaf, 2**level)
            own_pairs += [tuple(candidates[number]) for number in best]
            own_thresholds += [int(cuts[number]) for number in best]
            leaf = 2 * leaf + is_second[best[leaf], np.arange(count)]
        pairs.append(own_pairs)
        thresholds.append(own_thresholds)
        output = leaf_outputs(leaf, residuals, 2**settings.depth, 0.0)
        output *= settings.learning_rate
        residuals -= output[leaf]
        outputs.append(output)
    return _forest(pairs, thresholds, outputs)


LEARNERS = {"ferns": fit_ferns, "trees": fit_trees}


def best_splits(
    is_second: NDArray[np.bool_], residuals: Targets, node: NDArray[np.intp], nodes: int
) -> NDArray[np.intp]:
    """Return the candidate (nodes,) with the lowest residual power in each node.

    Args:
        is_second: (C, n): True if a candidate sends a sample to the second child.
        residuals: (n, D).
        node: (n,), below `nodes`.
    """
    order = np.argsort(node, kind="stable")
    ends = np.cumsum(np.bincount(node, minlength=nodes))
    sides = is_second[:, order].astype(np.float32)
    ordered = residuals[order]
    best, start = np.zeros(nodes, np.intp), 0
    for number, end in enumerate(ends):
        node_sides, node_residuals = sides[:, start:end], ordered[start:end]
        second = node_sides @ node_residuals  # (C, D)
        first = node_residuals.sum(0) - second
        counts = node_sides.sum(1)
        power = (second**2).sum(1) / np.maximum(counts, 1)
        power += (first**2).sum(1) / np.maximum(end - start - counts, 1)
        best[number] = power.argmax()
        start = end
    return best


def leaf_outputs(
    leaf: NDArray[np.intp], residuals: Targets, leaves: int, prior: float
) -> Targets:
    """Return the mean residual (leaves, D) of each leaf, 0 for an empty one.

    Args:
        prior: Number of zero-residual samples added to each leaf, for shrinkage.
    """
    order = np.argsort(leaf.astype(np.uint8), kind="stable")
    counts = np.bincount(leaf, minlength=leaves)
    filled = np.flatnonzero(counts)
    starts = (np.cumsum(counts) - counts)[filled]
    means = np.zeros((leaves, residuals.shape[1]), np.float32)
    sums = np.add.reduceat(residuals[order], starts, axis=0)
    means[filled] = sums / (counts[filled, None] + prior)
    # rounded to the precision of the file
    return means.astype(np.float16).astype(np.float32)


def draw_pairs(
    rng: np.random.Generator, positions: NDArray[np.complex128], count: int
) -> NDArray[np.intp]:
    """Return `count` pairs of pixels (count, 2); nearby pixels are paired more often."""
    pairs: list[NDArray[np.intp]] = []
    missing = count
    while missing > 0:
        candidates = rng.integers(0, len(positions), (8 * count, 2))
        distance = np.abs(positions[candidates[:, 0]] - positions[candidates[:, 1]])
        accepted = rng.random(len(candidates)) < np.exp(-distance / PRIOR_DECAY)
        accepted &= candidates[:, 0] != candidates[:, 1]
        pairs.append(candidates[accepted][:missing])
        missing -= len(pairs[-1])
    return np.concatenate(pairs)


def _draw_threshold(rng: np.random.Generator, differences: Values) -> int:
    """Return a threshold between the 20 % and 80 % quantiles of some samples."""
    sample = differences[rng.integers(0, len(differences), 256)]
    return int(np.quantile(sample, rng.uniform(0.2, 0.8)))


def _forest(pairs: object, thresholds: object, outputs: list[Targets]) -> Forest:
    return Forest(
        np.array(pairs, np.uint16),
        np.array(thresholds, np.int16),
        np.stack(outputs).astype(np.float16),
    )
