"""What the error becomes when boxes are shifted or scaled, or faces rolled: how much a model leans on its detector."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..crop import warp
from ..data.sample import Sample, tight_box
from ..errors import ProtocolError
from ..geometry import Array, apply_affine, box_center, box_side, landmark_box, similarity
from .accumulator import Tally
from .evaluate import Fit, Predict, Read, match
from .occlude import shown
from .protocols import Protocol, chosen, named
from .report import Perturbed

SHIFTS = (-0.2, -0.15, -0.1, -0.05, 0.05, 0.1, 0.15, 0.2)
SCALES = (0.8, 0.9, 1.1, 1.2)
ROLLS_DEG = (-60.0, -45.0, -30.0, -15.0, 15.0, 30.0, 45.0, 60.0)
CONTEXT = 2.2  # the side of the turned picture, in longer sides of the box: what the crops of the data sets show


def changed_boxes(box: Array) -> dict[tuple[str, float], Array]:
    """`box` (4,) unchanged, shifted along x and y by fractions of its longer side, and scaled, by (kind, amount)."""
    side, center = box_side(box), box_center(box)
    boxes = {("none", 0.0): box}
    for amount in SHIFTS:
        boxes["shift_x", amount] = box + amount * side * np.array([1, 0, 1, 0])
        boxes["shift_y", amount] = box + amount * side * np.array([0, 1, 0, 1])
    for amount in SCALES:
        boxes["scale", amount] = np.concatenate([center, center]) + amount * (
            box - np.concatenate([center, center])
        )
    return boxes


def roll_picture(
    image: NDArray[np.uint8], landmarks: Array, roll_deg: float
) -> tuple[NDArray[np.uint8], Array]:
    """A square picture around the face in which it is turned by `roll_deg`, and the landmarks (N, 2) in it.

    image: RGB (H, W, 3).    landmarks: (N, 2), pixels of it.
    """
    box = landmark_box(landmarks)
    size = max(2, round(CONTEXT * box_side(box)))
    affine = similarity(1.0, roll_deg, box_center(box), np.full(2, (size - 1) / 2))
    return warp(image, affine, size), apply_affine(affine, landmarks)


def perturb(
    predict: Predict,
    protocol: str | Protocol,
    samples: Sequence[Sample],
    *,
    limit: int | None = 200,
    read: Read = Sample.read,
    progress: Callable[[int], None] | None = None,
) -> tuple[Perturbed, ...]:
    """The errors of `predict` when truth boxes are shifted, scaled, or the face rolled with its box fitted anew.

    limit: as many faces, evenly spaced, stand for all; None: all.    progress: called with the number of faces done.
    Raises: ProtocolError as `evaluate`.
    """
    fixed = named(protocol)
    samples = chosen(fixed, samples)
    if limit is not None and limit < 1:
        raise ProtocolError(f"limit is {limit}; wanted at least 1 face, or None for all")
    if limit is not None and len(samples) > limit:
        samples = [samples[i] for i in np.linspace(0, len(samples) - 1, limit).round().astype(int)]
    fit = Fit(fixed)
    tallies: dict[tuple[str, float], Tally] = {}
    for done, sample in enumerate(samples, 1):
        image = shown(read(sample), [sample], fixed.hidden)
        boxes = changed_boxes(sample.face_box())
        faces = match(
            predict(image, np.stack(list(boxes.values()))), [sample] * len(boxes), ordered=True
        )
        for change, face in zip(boxes, faces, strict=True):
            _count(tallies, change, fixed, sample, sample.landmarks, fit(face)[0] if face else None)
        for amount in ROLLS_DEG:
            turned, landmarks = roll_picture(image, sample.landmarks, amount)
            found = predict(turned, tight_box(landmarks, sample.scheme)[None])
            _count(
                tallies,
                ("roll", amount),
                fixed,
                sample,
                landmarks,
                fit(found[0])[0] if len(found) else None,
            )
        if progress:
            progress(done)
    return tuple(_summary(change, tallies[change]) for change in sorted(tallies))


def _count(
    tallies: dict[tuple[str, float], Tally],
    change: tuple[str, float],
    fixed: Protocol,
    sample: Sample,
    landmarks: Array,
    pred: Array | None,
) -> None:
    tally = tallies.setdefault(change, Tally(fixed))
    tally.add(sample.name, landmarks, pred, visible=sample.visible, box=sample.box)


def _summary(change: tuple[str, float], tally: Tally) -> Perturbed:
    found = tally.report(boxes="truth")
    return Perturbed(
        kind=change[0], amount=change[1], nme=found.nme, failure_rate=found.failure_rate
    )
