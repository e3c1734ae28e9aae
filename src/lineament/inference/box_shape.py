"""Points whose tight box defines a face's crop, for any scheme."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..geometry import Array, apply_affine, fit_similarity
from ..schemes import NAMES, scheme

FULL = "ibug68"
"""Scheme whose tight box crops are made around."""


class BoxShape:
    """Maps a model's landmarks to the points whose tight box defines its crops.

    These are the landmarks themselves. For a user-defined scheme with a mean shape they are the 68
    points of a mean face fitted to the landmarks, because detectors and training use the box of
    those.

    Args:
        name: Scheme of the model.
        never_learned: Indices of points to leave out.
    """

    def __init__(self, name: str, never_learned: Sequence[int]) -> None:
        self.mean: Array | None = scheme(name).mean_shape
        """(M, 2): upright mean shape of the points, or None."""
        self._learned = learned_points(len(scheme(name)), never_learned)
        self.own: Array | None = None
        """(M, 2): mean shape of user-defined points, used to fit `mean` to landmarks; or None."""
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
    """Return a mask (N,) of the `count` points that had training examples."""
    learned = np.ones(count, dtype=np.bool_)
    learned[list(never_learned)] = False
    return learned


def replace_unlearned(
    landmarks: Array, scores: Array, never_learned: Sequence[int]
) -> None:
    """Replace points without training examples by the mean of the others, in place.

    Position and score are replaced, so that these points do not affect decisions about the face.
    `make_face` marks them as invalid.

    Args:
        landmarks: (F, N, 2).
        scores: (F, N).
        never_learned: Indices of points without training examples.
    """
    if not never_learned:
        return
    learned = learned_points(scores.shape[1], never_learned)
    landmarks[:, ~learned] = landmarks[:, learned].mean(1, keepdims=True)
    scores[:, ~learned] = scores[:, learned].mean(1, keepdims=True)
