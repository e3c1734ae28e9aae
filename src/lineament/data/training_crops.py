"""Augmented crops, drawn from cached ones by seed, epoch and position alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..recipe.data import Augmentation
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
        self.mirror = scheme(scheme_name).mirror
        self.size, self.padding = size, padding
        self.settings, self.seed = settings, seed
        caches = [source.cache for source in self.sources]
        self.states_visible = any(cache.visible is not None for cache in caches)
        names: set[str] = set()
        for source in self.sources:
            names.update(source.cache.attributes)
        self.attributes = sorted(names)

    def key(self) -> object:
        """Return a value that is equal for those that make the same crops."""
        sources = tuple(map(id, self.sources))
        options = (self.size, self.padding, self.settings, self.seed)
        return (sources, tuple(self.mirror), *options)

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
        rng = np.random.default_rng([self.seed, epoch])
        return joined[rng.permutation(len(joined))]

    def make(self, epoch: int, position: int, source: int, face: int) -> dict[str, Any]:
        """Return an augmented crop (S, S, 3) and what comes with it, by the names of a Batch.

        `landmarks` and, if a teacher predicted them, `teacher_landmarks` (N, 2) are in pixels of
        the crop; `visible` (N,) and `attributes` are there if a source states them. Points of the
        other sources count as visible if annotated, their attributes are nan.
        """
        rng = np.random.default_rng([self.seed, epoch, position])
        cache = self.sources[source].cache
        points = cache.landmarks[None, face]
        if cache.teacher_landmarks is not None:
            points = np.stack([cache.landmarks[face], cache.teacher_landmarks[face]])
        image = np.ascontiguousarray(cache.crops[face])
        crop, points_crop, mirrored = augment(
            rng,
            image,
            points,
            cache.boxes[face],
            self.mirror,
            self.size,
            self.padding,
            self.settings,
        )
        points_crop = points_crop.astype(np.float32)
        made: dict[str, Any] = {"crops": crop, "landmarks": points_crop[0]}
        if cache.teacher_landmarks is not None:
            made["teacher_landmarks"] = points_crop[1]
        if self.states_visible:
            annotated = np.isfinite(cache.landmarks[face]).all(1)
            visible = annotated if cache.visible is None else cache.visible[face]
            made["visible"] = visible[self.mirror] if mirrored else visible
        attributes = {}
        for name in self.attributes:
            values = cache.attributes.get(name)
            attributes[name] = np.array(
                np.nan if values is None else values[face], np.float32
            )
        return made | {"attributes": attributes}
