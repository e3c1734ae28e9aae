"""Points that the box of a face is made of, for any scheme and points without examples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, apply_affine, fit_similarity
from ..schemes import NAMES, scheme

FULL = "ibug68"
"""Crops are made around the tight box of this scheme's points."""


class BoxShape:
    """Maps the landmarks of a model to the points whose tight box its crops are made around.

    These are the landmarks; for a user's scheme with a mean shape, the 68 points of a mean face
    that is fitted to them, because detectors and training have the box of those.

    Args:
        name: Scheme of the model.
        never_learned: Indices of points to leave out.
    """

    def __init__(self, name: str, never_learned: Sequence[int]) -> None:
        self.mean: Array | None = scheme(name).mean_shape
        """(M, 2): upright mean of the points, or None."""
        self._learned = learned_points(len(scheme(name)), never_learned)
        self.own: Array | None = None
        """(M, 2): mean of a user's points, which `mean` is fitted through; or None."""
        if name not in NAMES and self.mean is not None:
            self.own = self.mean[self._learned]
            self.mean = scheme(FULL).mean_shape
        elif self.mean is not None and never_learned:
            self.mean = self.mean[self._learned]

    def points(self, landmarks: Array) -> Array:
        """Return the points (M, 2) for `landmarks` (N, 2), in the same pixels."""
        if self.own is not None and self.mean is not None:
            fitted = fit_similarity(self.own, landmarks[self._learned])
            return apply_affine(fitted, self.mean)
        return landmarks if self._learned.all() else landmarks[self._learned]


def learned_points(count: int, never_learned: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of `count` points (N,) had examples."""
    learned = np.ones(count, dtype=np.bool_)
    learned[list(never_learned)] = False
    return learned


def replace_unlearned(
    landmarks: Array, scores: Array, never_learned: Sequence[int]
) -> None:
    """Give points that a model had no example of the mean place and score of the others, in place.

    Thus they change no decision about the face. `make_face` states that they mean nothing.

    Args:
        landmarks: (F, N, 2).
        scores: (F, N).
        never_learned: Their indices.
    """
    if not never_learned:
        return
    learned = learned_points(scores.shape[1], never_learned)
    landmarks[:, ~learned] = landmarks[:, learned].mean(1, keepdims=True)
    scores[:, ~learned] = scores[:, learned].mean(1, keepdims=True)
