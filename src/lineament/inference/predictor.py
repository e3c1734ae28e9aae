"""Images -> Faces: detect, crop, model, back to the image; many faces and images in one batch.

A face whose first crop was turned or max_box_error is cut again around its own landmarks. What is found for a face does not
depend on the other faces or images of the call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..crop import warp_all
from ..errors import ModelError, SchemeError, ShapeError
from ..estimator import CropLandmarks, CropRequest, LandmarkModel
from ..face import Face, Faces
from ..geometry import (
    Array,
    affine_scale,
    apply_affine,
    as_boxes,
    box_side,
    crop_affine,
    fit_roll_deg,
    invert_affine,
    landmark_box,
    upright_box,
)
from ..io.image import Source, read_image
from ..schemes import convert, scheme
from ..schemes import scheme as scheme_of
from .face_detector import Detections, FaceDetector, as_detector
from .flip import predict_with_flip
from .recurrent_state import Memory
from .registry import load_model

Batch = list[Any] | tuple[Any, ...]  # of Source

SEARCH_ROLLS_DEG = (90.0, 180.0, -90.0)


@dataclass(frozen=True)
class RecropPolicy:
    """When a face is cut again. The numbers are chosen on the validation faces by `scripts/choose_recut.py`."""

    min_score: float = 0.7
    """Below this mean score a crop is likely turned or max_box_error: other angles are tried."""
    max_roll_deg: float = 25.0
    """A face found turned by more than this in its crop is cut again, upright."""
    max_box_error: float = 0.15
    """A box farther than this from that of its landmarks, in sides and in the log of its side, is replaced by it."""


DEFAULT_RECROP = RecropPolicy()
FLOOR = 0.4
"""A detection whose landmarks score less than this in the mean is no face; chosen on the photos of protocol detection-val."""


SAME = 0.1
"""Two faces whose landmarks are nearer than this in the mean, in box sides, are one."""


class FaceLandmarks(NamedTuple):
    """What a model says of F faces, in its own scheme."""

    landmarks: Array
    """(F, N, 2), pixels of the image of each face."""
    scores: Array
    """(F, N) in [0, 1]."""
    sigma_px: Array
    """(F, N), pixels of the image."""
    memory: Memory | None = None
    """What a model that remembers is to be given with the next frame; None of another."""

    def take(self, row: int, other: "FaceLandmarks", k: int) -> None:
        """Puts the face `k` of `other` in the place of the face `row`."""
        for mine, theirs in zip(
            (*self[:3], *(self.memory or ())), (*other[:3], *(other.memory or ())), strict=True
        ):
            mine[row] = theirs[k]


class Predictor:
    """Images -> Faces. One object may be used from many threads; it is deterministic.

    model: the name of a model that comes with the package ("fast", "accurate"), an .onnx file, or any LandmarkModel.
    detector: "default", or any callable image -> boxes (F, 4), (F, 5) with scores, or (boxes, scores).
    scheme: the points wanted; None: the model's own.    threads: of ONNX Runtime; 0 leaves it the choice.
    workers: shares of several faces that a model by name or file sees side by side, each with `threads`; 0: one a core.
    recrop: when faces are cut again around their own landmarks or at other angles; None: never.
    floor: detections whose landmarks have a lower mean score are dropped; given boxes never are.
    flip: average what is found in each crop and its mirror image: twice the work, a little more accurate.
    Raises: ModelError, SchemeError.
    """

    def __init__(
        self,
        model: str | Path | LandmarkModel = "accurate",
        detector: Literal["default"] | Callable[[NDArray[np.uint8]], Any] = "default",
        scheme: str | None = None,
        threads: int = 0,
        recrop: RecropPolicy | None = DEFAULT_RECROP,
        floor: float = FLOOR,
        flip: bool = False,
        workers: int = 1,
    ) -> None:
        if threads < 0:
            raise ModelError(
                f"threads is {threads}; wanted a number of threads, or 0 for ONNX Runtime's choice"
            )
        if workers < 0:
            raise ModelError(
                f"workers is {workers}; wanted a number of threads side by side, or 0 for one a core"
            )
        self.model = load_model(model, threads, workers) if isinstance(model, str | Path) else model
        self.threads = threads
        if flip and getattr(self.model, "memory", None):
            raise ModelError(
                f"model {self.model.name!r} remembers frames, and flip would forget them; leave flip out"
            )
        mirror = scheme_of(self.model.scheme).mirror
        self.predict_crops = (
            predict_with_flip(self.model.predict, mirror) if flip else self.model.predict
        )
        self.detector = self._default_detector if detector == "default" else as_detector(detector)
        self.scheme = scheme or self.model.scheme
        self.recrop, self.floor = recrop, floor
        # a pair of schemes without a conversion is refused here, not at the first face
        made = convert(np.zeros((self.model.points, 2)), self.model.scheme, self.scheme)
        missing = int((made.status == "missing").sum())
        if missing:
            raise SchemeError(
                f"model {self.model.name!r} predicts {self.model.scheme}; {missing} of the {len(made.points)} points "
                f"of {self.scheme} cannot be made of those: choose a model trained on {self.scheme}"
            )

    def _default_detector(self, image: NDArray[np.uint8]) -> Detections:
        # opened at the first image without boxes: who gives boxes needs no detector
        return _packaged_detector(self.threads)(image)

    @overload
    def __call__(self, images: Source, boxes: ArrayLike | None = None) -> Faces: ...
    @overload
    def __call__(
        self, images: list[Any] | tuple[Any, ...], boxes: Sequence[ArrayLike] | None = None
    ) -> list[Faces]: ...
    def __call__(self, images: Any, boxes: Any = None) -> Faces | list[Faces]:
        """The faces of one image, or of each image of a list, most certain first.

        images: whatever `read_image` takes, or a list or tuple of it.
        boxes: (F, 4) of one image, or one such array for each image of a list, in image pixels: then nothing is
        detected, and the faces keep the order of their boxes.    Raises: ImageError, ShapeError.
        """
        if isinstance(images, list | tuple):
            if boxes is not None and len(boxes) != len(images):
                raise ShapeError(
                    f"{len(boxes)} sets of boxes for {len(images)} images; wanted one set for each image"
                )
            return self._predict([read_image(image) for image in images], boxes)
        return self._predict([read_image(images)], None if boxes is None else [boxes])[0]

    def _predict(
        self, images: list[NDArray[np.uint8]], boxes: Sequence[ArrayLike] | None
    ) -> list[Faces]:
        found = (
            [self.detector(image) for image in images]
            if boxes is None
            else [_given(b, i) for b, i in zip(boxes, images, strict=True)]
        )
        cuts = [cut for i, detections in enumerate(found) for cut in first_crops(detections, i)]
        points = self.predict_boxes(images, cuts)
        results, start = [], 0
        for image, detections in zip(images, found, strict=True):
            rows = list(range(start, start + len(detections.boxes)))
            faces = [
                self.to_face(points, k, cuts[k].box, detections.scores[k - start])
                for k in (rows if boxes is not None else self.keep_confident(points, rows))
            ]
            start += len(detections.boxes)
            size = (image.shape[1], image.shape[0])
            results.append(Faces(tuple(faces), self.scheme, len(scheme(self.scheme)), size))
        return results

    def keep_confident(self, points: FaceLandmarks, rows: list[int]) -> list[int]:
        """Those of `rows` that are faces by their landmarks, each face once, in the order given."""
        kept: list[int] = []
        for row in sorted(rows, key=lambda row: -float(points.scores[row].mean())):
            # two boxes of a turned face become one when it is recrop
            same = any(are_one(points.landmarks[row], points.landmarks[other]) for other in kept)
            if points.scores[row].mean() >= self.floor and not same:
                kept.append(row)
        return sorted(kept)

    def to_face(
        self, points: FaceLandmarks, row: int, box: Array, score: float, track_id: int | None = None
    ) -> Face:
        """The Face of what the model says in `row`, in the scheme that is wanted."""
        landmarks, scores, sigma_px = (
            points.landmarks[row],
            points.scores[row],
            points.sigma_px[row],
        )
        if self.scheme != self.model.scheme:
            packed = np.column_stack([landmarks, scores, sigma_px])
            made, rest = (
                convert(p, self.model.scheme, self.scheme).points
                for p in (packed[:, :2], packed[:, 2:])
            )
            landmarks, scores, sigma_px = made, rest[:, 0], rest[:, 1]
        return Face(
            landmarks,
            np.clip(scores, 0, 1),
            sigma_px,
            box,
            float(np.clip(score, 0, 1)),
            self.scheme,
            track_id,
        )

    def predict_boxes(
        self,
        images: list[NDArray[np.uint8]],
        cuts: list[CropRequest],
        rules: RecropPolicy | None = None,
        memory: Memory | None = None,
    ) -> FaceLandmarks:
        """What the model says of the faces in `cuts`; some are cut again, by `rules` or the predictor's own.

        memory: of the same faces, as `FaceLandmarks` held it for the frame before; a face that is cut again is seen without it.
        """
        best, rules = self.run_model(images, cuts, memory), rules or self.recrop
        if rules is None:
            return best
        again = [
            (k, t)
            for k, cut in enumerate(cuts)
            for t in self._second_crops(rules, cut, best.landmarks[k], best.scores[k])
        ]
        if again:
            self._keep_better(
                best, [k for k, _ in again], self.run_model(images, [t for _, t in again])
            )
            # where angles were searched, the best of them is now cut around its own landmarks
            rows = [k for k, _ in again]
            searched = sorted({k for k in rows if rows.count(k) > 1})
            last = [self.crop_around(cuts[k].image, best.landmarks[k]) for k in searched]
            self._keep_better(best, searched, self.run_model(images, last))
        return best

    @staticmethod
    def _keep_better(best: FaceLandmarks, rows: list[int], other: FaceLandmarks) -> None:
        for k, row in enumerate(rows):
            if other.scores[k].mean() > best.scores[row].mean():
                best.take(row, other, k)

    def run_model(
        self, images: list[NDArray[np.uint8]], cuts: list[CropRequest], memory: Memory | None = None
    ) -> FaceLandmarks:
        """As `find`, by one cut of each face."""
        model = self.model
        if not cuts:
            return FaceLandmarks(
                np.zeros((0, model.points, 2)),
                np.zeros((0, model.points)),
                np.zeros((0, model.points)),
            )
        affines = np.stack(
            [crop_affine(t.box, model.size, model.padding, t.roll_deg) for t in cuts]
        )
        crops = warp_all([images[t.image] for t in cuts], list(affines), model.size, self.threads)
        seen = None if memory is None else memory.seen_by(affines, model.size)
        heads: CropLandmarks = (
            self.predict_crops(crops) if seen is None else self.model.predict(crops, seen)
        )
        points = [
            apply_affine(invert_affine(a), p)
            for a, p in zip(affines, heads.landmarks_crop, strict=True)
        ]
        scales = np.array([affine_scale(a) for a in affines])
        kept = None if heads.memory is None else Memory(heads.memory, affines)
        return FaceLandmarks(
            np.stack(points),
            heads.scores.astype(np.float64),
            heads.sigma_px / scales[:, None],
            kept,
        )

    def _second_crops(
        self, rules: RecropPolicy, cut: CropRequest, landmarks: Array, scores: Array
    ) -> list[CropRequest]:
        """Other cuts worth trying for a face, by what the first one found; mostly none."""
        if scores.mean() < rules.min_score:
            rolls = [cut.roll_deg + roll for roll in SEARCH_ROLLS_DEG]
            return [CropRequest(cut.image, cut.box, roll) for roll in rolls] + [
                self.crop_around(cut.image, landmarks)
            ]
        roll_deg = fit_roll_deg(scheme(self.model.scheme).mean_shape, landmarks)
        turned = abs((roll_deg - cut.roll_deg + 180) % 360 - 180) > rules.max_roll_deg
        if turned or _off(cut.box, landmark_box(landmarks)) > rules.max_box_error:
            return [self.crop_around(cut.image, landmarks)]
        return []

    def crop_around(self, image: int, landmarks: Array) -> CropRequest:
        """The cut around `landmarks`, upright: their roll, and their tight box as seen at that roll."""
        return CropRequest(image, *upright_box(landmarks, scheme(self.model.scheme).mean_shape))


def first_crops(detections: Detections, image: int = 0) -> list[CropRequest]:
    """The cuts that `detections` in the image of that number ask for first."""
    rolls = [
        float(roll) if abs(roll) > DEFAULT_RECROP.max_roll_deg else 0.0
        for roll in detections.roll_deg
    ]
    return [
        CropRequest(image, box, roll) for box, roll in zip(detections.boxes, rolls, strict=True)
    ]


def are_one(landmarks: Array, other: Array) -> bool:
    """Whether two sets of landmarks (N, 2) of one scheme lie on the same face."""
    return float(np.linalg.norm(landmarks - other, axis=1).mean()) < SAME * box_side(
        landmark_box(landmarks)
    )


def _off(box: Array, tight: Array) -> float:
    """How far `box` is from the `tight` box around the landmarks: in its sides, or in the log of its side."""
    side = box_side(tight)
    shift = np.hypot(*((box[:2] + box[2:] - tight[:2] - tight[2:]) / 2)) / side
    return float(max(shift, abs(np.log(box_side(box) / side))))


def _given(boxes: ArrayLike, image: NDArray[np.uint8]) -> Detections:
    array = as_boxes(boxes)
    height, width = image.shape[:2]
    outside = (array[:, :2] > (width, height)).any(1) | (array[:, 2:] < 0).any(1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ShapeError(
            f"box {row} is {array[row].tolist()}, outside the picture of {width} x {height}; wanted x0, y0, x1, y1 in "
            "its pixels"
        )
    return Detections(array, np.ones(len(array)), np.zeros(len(array)))


@cache
def _packaged_detector(threads: int) -> FaceDetector:
    return FaceDetector(threads=threads)


@cache
def _default(model: str, scheme_name: str | None) -> Predictor:
    return Predictor(model, scheme=scheme_name)


def detect(
    image: Source,
    model: str = "accurate",
    scheme: str | None = None,
    boxes: ArrayLike | None = None,
) -> Faces:
    """The faces of one image, most certain first; the models are loaded once.

    image: a path, bytes, a file object, a PIL image or an RGB array.    boxes: (F, 4) where the faces are known.
    Raises: ImageError, ModelError, SchemeError, ShapeError.
    """
    return _default(model, scheme)(image, boxes)
