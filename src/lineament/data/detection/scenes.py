"""Pictures for training the face detector: photos turned, scaled, put side by side and pasted over each other.

Boxes are fitted anew after turning: from the landmarks where a photo has them, else from the ellipse in the box.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
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
    similarity,
)
from ..degrade import degrade_scene, occlude_faces, turned_shape
from .image_cache import PictureCache
from .photos import Photo

Picture = NDArray[np.uint8]
Random = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """One training picture."""

    image: Picture
    """(S, S, 3) RGB."""
    boxes: Array
    """(F, 4) tight boxes, pixels; they may reach over the edge."""
    whole: NDArray[np.bool_]
    """(F,) False for faces that are neither face nor background: cut off, covered, blurred past recognition."""
    roll_deg: Array
    """(F,)"""
    roll_weight: Array
    """(F,) 1 where landmarks give the roll, less where the photo is only assumed upright."""
    counted: NDArray[np.bool_]
    """(S, S) where a face would be labeled."""


@dataclass
class Canvas:
    """A scene in the making."""

    image: Picture
    counted: Picture
    owner: NDArray[np.int16]
    """(S, S) which layer each pixel shows."""
    layers: int = 0
    boxes: list[Array] = field(default_factory=list)
    rolls: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    layer_of: list[int] = field(default_factory=list)


UPRIGHT_WEIGHT = 0.3
"""Weight of a roll that is only assumed: people in such photos tilt their heads by some ten degrees."""
KNOWN = 1.45
"""In a landmark photo other faces are unlabeled, so only this many box sides around its face count as background."""
VISIBLE = 0.55
"""A face of which less is in the picture is neither face nor background."""


def turned_boxes(boxes: Array, affine: Array) -> Array:
    """`boxes` (F, 4) after a similarity: each the box around the turned ellipse that filled it."""
    scale = affine_scale(affine)
    cos, sin = affine[0, :2] / scale
    centers = apply_affine(affine, (boxes[:, :2] + boxes[:, 2:]) / 2)
    a, b = ((boxes[:, 2:] - boxes[:, :2]) / 2 * scale).T
    half = np.stack([np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)], 1)
    return np.concatenate([centers - half, centers + half], 1)


def moved_faces(photo: Photo, affine: Array) -> tuple[Array, Array]:
    """The boxes (F, 4) and rolls (F,) of a photo's faces after a similarity that may mirror."""
    mirrored = np.linalg.det(affine[:, :2]) < 0
    turn = affine_roll_deg(affine) + (180.0 if mirrored else 0.0)
    rolls = turn + (-photo.roll_deg() if mirrored else photo.roll_deg())
    if photo.landmarks is not None:
        points = apply_affine(affine, photo.landmarks)
        return np.concatenate([points.min(0), points.max(0)])[None], rolls
    return turned_boxes(photo.boxes, affine), rolls


def random_affine(photo: Photo, size: tuple[int, int], side: float, random: Random) -> Array:
    """A similarity that brings one face of `photo` to about `side` pixels somewhere in a window of (width, height)."""
    if len(photo.boxes):
        box = photo.boxes[random.integers(len(photo.boxes))]
        center, (width, height) = box_center(box), box[2:] - box[:2]
        scale = side / max(1.0, float(np.sqrt(width * height)))
    else:
        center, scale = (
            random.uniform(0, 150, 2),
            float(np.exp(random.uniform(np.log(0.8), np.log(3.0)))),
        )
    # beyond this there is nothing to see in the source
    scale = float(np.clip(scale, 0.05, 3.0))
    angles = [random.normal(0, 12), random.uniform(-60, 60), random.uniform(-180, 180)]
    angle = random.choice(angles, p=[0.35, 0.2, 0.45])
    place = np.array(size) * random.uniform(0.02, 0.98, 2)
    if side > 0.4 * min(size):
        place = np.array(size) * random.normal(0.5, 0.12, 2)
    affine = similarity(scale, float(angle), center, place)
    return compose(affine, flip_affine(int(2 * center[0]) + 1)) if random.random() < 0.5 else affine


def warp_small(
    picture: Picture, affine: Array, size: tuple[int, int], border: int = cv2.BORDER_CONSTANT
) -> Picture:
    """`picture` warped into a window of (width, height); strong shrinking averages first, as a camera would."""
    scale = affine_scale(affine)
    if scale < 0.6:
        picture, affine = seen_part(picture, affine, size)
        half = max(scale * 1.2, 0.02)
        height, width = picture.shape[:2]
        small = (max(1, round(width * half)), max(1, round(height * half)))
        picture = np.asarray(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), np.uint8)
        sx, sy = small[0] / width, small[1] / height
        affine = compose(
            affine, np.array([[1 / sx, 0, (1 / sx - 1) / 2], [0, 1 / sy, (1 / sy - 1) / 2]])
        )
    return np.asarray(
        cv2.warpAffine(picture, affine, size, flags=cv2.INTER_LINEAR, borderMode=border), np.uint8
    )


