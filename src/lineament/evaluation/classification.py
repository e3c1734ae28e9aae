"""Metrics for predicted probabilities such as presence or visibility: AUC, calibration.

Labels are 1 for true and 0 for false.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError, ShapeError
from ..geometry import Array

BINS = 10
"""Number of equal-width bins for measuring calibration."""


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the exact area under the ROC curve, counting ties as one half.

    It is the fraction of (positive, negative) pairs in which the positive item scores higher.

    Args:
        labels: (M,), 1 or True for positive items, 0 or False for negative ones.
        scores: (M,), higher for items that are more likely positive.

    Raises:
        ShapeError: If the shapes differ, or a score is not finite.
        InputError: If a label is neither 0 nor 1, or all labels are equal.

    Source: Mann, Whitney 1947; Fawcett 2006, section 7.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    truth, values = _checked(labels, scores, "scores")
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        raise InputError(
            f"{positives} labels are 1 and {negatives} are 0; expected some of both"
        )
    # averaging the ranks of ties makes each tied pair count one half
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.reshape(-1)]
    wins = float(ranks[truth].sum()) - positives * (positives + 1) / 2
    return wins / (positives * negatives)


@dataclass(frozen=True)
class ReliabilityBin:
    """The items whose predicted probability is in one bin."""

    items: int
    probability: float
    """Mean predicted probability."""
    frequency: float
    """Fraction of positive items; equals `probability` if perfectly calibrated."""


def reliability(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS
) -> tuple[ReliabilityBin, ...]:
    """Return the nonempty equal-width bins, in ascending order.

    Args:
        labels: (M,), 1 or True for positive items, 0 or False for negative ones.
        probabilities: (M,), predicted probabilities of being positive, in [0, 1].
        bins: Number of bins of [0, 1]; each includes its lower edge, the last one both edges.

    Raises:
        ShapeError: If the shapes differ, or a probability is not in [0, 1].
        InputError: If a label is neither 0 nor 1, or there are no labels.
    """
    truth, values = _checked(labels, probabilities, "probabilities")
    outside = np.flatnonzero((values < 0) | (values > 1))
    if len(outside):
        row = outside[0]
        raise ShapeError(f"probability {row} is {values[row]}; expected one in [0, 1]")
    index = np.minimum((values * bins).astype(np.intp), bins - 1)
    found = []
    for number in np.unique(index):
        inside = index == number
        means = float(values[inside].mean()), float(truth[inside].mean())
        found.append(ReliabilityBin(int(inside.sum()), *means))
    return tuple(found)


def calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS
) -> float:
    """Return the expected calibration error.

    It is the mean over items of their bin's |fraction of positives - mean probability|.
    Arguments and errors are as in `reliability`.

    Source: Naeini, Cooper, Hauskrecht 2015; Guo et al. 2017, eq. 3.
    """
    found = reliability(labels, probabilities, bins)
    gaps = [b.items * abs(b.frequency - b.probability) for b in found]
    return sum(gaps) / sum(b.items for b in found)


def _checked(
    labels: ArrayLike, values: ArrayLike, name: str
) -> tuple[NDArray[np.bool_], Array]:
    truth = np.asarray(labels, dtype=np.float64).reshape(-1)
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if truth.shape != numbers.shape:
        raise ShapeError(
            f"{len(truth)} labels and {len(numbers)} {name}; "
            "expected one for each label"
        )
    if not len(truth):
        raise InputError("there are no labels; expected at least one")
    unlike = np.flatnonzero((truth != 0) & (truth != 1))
    if len(unlike):
        raise InputError(f"label {unlike[0]} is {truth[unlike[0]]}; expected 0 or 1")
    if not np.isfinite(numbers).all():
        count = int((~np.isfinite(numbers)).sum())
        raise ShapeError(f"{count} {name} are not finite; expected finite numbers")
    return truth == 1, numbers
