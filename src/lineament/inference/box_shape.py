"""Points whose tight box defines a face's crop, for any scheme."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemeError
from ..geometry import Array, apply_affine, box_error, fit_similarity, landmark_box
from ..schemes import NAMES, scheme, upright_mean

FULL = "ibug68"
"""Scheme whose tight box crops are made around."""


SAME_BOX = 0.15
"""Box error on the mean face up to which the landmarks of a scheme span the box of the 68."""


class BoxShape:
    """Maps a model's landmarks to the points whose tight box defines its crops.

    Detectors and training use the tight box of the 68 points. If the landmarks span nearly the
    same box, they are used themselves. Otherwise, as with five points or with a user-defined
    scheme with a mean shape, they are replaced by the 68 points of a mean face fitted to them.

    Args:
        name: Scheme of the model.
        never_learned: Indices of points to leave out.
    """

    def __init__(self, name: str, never_learned: Sequence[int]) -> None:
        self._learned = learned_points(len(scheme(name)), never_learned)
        self.mean: Array | None = None
        """(M, 2): upright mean shape of the points, nan for points not in it; or None."""
        self.own: Array | None = None
        """(N, 2): mean shape of the learned landmarks, used to fit `mean` to them; or None."""
        try:
            mean = upright_mean(name)
        except SchemeError:
            return
        if never_learned:
            mean = mean[self._learned]
        known = np.isfinite(mean).all(1)
        if known.sum() < 2:
            return
        self.mean = mean
        if known.all() and (name not in NAMES or not _spans_face(mean)):
            self.own, self.mean = mean, scheme(FULL).mean_shape

    def points(self, landmarks: Array) -> Array:
        """Return the points (M, 2) for `landmarks` (N, 2), in the same pixels."""
        if self.own is not None and self.mean is not None:
            fitted = fit_similarity(self.own, landmarks[self._learned])
            return apply_affine(fitted, self.mean)
        return landmarks if self._learned.all() else landmarks[self._learned]


def _spans_face(mean: Array) -> bool:
    """Return True if the box of a mean shape is near that of the 68 points."""
    full = landmark_box(np.asarray(scheme(FULL).mean_shape))
    return box_error(full, landmark_box(mean)) <= SAME_BOX


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
