"""Image -> face boxes: the detector of the package, presets for two that users have, and any callable.

Boxes are the tight box of the 68 landmarks (brows to chin), whoever found them. Stands on ONNX Runtime.
"""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError, ShapeError
from ..geometry import Array, as_boxes, iou
from .model_files import find_model, read_card
from .onnx_model import open_session

MULTIPLE = 32
TILE_OVERLAP = 160
"""Pixels that neighboring tiles share: faces up to this side are whole in one of them."""
SMALLEST, LARGEST = 32, 224
"""Sides of faces, in pixels as seen, that a look in_scale_range for; the finest also for smaller, the coarsest for larger."""
PRE_NMS_TOP_K = 1000
"""Candidates that suppression looks at, best first."""
SAME_IOU = 0.5
"""Candidates that overlap a face more than this speak for it."""
MIN_CANDIDATE_SCORE = 0.15
"""Candidates below this score are not looked at."""


class Detections(NamedTuple):
    """The faces of one image, best first; without a face, arrays of no rows."""

    boxes: Array
    """(F, 4) tight boxes, pixels of the image."""
    scores: Array
    """(F,) in [0, 1]."""
    roll_deg: Array
    """(F,) how far each face is turned clockwise, in (-180, 180]; nan where the detector does not say."""


Detector = Callable[[NDArray[np.uint8]], Detections]
"""RGB uint8 (H, W, 3) -> Detections."""


