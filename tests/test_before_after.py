"""A fine-tuning is judged on each face against itself, and worse is not called better."""

import numpy as np
import pytest

pytest.importorskip("torch")

from lineament.training.before_after import changes


def noisy(mean, count, seed):
    return np.random.default_rng(seed).normal(mean, 0.01, count)


def test_a_change_counts_if_it_is_larger_than_two_standard_errors():
    before = noisy(0.05, 400, 0)
    steps = noisy(0.0, 400, 1)
    # the standard error of the mean change is 0.01 / 20; changes of 4 and of 0.4 of them
    for shift, verdict in (
        (-0.002, "better"),
        (0.002, "worse"),
        (0.0002, "no clear difference"),
    ):
        after = before + steps - steps.mean() + shift
        (change,) = changes({"a": before.tolist()}, {"a": after.tolist()})
        assert change.verdict == verdict
        assert change.after - change.before == pytest.approx(shift)
        assert change.margin == pytest.approx(0.001, rel=0.1)


def test_a_few_faces_decide_nothing():
    (change,) = changes({"a": [0.05] * 4}, {"a": [0.01] * 4})
    assert change.verdict == "too few faces to tell"
    (change,) = changes({"a": [0.05]}, {"a": [0.01]})
    assert change.verdict == "too few faces to tell"


def test_sets_without_a_measured_face_are_left_out():
    assert changes({"a": []}, {"a": []}) == []
