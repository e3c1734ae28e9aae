"""Training scenes for the face detector: rotated, scaled, tiled and overlaid photos.

After rotation, boxes are refitted to the landmarks, or to the ellipse inscribed in the box.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...geometry import (
    Array,
    affine_roll_deg,
    affine_scale,
    apply_affine,
    box_center,
    compose,
    flip_affine,
    invert_affine,
    landmark_box,
    resize_affine,
    similarity,
)
from ...opencv import cv2
from ...schemes import scheme
from ..degrade import (
    Image,
    Rng,
    degrade_scene,
    log_uniform,
    occlude_faces,
    rotated_shape,
)
from .image_cache import ImageCache
from .photos import Photo
from .scene import Scene, rotate_boxes


@dataclass
class Canvas:
    """A scene under construction."""

    image: Image
    labeled: Image
    layer_map: NDArray[np.int16]
    """Index of the layer shown at each pixel, (S, S)."""
    layers: int = 0
    boxes: list[Array] = field(default_factory=list)
    five: list[Array] = field(default_factory=list)
    rolls: list[float] = field(default_factory=list)
    certain: list[bool] = field(default_factory=list)
    layer_of: list[int] = field(default_factory=list)


Window = tuple[int, int, int, int]
"""Window (x0, y0, x1, y1) in pixels of the scene."""
LABELED_SIDES = 1.45
"""If only one face of a photo is labeled, radius of usable background in sides of that face."""
MIN_SIDE = 9.0
"""Minimum side of a face that scenes are made for, pixels."""
MAX_SIDES = {
    "landmarks": 1.1,
    "infants": 1.1,
    "profiles": 1.1,
    "unlabelled": 1.1,
    "mtfl": 0.5,
    "people": 0.8,
}
"""Maximum side of a face by kind, as a fraction of the scene."""
MAX_CROWD_SIDE = 0.6
"""Maximum side of a face for all other kinds."""
SINGLE_PHOTO_FRACTION = 0.45
"""Fraction of scenes with one photo; the others have four, for more small faces per pixel."""
PASTED_FACE_PROBS = (0.4, 0.3, 0.2, 0.1)
"""Probabilities of 0, 1, 2 or 3 faces pasted over a scene."""
ROTATION_PROBS = (0.65, 0.2, 0.15)
"""Probabilities of the natural tilt, a rotation up to 60 degrees, or any rotation."""
HARD_FRACTION = 0.5
"""Fraction of photos without faces that are centered on a known false positive."""
MIN_VISIBLE = 0.55
"""Minimum visible fraction of a labeled face; less visible faces are ignored."""


def move_faces(photo: Photo, affine: Array) -> tuple[Array, Array]:
    """Return the boxes (F, 4) and rolls (F,) of a photo after an affine transform."""
    mirrored = np.linalg.det(affine[:, :2]) < 0
    turn = affine_roll_deg(affine) + (180.0 if mirrored else 0.0)
    rolls = turn + (-photo.roll_deg() if mirrored else photo.roll_deg())
    boxes = rotate_boxes(photo.boxes, affine)
    if photo.landmarks is not None:
        boxes[0] = landmark_box(apply_affine(affine, photo.landmarks))
    return boxes, rolls


def move_points(photo: Photo, affine: Array) -> Array:
    """Return the five points (F, 5, 2) of a photo after an affine transform."""
    five = apply_affine(affine, photo.five_points())
    if np.linalg.det(affine[:, :2]) < 0:
        five = five[:, scheme("five").mirror]
    return five


def random_affine(
    rng: Rng,
    photo: Photo,
    extent: tuple[int, int],
    size: tuple[int, int],
    side: float,
    window: Array | None = None,
) -> Array:
    """Return a random transform that scales a face of `photo` to about `side` pixels in a window.

    Args:
        extent: Width and height of the photo.
        size: Width and height of the window.
        window: Center x, y and side of a region to show, for a photo without faces.
    """
    if len(photo.boxes):
        box = photo.boxes[rng.integers(len(photo.boxes))]
        center, (width, height) = box_center(box), box[2:] - box[:2]
        scale = side / max(1.0, float(np.sqrt(width * height)))
    elif window is not None:
        center, scale = window[:2], side / window[2]
    else:
        center = rng.uniform(0, 1, 2) * extent
        scale = log_uniform(rng, 0.4, 3.0)
    # beyond these limits the source would show nothing useful
    scale = float(np.clip(scale, 0.05, 3.0))
    angles = [rng.normal(0, 12), rng.uniform(-60, 60), rng.uniform(-180, 180)]
    angle_deg = rng.choice(angles, p=ROTATION_PROBS)
    place = np.array(size) * rng.uniform(0.02, 0.98, 2)
    if side > 0.4 * min(size):
        place = np.array(size) * rng.normal(0.5, 0.12, 2)
    affine = similarity(scale, float(angle_deg), center, place)
    if rng.random() < 0.5:
        return compose(affine, flip_affine(int(2 * center[0]) + 1))
    return affine


def warp_window(
    image: Image,
    affine: Array,
    size: tuple[int, int],
    border: int = cv2.BORDER_CONSTANT,
) -> Image:
    """Warp `image` into a window of (width, height), averaging pixels when shrinking."""
    scale = affine_scale(affine)
    if scale < 0.6:
        image, affine = _visible_part(image, affine, size)
        half = max(scale * 1.2, 0.02)
        height, width = image.shape[:2]
        small = (max(1, round(width * half)), max(1, round(height * half)))
        shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        image = np.asarray(shrunk, np.uint8)
        enlarge = resize_affine(width / small[0], height / small[1])
        affine = compose(affine, enlarge)
    warped = cv2.warpAffine(
        image, affine, size, flags=cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(warped, np.uint8)


def _visible_part(
    image: Image, affine: Array, size: tuple[int, int]
) -> tuple[Image, Array]:
    """Return the part of `image` visible in a (width, height) window, padded, and its affine."""
    width, height = size
    ends = [[0, 0], [width, 0], [width, height], [0, height]]
    corners = apply_affine(invert_affine(affine), ends)
    margin = 2 / affine_scale(affine)
    limit = np.array(image.shape[1::-1])
    start = np.clip(np.floor(corners.min(0) - margin), 0, limit - 1)
    x0, y0 = start.astype(int).tolist()
    end = np.clip(np.ceil(corners.max(0) + margin), (x0 + 1, y0 + 1), limit)
    x1, y1 = end.astype(int).tolist()
    return image[y0:y1, x0:x1], compose(affine, np.array([[1.0, 0, x0], [0, 1.0, y0]]))


class SceneMaker:
    """Makes scene number `index`; equal indices give equal scenes in every process."""

    def __init__(
        self,
        photos: Sequence[Photo],
        images: ImageCache,
        shares: Mapping[str, float],
        size: int = 256,
        seed: int = 0,
        hard: Mapping[int, Array] | None = None,
    ) -> None:
        """Group the photos by kind.

        Args:
            images: Images of `photos`, in the same order.
            shares: Relative frequency of each kind of photo; kinds without photos are skipped.
            size: Side of the scenes, pixels.
            hard: False positives of a detector in photos without faces, (K, 3): center x, y and
                side in pixels, by index of the photo.
        """
        self.photos, self.images = list(photos), images
        self.size, self.seed = size, seed
        self.hard = dict(hard or {})
        self.by_kind: dict[str, list[int]] = {}
        for i, photo in enumerate(self.photos):
            if len(photo.boxes) or photo.has_no_face():
                self.by_kind.setdefault(photo.kind, []).append(i)
        self.kinds = [kind for kind in shares if kind in self.by_kind]
        weights = np.array([shares[kind] for kind in self.kinds])
        self.weights = weights / weights.sum()
        self.hard_of_kind: dict[str, list[int]] = {}
        for i in sorted(self.hard):
            self.hard_of_kind.setdefault(self.photos[i].kind, []).append(i)

    def __call__(self, index: int) -> Scene:
        rng = np.random.default_rng((self.seed, index))
        canvas = self._backdrop(rng)
        for window in _windows(rng, self.size):
            kind = str(rng.choice(self.kinds, p=self.weights))
            self._fill(rng, canvas, kind, window)
        if "landmarks" in self.by_kind:
            for _ in range(rng.choice(len(PASTED_FACE_PROBS), p=PASTED_FACE_PROBS)):
                self._paste_face(rng, canvas)
        return _finish(rng, canvas)

    def _pick(self, rng: Rng, kind: str) -> int:
        return int(self.by_kind[kind][rng.integers(len(self.by_kind[kind]))])

    def _backdrop(self, rng: Rng) -> Canvas:
        """Return a canvas of one color, or with an image without faces."""
        size = self.size
        image: Image = np.empty((size, size, 3), np.uint8)
        image[:] = rng.integers(0, 256, 3)
        if "background" in self.by_kind and rng.random() < 0.7:
            photo = self.images[self._pick(rng, "background")]
            scale = rng.uniform(1.0, 2.2) * size / min(photo.shape[:2])
            center = np.array(photo.shape[1::-1]) / 2
            angle_deg = float(rng.uniform(-180, 180))
            affine = similarity(scale, angle_deg, center, (size / 2, size / 2))
            image = warp_window(photo, affine, (size, size), cv2.BORDER_REFLECT)
            if rng.random() < 0.7:
                # these images are gray: without a tint, any color would indicate a face
                tables = np.arange(256)[:, None] * rng.uniform(0.5, 1.0, 3)
                image = np.asarray(
                    cv2.LUT(image, tables.astype(np.uint8)[None]), np.uint8
                )
        return Canvas(
            image, np.ones((size, size), np.uint8), np.zeros((size, size), np.int16)
        )

    def _fill(self, rng: Rng, canvas: Canvas, kind: str, window: Window) -> None:
        """Fill a window of the canvas with a photo of `kind`, as far as the photo extends."""
        place = None
        i = self._pick(rng, kind)
        if kind in self.hard_of_kind and rng.random() < HARD_FRACTION:
            i = int(rng.choice(self.hard_of_kind[kind]))
            place = self.hard[i][rng.integers(len(self.hard[i]))]
        x0, y0, x1, y1 = window
        size = (x1 - x0, y1 - y0)
        largest = MAX_SIDES.get(kind, MAX_CROWD_SIDE) * min(size)
        side = log_uniform(rng, MIN_SIDE, max(largest, MIN_SIDE + 1))
        extent = self._extent(i)
        affine = random_affine(rng, self.photos[i], extent, size, side, place)
        self._draw(canvas, i, affine, window, np.ones(size[::-1], np.uint8))

    def _extent(self, i: int) -> tuple[int, int]:
        """Return the width and height of photo i."""
        height, width = self.images[i].shape[:2]
        return width, height

    def _paste_face(self, rng: Rng, canvas: Canvas) -> None:
        """Paste a face from a landmark photo over the canvas."""
        i = self._pick(rng, "landmarks")
        size = (self.size, self.size)
        side = log_uniform(rng, MIN_SIDE, 0.4 * self.size)
        affine = random_affine(rng, self.photos[i], self._extent(i), size, side)
        boxes, rolls = move_faces(self.photos[i], affine)
        extent = float((boxes[0, 2:] - boxes[0, :2]).max()) * rng.uniform(1.3, 2.0)
        ellipse = bool(rng.random() < 0.5)
        shape = np.array([extent, extent * (1.2 if ellipse else 1.1)])
        mask = rotated_shape(
            size, box_center(boxes[0]), shape, float(rolls[0]), ellipse
        )
        self._draw(canvas, i, affine, (0, 0, self.size, self.size), mask)

    def _draw(
        self, canvas: Canvas, i: int, affine: Array, window: Window, mask: Image
    ) -> None:
        """Draw photo i, warped by `affine`, into the window where `mask` (h, w) is 1."""
        photo, image = self.photos[i], self.images[i]
        x0, y0, x1, y1 = window
        size = (x1 - x0, y1 - y0)
        layer = warp_window(image, affine, size)
        photo_mask = np.zeros(size[::-1], np.uint8)
        height, width = image.shape[:2]
        corners = np.array(
            [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]
        )
        cv2.fillConvexPoly(
            photo_mask, apply_affine(affine, corners).round().astype(np.int32), (1,)
        )
        visible_mask = mask & photo_mask
        boxes, rolls = move_faces(photo, affine)
        labeled = np.ones_like(visible_mask)
        if not photo.all_labeled and len(boxes):
            extent = (boxes[0, 2:] - boxes[0, :2]) * LABELED_SIDES
            labeled = rotated_shape(
                visible_mask.shape, box_center(boxes[0]), extent, 0.0, ellipse=True
            )
        elif not photo.all_labeled:
            labeled = np.zeros_like(visible_mask)
        canvas.layers += 1
        view = np.s_[y0:y1, x0:x1]
        cv2.copyTo(layer, visible_mask, canvas.image[view])
        cv2.copyTo(labeled, visible_mask, canvas.labeled[view])
        canvas.layer_map[view][visible_mask > 0] = canvas.layers
        canvas.boxes += list(boxes + np.array([x0, y0, x0, y0]))
        canvas.five += list(move_points(photo, affine) + np.array([x0, y0]))
        canvas.rolls += list(rolls)
        canvas.certain += photo.is_certain().tolist()
        canvas.layer_of += [canvas.layers] * len(boxes)


def _finish(rng: Rng, canvas: Canvas) -> Scene:
    """Remove faces covered by others, then occlude and degrade the scene."""
    boxes = np.array(canvas.boxes).reshape(-1, 4)
    faces = zip(boxes, canvas.layer_of, strict=True)
    visible = np.array([_visible_fraction(canvas, box, layer) for box, layer in faces])
    keep = visible > 0.02
    boxes, visible = boxes[keep], visible[keep]
    rolls, certain = np.array(canvas.rolls)[keep], np.array(canvas.certain, bool)[keep]
    enough = (visible >= MIN_VISIBLE) & certain
    image = occlude_faces(rng, canvas.image, boxes[enough], rolls[enough])
    image, min_side = degrade_scene(rng, image)
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
    return Scene(
        image=image,
        boxes=boxes,
        recognizable=enough & (sides >= min_side),
        five=np.reshape(canvas.five, (-1, 5, 2))[keep],
        labeled=canvas.labeled > 0,
    )


def _windows(rng: Rng, size: int) -> list[Window]:
    """Return the entire scene as one window, or four windows that share a corner."""
    if rng.random() < SINGLE_PHOTO_FRACTION:
        return [(0, 0, size, size)]
    x, y = rng.integers(round(0.35 * size), round(0.65 * size), 2).tolist()
    return [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]


def _visible_fraction(canvas: Canvas, box: Array, layer: int) -> float:
    """Return the fraction of `box` in which the canvas shows the given layer."""
    size = canvas.layer_map.shape[0]
    x0, y0, x1, y1 = np.clip(np.round(box), 0, size).astype(int).tolist()
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    return float((canvas.layer_map[y0:y1, x0:x1] == layer).sum()) / max(area, 1.0)
