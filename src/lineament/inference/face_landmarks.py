"""Predictions for the faces of a call, mapped back to their images."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ..errors import SchemeError
from ..face import Face
from ..geometry import Array
from ..schemes import convert
from .recurrent_state import RecurrentState


class FaceLandmarks(NamedTuple):
    """Landmarks of F faces in the model's scheme."""

    landmarks: Array
    """(F, N, 2), pixels of each face's image."""
    scores: Array
    """(F, N) in [0, 1]."""
    sigma_px: Array
    """(F, N), pixels of the image."""
    presence: Array
    """(F,) in [0, 1]: probability that the crop shows a face; nan if not predicted."""
    visible: Array
    """(F, N) in [0, 1]: probability that a landmark is visible; nan if not predicted."""
    recurrent_state: RecurrentState | None = None
    """State for the next frame; None if the model is not recurrent."""
    attributes: Mapping[str, Array] = MappingProxyType({})
    """(F,) in [0, 1] by name: probability that an attribute is true."""

    def take(self, rows: slice) -> "FaceLandmarks":
        """Return some of the faces, without recurrent state."""
        attributes = {name: values[rows] for name, values in self.attributes.items()}
        return FaceLandmarks(
            self.landmarks[rows],
            self.scores[rows],
            self.sigma_px[rows],
            self.presence[rows],
            self.visible[rows],
            attributes=attributes,
        )

    def attributes_of(self, row: int) -> dict[str, float]:
        """Return the attributes of face `row`."""
        return {name: float(values[row]) for name, values in self.attributes.items()}

    def replace_row(self, row: int, other: "FaceLandmarks", k: int) -> None:
        """Overwrite face `row` with face `k` of `other`, in place."""
        self.landmarks[row] = other.landmarks[k]
        self.scores[row], self.sigma_px[row] = other.scores[k], other.sigma_px[k]
        self.presence[row], self.visible[row] = other.presence[k], other.visible[k]
        for name, values in self.attributes.items():
            values[row] = other.attributes[name][k]
        if self.recurrent_state is not None and other.recurrent_state is not None:
            self.recurrent_state.maps[row] = other.recurrent_state.maps[k]
            maps = other.recurrent_state.image_to_crop
            self.recurrent_state.image_to_crop[row] = maps[k]

    def quality(self, row: int) -> float:
        """Return a quality measure of the crop of face `row`; higher is better.

        It is the mean landmark score, times the presence if that is predicted.
        """
        score = float(self.scores[row].mean())
        presence = float(self.presence[row])
        return score if np.isnan(presence) else presence * score


def keep_better(
    best: FaceLandmarks,
    rows: list[int],
    other: FaceLandmarks,
    penalty: Callable[[int, Array], float],
) -> None:
    """Replace `rows` of `best` by the rows of `other` of higher quality.

    Args:
        penalty: Maps a row of `best` and landmarks of that face to a value that is subtracted
            from their quality.
    """
    for k, row in enumerate(rows):
        gain = other.quality(k) - best.quality(row)
        penalty_change = penalty(row, other.landmarks[k]) - penalty(
            row, best.landmarks[row]
        )
        if gain > penalty_change:
            best.replace_row(row, other, k)


def make_face(
    source: str,
    scheme: str,
    *,
    landmarks: Array,
    scores: Array,
    sigma_px: Array,
    presence: float,
    visible: Array,
    box: Array,
    score: float,
    track_id: int | None = None,
    attributes: Mapping[str, float] | None = None,
    never_learned: Sequence[int] = (),
) -> Face:
    """Return a face in `scheme` from a model's predictions in the scheme `source`.

    Scores and probabilities are clipped to [0, 1].

    Args:
        never_learned: Points of `source` without training examples: they get a score of 0, are
            not visible, and have no sigma.
    """
    if never_learned:
        rows = list(never_learned)
        scores, sigma_px, visible = scores.copy(), sigma_px.copy(), visible.copy()
        scores[rows], sigma_px[rows], visible[rows] = 0.0, np.nan, 0.0
    if scheme != source:
        converted = convert(landmarks, source, scheme)
        landmarks = converted.points
        scores = converted.convert_values(scores)
        sigma_px = converted.convert_values(sigma_px)
        visible = converted.convert_values(visible)
    scores, visible = np.clip(np.stack([scores, visible]), 0, 1)
    presence = min(max(presence, 0.0), 1.0)  # nan stays nan
    score = min(max(score, 0.0), 1.0)
    stated = (box, score, scheme, track_id, presence, visible, attributes or {})
    return Face(landmarks, scores, sigma_px, *stated)


def check_conversion(origin: str, points: int, source: str, target: str) -> None:
    """Raise SchemeError early if landmarks of `source` cannot be converted to `target`.

    Args:
        origin: Name of the model or detector, for the message.
        points: Number of points of `source`.
        source: Scheme of the predictions.
        target: Scheme to convert to.
    """
    converted = convert(np.zeros((points, 2)), source, target)
    missing = len(converted.indices_with("missing"))
    if missing:
        raise SchemeError(
            f"{origin} predicts {source}, from which {missing} of the "
            f"{len(converted.points)} points of {target} cannot be derived; choose a "
            f"model trained on {target}"
        )
