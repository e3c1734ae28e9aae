"""Review order: a score of how doubtful each face is, by one of several criteria."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np

from ...data.audit.checks import SEVERITIES, check_points
from ...data.mean_face import known_rows, mean_face
from ...data.sample import Sample
from ...errors import DataError, did_you_mean
from ...geometry import Array, apply_affine, box_side, fit_similarity, landmark_box
from .candidate import Candidate

WORST_FRACTION = 1 / 3
"""Fraction of the landmarks, most doubtful first, whose mean is the score of the face."""
MIN_SPREAD = 0.005
"""Spread added to that of an annotated face, in units of the box side, because the five predictions
underestimate it: they share some errors."""
FINDING = 10.0
"""Score of an audit warning; that of an audit error is twice as high."""


def _side(face: Candidate) -> float:
    """Return the longer side of the landmark box, at least 1 pixel."""
    return max(box_side(landmark_box(face.start())), 1.0)


def _distances(face: Candidate, other: Array) -> Array:
    """Return the distances (N,) between the landmarks and `other`, pixels."""
    return np.asarray(np.linalg.norm(face.landmarks - other, axis=1))


def doubt_by_sigma(face: Candidate) -> Array:
    """Return sigma (N,) relative to the box side.

    For annotations, return their distances to the model's landmarks, relative to sigma.
    """
    if face.annotated:
        return _distances(face, face.predicted) / face.sigma_px
    return face.sigma_px / _side(face)


def doubt_by_spread(face: Candidate) -> Array:
    """Return the spread (N,) relative to the box side.

    For annotations, return their distances to the model's landmarks, relative to the spread.
    """
    if face.annotated:
        spread = np.hypot(face.spread_px, MIN_SPREAD * _side(face))
        return _distances(face, face.predicted) / spread
    return face.spread_px / _side(face)


def doubt_by_disagreement(face: Candidate) -> Array:
    """Return the distances (N,) to the second model's landmarks, in units of the box side."""
    assert face.second is not None
    return _distances(face, face.second) / _side(face)


def doubt_by_audit(face: Candidate) -> Array:
    """Return the distances (N,) to a mean face, relative to the box side, plus audit findings."""
    landmarks = face.landmarks
    sample = Sample(face.image, landmarks, face.scheme, face.image.name)
    raised = 0.0
    for finding in check_points(sample):
        raised += FINDING * (len(SEVERITIES) - 1 - SEVERITIES.index(finding.severity))
    mean = mean_face(face.scheme)
    distances = np.zeros(len(landmarks))
    if mean is not None and (known := known_rows(landmarks, mean)).sum() >= 4:
        fit = fit_similarity(landmarks[known], mean[known])
        distances[known] = np.linalg.norm(
            apply_affine(fit, landmarks[known]) - mean[known], axis=1
        )
    return distances + raised


DOUBTS: dict[str, Callable[[Candidate], Array]] = {
    "sigma": doubt_by_sigma,
    "spread": doubt_by_spread,
    "disagree": doubt_by_disagreement,
    "audit": doubt_by_audit,
}
"""Function that returns the doubt (N,) in each landmark, by name of the order."""
RANDOM, BY_NAME = "random", "name"
ORDERS = (*DOUBTS, RANDOM, BY_NAME)
NEEDS_MODEL = ("sigma", "spread")
"""Orders that compare annotations with model predictions."""


def parse_order(text: str) -> tuple[str, str]:
    """Parse an order; return its name and the second model of `disagree:MODEL`, or "".

    Raises:
        DataError: If the order is unknown.
    """
    name, _, model = text.partition(":")
    if name not in ORDERS:
        raise DataError(f"unknown order {name!r}; {did_you_mean(name, ORDERS)}")
    if (name == "disagree") != bool(model):
        raise DataError(
            f"--order {text}: disagree needs a second model, and other orders take "
            "none; write --order disagree:MODEL with a name or a file"
        )
    return name, model


def doubts(faces: Sequence[Candidate], order: str) -> list[float]:
    """Return how doubtful each face is; faces are reviewed in descending order.

    Args:
        faces: The faces, with the predictions that the order needs.
        order: One of ORDERS, without the model part.
    """
    if order == BY_NAME:
        return [float(-number) for number in range(len(faces))]
    if order == RANDOM:
        return [_drawn(face, number) for number, face in enumerate(faces)]
    return [ranking_score(DOUBTS[order](face)) for face in faces]


def ranking_score(of_points: Array) -> float:
    """Return the mean of the highest third of the landmark doubts (N,); 0 if none is known."""
    known = np.sort(of_points[np.isfinite(of_points)])
    if not len(known):
        return 0.0
    count = max(1, round(WORST_FRACTION * len(known)))
    return float(known[-count:].mean())


def _drawn(face: Candidate, number: int) -> float:
    """Return a pseudo-random number in [0, 1) that is the same in every run."""
    digest = sha256(f"{face.image.name} {number}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
