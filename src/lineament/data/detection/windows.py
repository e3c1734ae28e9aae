"""Training windows for MTCNN: negatives, part faces, faces, and faces with five points.

Source: Zhang et al. 2016: the ratios and IoU ranges of the four kinds, and the outputs that each
trains: scores on negatives and faces, boxes on part faces and faces, points on the last kind only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...crop import warp
from ...errors import DataError
from ...geometry import (
    Array,
    apply_affine,
    box_center,
    box_side,
    compose,
    crop_affine,
    flip_affine,
    iou,
)
from ...recipe.data import Augmentation
from ...schemes import scheme
from ..degrade import Rng, photometric
from .image_cache import ImageCache
from .photos import NEGATIVE_IOU, SMALLEST_WINDOW_PX, Photo
from .scene import rotate_boxes

SHARES = {"negative": 3, "part": 1, "face": 1, "landmarks": 2}
"""Relative frequencies of the window kinds."""
PART_IOU, FACE_IOU = 0.4, 0.65
"""Minimum IoU of a part-face window, and of a face window."""
HARD_FRACTION = 0.5
"""Fraction of known false positives among negative windows, for photos that have some."""
SIDES, SHIFT = (0.75, 1.3), 0.35
"""Range of window sides and maximum shift per axis, relative to the longer side of the face box."""
TRIES = 32
"""Number of random squares drawn at once; the first suitable one is used."""


@dataclass(frozen=True, eq=False)
class Window:
    """One window with its training targets; nan targets are not trained."""

    crop: NDArray[np.uint8]
    """RGB, (s, s, 3)."""
    presence: float
    """1 for a face, 0 for background."""
    box: Array
    """Face box (4,), pixels of the window."""
    landmarks: Array
    """Five points (5, 2), pixels of the window."""


class WindowMaker:
    """Makes window `number`; equal numbers give equal windows in every process."""

    def __init__(
        self,
        photos: Sequence[Photo],
        images: ImageCache,
        size: int,
        seed: int,
        augment: Augmentation,
        hard: Mapping[int, Array] | None = None,
    ) -> None:
        """Group the photos by the window kinds they can provide; other kinds are skipped.

        Args:
            images: Images of `photos`, in the same order.
            size: Side of a window, pixels.
            augment: Mirroring, rotation and degradation; its scale and shift are not used.
            hard: Squares (K, 4) without a face that earlier networks mistake for faces, pixels,
                by index of the photo.

        Raises:
            DataError: If the photos contain neither a face nor reliable background.
        """
        self.photos, self.images = list(photos), images
        self.size, self.seed, self.augment = size, seed, augment
        self.hard = dict(hard or {})
        self.faces = _faces_of(self.photos)
        self.pointed = []
        for photo, face in self.faces:
            if np.isfinite(self.photos[photo].five_points()[face]).all():
                self.pointed.append((photo, face))
        # only if every face is labeled is everything else background
        self.searched = [n for n, photo in enumerate(photos) if photo.all_labeled]
        sources = (self.searched, self.faces, self.faces, self.pointed)
        usable = zip(SHARES, sources, strict=True)
        self.kinds = [kind for kind, source in usable if source]
        """Window kinds that the photos can provide."""
        if not self.kinds:
            raise DataError(
                f"none of the {len(self.photos)} photos has labeled faces, and none "
                "is known to contain no face; add photos of either kind"
            )
        shares = np.array([SHARES[kind] for kind in self.kinds], float)
        self.shares = shares / shares.sum()

    def __call__(self, number: int) -> Window:
        """Return window `number`."""
        rng = np.random.default_rng((self.seed, number))
        kind = str(rng.choice(self.kinds, p=self.shares))
        if kind == "negative":
            photo, square = self._without_face(rng)
            return self._window(rng, photo, None, square, 0.0)
        chosen = self.pointed if kind == "landmarks" else self.faces
        photo, face = chosen[rng.integers(len(chosen))]
        low, high = (PART_IOU, FACE_IOU) if kind == "part" else (FACE_IOU, np.inf)
        square = _near(rng, self.photos[photo].boxes[face], low, high)
        # part faces are neither positive nor negative, and points are trained on their own
        presence = 1.0 if kind == "face" else float("nan")
        return self._window(rng, photo, face, square, presence, kind == "landmarks")

    def _without_face(self, rng: Rng) -> tuple[int, Array]:
        """Return a photo index and a square in the photo without a face."""
        photo = self.searched[rng.integers(len(self.searched))]
        hard = self.hard.get(photo, np.zeros((0, 4)))
        if len(hard) and rng.random() < HARD_FRACTION:
            return photo, hard[rng.integers(len(hard))]
        extent = np.array(self.images[photo].shape[1::-1])
        largest = max(extent.min(), SMALLEST_WINDOW_PX + 1)
        sides = np.exp(
            rng.uniform(np.log(SMALLEST_WINDOW_PX), np.log(largest), (TRIES, 1))
        )
        centers = rng.uniform(0.4 * sides, extent - 0.4 * sides)
        squares = np.concatenate([centers - sides / 2, centers + sides / 2], 1)
        overlaps = iou(squares, self.photos[photo].boxes).max(1, initial=0.0)
        # the first square without a face, otherwise the one that overlaps faces least
        free = np.where(overlaps < NEGATIVE_IOU, 0.0, overlaps)
        return photo, np.asarray(squares[free.argmin()])

    def _window(
        self,
        rng: Rng,
        photo: int,
        face: int | None,
        square: Array,
        presence: float,
        has_points: bool = False,
    ) -> Window:
        """Return the window at `square`, randomly rotated, mirrored and degraded.

        Args:
            has_points: Train the face's points instead of its box.
        """
        settings, source_photo = self.augment, self.photos[photo]
        angle_deg = rng.normal(0, settings.rotation_deg)
        if rng.random() < settings.large_rotation:
            limit = settings.large_rotation_deg
            angle_deg = rng.uniform(-limit, limit)
        affine = crop_affine(square, self.size, 1.0, float(angle_deg))
        mirrored = rng.random() < settings.flip
        if mirrored:
            affine = compose(flip_affine(self.size), affine)
        crop = photometric(rng, warp(self.images[photo], affine, self.size), settings)
        box, points = np.full(4, np.nan), np.full((5, 2), np.nan)
        if face is not None and not has_points:
            box = rotate_boxes(source_photo.boxes[face][None], affine)[0]
        if face is not None and has_points:
            points = apply_affine(affine, source_photo.five_points()[face])
            points = points[scheme("five").mirror] if mirrored else points
        return Window(crop, presence, box, points)


def _faces_of(photos: Sequence[Photo]) -> list[tuple[int, int]]:
    """Return (photo, row) of every certain face that is large enough."""
    found = []
    for number, photo in enumerate(photos):
        for face in np.flatnonzero(photo.is_certain()).tolist():
            if box_side(photo.boxes[face]) >= SMALLEST_WINDOW_PX:
                found.append((number, face))
    return found


def _near(rng: Rng, box: Array, low: float, high: float) -> Array:
    """Return a random square (4,) whose overlap with `box` (4,) is between `low` and `high`.

    Overlap is relative to that of the square enclosing the box.
    """
    longer, center = box_side(box), box_center(box)
    sides = longer * rng.uniform(*SIDES, (TRIES, 1))
    centers = center + longer * rng.uniform(-SHIFT, SHIFT, (TRIES, 2))
    # the enclosing square comes first, as a fallback if no other square fits
    sides[0], centers[0] = longer, center
    squares = np.concatenate([centers - sides / 2, centers + sides / 2], 1)
    overlaps = iou(squares, box)[:, 0]
    overlaps /= overlaps[0]
    fitting = np.flatnonzero((low <= overlaps) & (overlaps <= high))
    return np.asarray(squares[fitting[-1] if len(fitting) else 0])
