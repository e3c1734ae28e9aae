"""The face detector of the package: an ONNX network run at several scales and on tiles.

Boxes are the tight box of the 68 landmarks, brows to chin. Depends on ONNX Runtime.
"""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ModelError
from ..geometry import Image
from .detections import Detections, check_image, concatenate, empty_detections
from .model_files import find_model, read_card
from .nms import MIN_CANDIDATE_SCORE, fuse_scales, nms
from .onnx_model import DETECTOR_OUTPUTS, open_session

MULTIPLE = 32
TILE_OVERLAP = 160
"""Pixels that neighboring tiles share: faces up to this side fit into one."""


class FaceDetector:
    """Detect faces with the network in an ONNX file. Thread-safe and deterministic."""

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        threshold: float | None = None,
        side: int = 640,
        coarse_sides: tuple[int, ...] = (256, 128),
        finest_side: int = 1280,
        enlarge: float = 2.0,
        nms_iou: float = 0.4,
        support: int | None = None,
        threads: int = 1,
    ) -> None:
        """Open a detector file.

        Args:
            path: The .onnx file, next to its card; None: the detector of the package.
            threshold: Minimum score of a face; None: the card's.
            side: Longer side that images are resized to, pixels; none is enlarged more
                than `enlarge` times.
            coarse_sides: Longer sides of further passes, for a fifth of the time.
                Large, blurred and dark faces are clearest there, and false positives of
                one scale are rejected.
            finest_side: Larger images are also searched for small faces at 2, 4 ...
                times `side`, up to this longer side, in tiles of `side`; memory does
                not grow with the image.
            enlarge: Limit of enlarging small images.
            nms_iou: Overlap above which the lower-scored box is dropped.
            support: Candidates per pass whose mean is the score of a face; None: the
                card's.
            threads: Threads of ONNX Runtime.

        Raises:
            ModelError: If the file is missing, of another kind or broken.
        """
        file = Path(path) if path is not None else find_model("detector")
        self.path, self.card = file, read_card(file)
        self.session = open_detector(file, threads)
        self.threshold = (
            float(self.card.get("threshold", 0.5)) if threshold is None else threshold
        )
        self.support = int(self.card.get("support", 1)) if support is None else support
        self.side, self.coarse_sides, self.finest_side = side, coarse_sides, finest_side
        self.enlarge, self.nms_iou = enlarge, nms_iou

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB uint8 image (H, W, 3).

        Raises:
            ShapeError: If the image has another type or shape.
        """
        check_image(image)
        longest = max(image.shape[:2])
        if min(image.shape[:2]) == 0:
            return empty_detections()
        scale = min(self.side / longest, self.enlarge)
        scales = [scale]
        for side in self.coarse_sides:
            if side / longest < 0.75 * scale:
                scales.append(side / longest)
        passes, resized = [], image
        for scale in scales:  # finest first: each image is made from the one before
            resized = resize_to_scale(resized, image.shape[:2], scale)
            passes.append((scale, self.candidates(resized, image.shape[:2])))
        found = [fuse_scales(passes, self.support, self.nms_iou, self.threshold)]
        finer = 2 * self.side
        while self.side * 1.25 < longest and finer <= self.finest_side:
            found += self.tile_candidates(image, min(1.0, finer / longest))
            finer *= 2
        fused = found[0] if len(found) == 1 else nms(concatenate(found), self.nms_iou)
        return fused.take(fused.scores > self.threshold)

    def candidates(self, resized: Image, shape: tuple[int, ...]) -> Detections:
        """Return every candidate in a resized image, before suppression.

        Args:
            resized: RGB, (h, w, 3), of an image of `shape`.
            shape: Height and width of the image; boxes are in its pixels.
        """
        padded = pad_to_multiple(resized)
        outputs = self.session.run(None, {"image": padded[None]})
        scores, boxes, directions = (output[0] for output in outputs)
        keep = scores > min(self.threshold, MIN_CANDIDATE_SCORE)
        kept, direction = boxes[keep].astype(np.float64), directions[keep]
        direction = direction.astype(np.float64)
        # back by the area rule of geometry, each side by its own rounded factor
        factors = np.array(
            [shape[1] / resized.shape[1], shape[0] / resized.shape[0]] * 2
        )
        return Detections(
            boxes=(kept + 0.5) * factors - 0.5,
            scores=scores[keep].astype(np.float64),
            roll_deg=np.rad2deg(np.arctan2(direction[:, 1], direction[:, 0])),
        )

    def tile_candidates(self, image: Image, scale: float) -> Iterator[Detections]:
        """Yield the small faces of each tile of `image`, resized by `scale`.

        A face belongs to the tile that its center falls in.
        """
        height, width = image.shape[:2]
        reach = int(self.side / scale)
        overlap = int(min(TILE_OVERLAP, self.side // 2) / scale)
        for y, top, bottom in tile_spans(height, reach, overlap):
            for x, left, right in tile_spans(width, reach, overlap):
                tile = image[y : y + reach, x : x + reach]
                resized = resize_to_scale(tile, tile.shape[:2], scale)
                passes = [(scale, self.candidates(resized, tile.shape[:2]))]
                found = fuse_scales(passes, self.support, self.nms_iou, self.threshold)
                boxes = found.boxes + np.array([x, y, x, y])
                center = (boxes[:, :2] + boxes[:, 2:]) / 2
                mine = ((center >= (left, top)) & (center < (right, bottom))).all(1)
                small = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) <= overlap
                yield Detections(boxes, found.scores, found.roll_deg).take(mine & small)


def tile_spans(length: int, reach: int, overlap: int) -> list[tuple[int, float, float]]:
    """Split an axis into overlapping tiles.

    Args:
        length: Pixels along the axis.
        reach: Pixels of a tile.
        overlap: Pixels that neighboring tiles share at least.

    Returns:
        Start of each tile, and the range of face centers that belong to it.
    """
    if length <= reach:
        return [(0, -np.inf, np.inf)]
    count = -(-(length - overlap) // (reach - overlap))
    starts = np.linspace(0, length - reach, count).astype(int)
    borders = ((starts[:-1] + reach + starts[1:]) / 2).tolist()
    return list(
        zip(starts.tolist(), [-np.inf, *borders], [*borders, np.inf], strict=True)
    )


def resize_to_scale(image: Image, shape: tuple[int, ...], scale: float) -> Image:
    """Return an image at `scale` times the `shape` (height, width) of its original."""
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    if size == (image.shape[1], image.shape[0]):
        return image
    return shrink_or_enlarge(image, size)


def shrink_or_enlarge(image: Image, size: tuple[int, int]) -> Image:
    """Return `image` resized to (width, height), shrinking by area against aliasing."""
    while size[0] * 2 <= image.shape[1] and size[1] * 2 <= image.shape[0]:
        # halving is ten times faster than odd factors
        half = (-(-image.shape[1] // 2), -(-image.shape[0] // 2))
        image = np.asarray(
            cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8
        )
    method = cv2.INTER_AREA if size[0] < 0.75 * image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def pad_to_multiple(image: Image) -> Image:
    """Return `image` padded with black to multiples of 32, right and bottom."""
    height, width = image.shape[:2]
    bottom, right = -height % MULTIPLE, -width % MULTIPLE
    if bottom == right == 0:
        return np.ascontiguousarray(image)
    padded = np.zeros((height + bottom, width + right, 3), np.uint8)
    padded[:height, :width] = image
    return padded


def open_detector(file: Path, threads: int) -> Any:
    """Return the ONNX Runtime session of a detector file.

    Raises:
        ModelError: If the file is missing, broken or not a face detector.
    """
    session = open_session(file, threads)
    names = [output.name for output in session.get_outputs()]
    if names != DETECTOR_OUTPUTS:
        raise ModelError(
            f"{file} has the outputs {names}; wanted a face detector with scores, boxes, directions"
        )
    return session
