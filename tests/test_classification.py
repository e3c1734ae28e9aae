"""AUC and calibration of probabilities, compared with independent reference implementations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.errors import InputError, ShapeError
from lineament.evaluation.classification import auc, calibration_error, reliability


def auc_by_pairs(labels, scores):
    """Return the share of pairs in order, by brute force; ties count one half."""
    wins, pairs = 0.0, 0
    for positive, high in zip(labels, scores, strict=True):
        for negative, low in zip(labels, scores, strict=True):
            if positive and not negative:
                pairs += 1
                wins += 1.0 if high > low else 0.5 if high == low else 0.0
    return wins / pairs


def error_by_bins(labels, probabilities, bins):
    """Return the expected calibration error by its definition, bin by bin."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = []
        for label, probability in zip(labels, probabilities, strict=True):
            is_last = number == bins - 1 and probability == 1
            if low <= probability < high or is_last:
                inside.append((label, probability))
        if inside:
            gap = abs(sum(a for a, _ in inside) - sum(p for _, p in inside))
            total += gap / len(labels)
    return total


# few levels, so that many scores are equal
items = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=2)


@given(items)
def test_auc_is_the_fraction_of_ordered_pairs_with_ties_as_one_half(given_items):
    labels = [0, 1] + [label for label, _ in given_items]
    scores = [3, 5] + [score for _, score in given_items]
    assert auc(labels, scores) == pytest.approx(auc_by_pairs(labels, scores))


def test_auc_of_perfect_reversed_and_equal_scores():
    assert auc([0, 0, 1], [0.1, 0.2, 0.3]) == 1
    assert auc([True, True, False], [0.1, 0.2, 0.3]) == 0
    assert auc([0, 1, 1, 0], [0.5] * 4) == 0.5


@given(items, st.sampled_from([1, 2, 4, 8]))
def test_calibration_error_equals_its_definition(given_items, bins):
    labels = [label for label, _ in given_items]
    # eighths are exact in binary, so that edges of bins are met exactly
    probabilities = [level / 8 for _, level in given_items]
    expected = error_by_bins(labels, probabilities, bins)
    assert calibration_error(labels, probabilities, bins) == pytest.approx(expected)


def test_labels_drawn_with_their_probabilities_are_calibrated():
    rng = np.random.default_rng(4)
    probabilities = rng.uniform(0, 1, 40_000)
    labels = rng.uniform(0, 1, 40_000) < probabilities
    # each of 10 bins holds 4,000 items: 4 deviations of its share are at most 0.032
    assert calibration_error(labels, probabilities) < 0.032
    # for x uniform in [0, 1], the mean |x**3 - x| is 1/2 - 1/4
    assert calibration_error(labels, probabilities**3) == pytest.approx(0.25, abs=0.02)


def test_reliability_counts_every_item_once_with_1_in_the_last_bin():
    found = reliability([0, 1, 1, 1], [0.0, 0.05, 0.95, 1.0])
    assert [b.items for b in found] == [2, 2]
    assert [b.frequency for b in found] == [0.5, 1.0]
    assert [b.probability for b in found] == pytest.approx([0.025, 0.975])


def test_bad_labels_and_scores_are_rejected():
    with pytest.raises(ShapeError, match="2 labels and 1 scores; expected one"):
        auc([0, 1], [0.5])
    with pytest.raises(InputError, match="2 labels are 1 and 0 are 0; expected some"):
        auc([1, 1], [0.5, 0.6])
    with pytest.raises(InputError, match=r"label 1 is 2\.0; expected 0 or 1"):
        auc([0, 2], [0.5, 0.6])
    with pytest.raises(ShapeError, match="1 scores are not finite"):
        auc([0, 1], [0.5, math.nan])
    with pytest.raises(ShapeError, match=r"probability 1 is 1\.5; expected one in"):
        calibration_error([0, 1], [0.5, 1.5])
    with pytest.raises(InputError, match="there are no labels"):
        calibration_error([], [])
