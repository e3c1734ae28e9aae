"""Crops without a face for training presence: parts of photos, and regions next to faces.

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
"""Overlap with the plain crop of the face below which a crop counts as negative, and above
which it counts as positive. Crops in between are ignored."""
SIDES = (0.15, 0.9)
"""Minimum and maximum side of a region, as a fraction of the face's box."""
SMALLEST_PX = 16.0
"""Minimum side of a box drawn in a cached photo, pixels of the cached crop."""


@dataclass(frozen=True, eq=False)
class Negatives:
    """Photos without a face, and how often crops of them occur in an epoch."""

    photos: CropCache
    """One row per photo, fitted into its cached crop; `boxes` are the extents of the photos."""
    close_ups: CropCache
    """One row per hard negative, cropped from its photo, as sharp as faces."""
    hard_negatives: Sequence[NDArray[np.intp]]
    """Rows in `close_ups` of each photo's hard negatives, (K,) per photo."""
    weights: NDArray[np.float64]
    """Sampling probability of each photo, (M,); all kinds of photos are equally frequent."""
    settings: PresenceSettings
    """Fractions of these crops in an epoch."""

    def rows(self, rng: np.random.Generator, faces: Array) -> NDArray[np.int64]:
        """Return the negative rows (K, 2) of an epoch that has the given `faces` (T, 2).

        A photo is encoded as (-1, photo), a region of a face of source k as (-2 - k, face).
        """
        share = self.settings.negative_fraction
        count = round(share / (1 - share) * len(faces))
        regions = count
        if len(self.photos):
            regions = round(self.settings.region_fraction * count)
        chosen = faces[rng.integers(0, len(faces), regions)]
        rows = [np.stack([-2 - chosen[:, 0], chosen[:, 1]], axis=1)]
        if len(self.photos):
            photos = rng.choice(len(self.photos), count - regions, p=self.weights)
            rows.append(np.stack([np.full(len(photos), -1), photos], axis=1))
        return np.concatenate(rows).astype(np.int64)

    def draw(
        self, rng: np.random.Generator, photo: int
    ) -> tuple[CropCache, int, Array]:
        """Return cached crops, a row and a box (4,) in it: a hard negative, or a random place."""
        rows = self.hard_negatives[photo]
        if len(rows) and rng.random() < self.settings.hard_negative_prob:
            row = int(rows[rng.integers(0, len(rows))])
            return self.close_ups, row, self.close_ups.boxes[row]
        return self.photos, photo, self.draw_background_box(rng, photo)

    def draw_background_box(self, rng: np.random.Generator, photo: int) -> Array:
        """Return a random box (4,) in a photo, pixels of its cached crop."""
        extent = self.photos.boxes[photo]
        longest = max(box_side(extent), 2 * SMALLEST_PX)
        half = log_uniform(rng, SMALLEST_PX, longest) / 2
        center = rng.uniform(extent[:2], extent[2:])
        return np.concatenate([center - half, center + half])


def draw_region_box(rng: np.random.Generator, box: Array, padding: float) -> Array:
    """Return a box (4,) next to or inside a face that overlaps little with the face's crop.

    Such regions show hair, ears, single eyes or half faces. They lie in the face's cached crop.

    Args:
        box: Box of the face, (4,).
        padding: Side of the model's crop as a multiple of the longer box side.
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
    """Return the square (4,) covered by an upright crop of `box`."""
    half = box_side(box) * padding / 2
    return np.concatenate([box_center(box) - half, box_center(box) + half])


def crop_presence(affine: Array, box: Array, size: int, padding: float) -> float:
    """Return 1 if a crop shows the face, 0 if it shows too little of it, nan in between.

    Args:
        affine: image_to_crop affine, (2, 3).
        box: Box of the face, (4,), pixels of the image.
        size: Side of the crop, pixels.
        padding: Side of the model's crop as a multiple of the longer box side.
    """
    center = apply_affine(invert_affine(affine), np.full(2, (size - 1) / 2))
    half = size / affine_scale(affine) / 2
    crop_area = np.concatenate([center - half, center + half])
    overlap = iou(crop_area[None], crop_square(box, padding)[None])[0, 0]
    if overlap < ABSENT_IOU:
        return 0.0
    return 1.0 if overlap >= PRESENT_IOU else float("nan")


def face_regions(faces: CropCache, padding: float) -> CropCache:
    """Return one region without a face per face in `faces`; the choice is deterministic."""
    boxes = []
    for number, box in enumerate(faces.boxes):
        boxes.append(draw_region_box(np.random.default_rng(number), box, padding))
    return with_boxes(faces, boxes)


def with_boxes(cache: CropCache, boxes: Sequence[Array]) -> CropCache:
    """Return the same crops with other boxes and without landmarks."""
    nothing = np.full_like(cache.landmarks, np.nan)
    return CropCache(cache.crops, nothing, np.stack(boxes))


@dataclass(frozen=True, eq=False)
class PresenceCrops:
    """Validation crops with and without a face."""

    faces: Sequence[CropCache]
    """Annotated faces by data set, followed by faces with only a box."""
    negatives: Sequence[CropCache]
    """Parts of photos, followed by one region per annotated face."""

    def presence(self) -> NDArray[np.bool_]:
        """Return a mask of the crops that show a face; faces come first."""
        counts = [sum(map(len, caches)) for caches in (self.faces, self.negatives)]
        return np.repeat([True, False], counts)

    def visible(self) -> NDArray[np.float32]:
        """Return the visibility (M, N) of the points of all `faces`; nan where unknown."""
        rows = []
        for cache in self.faces:
            stated = cache.visible
            rows.append(
                annotated_as_visible(cache.landmarks) if stated is None else stated
            )
        return np.concatenate(rows)
