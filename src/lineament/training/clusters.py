"""Clusters of features: k-means, and a Gaussian mixture initialized by it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array

ROUNDS = 50
MIN_VARIANCE = 1e-3
"""Lower bound of the variance of a feature in a cluster, relative to that over all rows."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """K Gaussians with one variance per feature; a row belongs to the most likely one."""

    centers: Array
    """(K, L)."""
    precisions: Array
    """(K, L): 1 / variance; 1 for k-means."""
    offsets: Array
    """(K,): subtracted from half the squared distance, log prior and log density at the center."""

    def distances(self, rows: Array) -> Array:
        """Return half the scaled squared distance minus the offset, (M, K)."""
        squared = (rows**2) @ self.precisions.T
        squared -= 2 * rows @ (self.centers * self.precisions).T
        squared += (self.centers**2 * self.precisions).sum(1)
        return squared / 2 - self.offsets

    def assign(self, rows: Array) -> NDArray[np.intp]:
        """Return the cluster (M,) of each row (M, L)."""
        return np.asarray(self.distances(rows).argmin(1))


def k_means(rows: Array, count: int, rng: np.random.Generator) -> Clusters:
    """Cluster rows (M, L) by k-means, initialized by k-means++.

    Source: Arthur, Vassilvitskii 2007.
    """
    centers = [rows[rng.integers(len(rows))]]
    nearest = ((rows - centers[0]) ** 2).sum(1)
    while len(centers) < count:
        total = nearest.sum()
        # fewer distinct rows than clusters: draw uniformly
        probabilities = nearest / total if total > 0 else None
        centers.append(rows[rng.choice(len(rows), p=probabilities)])
        nearest = np.minimum(nearest, ((rows - centers[-1]) ** 2).sum(1))
    clusters = _unit_clusters(np.stack(centers))
    for _ in range(ROUNDS):
        labels = clusters.assign(rows)
        new_centers = clusters.centers.copy()
        for cluster in np.unique(labels):
            new_centers[cluster] = rows[labels == cluster].mean(0)
        if np.allclose(new_centers, clusters.centers):
            break
        clusters = _unit_clusters(new_centers)
    return clusters


def _unit_clusters(centers: Array) -> Clusters:
    return Clusters(centers, np.ones_like(centers), np.zeros(len(centers)))


def gaussian_mixture(rows: Array, start: Clusters) -> Clusters:
    """Fit a mixture of Gaussians to rows (M, L) by expectation maximization from `start`."""
    min_variance = MIN_VARIANCE * rows.var(0) + 1e-12
    responsibilities = np.eye(len(start.centers))[start.assign(rows)]
    mixture = start
    for _ in range(ROUNDS):
        counts = responsibilities.sum(0) + 1e-9
        centers = responsibilities.T @ rows / counts[:, None]
        squares = responsibilities.T @ rows**2 / counts[:, None]
        variances = np.maximum(squares - centers**2, 0) + min_variance
        offsets = np.log(counts / len(rows)) - np.log(variances).sum(1) / 2
        mixture = Clusters(centers, 1 / variances, offsets)
        log_likelihood = -mixture.distances(rows)
        log_likelihood -= log_likelihood.max(1, keepdims=True)
        previous, responsibilities = responsibilities, np.exp(log_likelihood)
        responsibilities /= responsibilities.sum(1, keepdims=True)
        if np.abs(responsibilities - previous).max() < 1e-3:
            break
    return mixture