def seen_part(picture: Picture, affine: Array, size: tuple[int, int]) -> tuple[Picture, Array]:
    """The part of `picture` that a window of (width, height) shows, with some room, and its affine."""
    width, height = size
    corners = apply_affine(
        invert_affine(affine), [[0, 0], [width, 0], [width, height], [0, height]]
    )
    room = 2 / affine_scale(affine)
    limit = picture.shape[1::-1]
    x0, y0 = np.clip(np.floor(corners.min(0) - room), 0, np.array(limit) - 1).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(corners.max(0) + room), (x0 + 1, y0 + 1), limit).astype(int).tolist()
    return picture[y0:y1, x0:x1], compose(affine, np.array([[1.0, 0, x0], [0, 1.0, y0]]))


class SceneMaker:
    """maker(index) -> Scene; the same index gives the same scene, whoever asks and whenever."""

    def __init__(
        self, photos: Sequence[Photo], cache: PictureCache, size: int = 256, seed: int = 0
    ) -> None:
        """photos: those of `cache`, in its order.    size: side of the scenes."""
        self.photos, self.cache, self.size, self.seed = list(photos), cache, size, seed
        self.by_kind: dict[str, list[int]] = {}
        for i, photo in enumerate(self.photos):
            if len(photo.boxes) or photo.kind == "background":
                self.by_kind.setdefault(photo.kind, []).append(i)
        self.kinds = [k for k in ("wider", "masks", "landmarks", "background") if k in self.by_kind]
        shares = {"wider": 0.3, "masks": 0.22, "landmarks": 0.3, "background": 0.18}
        weights = np.array([shares[k] for k in self.kinds])
        self.weights = weights / weights.sum()

    def __call__(self, index: int) -> Scene:
        random = np.random.default_rng((self.seed, index))
        canvas = self.backdrop(random)
        for window in windows(self.size, random):
            kind = str(random.choice(self.kinds, p=self.weights))
            self.lay(canvas, kind, window, random)
        if "landmarks" in self.by_kind:
            for _ in range(random.choice([0, 1, 2, 3], p=[0.65, 0.2, 0.1, 0.05])):
                self.paste(canvas, random)
        return self.finish(canvas, random)

    def pick(self, kind: str, random: Random) -> int:
        """The index of a photo of `kind`."""
        return int(self.by_kind[kind][random.integers(len(self.by_kind[kind]))])

    def backdrop(self, random: Random) -> Canvas:
        """A canvas of one color, or of a picture without faces."""
        size = self.size
        image: Picture = np.empty((size, size, 3), np.uint8)
        image[:] = random.integers(0, 256, 3)
        if "background" in self.by_kind and random.random() < 0.7:
            i = self.pick("background", random)
            picture = self.cache[i]
            scale = random.uniform(1.0, 2.2) * size / min(picture.shape[:2])
            center = np.array(picture.shape[1::-1]) / 2
            affine = similarity(
                scale, float(random.uniform(-180, 180)), center, np.array([size / 2, size / 2])
            )
            image = warp_small(picture, affine, (size, size), cv2.BORDER_REFLECT)
            if random.random() < 0.7:
                # the pictures without faces are grey, so color must not tell that there is a face
                tables = np.arange(256)[:, None] * random.uniform(0.5, 1.0, 3)
                image = np.asarray(cv2.LUT(image, tables.astype(np.uint8)[None]), np.uint8)
        return Canvas(image, np.ones((size, size), np.uint8), np.zeros((size, size), np.int16))

    def face_side(self, kind: str, extent: int, random: Random) -> float:
        """The size in pixels wanted of the face that is aimed at: small in crowds, up to the window in portraits."""
        smallest, largest = (20.0, 1.1 * extent) if kind == "landmarks" else (9.0, 0.6 * extent)
        return float(np.exp(random.uniform(np.log(smallest), np.log(max(largest, smallest + 1)))))

    def lay(
        self, canvas: Canvas, kind: str, window: tuple[int, int, int, int], random: Random
    ) -> None:
        """Fill the window (x0, y0, x1, y1) of the canvas with a photo of `kind`, as far as it reaches."""
        i = self.pick(kind, random)
        x0, y0, x1, y1 = window
        size = (x1 - x0, y1 - y0)
        affine = random_affine(
            self.photos[i], size, self.face_side(kind, min(size), random), random
        )
        self.draw(canvas, i, affine, window, np.ones(size[::-1], np.uint8))

    def paste(self, canvas: Canvas, random: Random) -> None:
        """A face of a landmark photo cut out and laid over the canvas."""
        i = self.pick("landmarks", random)
        size = (self.size, self.size)
        side = float(np.exp(random.uniform(np.log(12), np.log(0.4 * self.size))))
        affine = random_affine(self.photos[i], size, side, random)
        boxes, rolls = moved_faces(self.photos[i], affine)
        extent = float((boxes[0, 2:] - boxes[0, :2]).max()) * random.uniform(1.3, 2.0)
        ellipse = bool(random.random() < 0.5)
        shape = np.array([extent, extent * (1.2 if ellipse else 1.1)])
        mask = turned_shape(size, box_center(boxes[0]), shape, float(rolls[0]), ellipse)
        self.draw(canvas, i, affine, (0, 0, self.size, self.size), mask)

    def draw(
        self,
        canvas: Canvas,
        i: int,
        affine: Array,
        window: tuple[int, int, int, int],
        mask: Picture,
    ) -> None:
        """Lay photo i, moved by `affine` into the window, over the canvas where `mask` (h, w) and the photo reach."""
        photo, picture = self.photos[i], self.cache[i]
        x0, y0, x1, y1 = window
        size = (x1 - x0, y1 - y0)
        layer = warp_small(picture, affine, size)
        reach = np.zeros(size[::-1], np.uint8)
        height, width = picture.shape[:2]
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
        cv2.fillConvexPoly(reach, apply_affine(affine, corners).round().astype(np.int32), (1,))
        shown = mask & reach
        boxes, rolls = moved_faces(photo, affine)
        known = np.ones_like(shown)
        if photo.kind == "landmarks":
            known = np.zeros(size[::-1], np.uint8)
            extent = (boxes[0, 2:] - boxes[0, :2]) * KNOWN
            cv2.ellipse(
                known, (tuple(box_center(boxes[0]).tolist()), tuple(extent.tolist()), 0.0), (1,), -1
            )
        canvas.layers += 1
        view = np.s_[y0:y1, x0:x1]
        cv2.copyTo(layer, shown, canvas.image[view])
        cv2.copyTo(known, shown, canvas.counted[view])
        canvas.owner[view][shown > 0] = canvas.layers
        canvas.boxes += list(boxes + np.array([x0, y0, x0, y0]))
        canvas.rolls += list(rolls)
        canvas.weights += [1.0 if photo.landmarks is not None else UPRIGHT_WEIGHT] * len(boxes)
        canvas.layer_of += [canvas.layers] * len(boxes)

    def finish(self, canvas: Canvas, random: Random) -> Scene:
        """The scene of a canvas: faces that show are kept, then things in front of them, then a worse camera."""
        boxes = np.array(canvas.boxes).reshape(-1, 4)
        share = np.array(
            [shown_share(canvas, box, n) for box, n in zip(boxes, canvas.layer_of, strict=True)]
        )
        keep = share > 0.02
        boxes, share = boxes[keep], share[keep]
        rolls = np.array(canvas.rolls)[keep]
        seen = share >= VISIBLE
        image = occlude_faces(random, canvas.image, boxes[seen], rolls[seen])
        image, min_side = degrade_scene(random, image)
        sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))
        return Scene(
            image=image,
            boxes=boxes,
            whole=seen & (sides >= min_side),
            roll_deg=rolls,
            roll_weight=np.array(canvas.weights)[keep],
            counted=canvas.counted > 0,
        )


def windows(size: int, random: Random) -> list[tuple[int, int, int, int]]:
    """The whole scene, or four windows that share a corner: (x0, y0, x1, y1) each."""
    if random.random() < 0.7:
        return [(0, 0, size, size)]
    x, y = random.integers(round(0.35 * size), round(0.65 * size), 2).tolist()
    return [(0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)]


def shown_share(canvas: Canvas, box: Array, layer: int) -> float:
    """The share of `box` in which the canvas shows its `layer`."""
    size = canvas.owner.shape[0]
    x0, y0, x1, y1 = np.clip(np.round(box), 0, size).astype(int).tolist()
    area = float((box[2] - box[0]) * (box[3] - box[1]))
    return float((canvas.owner[y0:y1, x0:x1] == layer).sum()) / max(area, 1.0)
