"""Augmented crops, drawn from cached ones by seed, epoch and position alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..recipe import Augmentation
from ..schemes import scheme
from .augment import augment
from .crop_cache import CropCache


@dataclass(frozen=True)
class Source:
    """One data set in a training mixture."""

    cache: CropCache
    repeat: int = 1
    """How often each face comes in an epoch."""
    use_until: float = 1.0
    """Fraction of the training after which the source is left out."""


class TrainingCrops:
    """Augmented crops by epoch and position, equal for equal seeds."""

    def __init__(
        self,
        sources: Sequence[Source],
        scheme_name: str,
        size: int,
        padding: float,
        settings: Augmentation,
        seed: int,
    ) -> None:
        self.sources = tuple(sources)
        mirror = scheme(scheme_name).mirror
        # a teacher's points may follow the annotated ones, in the same order
        sets = self.sources[0].cache.landmarks.shape[1] // len(mirror)
        self.mirror = np.concatenate([mirror + k * len(mirror) for k in range(sets)])
        self.size, self.padding, self.settings, self.seed = size, padding, settings, seed

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return the (source, face) pairs (M, 2) of one epoch, shuffled.

        Args:
            epoch: Number of the epoch, from 0.
            progress: Fraction of the training done before it.
        """
        pairs = []
        for number, source in enumerate(self.sources):
            if progress < source.use_until:
                faces = np.tile(np.arange(len(source.cache)), source.repeat)
                pairs.append(np.stack([np.full(len(faces), number), faces], axis=1))
        joined = np.concatenate(pairs)
        return joined[np.random.default_rng([self.seed, epoch]).permutation(len(joined))]

    def make(
        self, epoch: int, position: int, source: int, face: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return a crop (S, S, 3) and its landmarks (N, 2), pixels of the crop."""
        rng = np.random.default_rng([self.seed, epoch, position])
        cache = self.sources[source].cache
        crop, landmarks_crop = augment(
            rng,
            np.ascontiguousarray(cache.crops[face]),
            cache.landmarks[face],
            cache.boxes[face],
            self.mirror,
            self.size,
            self.padding,
            self.settings,
        )
        return crop, landmarks_crop.astype(np.float32)
