"""Samples -> training batches: a cache of ready crops on disk, and an order that depends on seed and step alone."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_path
from ..crop import warp
from ..errors import DataError
from ..geometry import Array, apply_affine, crop_affine
from ..recipe import Augmentation
from ..schemes import scheme
from .augment import augment
from .sample import Sample, read_pictures

AT_ONCE = 256
"""Faces that are cut before the next ones are read."""
CONTEXT = 2.2  # the side of a cached crop in longer box sides: room for rotation, shift and scale


def cached_size(crop: int, padding: float) -> int:
    """The side of cached crops that crops of the side `crop`, in pixels, hardly magnify: 320 at least.

    padding: side of the crop in longer sides of the landmark box.
    """
    return max(320, 32 * int(crop * CONTEXT / padding / 32))


@dataclass(frozen=True, eq=False)
class CropCache:
    """Cached crops of many faces, memory-mapped."""

    crops: NDArray[np.uint8]
    """(M, S, S, 3) RGB."""
    landmarks: NDArray[np.float64]
    """(M, N, 2), pixels of the cached crop; nan where not annotated."""
    boxes: NDArray[np.float64]
    """(M, 4): tight boxes of the landmarks, pixels of the cached crop."""
    teacher_landmarks: NDArray[np.float64] | None = None
    """(M, N, 2), pixels of the cached crop: landmarks that a teacher predicts."""
    visible: NDArray[np.bool_] | None = None
    """(M, N), or None if the data set does not state it."""
    attributes: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """(M,) by name, nan where not stated."""

    def __len__(self) -> int:
        return len(self.crops)


def cache_crops(
    samples: Sequence[Sample], folder: Path, size: int = 320, boxes: Sequence[Array] | None = None
) -> CropCache:
    """The cache of `samples` below `folder`, made on the first call and mapped from disk ever after.

    size: side of a cached crop in pixels.    boxes: (4,) of each face, in pixels of its image; None: of its landmarks.
    Raises: DataError where there is no sample, ImageError where a picture cannot be read.
    """
    if not samples:
        raise DataError(
            "no samples to cache; wanted at least one face: check the data set's folder and part"
        )
    boxes = [s.face_box() for s in samples] if boxes is None else boxes
    affines = [crop_affine(box, size, CONTEXT) for box in boxes]
    path = folder / f"crops-{_stamp(samples, affines, size)}.npy"
    if not path.exists():
        _write_crops(samples, affines, path, size)
    landmarks = np.stack(
        [apply_affine(a, s.landmarks) for a, s in zip(affines, samples, strict=True)]
    )
    boxes_crop = [
        apply_affine(a, np.reshape(box, (2, 2))).ravel()
        for a, box in zip(affines, boxes, strict=True)
    ]
    crops = np.load(path, mmap_mode="r", allow_pickle=False)
    return CropCache(
        crops,
        landmarks,
        np.stack(boxes_crop),
        visible=_visible(samples),
        attributes=_attributes(samples),
    )


def _visible(samples: Sequence[Sample]) -> NDArray[np.bool_] | None:
    """Return the visibility (M, N) of all points; None if no sample states it."""
    if all(sample.visible is None for sample in samples):
        return None
    rows = []
    for sample in samples:
        annotated = np.isfinite(sample.landmarks).all(1)
        rows.append(annotated if sample.visible is None else sample.visible)
    return np.stack(rows)


def _attributes(samples: Sequence[Sample]) -> dict[str, NDArray[np.float32]]:
    """Return the attributes (M,) by name, nan where a sample does not state it."""
    names: set[str] = set()
    for sample in samples:
        names.update(sample.attributes)
    found = {}
    for name in sorted(names):
        values = [sample.attributes.get(name, np.nan) for sample in samples]
        found[name] = np.array(values, np.float32)
    return found


def _stamp(samples: Sequence[Sample], affines: Sequence[Array], size: int) -> str:
    """What changes with any change of pictures or of how they are cut."""
    pictures = [
        [str(s.image), s.frame, s.image.stat().st_size, s.image.stat().st_mtime_ns] for s in samples
    ]
    text = json.dumps([size, pictures, [affine.round(6).tolist() for affine in affines]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write_crops(
    samples: Sequence[Sample], affines: Sequence[Array], path: Path, size: int
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as beside:
        crops = np.lib.format.open_memmap(
            beside, mode="w+", dtype=np.uint8, shape=(len(samples), size, size, 3)
        )
        if any(sample.frame is not None for sample in samples):  # frames of videos come in order
            for i, (_, picture) in enumerate(read_pictures(samples)):
                crops[i] = warp(picture, affines[i], size)
        else:
            with ThreadPoolExecutor() as pool:
                for start in range(0, len(samples), AT_ONCE):
                    part = slice(start, start + AT_ONCE)
                    cut = pool.map(
                        lambda s, a: warp(s.read(), a, size), samples[part], affines[part]
                    )
                    for i, crop in enumerate(cut, start):
                        crops[i] = crop
        crops.flush()
        del crops


@dataclass(frozen=True)
class Source:
    """One data set in a training mixture."""

    cache: CropCache
    repeat: int = 1
    """How often each face comes in an epoch."""
    use_until: float = 1.0
    """The fraction of the training after which the source is left out."""


class TrainingCrops:
    """Augmented crops by epoch and position; the same for the same seed, whoever asks and in whatever order."""

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
        self.size, self.padding, self.settings, self.seed = size, padding, settings, seed
        self.states_visible = any(source.cache.visible is not None for source in self.sources)
        names: set[str] = set()
        for source in self.sources:
            names.update(source.cache.attributes)
        self.attributes = sorted(names)

    def key(self) -> object:
        """Return a value that is equal for those that make the same crops."""
        sources = tuple(map(id, self.sources))
        return (sources, tuple(self.mirror), self.size, self.padding, self.settings, self.seed)

    def order(self, epoch: int, progress: float) -> NDArray[np.int64]:
        """The (source, face) pairs (M, 2) of one epoch, shuffled.    progress: fraction of the training done before."""
        pairs = [
            np.stack(
                [np.full(len(s.cache) * s.repeat, i), np.tile(np.arange(len(s.cache)), s.repeat)],
                axis=1,
            )
            for i, s in enumerate(self.sources)
            if progress < s.use_until
        ]
        joined = np.concatenate(pairs)
        return joined[np.random.default_rng([self.seed, epoch]).permutation(len(joined))]

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
            attributes[name] = np.array(np.nan if values is None else values[face], np.float32)
        return made | {"attributes": attributes}


def plain_crops(
    cache: CropCache, size: int, padding: float, batch: int
) -> Iterator[tuple[NDArray[np.uint8], Array]]:
    """Crops (B, S, S, 3) without augmentation and their image_to_crop affines (B, 2, 3), batch after batch."""
    for start in range(0, len(cache), batch):
        faces = range(start, min(start + batch, len(cache)))
        affines = [crop_affine(cache.boxes[i], size, padding) for i in faces]
        crops = [
            warp(np.ascontiguousarray(cache.crops[i]), a, size)
            for i, a in zip(faces, affines, strict=True)
        ]
        yield np.stack(crops), np.stack(affines)


def plain_landmarks(cache: CropCache, size: int, padding: float) -> Array:
    """The landmarks (M, N, 2) of the faces in pixels of the crops that `plain_crops` gives."""
    affines = [crop_affine(box, size, padding) for box in cache.boxes]
    return np.stack(
        [apply_affine(a, points) for a, points in zip(affines, cache.landmarks, strict=True)]
    )
