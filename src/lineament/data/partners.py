"""Crops that show a face as another face of its cluster lies: augmentation within clusters."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, fit_similarity
from .crop_cache import CropCache, plain_landmarks
from .degrade import Rng


class Partners:
    """Faces by cluster, each of which may lend its place in the plain crop to another one.

    Source: Wu, Hassner, Kim, Medioni, Natarajan 2018, the alignment-sensitive augmentation: a face
    that is turned or shifted freely may belong to another cluster. Which faces are paired, and the
    share of crops that are moved so, are chosen here.
    """

    def __init__(
        self,
        caches: Sequence[CropCache],
        clusters: Sequence[NDArray[np.intp]],
        size: int,
        padding: float,
        prob: float,
    ) -> None:
        """Sort the faces by cluster.

        Args:
            caches: Faces by source.
            clusters: (M,) by source: cluster of each face.
            size: Side of the crop, pixels.
            padding: Side of the crop in longer box sides.
            prob: Probability that a face takes the place of another one.
        """
        self.clusters, self.prob = list(clusters), prob
        self.placed = [plain_landmarks(cache, size, padding) for cache in caches]
        joined = np.concatenate(self.clusters)
        sources = np.repeat(np.arange(len(caches)), [len(each) for each in clusters])
        faces = np.concatenate([np.arange(len(each)) for each in clusters])
        pairs = np.stack([sources, faces], axis=1)
        self.members = {int(k): pairs[joined == k] for k in np.unique(joined)}

    def draw(self, rng: Rng, source: int, face: int, landmarks: Array) -> Array | None:
        """Return an affine (2, 3) from the cached crop to one that shows the face as another lies.

        Args:
            landmarks: (N, 2) of the face, pixels of the cached crop.

        Returns:
            The similarity; None if the face is not to be moved, or shares too few points.
        """
        members = self.members[int(self.clusters[source][face])]
        other_source, other = members[rng.integers(len(members))]
        target = self.placed[other_source][other]
        known = np.isfinite(landmarks).all(1) & np.isfinite(target).all(1)
        if rng.random() >= self.prob or known.sum() < 2:
            return None
        return fit_similarity(landmarks[known], target[known])
