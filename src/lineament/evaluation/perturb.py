"""Robustness of landmark errors to shifted and scaled boxes, rolled faces and changed images."""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..data.sample import Sample, tight_box
from ..errors import ProtocolError
from ..geometry import (
    Array,
    apply_affine,
    box_center,
    box_side,
    landmark_box,
    similarity,
)
from .accumulator import ErrorAccumulator
from .conversion import FaceConverter
from .evaluate import Predict, Read, match_faces, truth_boxes
from .image_changes import IMAGE_CHANGES, Change
from .occlude import occlude_faces
from .protocol_faces import select_samples
from .protocols import Protocol, resolve_protocol
from .report import Perturbed

SHIFTS = (-0.2, -0.15, -0.1, -0.05, 0.05, 0.1, 0.15, 0.2)
SCALES = (0.8, 0.9, 1.1, 1.2)
ROLLS_DEG = (-60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0)
ROLLED_SIDES = 2.2
"""Side of a rolled image as a multiple of the longer box side, similar to the data sets' crops."""


def perturbed_boxes(box: Array) -> dict[Change, Array]:
    """Return `box` (4,) unchanged, shifted by fractions of its side, and scaled."""
    side, center = box_side(box), np.tile(box_center(box), 2)
    boxes = {("none", 0.0): box}
    for amount in SHIFTS:
        boxes["shift_x", amount] = box + amount * side * np.array([1, 0, 1, 0])
        boxes["shift_y", amount] = box + amount * side * np.array([0, 1, 0, 1])
    for amount in SCALES:
        boxes["scale", amount] = center + amount * (box - center)
    return boxes


def roll_image(
    image: NDArray[np.uint8],
    landmarks: Array,
    roll_deg: float,
    box: Array | None = None,
) -> tuple[NDArray[np.uint8], Array]:
    """Return a square image around the rolled face, and its landmarks.

    Args:
        image: RGB image, (H, W, 3).
        landmarks: (N, 2), pixels of `image`.
        roll_deg: Clockwise angle, degrees.
        box: Face box (4,), pixels of `image`; None: the tight box of the landmarks.
    """
    if box is None:
        box = landmark_box(landmarks)
    size = max(2, round(ROLLED_SIDES * box_side(box)))
    affine = similarity(1.0, roll_deg, box_center(box), np.full(2, (size - 1) / 2))
    return warp(image, affine, size), apply_affine(affine, landmarks)


def perturb(
    predict: Predict,
    protocol: str | Protocol,
    samples: Sequence[Sample],
    *,
    limit: int | None = 200,
    changes: Collection[Change] | None = None,
    read: Read = Sample.read,
    progress: Callable[[int], None] | None = None,
) -> tuple[Perturbed, ...]:
    """Measure the errors of `predict` for perturbed boxes, rolled faces and changed images.

    Args:
        predict: Predictor.
        protocol: Protocol, or its name.
        samples: Annotated faces.
        limit: Number of evenly spaced faces to measure; None: all.
        changes: Perturbations to measure, such as ("shift_x", 0.1); None: all.
        read: Reads the image of a sample.
        progress: Called with the number of faces done.

    Raises:
        ProtocolError: If samples or predictions do not fit the protocol.
    """
    fixed = resolve_protocol(protocol)
    samples = select_samples(fixed, samples)
    if limit is not None and limit < 1:
        raise ProtocolError(
            f"limit is {limit}; expected at least 1 face, or None for all"
        )
    if limit is not None and len(samples) > limit:
        chosen = np.linspace(0, len(samples) - 1, limit).round().astype(int)
        samples = [samples[i] for i in chosen]
    run = _Run(fixed, predict, changes)
    for done, sample in enumerate(samples, 1):
        image, _ = occlude_faces(read(sample), [sample], fixed.occluded)
        run.change_boxes(image, sample)
        run.roll(image, sample)
        run.change_image(image, sample)
        if progress:
            progress(done)
    return run.summary()


class _Run:
    """Errors per perturbation of one measurement."""

    def __init__(
        self,
        protocol: Protocol,
        predict: Predict,
        changes: Collection[Change] | None = None,
    ) -> None:
        self.protocol, self.predict, self.changes = protocol, predict, changes
        self.convert = FaceConverter(protocol)
        self.errors: dict[Change, ErrorAccumulator] = {}

    def _measures(self, change: Change) -> bool:
        return self.changes is None or change in self.changes

    def change_boxes(self, image: NDArray[np.uint8], sample: Sample) -> None:
        """Predict the face in each of its perturbed boxes."""
        true_box = truth_boxes([sample], self.protocol.truth_box)
        boxes = {}
        for change, box in perturbed_boxes(true_box[0]).items():
            if self._measures(change):
                boxes[change] = box
        if not boxes:
            return
        faces = self.predict(image, np.stack(list(boxes.values())))
        found = match_faces(faces, np.repeat(true_box, len(boxes), 0), ordered=True)
        for change, face in zip(boxes, found, strict=True):
            pred = self.convert(face)[0] if face else None
            self._add(change, sample, sample.landmarks, pred)

    def roll(self, image: NDArray[np.uint8], sample: Sample) -> None:
        """Predict the face, rolled by each angle, in its tight box."""
        for roll_deg in ROLLS_DEG:
            if self._measures(("roll", roll_deg)):
                self._roll(image, sample, roll_deg)

    def _roll(self, image: NDArray[np.uint8], sample: Sample, roll_deg: float) -> None:
        is_converted = bool(self.protocol.truth_from)
        around = sample.box if is_converted else None
        rolled, landmarks = roll_image(image, sample.landmarks, roll_deg, around)
        box = landmark_box(landmarks)
        # converted points may cover less than the face
        if self.protocol.truth_box == "landmarks" or is_converted:
            box = tight_box(landmarks, sample.scheme)
        found = self.predict(rolled, box[None])
        pred = self.convert(found[0])[0] if len(found) else None
        self._add(("roll", roll_deg), sample, landmarks, pred)

    def change_image(self, image: NDArray[np.uint8], sample: Sample) -> None:
        """Predict the face in each changed copy of its image, in its box."""
        box = truth_boxes([sample], self.protocol.truth_box)
        for change, function in IMAGE_CHANGES.items():
            if self._measures(change):
                found = self.predict(function(image, sample), box)
                pred = self.convert(found[0])[0] if len(found) else None
                self._add(change, sample, sample.landmarks, pred)

    def _add(
        self, change: Change, sample: Sample, landmarks: Array, pred: Array | None
    ) -> None:
        errors = self.errors.setdefault(change, ErrorAccumulator(self.protocol))
        errors.add(sample.name, landmarks, pred, visible=sample.visible, box=sample.box)

    def summary(self) -> tuple[Perturbed, ...]:
        """Return the errors per perturbation, sorted by kind and amount."""
        rows = []
        for kind, amount in sorted(self.errors):
            found = self.errors[kind, amount].report(boxes="truth")
            rows.append(
                Perturbed(
                    kind=kind,
                    amount=amount,
                    nme=found.nme,
                    failure_rate=found.failure_rate,
                )
            )
        return tuple(rows)
