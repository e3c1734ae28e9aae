"""Image -> face boxes: the detector of the package, presets for two that users have, and any callable.

Boxes are the tight box of the 68 landmarks (brows to chin), whoever found them. Stands on ONNX Runtime.
"""

import json
from collections.abc import Callable, Iterator
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ModelError, ShapeError
from .geometry import Array, as_boxes, iou

MULTIPLE = 32
TILE_OVERLAP = 160
"""Pixels that neighboring tiles share: faces up to this side are whole in one of them."""
LARGEST, SMALLEST = 224, 32
"""Where an image is seen at two scales: sides of faces, in pixels as seen, that the finer and the coarser report."""
MOST = 1000
"""Candidates that suppression looks at, best first."""
SAME_IOU = 0.5
"""Candidates that overlap a face more than this speak for it."""
FAINT = 0.15
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
        coarse_side: int = 256,
        finest_side: int = 1280,
        enlarge: float = 2.0,
        suppress_iou: float = 0.4,
        support: int | None = None,
        threads: int = 1,
    ) -> None:
        """path: the .onnx file, its card beside it; None: the one of the package.

        threshold: least score of a face; None: the card's, chosen on validation photos.
        side: images are brought to this longer side, but never enlarged more than `enlarge` times.
        coarse_side: they are seen once more at this longer side, where large, blurred and dark faces are clearest,
        for a sixth of the time; 0: not.
        finest_side: larger images are searched again at twice, four times ... `side`, up to this longer side, one tile
        of `side` at a time, for small faces; memory does not grow with the image.
        suppress_iou: of two boxes that overlap more, the worse one goes.
        support: the score of a face is the mean of its best so many cells; None: the card's.
        threads: of ONNX Runtime.
        Raises: ModelError where the file is missing, foreign or broken.
        """
        file = Path(path) if path is not None else packaged("detector.onnx")
        self.path, self.card = file, read_card(file)
        self.session = open_session(file, threads)
        self.threshold = float(self.card.get("threshold", 0.5)) if threshold is None else threshold
        self.support = int(self.card.get("support", 1)) if support is None else support
        self.side, self.coarse_side, self.finest_side = side, coarse_side, finest_side
        self.enlarge, self.suppress_iou = enlarge, suppress_iou

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """The faces of an RGB uint8 image (H, W, 3).    Raises: ShapeError."""
        check_image(image)
        longest = max(image.shape[:2])
        if min(image.shape[:2]) == 0:
            return empty_detections()
        found = self.search_twice(image, min(self.side / longest, self.enlarge), self.coarse_side / longest)
        finer = 2 * self.side
        while self.side * 1.25 < longest and finer <= self.finest_side:
            found += self.search_tiles(image, min(1.0, finer / longest))
            finer *= 2
        together = Detections(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
        best = Detections(*(part[np.argsort(-together.scores, kind="stable")[:MOST]] for part in together))
        scored = supported(suppress(best, self.suppress_iou), best, self.support)
        keep = scored.scores > self.threshold
        return Detections(*(part[keep] for part in scored))

    def search_twice(self, image: NDArray[np.uint8], scale: float, coarse: float) -> list[Detections]:
        """The candidates at two scales: small faces from `scale`, large ones from `coarse`, in between from both."""
        fine = self.search(image, scale)
        if not 0 < coarse < 0.75 * scale:
            return [fine]
        whole = self.search(image, coarse)
        return [of_size(fine, 0, LARGEST / scale), of_size(whole, SMALLEST / coarse, np.inf)]

    def search(self, image: NDArray[np.uint8], scale: float) -> Detections:
        """Every candidate in `image` seen at `scale`, in its pixels, before suppression."""
        height, width = image.shape[:2]
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != (width, height):
            image = shrink_or_enlarge(image, size)
        padded = pad_to_multiple(image)
        scores, boxes, directions = (a[0] for a in self.session.run(None, {"image": padded[None]}))
        keep = scores > (min(self.threshold, FAINT) if self.support > 1 else self.threshold)
        kept, turned = boxes[keep].astype(np.float64), directions[keep].astype(np.float64)
        # back by the area rule of geometry, each side by its own rounded factor
        factors = np.array([width / size[0], height / size[1]] * 2)
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
                found = self.search(image[y : y + reach, x : x + reach], scale)
                boxes = found.boxes + np.array([x, y, x, y])
                center = (boxes[:, :2] + boxes[:, 2:]) / 2
                mine = ((center >= (left, top)) & (center < (right, bottom))).all(1)
                yield of_size(Detections(boxes[mine], found.scores[mine], found.roll_deg[mine]), 0, overlap)


def of_size(found: Detections, least: float, most: float) -> Detections:
    """Those of `found` whose longer side is from `least` to `most` pixels."""
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(1, initial=0)
    keep = (sides >= least) & (sides <= most)
    return Detections(found.boxes[keep], found.scores[keep], found.roll_deg[keep])


def tile_spans(length: int, reach: int, overlap: int) -> list[tuple[int, float, float]]:
    """Tiles of `reach` over `length`: (start, first and last coordinate that this tile answers for) each."""
    if length <= reach:
        return [(0, -np.inf, np.inf)]
    count = -(-(length - overlap) // (reach - overlap))
    starts = np.linspace(0, length - reach, count).astype(int)
    cuts = ((starts[:-1] + reach + starts[1:]) / 2).tolist()
    return list(zip(starts.tolist(), [-np.inf, *cuts], [*cuts, np.inf], strict=True))


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
    padded = np.zeros((-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE, 3), np.uint8)
    padded[:height, :width] = image
    return padded


def suppress(found: Detections, suppress_iou: float) -> Detections:
    """The best of each heap of boxes that overlap more than `suppress_iou`, best first; ties keep their order."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, scores, roll_deg = found.boxes[order], found.scores[order], found.roll_deg[order]
    overlaps = iou(boxes, boxes) > suppress_iou
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if alive[i]:
            alive[i + 1 :] &= ~overlaps[i, i + 1 :]
    return Detections(boxes[alive], scores[alive], roll_deg[alive])


def supported(kept: Detections, candidates: Detections, count: int) -> Detections:
    """`kept` scored anew, best first: the mean of the best `count` candidates on the same face, absent ones `FAINT`.

    A face is seen by several cells, and at two scales; what only looks like one from a single cell loses.
    """
    if count <= 1 or len(kept.boxes) == 0:
        return kept
    same = iou(kept.boxes, candidates.boxes) > SAME_IOU
    voices = np.where(same, candidates.scores, FAINT)
    voices = np.pad(voices, ((0, 0), (0, count)), constant_values=FAINT)
    scores = -np.sort(-voices, axis=1)[:, :count].mean(1)
    order = np.argsort(-scores, kind="stable")
    return Detections(kept.boxes[order], scores[order], kept.roll_deg[order])


def empty_detections() -> Detections:
    """No face."""
    return Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0))


def check_image(image: NDArray[np.uint8]) -> None:
    """Raises ShapeError unless `image` is RGB uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ShapeError(f"image is {given}; wanted uint8 (H, W, 3) in RGB: read it with lineament.read_image")


def packaged(name: str) -> Path:
    """A file of the package's weights.    Raises: ModelError where the package has none of that name."""
    file = Path(str(resources.files("lineament") / "weights" / name))
    if not file.is_file():
        raise ModelError(f"no {name} in this installation; give a path, or train one with recipes/detector.toml")
    return file


def read_card(file: Path) -> dict[str, Any]:
    """The card beside a model file, or an empty one.    Raises: ModelError where it is not JSON."""
    card = file.with_suffix(".json")
    if not card.is_file():
        return {}
    try:
        return dict(json.loads(card.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise ModelError(f"{card}: not a card ({error}); wanted the JSON file written with the model") from error


def open_session(file: Path, threads: int) -> Any:
    """The ONNX Runtime session of a detector file.    Raises: ModelError."""
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]

    if not file.is_file():
        raise ModelError(f"no detector at {file}; wanted an .onnx file, or None for the one of the package")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"{file}: ONNX Runtime cannot open it ({error}); wanted a detector's .onnx file") from error
    names = [output.name for output in session.get_outputs()]
    if names != ["scores", "boxes", "directions"]:
        raise ModelError(f"{file} has the outputs {names}; wanted a face detector with scores, boxes, directions")
    return session


def as_detector(function: Callable[[NDArray[np.uint8]], Any]) -> Detector:
    """A `Detector` of any callable image -> boxes (F, 4), boxes with scores (F, 5), (boxes, scores) or Detections.

    Its boxes must be tight landmark boxes already. Scores default to 1, rolls to nan; the order becomes best first.
    """

    def detect(image: NDArray[np.uint8]) -> Detections:
        check_image(image)
        return normalized(function(image))

    return detect


def normalized(given: Any) -> Detections:
    """`Detections` of what some detector returned.    Raises: ShapeError."""
    scores: ArrayLike | None = None
    roll_deg: ArrayLike | None = None
    boxes = given
    if isinstance(given, tuple) and 2 <= len(given) <= 3 and np.ndim(given[1]) == 1 and np.ndim(given[0]) == 2:
        boxes, scores = given[0], given[1]
        roll_deg = given[2] if len(given) == 3 else None
    rows = np.asarray([] if boxes is None else boxes, dtype=np.float64)
    if rows.ndim == 2 and rows.shape[1] == 5 and scores is None:
        rows, scores = rows[:, :4], rows[:, 4]
    valid = as_boxes(rows)
    sure = np.ones(len(valid)) if scores is None else np.asarray(scores, dtype=np.float64)
    rolls = np.full(len(valid), np.nan) if roll_deg is None else np.asarray(roll_deg, dtype=np.float64)
    if sure.shape != (len(valid),) or rolls.shape != (len(valid),):
        raise ShapeError(f"{len(valid)} boxes came with scores {sure.shape} and rolls {rolls.shape}; wanted one a box")
    order = np.argsort(-sure, kind="stable")
    return Detections(valid[order], sure[order], rolls[order])
