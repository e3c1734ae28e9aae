"""The accumulator of errors: norms that faces lack, fingerprints, subsets, and no faces at all."""

import numpy as np
import pytest

from lineament.errors import ProtocolError
from lineament.evaluation.accumulator import ErrorAccumulator, error_rates
from lineament.evaluation.protocols import protocol

N = 68


def shape(seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, 100, (N, 2))
    points[36], points[45] = (20, 30), (70, 30)  # interocular: 50
    return points


def test_a_norm_that_a_face_lacks_is_left_out_with_a_note():
    errors = ErrorAccumulator(protocol("folder"))
    for number in range(2):
        truth = shape(number).copy()
        if number:
            truth[37] = (
                np.nan
            )  # an eyelid: there is no pupil, but the corners are annotated
        errors.add(f"{number}.jpg", truth, shape(number))
    report = errors.report(boxes="file")
    assert (report.images, report.other_norms["interpupil"].nme) == (2, 0)
    assert report.notes == ("1 faces lack the points of the interpupil norm",)


def test_an_accumulator_without_faces_has_no_report() -> None:
    with pytest.raises(
        ProtocolError,
        match="protocol 'folder' has no face to score; give its data with --data",
    ):
        ErrorAccumulator(protocol("folder")).report(boxes="truth")


def test_a_face_returns_its_error_and_a_miss_infinity() -> None:
    errors = ErrorAccumulator(protocol("folder"))
    # 5 px over 50 px
    assert errors.add("a.jpg", shape(0), shape(0) + np.array([3, 4])) == pytest.approx(
        0.1
    )
    assert errors.add("b.jpg", shape(1), None) == float("inf")
    assert len(errors) == 2


def test_subsets_score_their_own_faces_and_empty_ones_are_left_out() -> None:
    errors = ErrorAccumulator(protocol("wflw"))
    truth = np.random.default_rng(0).uniform(0, 100, (98, 2))
    truth[60], truth[72] = (20, 30), (70, 30)  # interocular: 50
    errors.add("a.jpg", truth, truth + np.array([5, 0]), subsets=["blur"])
    errors.add("b.jpg", truth, None, subsets=["blur", "pose"])
    found = errors.report(boxes="truth").per_subset
    assert set(found) == {"blur", "pose"}
    assert (found["blur"].images, found["blur"].misses) == (2, 1)
    assert found["blur"].nme == pytest.approx(0.1)
    assert found["pose"].nme is None


def test_the_rates_of_missed_faces_have_no_mean() -> None:
    rates = error_rates([float("inf")], 0.08)
    assert (rates.nme, rates.failure_rate, rates.auc) == (None, 1, 0)
