"""Augmentation within clusters: crops that show a face in the position of a cluster partner."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, fit_similarity
from .crop_cache import CropCache, plain_landmarks
from .degrade import Rng


class Partners:
    """Faces grouped by cluster; a face may be moved to the position of another in its cluster.

    Source: Wu, Hassner, Kim, Medioni, Natarajan 2018, alignment-sensitive augmentation: a freely
    rotated or shifted face might belong to another cluster. How faces are paired, and the fraction
    of crops that are moved, are choices made here.
    """

    def __init__(
        self,
        caches: Sequence[CropCache],
        clusters: Sequence[NDArray[np.intp]],
        size: int,
        padding: float,
        prob: float,
    ) -> None:
        """Group the faces by cluster.

        Args:
            caches: Faces by source.
            clusters: Cluster index of each face, (M,), by source.
            size: Side of the crop, pixels.
            padding: Side of the crop as a multiple of the longer box side.
            prob: Probability that a face takes the position of another one.
        """
        self.clusters, self.prob = list(clusters), prob
        self.placed = [plain_landmarks(cache, size, padding) for cache in caches]
        all_clusters = np.concatenate(self.clusters)
        sources = np.repeat(np.arange(len(caches)), [len(each) for each in clusters])
        faces = np.concatenate([np.arange(len(each)) for each in clusters])
        pairs = np.stack([sources, faces], axis=1)
        self.members = {
            int(k): pairs[all_clusters == k] for k in np.unique(all_clusters)
        }

    def draw(self, rng: Rng, source: int, face: int, landmarks: Array) -> Array | None:
        """Return a transform (2, 3) from the cached crop to a crop positioned like a partner's.

        Args:
            landmarks: Landmarks (N, 2) of the face, pixels of the cached crop.

        Returns:
            The similarity transform; None if the face is not moved, or if too few points are
            known in both.
        """
        members = self.members[int(self.clusters[source][face])]
        other_source, other = members[rng.integers(len(members))]
        target = self.placed[other_source][other]
        known = np.isfinite(landmarks).all(1) & np.isfinite(target).all(1)
        if rng.random() >= self.prob or known.sum() < 2:
            return None
        return fit_similarity(landmarks[known], target[known])
