"""Windows of photos for MTCNN: faces, parts of faces, no faces, faces with five points.

Source: Zhang et al. 2016, section 3.1: the shares and overlaps of the four kinds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...crop import warp
from ...geometry import Array, box_side, crop_affine, iou
from ..degrade import log_uniform
from .image_cache import ImageCache
from .photos import Photo

SHARES = {"negative": 3, "part": 1, "face": 1, "landmarks": 2}
"""Of the kinds of windows."""
NEGATIVE_IOU, PART_IOU, FACE_IOU = 0.3, 0.4, 0.65
"""A window shows no face below the first, a part from the second, a face from the third on."""
SMALLEST_PX = 12.0
TRIES = 50


@dataclass(frozen=True, eq=False)
class Window:
    """One window and what it trains; nan: nothing."""

    crop: NDArray[np.uint8]
    """(s, s, 3)."""
    presence: float
    box: Array
    """(4,): offsets of the face's edges from the window's, in sides of the window."""
    landmarks: Array
    """(5, 2), in sides of the window from its upper left corner."""


class WindowMaker:
    """Window k of photos; equal for equal seeds."""

    def __init__(
        self,
        photos: Sequence[Photo],
        images: ImageCache,
        size: int,
        seed: int,
        hard: Mapping[int, Array] | None = None,
    ) -> None:
        """Sort the photos by what they can show.

        Args:
            images: Reads the photos.
            size: Side of a window, pixels.
            hard: (K, 4) boxes by photo that an earlier network took for faces; half of the
                windows without a face are these.
        """
        self.photos, self.images, self.size, self.seed = photos, images, size, seed
        self.hard = dict(hard or {})
        self.faces = [
            (number, face)
            for number, photo in enumerate(photos)
            for face in range(len(photo.boxes))
            if photo.is_certain()[face] and box_side(photo.boxes[face]) >= SMALLEST_PX
        ]
        self.pointed = [
            (number, face)
            for number, face in self.faces
            if np.isfinite(photos[number].five_points()[face]).all()
        ]
        # only where every face is labeled is all else no face
        self.searched = [n for n, photo in enumerate(photos) if photo.all_labeled]
        shares = np.array(list(SHARES.values()), float)
        self.shares = shares / shares.sum()

    def __call__(self, number: int) -> Window:
        """Return window `number`."""
        rng = np.random.default_rng([self.seed, number])
        kind = rng.choice(list(SHARES), p=self.shares)
        if kind == "negative":
            return self._negative(rng)
        chosen = self.pointed if kind == "landmarks" else self.faces
        photo, face = chosen[rng.integers(len(chosen))]
        low, high = (PART_IOU, FACE_IOU) if kind == "part" else (FACE_IOU, 1.0)
        box = self.photos[photo].boxes[face]
        square = _near(rng, box, low, high)
        has_points = kind == "landmarks"
        return self._cut(
            rng,
            photo,
            face,
            square,
            float("nan") if kind == "part" else 1.0,
            has_points,
        )

    def _negative(self, rng: np.random.Generator) -> Window:
        photo = self.searched[rng.integers(len(self.searched))]
        hard = self.hard.get(photo, np.zeros((0, 4)))
        if len(hard) and rng.random() < 0.5:
            square = hard[rng.integers(len(hard))]
        else:
            square = self._anywhere(rng, photo)
        return self._cut(rng, photo, None, square, 0.0, False)

    def _anywhere(self, rng: np.random.Generator, photo: int) -> Array:
        height, width = self.images[photo].shape[:2]
        boxes = self.photos[photo].boxes
        square = np.zeros(4)
        for _ in range(TRIES):
            side = log_uniform(
                rng, SMALLEST_PX, max(min(height, width), SMALLEST_PX + 1)
            )
            corner = rng.uniform(-0.1 * side, np.array([width, height]) - 0.9 * side)
            square = np.concatenate([corner, corner + side])
            if not len(boxes) or iou(square[None], boxes).max() < NEGATIVE_IOU:
                break
        return square

    def _cut(
        self,
        rng: np.random.Generator,
        photo: int,
        face: int | None,
        square: Array,
        presence: float,
        has_points: bool,
    ) -> Window:
        affine = crop_affine(square, self.size, 1.0)
        crop = warp(self.images[photo], affine, self.size)
        offsets, points = np.full(4, np.nan), np.full((5, 2), np.nan)
        side = box_side(square)
        if face is not None:
            offsets = (self.photos[photo].boxes[face] - square) / side
        if face is not None and has_points:
            points = (self.photos[photo].five_points()[face] - square[:2]) / side
        if rng.random() < 0.5:
            crop = np.ascontiguousarray(crop[:, ::-1])
            offsets = np.array([-offsets[2], offsets[1], -offsets[0], offsets[3]])
            points = (points * [-1, 1] + [1, 0])[[1, 0, 2, 4, 3]]
        return Window(crop, presence, offsets, points)


def _near(rng: np.random.Generator, box: Array, low: float, high: float) -> Array:
    """Return a square (4,) whose overlap with `box` (4,) is from `low` to `high`."""
    longer, center = box_side(box), (box[:2] + box[2:]) / 2
    # the best square has the overlap of the box's own shape
    best = np.concatenate([center - longer / 2, center + longer / 2])
    reachable = float(iou(best[None], box[None])[0, 0])
    for _ in range(TRIES):
        side = longer * rng.uniform(0.75, 1.3)
        middle = center + rng.uniform(-0.35, 0.35, 2) * longer
        square = np.concatenate([middle - side / 2, middle + side / 2])
        overlap = float(iou(square[None], box[None])[0, 0]) / reachable
        if low <= overlap <= high:
            return square
    return best
