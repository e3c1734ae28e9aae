"""Cascade of networks over windows: an image pyramid, then fewer and larger windows.

Source: Zhang et al. 2016, figure 1. Depends on NumPy; the caller supplies the function that runs
the networks.
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
a logit, the offsets of the box edges from the window's, and five points relative to its upper
left corner, all in units of the window side."""
STRIDE = 2
"""Pixels between neighboring windows of the first network."""
SCALE_STEP = 0.709
"""Factor between levels of the pyramid: half the area, as in the authors' code."""
MAX_SCALE = 2.0
"""Largest factor by which images are enlarged."""
LEVEL_IOU = 0.5
"""Overlap above which the lower-scored of two boxes of one level is dropped."""
NMS_IOU = (0.7, 0.7, 0.4)
"""Maximum overlap of all boxes after each network; the paper states no thresholds."""
MIN_SIDE_PX = 1.0
"""Boxes with a shorter side are dropped; only failed regressions have them."""


class WindowCascade:
    """Detect faces with one or more networks; each refines the boxes of the previous one."""

    def __init__(
        self, run: Run, sides: Mapping[str, int], min_scores: Sequence[float]
    ) -> None:
        """Store the networks.

        Args:
            run: Function that runs a network.
            sides: Side of each network's window by its name, pixels, in order.
            min_scores: Minimum score of a window, by network.
        """
        self.run, self.sides = run, dict(sides)
        self.min_scores = tuple(min_scores)

    def __call__(self, image: Image, min_face: float) -> Detections:
        """Return the boxes that pass the last network, best first.

        Args:
            image: RGB, (H, W, 3).
            min_face: Longer side of the smallest face to detect, pixels of the image."""
        first, *others = zip(self.sides, self.min_scores, NMS_IOU, strict=False)
        detections = self._scan_pyramid(image, min_face, *first)
        for name, min_score, max_iou in others:
            detections = self._refine(image, detections, name, min_score, max_iou)
        return detections

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
        detections = [empty_detections("five")]
        for scale in pyramid_scales(image.shape, self.sides[name], min_face):
            level = resize_to_scale(image, image.shape, scale)
            for top, strip in self._strips(level, self.sides[name]):
                boxes = self._scan(strip, name, min_score).shifted(0, top)
                # each axis has its own factor, due to rounding
                factors = width / level.shape[1], height / level.shape[0]
                detections.append(nms(boxes.resized(*factors), LEVEL_IOU))
        return nms(concatenate(detections), max_iou)

    def _strips(self, level: Image, side: int) -> Iterator[tuple[int, Image]]:
        """Yield the first row and the pixels of strips of a level, which bound the memory.

        The strips contain every window of the level exactly once.
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
        outputs = self.run(name, np.ascontiguousarray(image)[None])[0]  # (15, h, w)
        rows, columns = np.nonzero(outputs[0] > logit(min_score))
        corners = STRIDE * np.stack([columns, rows], 1).astype(np.float64) - 0.5
        windows = np.concatenate([corners, corners + self.sides[name]], 1)
        boxes = decode(outputs[:, rows, columns].T, windows)
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
        """Return the boxes of a network in square windows around the boxes `found` so far."""
        if not len(found):
            return found
        windows = squares_around(found.boxes)
        crops = crop_windows(image, windows, self.sides[name])
        outputs = self.run(name, crops)[:, :, 0, 0]
        is_candidate = outputs[:, 0] > logit(min_score)
        return nms(decode(outputs[is_candidate], windows[is_candidate]), max_iou)


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
    """Decode a network's outputs (F, 15) to boxes, scores and five points.

    Args:
        outputs: See `Run`.
        windows: (F, 4), pixels.
    """
    values = outputs.astype(np.float64)
    size = windows[:, 2:] - windows[:, :2]
    boxes = windows + values[:, 1:5] * np.tile(size, 2)
    points = windows[:, None, :2] + values[:, 5:].reshape(-1, 5, 2) * size[:, None]
    scores = 1 / (1 + np.exp(-values[:, 0]))
    detections = Detections(boxes, scores, five_roll_deg(points), points, "five")
    return detections.take((boxes[:, 2:] - boxes[:, :2] > MIN_SIDE_PX).all(1))


def logit(probability: float) -> float:
    """Return the logit of a probability; infinite for 0 and 1."""
    if probability in (0.0, 1.0):
        return float(np.inf if probability else -np.inf)
    return float(np.log(probability / (1 - probability)))