class FaceDetector:
    """The detector in an ONNX file: detector(image) -> Detections. Thread-safe; the same image gives the same faces."""

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
        """path: the .onnx file, its card beside it; None: the one of the package.

        threshold: least score of a face; None: the card's, chosen on validation photos.
        side: images are brought to this longer side, but never enlarged more than `enlarge` times.
        coarse_sides: they are looked at again at these longer sides, for a fifth of the time: large, blurred and dark
        faces are clearest there, and what only looks like a face at one scale is found out.
        finest_side: larger images are searched again at twice, four times ... `side`, up to this longer side, one tile
        of `side` at a time, for small faces; memory does not grow with the image.
        nms_iou: of two boxes that overlap more, the worse one goes.
        support: cells of one look whose mean is the score of a face; None: the card's.
        threads: of ONNX Runtime.
        Raises: ModelError where the file is missing, foreign or broken.
        """
        file = Path(path) if path is not None else find_model("detector")
        self.path, self.card = file, read_card(file)
        self.session = open_detector(file, threads)
        self.threshold = float(self.card.get("threshold", 0.5)) if threshold is None else threshold
        self.support = int(self.card.get("support", 1)) if support is None else support
        self.side, self.coarse_sides, self.finest_side = side, coarse_sides, finest_side
        self.enlarge, self.nms_iou = enlarge, nms_iou

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """The faces of an RGB uint8 image (H, W, 3).    Raises: ShapeError."""
        check_image(image)
        longest = max(image.shape[:2])
        if min(image.shape[:2]) == 0:
            return empty_detections()
        scale = min(self.side / longest, self.enlarge)
        scales = [scale] + [
            side / longest for side in self.coarse_sides if side / longest < 0.75 * scale
        ]
        looks, seen = [], image
        for scale in scales:  # finest first: each picture is made from the one before
            seen = look(seen, image.shape[:2], scale)
            looks.append((scale, self.search(seen, image.shape[:2])))
        found = [fuse_scales(looks, self.support, self.nms_iou, self.threshold)]
        finer = 2 * self.side
        while self.side * 1.25 < longest and finer <= self.finest_side:
            found += self.search_tiles(image, min(1.0, finer / longest))
            finer *= 2
        together = found[0] if len(found) == 1 else nms(concatenate(found), self.nms_iou)
        return rows(together, together.scores > self.threshold)

    def search(self, seen: NDArray[np.uint8], shape: tuple[int, ...]) -> Detections:
        """Every candidate in the picture `seen` of an image of `shape`, in the image's pixels, before suppression."""
        padded = pad_to_multiple(seen)
        scores, boxes, directions = (a[0] for a in self.session.run(None, {"image": padded[None]}))
        keep = scores > min(self.threshold, MIN_CANDIDATE_SCORE)
        kept, turned = boxes[keep].astype(np.float64), directions[keep].astype(np.float64)
        # back by the area rule of geometry, each side by its own rounded factor
        factors = np.array([shape[1] / seen.shape[1], shape[0] / seen.shape[0]] * 2)
        return Detections(
            boxes=(kept + 0.5) * factors - 0.5,
            scores=scores[keep].astype(np.float64),
            roll_deg=np.rad2deg(np.arctan2(turned[:, 1], turned[:, 0])),
        )

    def search_tiles(self, image: NDArray[np.uint8], scale: float) -> Iterator[Detections]:
        """The small candidates of each tile of `image` seen at `scale`; a face belongs to the tile that centers it."""
        height, width = image.shape[:2]
        reach = int(self.side / scale)
        overlap = int(min(TILE_OVERLAP, self.side // 2) / scale)
        for y, top, bottom in tile_spans(height, reach, overlap):
            for x, left, right in tile_spans(width, reach, overlap):
                tile = image[y : y + reach, x : x + reach]
                candidates = self.search(look(tile, tile.shape[:2], scale), tile.shape[:2])
                found = fuse_scales(
                    [(scale, candidates)], self.support, self.nms_iou, self.threshold
                )
                boxes = found.boxes + np.array([x, y, x, y])
                center = (boxes[:, :2] + boxes[:, 2:]) / 2
                mine = ((center >= (left, top)) & (center < (right, bottom))).all(1)
                small = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0) <= overlap
                yield rows(Detections(boxes, found.scores, found.roll_deg), mine & small)


def rows(found: Detections, which: Any) -> Detections:
    """The rows of `found` that an index or a mask picks."""
    return Detections(*(part[which] for part in found))


def concatenate(parts: list[Detections]) -> Detections:
    """All rows of all parts."""
    return Detections(*(np.concatenate(same) for same in zip(*parts, strict=True)))


def tile_spans(length: int, reach: int, overlap: int) -> list[tuple[int, float, float]]:
    """Tiles of `reach` over `length`: (start, first and last coordinate that this tile in_scale_range for) each."""
    if length <= reach:
        return [(0, -np.inf, np.inf)]
    count = -(-(length - overlap) // (reach - overlap))
    starts = np.linspace(0, length - reach, count).astype(int)
    cuts = ((starts[:-1] + reach + starts[1:]) / 2).tolist()
    return list(zip(starts.tolist(), [-np.inf, *cuts], [*cuts, np.inf], strict=True))


def look(picture: NDArray[np.uint8], shape: tuple[int, ...], scale: float) -> NDArray[np.uint8]:
    """An image of `shape` (height, width) as seen at `scale`, made from a larger or equal `picture` of it."""
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    return (
        picture
        if size == (picture.shape[1], picture.shape[0])
        else shrink_or_enlarge(picture, size)
    )


def shrink_or_enlarge(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """`image` resized to (width, height): by area where it shrinks, so that nothing aliases."""
    while size[0] * 2 <= image.shape[1] and size[1] * 2 <= image.shape[0]:
        # halves are ten times faster than odd factors
        half = (-(-image.shape[1] // 2), -(-image.shape[0] // 2))
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    how = cv2.INTER_AREA if size[0] < 0.75 * image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def pad_to_multiple(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`image` with black at the right and the bottom, so that both sides are multiples of 32."""
    height, width = image.shape[:2]
    if height % MULTIPLE == 0 and width % MULTIPLE == 0:
        return np.ascontiguousarray(image)
    padded = np.zeros(
        (-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE, 3), np.uint8
    )
    padded[:height, :width] = image
    return padded


def nms(found: Detections, nms_iou: float) -> Detections:
    """The best of each heap of boxes that overlap more than `nms_iou`, best first; ties keep their order."""
    order = np.argsort(-found.scores, kind="stable")
    # row by row and on bare columns: heaps are few, and the matrix of all overlaps is most of the time of a large face
    x0, y0, x1, y1 = np.ascontiguousarray(found.boxes[order].T)
    area = (x1 - x0) * (y1 - y0)
    alive, kept = np.ones(len(order), bool), []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        width = np.minimum(x1, x1[i]) - np.maximum(x0, x0[i])
        height = np.minimum(y1, y1[i]) - np.maximum(y0, y0[i])
        inner = np.maximum(width, 0) * np.maximum(height, 0)
        # inner / union > nms_iou, without dividing; a box without area overlaps nothing
        alive &= inner * (1 + nms_iou) <= nms_iou * (area + area[i])
    return rows(found, order[kept])


def fuse_scales(
    looks: list[tuple[float, Detections]], count: int, nms_iou: float, least: float = 0.0
) -> Detections:
    """The faces of one image seen at several scales, finest first, scored by how far the looks and cells agree.

    looks: scale and candidates of each. A face's score is the mean, over the looks that answer for its size, of its
    best `count` candidates there, absent ones `MIN_CANDIDATE_SCORE`.
    least: faces that no candidate above this score speaks for are left out, as theirs cannot be above it either.
    """
    own = [
        rows(found, in_scale_range(found.boxes, scale, i, len(looks)))
        for i, (scale, found) in enumerate(looks)
    ]
    candidates = concatenate(own)
    kept = nms(
        rows(candidates, np.argsort(-candidates.scores, kind="stable")[:PRE_NMS_TOP_K]), nms_iou
    )
    if least > MIN_CANDIDATE_SCORE:
        strong = np.concatenate([found.boxes[found.scores > least] for _, found in looks])
        kept = rows(kept, (iou(kept.boxes, strong) > SAME_IOU).any(1))
    total, asked = np.zeros(len(kept.boxes)), np.zeros(len(kept.boxes))
    for i, (scale, found) in enumerate(looks):
        mine = in_scale_range(kept.boxes, scale, i, len(looks))
        votes = np.where(iou(kept.boxes, found.boxes) > SAME_IOU, found.scores, MIN_CANDIDATE_SCORE)
        votes = np.concatenate([votes, np.full((len(votes), count), MIN_CANDIDATE_SCORE)], axis=1)
        total += mine * -np.sort(-votes, axis=1)[:, :count].mean(1)
        asked += mine
    scores = total / np.maximum(asked, 1)
    order = np.argsort(-scores, kind="stable")
    return Detections(kept.boxes[order], scores[order], kept.roll_deg[order])


def in_scale_range(boxes: Array, scale: float, look: int, looks: int) -> NDArray[np.bool_]:
    """(F,) whether look number `look` of `looks`, finest first, in_scale_range for faces of the size of `boxes`."""
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)) * scale
    return np.asarray(
        ((sides >= SMALLEST) | (look == 0)) & ((sides <= LARGEST) | (look == looks - 1))
    )


def empty_detections() -> Detections:
    """No face."""
    return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))


def check_image(image: NDArray[np.uint8]) -> None:
    """Raises ShapeError unless `image` is RGB uint8 (H, W, 3)."""
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        given = (
            f"{image.dtype} {image.shape}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ShapeError(
            f"image is {given}; wanted uint8 (H, W, 3) in RGB: read it with lineament.read_image"
        )


def open_detector(file: Path, threads: int) -> Any:
    """The ONNX Runtime session of a detector file.    Raises: ModelError."""
    session = open_session(file, threads)
    names = [output.name for output in session.get_outputs()]
    if names != ["scores", "boxes", "directions"]:
        raise ModelError(
            f"{file} has the outputs {names}; wanted a face detector with scores, boxes, directions"
        )
    return session


def as_detector(function: Callable[[NDArray[np.uint8]], Any]) -> Detector:
    """A `Detector` of any callable image -> boxes (F, 4), boxes with scores (F, 5), (boxes, scores) or Detections.

    Its boxes must be tight landmark boxes already. Scores default to 1, rolls to nan; the order becomes best first.
    Raises: ModelError where `function` cannot be called.
    """
    if not callable(function):
        raise ModelError(
            f"the detector is {function!r}; wanted 'default' or a callable image -> boxes, as detect_presets has them"
        )

    def detect(image: NDArray[np.uint8]) -> Detections:
        check_image(image)
        return normalized(function(image))

    return detect


def normalized(given: Any) -> Detections:
    """`Detections` of what some detector returned.    Raises: ShapeError."""
    scores: ArrayLike | None = None
    roll_deg: ArrayLike | None = None
    boxes = given
    if (
        isinstance(given, tuple)
        and 2 <= len(given) <= 3
        and np.ndim(given[1]) == 1
        and np.ndim(given[0]) == 2
    ):
        boxes, scores = given[0], given[1]
        roll_deg = given[2] if len(given) == 3 else None
    rows = np.asarray([] if boxes is None else boxes, dtype=np.float64)
    if rows.ndim == 2 and rows.shape[1] == 5 and scores is None:
        rows, scores = rows[:, :4], rows[:, 4]
    valid = as_boxes(rows)
    sure = np.ones(len(valid)) if scores is None else np.asarray(scores, dtype=np.float64)
    rolls = (
        np.full(len(valid), np.nan) if roll_deg is None else np.asarray(roll_deg, dtype=np.float64)
    )
    if sure.shape != (len(valid),) or rolls.shape != (len(valid),):
        raise ShapeError(
            f"{len(valid)} boxes came with scores {sure.shape} and rolls {rolls.shape}; wanted one a box"
        )
    order = np.argsort(-sure, kind="stable")
    return Detections(valid[order], sure[order], rolls[order])
