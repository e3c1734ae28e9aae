"""Wrap any callable as a detector, and check its inputs and outputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ModelError, SchemeError, ShapeError
from ..geometry import Array, Image, as_boxes
from ..schemes import scheme as load_scheme
from .detections import Detections, check_image, empty_detections


class CallableDetector:
    """A detector made from any callable; checks its inputs and outputs."""

    def __init__(self, function: Callable[[Image], Any], scheme: str | None) -> None:
        self.function, self.scheme = function, scheme

    def __call__(self, image: Image) -> Detections:
        """Detect the faces of an RGB uint8 image (H, W, 3).

        Raises:
            ShapeError: If the image or the result of the callable has a wrong shape.
            SchemeError: If the landmarks are not of the declared scheme.
        """
        check_image(image)
        result = as_detections(self.function(image))
        if not len(result):
            return empty_detections(self.scheme)
        if self.scheme is not None and result.scheme != self.scheme:
            raise SchemeError(
                f"the detector found landmarks of {result.scheme}; "
                f"expected {self.scheme}, as stated"
            )
        return result


def as_detector(
    function: Callable[[Image], Any], scheme: str | None = None
) -> CallableDetector:
    """Make a detector from any callable.

    Args:
        function: Maps an RGB image to boxes (F, 4), boxes with scores (F, 5), (boxes,
            scores), (boxes, scores, rolls) or Detections. Boxes must be tight landmark
            boxes, image pixels. Scores default to 1, rolls to nan.
        scheme: Scheme of its landmarks; None: the callable's attribute `scheme`, if any.

    Raises:
        ModelError: If `function` is not callable.
    """
    if not callable(function):
        raise ModelError(
            f"the detector is {function!r}; expected 'default' or a callable image -> "
            "boxes, such as one from lineament.inference.detector_adapters"
        )
    return CallableDetector(function, scheme or getattr(function, "scheme", None))


def own_detector(
    function: Callable[[Image], Any], min_face: float | str | None
) -> CallableDetector:
    """Make a detector from a user's callable, which does not support `min_face`.

    Raises:
        ModelError: If `function` is not callable, or `min_face` is given.
    """
    if min_face is not None:
        raise ModelError(
            f"min_face is {min_face!r}, which only the default detector takes; omit "
            "it, or pass FaceDetector(path, min_face=...) as the detector"
        )
    return as_detector(function)


def scheme_of_detector(detector: Callable[..., Any], flip: bool) -> str:
    """Return the scheme of the landmarks that a detector returns.

    Raises:
        ModelError: If it returns none, or `flip` is set, which needs a model.
    """
    name: str | None = getattr(detector, "scheme", None)
    if name is None:
        raise ModelError(
            "without a model, the landmarks come from the detector, but this one "
            "finds none; choose a model, or a detector with landmarks such as "
            "detector_adapters.yunet"
        )
    if flip:
        raise ModelError(
            "flip averages two predictions of a model, but there is no model; omit flip"
        )
    return name


def as_detections(given: Any) -> Detections:
    """Check the result of a callable and return it as Detections, best first.

    Raises:
        ShapeError: If the arrays do not have one row per box.
    """
    detections = given if isinstance(given, Detections) else _from_arrays(given)
    boxes = as_boxes(detections.boxes)
    scores = np.asarray(detections.scores, dtype=np.float64)
    rolls = np.asarray(detections.roll_deg, dtype=np.float64)
    if scores.shape != (len(boxes),) or rolls.shape != (len(boxes),):
        raise ShapeError(
            f"{len(boxes)} boxes came with scores {scores.shape} and rolls {rolls.shape}; "
            "expected one per box"
        )
    landmarks = _checked_landmarks(detections, len(boxes))
    checked = Detections(boxes, scores, rolls, landmarks, detections.scheme)
    return checked.take(np.argsort(-scores, kind="stable"))


def _from_arrays(given: Any) -> Detections:
    boxes, scores, rolls = given, None, None
    is_tuple = isinstance(given, tuple) and 2 <= len(given) <= 3
    if is_tuple and np.ndim(given[0]) == 2 and np.ndim(given[1]) == 1:
        boxes, scores, rolls = (*given, None)[:3]
    rows = np.asarray([] if boxes is None else boxes, dtype=np.float64)
    if rows.ndim == 2 and rows.shape[1] == 5 and scores is None:
        rows, scores = rows[:, :4], rows[:, 4]
    boxes = as_boxes(rows)
    scores = np.ones(len(boxes)) if scores is None else scores
    return Detections(
        boxes, scores, np.full(len(boxes), np.nan) if rolls is None else rolls
    )


def _checked_landmarks(found: Detections, count: int) -> Array | None:
    if found.scheme is None and found.landmarks is None:
        return None
    if found.scheme is None or found.landmarks is None:
        raise ShapeError(
            "detections have only a scheme or only landmarks; expected both or neither"
        )
    landmarks = np.asarray(found.landmarks, dtype=np.float64)
    expected = (count, len(load_scheme(found.scheme)), 2)
    if landmarks.shape != expected or not np.isfinite(landmarks).all():
        raise ShapeError(
            f"landmarks of detections have shape {landmarks.shape}; expected finite "
            f"{expected}, the points of {found.scheme} per box"
        )
    return landmarks


def given_boxes(boxes: ArrayLike, image: Image) -> Detections:
    """Return boxes in `image` as Detections of score 1 and unknown roll, order kept.

    Raises:
        ShapeError: If they are not boxes, or one is outside the image.
    """
    array = as_boxes(boxes)
    height, width = image.shape[:2]
    outside = (array[:, :2] > (width, height)).any(1) | (array[:, 2:] < 0).any(1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ShapeError(
            f"box {row} is {array[row].tolist()}, outside the image of {width} x {height}; "
            "expected x0, y0, x1, y1 in its pixels"
        )
    return Detections(array, np.ones(len(array)), np.full(len(array), np.nan))
