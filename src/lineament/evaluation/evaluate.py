"""Evaluate a predictor on the faces of a protocol, image by image."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.sample import Sample
from ..errors import ProtocolError
from ..face import Face, Faces
from ..geometry import Array
from ..io.video_reader import frame_rate
from .accumulator import ErrorAccumulator
from .conversion import FaceConverter
from .matching import match_boxes
from .occlude import occlude_faces
from .protocol_faces import count_note, select_samples
from .protocols import MATCH_IOU, Protocol, resolve_protocol
from .report import Report
from .worst import WorstFaces

Image = NDArray[np.uint8]
Predict = Callable[[Image, Array | None], Faces]
"""(image, boxes (F, 4)) -> one face per box, in order; with boxes None, all detected faces."""
Read = Callable[[Sample], Image]


def evaluate(
    predict: Predict,
    protocol: str | Protocol,
    samples: Sequence[Sample],
    *,
    boxes: Literal["truth", "detected", "tracked"] = "truth",
    model: str = "",
    worst: int = 16,
    notes: Sequence[str] = (),
    read: Read = Sample.read,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Score `predict` on `samples` under a protocol.

    Args:
        predict: Predictor, or a Tracker if boxes are "tracked".
        protocol: Protocol, or its name.
        samples: Annotated faces; the frames of a video in order.
        boxes: "truth" passes the tight boxes of the annotations, "detected" passes none;
            "tracked" calls a Tracker with each frame and its time. Without given boxes,
            detected faces are matched to annotated ones by IoU; unmatched ones are missed.
        model: Name of the model in the report.
        worst: Number of faces with the largest errors to draw.
        notes: Additional notes for the report.
        read: Reads the image of a sample.
        progress: Called with the number of faces done.

    Raises:
        ProtocolError: If samples or predictions do not fit the protocol.
    """
    fixed = resolve_protocol(protocol)
    samples = select_samples(fixed, samples)
    if boxes not in ("truth", "detected", "tracked"):
        raise ProtocolError(
            f"boxes are {boxes!r}; choose 'truth', 'detected' or 'tracked'"
        )
    if boxes == "tracked":
        predict = _TrackedFrames(predict, samples)
    run = _Run(fixed, worst)
    for image, group in _images(samples, read):
        image, group = occlude_faces(image, group, fixed.occluded)
        true_boxes = truth_boxes(group, fixed.truth_box)
        given_boxes = true_boxes if boxes == "truth" else None
        faces = run.predict(predict, image, given_boxes)
        matched = match_faces(faces, true_boxes, ordered=given_boxes is not None)
        for sample, face in zip(group, matched, strict=True):
            run.score(image, sample, face)
            if progress:
                progress(len(run.errors))
    added = (count_note(fixed, samples), run.convert.note)
    return run.errors.report(
        boxes=boxes,
        model=model,
        ms_per_face=median(run.times_ms[1:] or run.times_ms),
        converted_from=run.convert.source,
        notes=(*notes, *filter(None, added)),
        worst=run.worst.faces(),
    )


class _Run:
    """Errors, worst faces and timings of one evaluation."""

    def __init__(self, protocol: Protocol, worst: int) -> None:
        self.protocol = protocol
        self.errors = ErrorAccumulator(protocol)
        self.worst = WorstFaces(worst)
        self.convert = FaceConverter(protocol)
        self.times_ms: list[float] = []

    def predict(self, predict: Predict, image: Image, boxes: Array | None) -> Faces:
        """Return the faces that `predict` finds, recording its time per face."""
        start = perf_counter()
        faces = predict(image, boxes)
        self.times_ms.append((perf_counter() - start) * 1000 / max(1, len(faces)))
        return faces

    def score(self, image: Image, sample: Sample, face: Face | None) -> None:
        """Record the error of `face`, None if missed, and draw it if it is among the worst."""
        points = self.convert.points
        pred, sigma_px = self.convert(face) if face else (None, None)
        subsets = [part.name for part in self.protocol.subsets if part.contains(sample)]
        error = self.errors.add(
            sample.name,
            sample.landmarks,
            pred,
            sigma_px=sigma_px,
            visible=sample.visible,
            visible_prob=self.convert.visible(face) if face else None,
            box=sample.box,
            subsets=subsets,
        )
        drawn = None if pred is None else pred[points]
        self.worst.add(error, sample.name, image, sample.landmarks[points], drawn)


class _TrackedFrames:
    """Adapter that calls a tracker with video frames in order, in place of a predictor."""

    def __init__(self, tracker: Any, samples: Sequence[Sample]) -> None:
        """Raise ProtocolError if `tracker` is not a tracker or frames are out of order."""
        if not hasattr(tracker, "reset"):
            raise ProtocolError(
                "tracked boxes need a Tracker, not a Predictor; give one, or choose "
                "'detected'"
            )
        for before, after in pairwise(samples):
            order = (before.frame or 0) <= (
                after.frame or 0
            ) and before.frame is not None
            if before.image == after.image and not order:
                raise ProtocolError(
                    f"{after.name} does not come after {before.name}; tracked boxes "
                    "need frames in order"
                )
        if any(sample.frame is None for sample in samples):
            raise ProtocolError(
                "tracked boxes are for videos, but these faces are from images; "
                "choose 'truth' or 'detected'"
            )
        self.tracker = tracker
        self._frames = (group[0] for group in _groups(samples))
        self._video, self._rate = Path(), 0.0

    def __call__(self, image: Image, boxes: Array | None) -> Faces:
        sample = next(self._frames)
        if sample.image != self._video:
            self.tracker.reset()
            self._video, self._rate = sample.image, frame_rate(sample.image)
        faces: Faces = self.tracker(image, (sample.frame or 0) / self._rate)
        return faces


def _groups(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Yield runs of adjacent samples that share an image or frame."""
    for _, group in groupby(samples, key=lambda sample: (sample.image, sample.frame)):
        yield list(group)


def _images(
    samples: Sequence[Sample], read: Read
) -> Iterator[tuple[Image, list[Sample]]]:
    """Yield each image, read once, with the adjacent samples that share it."""
    for group in _groups(samples):
        yield read(group[0]), group


def truth_boxes(
    samples: Sequence[Sample], rule: Literal["landmarks", "given"] = "landmarks"
) -> Array:
    """Return the ground-truth boxes by the rule of a protocol, (F, 4), pixels.

    Args:
        samples: Annotated faces; the landmark box is used for faces without a box.
        rule: The `truth_box` of the protocol.
    """
    boxes = []
    for sample in samples:
        own_box = sample.box if rule == "given" else None
        boxes.append(sample.face_box() if own_box is None else own_box)
    return np.stack(boxes)


def match_faces(faces: Faces, true_boxes: Array, ordered: bool) -> list[Face | None]:
    """Return the predicted face for each annotated one; None if it was missed.

    Args:
        faces: Predicted faces in one image.
        true_boxes: Boxes of the annotated faces of that image, (F, 4), pixels.
        ordered: True if boxes were given: faces then correspond to them in order. Otherwise
            faces are matched one to one by the IoU of their boxes.
    """
    if ordered and len(faces) == len(true_boxes):
        return list(faces)
    found: list[Face | None] = [None] * len(true_boxes)
    for row, column in match_boxes(true_boxes, faces.boxes, MATCH_IOU):
        found[row] = faces[column]
    return found
