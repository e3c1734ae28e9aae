"""A cascade of networks over windows: a pyramid of the image, then ever fewer and larger windows.

Source: Zhang et al. 2016, figure 1. Depends on NumPy; who runs the networks is given.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..crop import warp_all
from ..geometry import Array, Image, box_center, box_side, crop_affine
from .detections import Detections, concatenate, empty_detections
from .detector_file import five_roll_deg
from .face_detector import resize_to_scale
from .min_face import MAX_PASS_PX
from .nms import PRE_NMS_TOP_K, nms

Run = Callable[[str, NDArray[np.uint8]], NDArray[np.float32]]
"""Network by name and RGB images (B, H, W, 3) -> outputs (B, 15, h, w) for all windows in them:
a logit, the distances of the box's edges from the window's, five points from its upper left
corner, all in sides of the window."""
STRIDE = 2
"""Pixels between neighboring windows of the first network."""
SCALE_STEP = 0.709
"""Factor between levels of the pyramid: half the area, as in the authors' code."""
MAX_SCALE = 2.0
"""Images are enlarged no further."""
LEVEL_IOU = 0.5
"""Overlap above which the worse of two boxes of one level is dropped."""
NMS_IOU = (0.7, 0.7, 0.4)
"""The same of all boxes after each network; the paper gives none of these."""
MIN_SIDE_PX = 1.0
"""Boxes with a shorter side, which only a failed regression has, are dropped."""


class WindowCascade:
    """Finds faces by one or more networks, each with windows around what the one before found."""

    def __init__(
        self, run: Run, sides: Mapping[str, int], min_scores: Sequence[float]
    ) -> None:
        """Set the networks.

        Args:
            run: Runs a network.
            sides: Side of each network's window by its name, pixels, in order.
            min_scores: Score that a window must exceed, by network.
        """
        self.run, self.sides = run, dict(sides)
        self.min_scores = tuple(min_scores)

    def __call__(self, image: Image, min_face: float) -> Detections:
        """Return the boxes that pass the last network, best first.

        Args:
            image: RGB, (H, W, 3).
            min_face: Longer side of the smallest face wanted, pixels of the image.
        """
        first, *others = zip(self.sides, self.min_scores, NMS_IOU, strict=False)
        found = self._scan_pyramid(image, min_face, *first)
        for name, min_score, max_iou in others:
            found = self._refine(image, found, name, min_score, max_iou)
        return found

    def _scan_pyramid(
        self,
        image: Image,
        min_face: float,
        name: str,
        min_score: float,
        max_iou: float,
    ) -> Detections:
        """Return the boxes of the first network at every level."""
        height, width = image.shape[:2]
        found = [empty_detections("five")]
        for scale in pyramid_scales(image.shape, self.sides[name], min_face):
            level = resize_to_scale(image, image.shape, scale)
            for top, strip in self._strips(level, self.sides[name]):
                boxes = self._scan(strip, name, min_score).shifted(0, top)
                # each axis by its own rounded factor
                factors = width / level.shape[1], height / level.shape[0]
                found.append(nms(boxes.resized(*factors), LEVEL_IOU))
        return nms(concatenate(found), max_iou)

    def _strips(self, level: Image, side: int) -> Iterator[tuple[int, Image]]:
        """Yield the rows of a level in strips of bounded size, each after its first row.

        Together they have the windows of the level, each once.
        """
        height, width = level.shape[:2]
        if min(height, width) < side:
            return
        rows = max(2 * side, STRIDE * (MAX_PASS_PX // width // STRIDE))
        top = 0
        while top + rows < height:
            yield top, level[top : top + rows]
            top += rows - side + STRIDE
        yield top, level[top:]

    def _scan(self, image: Image, name: str, min_score: float) -> Detections:
        """Return the best boxes of all windows of an image, in its pixels."""
        found = self.run(name, np.ascontiguousarray(image)[None])[0]  # (15, h, w)
        rows, columns = np.nonzero(found[0] > logit(min_score))
        corners = STRIDE * np.stack([columns, rows], 1).astype(np.float64) - 0.5
        windows = np.concatenate([corners, corners + self.sides[name]], 1)
        boxes = decode(found[:, rows, columns].T, windows)
        best = np.argsort(-boxes.scores, kind="stable")[:PRE_NMS_TOP_K]
        return boxes.take(best)

    def _refine(
        self,
        image: Image,
        found: Detections,
        name: str,
        min_score: float,
        max_iou: float,
    ) -> Detections:
        """Return the boxes of a network in square windows around those found before."""
        if not len(found):
            return found
        windows = squares_around(found.boxes)
        crops = crop_windows(image, windows, self.sides[name])
        outputs = self.run(name, crops)[:, :, 0, 0]
        passed = outputs[:, 0] > logit(min_score)
        return nms(decode(outputs[passed], windows[passed]), max_iou)


def pyramid_scales(
    shape: tuple[int, ...], side: int, min_face: float
) -> Iterator[float]:
    """Yield the scales at which an image of this `shape` is searched, finest first.

    Args:
        side: Side of the window, pixels.
        min_face: Longer side of the smallest face, pixels of the image.
    """
    scale = min(side / min_face, MAX_SCALE)
    while scale * min(shape[:2]) >= side:
        yield scale
        scale *= SCALE_STEP


def crop_windows(image: Image, windows: Array, size: int) -> NDArray[np.uint8]:
    """Return square `windows` (F, 4) of an image as crops (F, size, size, 3)."""
    affines = [crop_affine(window, size, 1.0) for window in windows]
    return warp_all([image] * len(affines), affines, size)


def squares_around(boxes: Array) -> Array:
    """Return the squares (F, 4) with the centers and longer sides of `boxes` (F, 4)."""
    squares = np.empty((len(boxes), 4))
    for row, box in enumerate(boxes):
        center, half = box_center(box), box_side(box) / 2
        squares[row] = *(center - half), *(center + half)
    return squares


def decode(outputs: NDArray[np.floating], windows: Array) -> Detections:
    """Return the boxes, scores and five points that a network's outputs (F, 15) mean.

    Args:
        outputs: See `Run`.
        windows: (F, 4), pixels.
    """
    values = outputs.astype(np.float64)
    size = windows[:, 2:] - windows[:, :2]
    boxes = windows + values[:, 1:5] * np.tile(size, 2)
    points = windows[:, None, :2] + values[:, 5:].reshape(-1, 5, 2) * size[:, None]
    scores = 1 / (1 + np.exp(-values[:, 0]))
    found = Detections(boxes, scores, five_roll_deg(points), points, "five")
    return found.take((boxes[:, 2:] - boxes[:, :2] > MIN_SIDE_PX).all(1))


def logit(probability: float) -> float:
    """Return the logit of a probability, infinite for 0 and 1."""
    if probability in (0.0, 1.0):
        return float(np.inf if probability else -np.inf)
    return float(np.log(probability / (1 - probability)))
