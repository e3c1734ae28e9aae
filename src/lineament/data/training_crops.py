"""Augmented training crops, fully determined by seed, epoch and position in the epoch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..face import MIRRORED_ATTRIBUTES
from ..geometry import Array
from ..recipe.data import Augmentation
from ..schemes import scheme
from .augment import AugmentedCrop, augment
from .crop_cache import CropCache, annotated_as_visible
from .negatives import Negatives, crop_presence, draw_region_box
from .partners import Partners


@dataclass(frozen=True)
class Source:
    """One data set in a training mixture."""

    cache: CropCache
    repeat: int = 1
    """Number of times each face is used per epoch."""
    use_until: float = 1.0
    """Fraction of the training after which the source is no longer used."""
    per_epoch: int = 0
    """Number of faces drawn at random per epoch; 0: every face."""

    def faces(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the row of each face used in an epoch, unshuffled."""
        if self.per_epoch:
            return rng.integers(0, len(self.cache), self.per_epoch)
        return np.tile(np.arange(len(self.cache)), self.repeat)


class TrainingCrops:
    """Augmented crops by epoch and position; equal seeds give equal crops."""

    def __init__(
        self,
        sources: Sequence[Source],
        scheme_name: str,
        size: int,
        padding: float,
        settings: Augmentation,
        seed: int,
        negatives: Negatives | None = None,
    ) -> None:
        """Set up the crops.

        Args:
            negatives: Crops without a face; None: presence is not trained.
        """
        self.sources, self.negatives = tuple(sources), negatives
        self.mirror = scheme(scheme_name).mirror
        self.size, self.padding = size, padding
        self.settings, self.seed = settings, seed
        caches = [source.cache for source in self.sources]
        has_visible = any(cache.visible is not None for cache in caches)
        self.states_visible = has_visible or negatives is not None
        self.has_teacher = any(cache.teacher_landmarks is not None for cache in caches)
        names: set[str] = set()
        for source in self.sources:
            names.update(source.cache.attributes)
        self.attributes = sorted(names)
        self.partners: Partners | None = None
        """Faces grouped by cluster, whose positions other faces may take; None: no clusters."""

    def key(self) -> object:
        """Return a value that is equal for objects that make the same crops."""
        sources = tuple(map(id, self.sources))
        options = (self.size, self.padding, self.settings, self.seed)
        others = (id(self.negatives), id(self.partners))
        return (sources, *others, tuple(self.mirror), *options)

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """Return the shuffled (source, face) pairs (M, 2) of one epoch.

        Negative sources are crops without a face, see `Negatives.rows`.

        Args:
            epoch: Number of the epoch, from 0.
            progress: Fraction of the training done before this epoch.
        """
        # a separate generator, so that the permutation does not depend on the number of draws
        draw_rng = np.random.default_rng([self.seed, epoch, 0, 0])
        pairs = []
        for number, source in enumerate(self.sources):
            if progress < source.use_until:
                faces = source.faces(draw_rng)
                pairs.append(np.stack([np.full(len(faces), number), faces], axis=1))
        all_pairs = np.concatenate(pairs)
        if self.negatives is not None:
            all_pairs = np.concatenate(
                [all_pairs, self.negatives.rows(draw_rng, all_pairs)]
            )
        rng = np.random.default_rng([self.seed, epoch])
        return all_pairs[rng.permutation(len(all_pairs))]

    def make(self, epoch: int, position: int, source: int, face: int) -> dict[str, Any]:
        """Return an augmented crop (S, S, 3) and its targets, as the fields of a Batch.

        `landmarks` and, if a teacher predicted them, `teacher_landmarks` (N, 2) are in pixels of
        the crop. `visible` (N,) and `attributes` are included if a source has them; `visible` and
        `presence` are included if presence is trained. For sources without these annotations,
        annotated points count as visible and attributes are nan.
        """
        rng = np.random.default_rng([self.seed, epoch, position])
        if source < 0:
            return self._make_negative(rng, source, face)
        cache = self.sources[source].cache
        points = cache.landmarks[None, face]
        if cache.teacher_landmarks is not None:
            points = np.stack([cache.landmarks[face], cache.teacher_landmarks[face]])
        place = None
        if self.partners is not None:
            place = self.partners.draw(rng, source, face, points[0])
        augmented = self._augment(rng, cache, face, points, cache.boxes[face], place)
        points_crop = augmented.landmarks.astype(np.float32)
        made: dict[str, Any] = {"crops": augmented.crop, "landmarks": points_crop[0]}
        if cache.teacher_landmarks is not None:
            made["teacher_landmarks"] = points_crop[1]
        if self.states_visible:
            made["visible"] = self._visible(cache, face, augmented)
        if self.negatives is not None:
            made["presence"] = self._presence(augmented, cache.boxes[face])
        attributes = self._attributes(cache, face, augmented.mirrored)
        return made | {"attributes": attributes}

    def _augment(
        self,
        rng: np.random.Generator,
        cache: CropCache,
        row: int,
        points: Array,
        box: Array,
        place: Array | None = None,
    ) -> AugmentedCrop:
        image = np.ascontiguousarray(cache.crops[row])
        options = (self.mirror, self.size, self.padding, self.settings, place)
        return augment(rng, image, points, box, *options)

    def _make_negative(
        self, rng: np.random.Generator, source: int, row: int
    ) -> dict[str, Any]:
        """Return a crop without a face; its landmarks are nan, those of a teacher 0."""
        assert self.negatives is not None
        if source == -1:
            cache, row, box = self.negatives.draw(rng, row)
            face = None
        else:
            cache = self.sources[-2 - source].cache
            face = cache.boxes[row]
            box = draw_region_box(rng, face, self.padding)
        nothing = np.full((len(self.mirror), 2), np.nan)
        augmented = self._augment(rng, cache, row, nothing, box)
        absent = np.array(0, np.float32)
        made: dict[str, Any] = {
            "crops": augmented.crop,
            "landmarks": nothing.astype(np.float32),
            "visible": np.full(len(nothing), np.nan, np.float32),
            "presence": absent if face is None else self._presence(augmented, face),
        }
        if self.has_teacher:
            made["teacher_landmarks"] = np.zeros((len(nothing), 2), np.float32)
        return made | {"attributes": self._attributes(None, row)}

    def _presence(self, augmented: AugmentedCrop, box: Array) -> NDArray[np.float32]:
        """Return the presence, a scalar array, of the face with `box` in its augmented crop."""
        presence = crop_presence(augmented.affine, box, self.size, self.padding)
        return np.array(presence, np.float32)

    def _visible(
        self, cache: CropCache, face: int, augmented: AugmentedCrop
    ) -> NDArray[np.float32]:
        """Return the visibility (N,) of the points in a crop, 0 for covered points."""
        if cache.visible is None:
            visible = annotated_as_visible(cache.landmarks[face])
        else:
            visible = cache.visible[face]
        if augmented.mirrored:
            visible = visible[self.mirror]
        return np.where(augmented.covered[0], np.float32(0), visible)

    def _attributes(
        self, cache: CropCache | None, face: int, mirrored: bool = False
    ) -> dict[str, Any]:
        """Return the attributes of a face, nan where its source does not have them."""
        attributes = {}
        for name in self.attributes:
            stated = MIRRORED_ATTRIBUTES.get(name, name) if mirrored else name
            values = None if cache is None else cache.attributes.get(stated)
            attributes[name] = np.array(
                np.nan if values is None else values[face], np.float32
            )
        return attributes
