"""A predictor and the faces of a protocol -> a Report, face by face in constant memory."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data.frames import frame_rate
from ..data.sample import Sample
from ..errors import ProtocolError
from ..face import Face, Faces
from ..geometry import Array
from ..schemes import convert
from .accumulator import Tally
from .matching import match_boxes
from .occlude import shown
from .protocols import MATCH_IOU, Protocol, chosen, count_note, named
from .report import Report
from .worst import WorstFaces

Image = NDArray[np.uint8]
Predict = Callable[[Image, Array | None], Faces]
"""(image, boxes) -> faces: one for each of the boxes (F, 4) in their order, or those it finds where boxes is None."""
Read = Callable[[Sample], Image]


def evaluate(
    predict: Predict,
    protocol: str | Protocol,
    samples: Sequence[Sample],
    *,
    boxes: Literal["truth", "detected", "tracked"] = "truth",
    model: str = "",
    worst: int = 16,
    read: Read = Sample.read,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """What `predict` reaches on `samples` under the protocol.

    boxes: "truth" hands over the tight boxes of the annotations, "detected" none; then the face of greatest overlap is
    scored, and missed where its IoU is under 0.3; "tracked" hands over the frames of each video in order, to a Tracker
    as `predict`.    model: what the report calls it.    worst: how many faces to draw.
    progress: called with the number of faces done.
    Raises: ProtocolError where samples or predictions do not fit the protocol.
    """
    fixed = named(protocol)
    samples = chosen(fixed, samples)
    if boxes not in ("truth", "detected", "tracked"):
        raise ProtocolError(f"boxes are {boxes!r}; choose 'truth', 'detected' or 'tracked'")
    if boxes == "tracked":
        predict = _Following(predict, samples)
    tally, kept, fit, times = Tally(fixed), WorstFaces(worst), Fit(fixed), []
    for image, group in _by_picture(samples, read):
        image = shown(image, group, fixed.hidden)
        given = np.stack([sample.face_box() for sample in group]) if boxes == "truth" else None
        if isinstance(predict, _Following):
            predict.goes_to(group[0])
        start = perf_counter()
        faces = predict(image, given)
        times.append((perf_counter() - start) * 1000 / max(1, len(faces)))
        for sample, face in zip(group, match(faces, group, given is not None), strict=True):
            pred, sigma_px = fit(face) if face else (None, None)
            error = tally.add(
                sample.name,
                sample.landmarks,
                pred,
                sigma_px=sigma_px,
                visible=sample.visible,
                box=sample.box,
                subsets=[subset.name for subset in fixed.subsets if subset.has(sample)],
            )
            kept.offer(
                error,
                sample.name,
                image,
                sample.landmarks[fit.points],
                None if pred is None else pred[fit.points],
            )
            if progress:
                progress(len(tally))
    short = count_note(fixed, samples)
    return tally.report(
        boxes=boxes,
        model=model,
        ms_per_face=median(times[1:] or times),
        converted_from=fit.source,
        notes=tuple(note for note in (short, fit.note) if note),
        worst=kept.faces(),
    )


class _Following:
    """A tracker called as evaluate calls a predictor."""

    def __init__(self, tracker: Any, samples: Sequence[Sample]) -> None:
        """Raises: ProtocolError where `samples` are no frames of videos in order, or `tracker` is none."""
        if not hasattr(tracker, "reset"):
            raise ProtocolError(
                "tracked boxes want a Tracker, not a Predictor; give one, or choose 'detected'"
            )
        for before, after in pairwise(samples):
            if before.image == after.image and (
                before.frame is None or (after.frame or 0) < before.frame
            ):
                raise ProtocolError(
                    f"{after.name} does not come after {before.name}; tracked boxes want frames in order"
                )
        if any(sample.frame is None for sample in samples):
            raise ProtocolError(
                "tracked boxes are for videos, these faces are of pictures; choose 'truth' or 'detected'"
            )
        self.tracker, self.video, self.time, self.rate = tracker, Path(), 0.0, 30.0

    def goes_to(self, sample: Sample) -> None:
        """Says which frame comes next."""
        if sample.image != self.video:
            self.tracker.reset()
            self.video, self.rate = sample.image, frame_rate(sample.image)
        self.time = (sample.frame or 0) / self.rate

    def __call__(self, image: Image, boxes: Array | None) -> Faces:
        faces: Faces = self.tracker(image, self.time)
        return faces


def _by_picture(samples: Sequence[Sample], read: Read) -> Iterator[tuple[Image, list[Sample]]]:
    """Each picture once for the neighbouring samples that share it."""
    for _, group in groupby(samples, key=lambda sample: (sample.image, sample.frame)):
        sharing = list(group)
        yield read(sharing[0]), sharing


def match(faces: Faces, samples: Sequence[Sample], ordered: bool) -> list[Face | None]:
    """The face of each sample, or None where it was missed.

    ordered: whether boxes were given: as many faces are then taken in their order. Otherwise boxes are given to
    samples by falling IoU with the tight box of the sample's landmarks, each to one, as long as it is at least 0.3.
    """
    if ordered and len(faces) == len(samples):
        return list(faces)
    truth = np.stack([sample.face_box() for sample in samples])
    found: list[Face | None] = [None] * len(samples)
    for row, column in match_boxes(truth, faces.boxes, MATCH_IOU):
        found[row] = faces[column]
    return found


class Fit:
    """Takes faces to the protocol's scheme, and remembers what that cost."""

    def __init__(self, fixed: Protocol) -> None:
        self.protocol = fixed
        self.points = list(fixed.indices())
        self.source = ""
        """The scheme the predictions were in, where it is not the protocol's."""
        self.note = ""
        """What the report has to say of the conversion."""

    def __call__(self, face: Face) -> tuple[Array, Array]:
        """Landmarks (N, 2) and sigma (N,) of `face` in the protocol's scheme; points that do not count may be 0.

        Raises: ProtocolError where a point that counts cannot be made; SchemeError for an unknown scheme.
        """
        target = self.protocol.scheme
        if face.scheme == target:
            return face.landmarks, face.sigma_px
        made = convert(face.landmarks, face.scheme, target)
        lacking = [point for point in self.points if made.status[point] == "missing"]
        if lacking:
            raise ProtocolError(
                f"the model predicts {len(face)} landmarks ({face.scheme}), from which {len(lacking)} of the "
                f"{len(self.points)} points of protocol {self.protocol.id!r} ({target}) cannot be made; "
                f"choose a model trained on {target}"
            )
        self.source = face.scheme
        mixed = [point for point in self.points if made.status[point] == "interpolated"]
        if mixed:
            self.note = (
                f"{len(mixed)} of {len(self.points)} points are interpolated from {face.scheme}"
            )
        # Sigma goes by the same weights as the points: exact for the same point, an upper bound for a mean of points.
        sigma = convert(np.repeat(face.sigma_px[:, None], 2, 1), face.scheme, target).points[:, 0]
        return np.nan_to_num(made.points), np.nan_to_num(sigma)
