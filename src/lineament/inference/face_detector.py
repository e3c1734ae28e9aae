"""The face detector of the package: an ONNX network run at several scales and on tiles.

Boxes are the tight box of the 68 landmarks, brows to chin.
"""

import math
from collections.abc import Iterator
from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np

from ..geometry import Image
from ..opencv import cv2
from .detections import Detections, check_image, concatenate, empty_detections
from .detector_file import DetectorFile
from .device import CPU
from .min_face import SearchPlan, parse_min_face, plan_default, plan_search
from .model_files import find_model
from .nms import MIN_CANDIDATE_SCORE, SMALLEST_PX, drop_nested, fuse_scales, nms

TILE_OVERLAP = 160
"""Overlap of neighboring tiles, pixels: any face up to this side fits into one tile."""


class FaceDetector:
    """Detect faces with the network in an ONNX file. Thread-safe and deterministic."""

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        threshold: float | None = None,
        proposals: bool = False,
        min_face: float | str | None = None,
        side: int = 640,
        coarse_sides: tuple[int, ...] | None = None,
        enlarge: float = 2.0,
        nms_iou: float = 0.4,
        support: int | None = None,
        threads: int = 1,
        device: str = CPU,
    ) -> None:
        """Open a detector file.

        Args:
            path: The .onnx file, with its card next to it; None: the packaged detector.
            threshold: Minimum score of a face; None: the card's.
            proposals: Use the lower of the card's two thresholds, for a landmark model
                that drops false positives by their presence.
            min_face: Smallest face to find, as the longer side of its tight box: above 1
                or "40px" in pixels of the image, below 1 as a fraction of its longer
                side. It sets the scale of the search. The time grows with the square
                of 1 / min_face. Smaller faces may be found, too, and larger faces are
                always searched for. If an image is too large for one pass, it is searched
                in tiles, so memory is bounded. None: faces from 16 pixels of the image at
                its own size, its longer side limited to 640 to 1,024 pixels; a detector
                without landmarks uses 640 pixels, and for images above 800 also twice
                that scale.
            side: Minimum longer side of a pass over the entire image, unless `min_face`
                sets it, and longer side of tiles, pixels.
            coarse_sides: Longer sides of additional passes, which improve large, blurred
                and dark faces and reject false positives of one scale. None: the card's;
                (): none, if one pass detects faces of all sizes.
            enlarge: Largest factor by which images are enlarged.
            nms_iou: Overlap above which the lower-scored box is dropped.
            support: Number of candidates per pass whose mean score is the score of a face;
                None: the card's.
            threads: Threads of ONNX Runtime.
            device: Device of ONNX Runtime, as in Predictor.

        Raises:
            InputError: If `min_face` is not a size.
            ModelError: If the file is missing, of another kind or broken.
        """
        self.min_face = None if min_face is None else parse_min_face(min_face)
        self.path = Path(path) if path is not None else find_model("detector")
        self.network = DetectorFile(self.path, threads, device)
        self.card, self.scheme = self.network.card, self.network.kind.scheme
        stated_threshold = self.network.threshold
        if proposals:
            stated_threshold = self.network.proposal_threshold
        self.threshold = stated_threshold if threshold is None else threshold
        self.support = self.network.support if support is None else support
        stated = self.network.coarse_sides
        self.coarse_sides = stated if coarse_sides is None else coarse_sides
        self.side, self.enlarge, self.nms_iou = side, enlarge, nms_iou

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB uint8 image (H, W, 3).

        Raises:
            ShapeError: If the image has another type or shape.
        """
        check_image(image)
        if min(image.shape[:2]) == 0:
            return empty_detections(self.scheme)
        plan = self.plan(image.shape)
        detections = [self.entire_faces(image, plan.entire)]
        for scale in plan.tiled:
            detections += self.tile_faces(image, scale)
        fused = (
            detections[0]
            if len(detections) == 1
            else nms(concatenate(detections), self.nms_iou)
        )
        return drop_nested(fused.take(fused.scores > self.threshold))

    def plan(self, shape: tuple[int, ...]) -> SearchPlan:
        """Return the scales at which an image of this `shape` is searched."""
        if self.min_face is None:
            kind = self.network.kind
            limits = (self.side, kind.largest_side, self.enlarge)
            return plan_default(shape, kind.fine_factor, *limits)
        smallest = self.network.min_face_px
        return plan_search(shape, self.min_face, smallest, self.side, self.enlarge)

    def entire_faces(self, image: Image, scale: float) -> Detections:
        """Return the faces of a pass at `scale` and the coarser passes that it requires."""
        longest = max(image.shape[:2])
        scales = [scale]
        for side in self.coarse_sides:
            if side / longest < 0.75 * scale:
                scales += self.steps_to(side / longest, scales[-1])
        passes, resized = [], image
        # finest first: each image is resized from the previous one
        for scale in scales:
            resized = resize_to_scale(resized, image.shape[:2], scale)
            passes.append((scale, self.candidates(resized, image.shape[:2])))
        return self.fuse(passes)

    def steps_to(self, coarse: float, scale: float) -> list[float]:
        """Return the scales from below `scale` to `coarse`, dense enough for faces of all sizes."""
        octave_range = math.log(self.network.largest_px / SMALLEST_PX)
        count = max(1, math.ceil(math.log(scale / coarse) / octave_range - 1e-9))
        factor = (coarse / scale) ** (1 / count)
        return [scale * factor**step for step in range(1, count + 1)]

    def fuse(self, passes: list[tuple[float, Detections]]) -> Detections:
        """Return the faces from the scale and candidates of each pass, finest first."""
        limits = (self.support, self.nms_iou, self.network.largest_px, self.threshold)
        return fuse_scales(passes, *limits)

    def candidates(self, resized: Image, shape: tuple[int, ...]) -> Detections:
        """Return all candidates in a resized image, before non-maximum suppression.

        Args:
            resized: RGB, (h, w, 3), of an image of `shape`.
            shape: Height and width of the image; boxes are in its pixels.
        """
        detections = self.network.candidates(
            resized, min(self.threshold, MIN_CANDIDATE_SCORE)
        )
        # each axis has its own factor, due to rounding
        return detections.resized(
            shape[1] / resized.shape[1], shape[0] / resized.shape[0]
        )

    def tile_faces(self, image: Image, scale: float) -> Iterator[Detections]:
        """Yield the small faces of each tile of `image`, resized by `scale`.

        A face belongs to the tile that contains its center.
        """
        height, width = image.shape[:2]
        tile_side = int(self.side / scale)
        overlap = int(min(TILE_OVERLAP, self.side // 2) / scale)
        for y, top, bottom in tile_spans(height, tile_side, overlap):
            for x, left, right in tile_spans(width, tile_side, overlap):
                tile = image[y : y + tile_side, x : x + tile_side]
                resized = resize_to_scale(tile, tile.shape[:2], scale)
                passes = [(scale, self.candidates(resized, tile.shape[:2]))]
                detections = self.fuse(passes).shifted(x, y)
                center = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
                in_tile = ((center >= (left, top)) & (center < (right, bottom))).all(1)
                sides = (detections.boxes[:, 2:] - detections.boxes[:, :2]).max(
                    1, initial=0
                )
                yield detections.take(in_tile & (sides <= overlap))


def tile_spans(
    length: int, tile_side: int, overlap: int
) -> list[tuple[int, float, float]]:
    """Split an axis into overlapping tiles.

    Args:
        length: Pixels along the axis.
        tile_side: Length of a tile, pixels.
        overlap: Minimum overlap of neighboring tiles, pixels.

    Returns:
        Start of each tile, and the range of face centers that belong to it.
    """
    if length <= tile_side:
        return [(0, -np.inf, np.inf)]
    count = -(-(length - overlap) // (tile_side - overlap))
    starts = np.linspace(0, length - tile_side, count).astype(int)
    borders = ((starts[:-1] + tile_side + starts[1:]) / 2).tolist()
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
    """Return `image` resized to (width, height), with area interpolation when shrinking."""
    while size[0] * 2 <= image.shape[1] and size[1] * 2 <= image.shape[0]:
        # halving is ten times faster than other factors
        half = (-(-image.shape[1] // 2), -(-image.shape[0] // 2))
        image = np.asarray(
            cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8
        )
    method = cv2.INTER_AREA if size[0] < 0.75 * image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


@cache
def packaged_detector(
    threads: int, min_face: float | None, proposals: bool = False, device: str = CPU
) -> FaceDetector:
    """Return the packaged detector, opened once per combination of settings."""
    return FaceDetector(
        threads=threads, device=device, min_face=min_face, proposals=proposals
    )
