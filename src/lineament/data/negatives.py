"""Crops without a face for the training of presence: parts of photos, and regions of faces.

Depends on crop_cache.py; no_face_photos.py reads the photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import (
    Array,
    affine_scale,
    apply_affine,
    box_center,
    box_side,
    invert_affine,
    iou,
)
from ..recipe import PresenceSettings
from .crop_cache import CACHE_PADDING, CropCache, annotated_as_visible
from .degrade import log_uniform

ABSENT_IOU, PRESENT_IOU = 0.3, 0.6
"""A crop shows no face below this overlap with the plain crop of the face, and one from the other
overlap on. Between them it counts as neither."""
SIDES = (0.15, 0.9)
"""Smallest and largest side of a region, in sides of the face's box."""
SMALLEST_PX = 16.0
"""Smallest side of a box drawn in a cached photo, pixels of the cache."""


@dataclass(frozen=True, eq=False)
class Negatives:
    """Photos without a face, and how often crops of them come in an epoch."""

    photos: CropCache
    """One row per photo, fitted into its cached crop; `boxes` are the photos' extents."""
    close_ups: CropCache
    """One row per candidate of a face detector, cropped from its photo: as sharp as faces are."""
    candidates: Sequence[NDArray[np.intp]]
    """(K,) per photo: the rows of its candidates."""
    weights: NDArray[np.float64]
    """(M,): probability of each photo; every kind of photo is as frequent as the others."""
    settings: PresenceSettings
    """Shares of these crops in an epoch."""

    def rows(self, rng: np.random.Generator, faces: Array) -> NDArray[np.int64]:
        """Return the rows of an epoch, (K, 2), next to its `faces`, (source, face) in (T, 2).

        A photo is (-1, its number), a region of a face of source k (-2 - k, its face).
        """
        share = self.settings.share
        count = round(share / (1 - share) * len(faces))
        regions = count
        if len(self.photos):
            regions = round(self.settings.region_share * count)
        chosen = faces[rng.integers(0, len(faces), regions)]
        rows = [np.stack([-2 - chosen[:, 0], chosen[:, 1]], axis=1)]
        if len(self.photos):
            photos = rng.choice(len(self.photos), count - regions, p=self.weights)
            rows.append(np.stack([np.full(len(photos), -1), photos], axis=1))
        return np.concatenate(rows).astype(np.int64)

    def draw(
        self, rng: np.random.Generator, photo: int
    ) -> tuple[CropCache, int, Array]:
        """Return cached crops, a row of them and a box (4,) in it: a candidate, or any place."""
        candidates = self.candidates[photo]
        if len(candidates) and rng.random() < self.settings.candidate_prob:
            row = int(candidates[rng.integers(0, len(candidates))])
            return self.close_ups, row, self.close_ups.boxes[row]
        return self.photos, photo, self.draw_place(rng, photo)

    def draw_place(self, rng: np.random.Generator, photo: int) -> Array:
        """Return a box (4,) anywhere in a photo, pixels of its cached crop."""
        extent = self.photos.boxes[photo]
        longest = max(box_side(extent), 2 * SMALLEST_PX)
        half = log_uniform(rng, SMALLEST_PX, longest) / 2
        center = rng.uniform(extent[:2], extent[2:])
        return np.concatenate([center - half, center + half])


def draw_region(rng: np.random.Generator, box: Array, padding: float) -> Array:
    """Return the box (4,) of a region next to or in a face that a crop of the face is far from.

    Such regions are hair, ears, single eyes and half faces. They lie in the face's cached crop.

    Args:
        box: The face's box, (4,).
        padding: Side of the model's crop in longer sides of its box.
    """
    side, center = box_side(box), box_center(box)
    face = crop_square(box, padding)
    while True:
        scale = log_uniform(rng, *SIDES)
        room = max(CACHE_PADDING - padding * scale, 0.0) / 2
        middle = center + rng.uniform(-room, room, 2) * side
        half = scale * side / 2
        region = np.concatenate([middle - half, middle + half])
        if iou(crop_square(region, padding)[None], face[None])[0, 0] < ABSENT_IOU:
            return region


def crop_square(box: Array, padding: float) -> Array:
    """Return the square (4,) that an upright crop of `box` shows."""
    half = box_side(box) * padding / 2
    return np.concatenate([box_center(box) - half, box_center(box) + half])


def presence_of_crop(affine: Array, box: Array, size: int, padding: float) -> float:
    """Return 1 if a crop shows the face, 0 if it shows too little of it, nan between.

    Args:
        affine: image_to_crop, (2, 3).
        box: The face's box, (4,), pixels of the image.
        size: Side of the crop, pixels.
        padding: Side of the model's crop in longer sides of the box.
    """
    center = apply_affine(invert_affine(affine), np.full(2, (size - 1) / 2))
    half = size / affine_scale(affine) / 2
    shown = np.concatenate([center - half, center + half])
    overlap = iou(shown[None], crop_square(box, padding)[None])[0, 0]
    if overlap < ABSENT_IOU:
        return 0.0
    return 1.0 if overlap >= PRESENT_IOU else float("nan")


def face_regions(faces: CropCache, padding: float) -> CropCache:
    """Return one region without a face per face of `faces`, always the same ones."""
    boxes = []
    for number, box in enumerate(faces.boxes):
        boxes.append(draw_region(np.random.default_rng(number), box, padding))
    return with_boxes(faces, boxes)


def with_boxes(cache: CropCache, boxes: Sequence[Array]) -> CropCache:
    """Return the same crops with other boxes, and no landmark."""
    nothing = np.full_like(cache.landmarks, np.nan)
    return CropCache(cache.crops, nothing, np.stack(boxes))


@dataclass(frozen=True, eq=False)
class PresenceCrops:
    """Validation crops with a face and without one."""

    faces: Sequence[CropCache]
    """Annotated faces by data set, then those with a box alone."""
    negatives: Sequence[CropCache]
    """Parts of photos, then one region of each annotated face."""

    def presence(self) -> NDArray[np.bool_]:
        """Return which crops show a face, faces first."""
        counts = [sum(map(len, caches)) for caches in (self.faces, self.negatives)]
        return np.repeat([True, False], counts)

    def visible(self) -> NDArray[np.float32]:
        """Return the visibility (M, N) of the points of all `faces`, nan where unknown."""
        rows = []
        for cache in self.faces:
            stated = cache.visible
            rows.append(
                annotated_as_visible(cache.landmarks) if stated is None else stated
            )
        return np.concatenate(rows)
