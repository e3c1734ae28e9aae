"""The accumulator of errors: undefined norms, fingerprints, subsets, and empty sets."""

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


def test_faces_without_a_norm_are_left_out_of_it_with_a_note():
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
        match="protocol 'folder' has no faces to score; give its data with --data",
    ):
        ErrorAccumulator(protocol("folder")).report(boxes="truth")


def test_add_returns_the_error_of_a_face_and_infinity_for_a_miss() -> None:
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


def test_rates_of_missed_faces_have_no_mean_error() -> None:
    rates = error_rates([float("inf")], 0.08)
    assert (rates.nme, rates.failure_rate, rates.auc) == (None, 1, 0)


# -- the convention


def test_errors_in_convention_equal_errors_of_shifted_predictions() -> None:
    common = protocol("300w-common")
    assert common.convention is not None
    shift = np.array(common.convention.shift)
    errors = ErrorAccumulator(common)
    # the norm is 50 px; the only error is the annotation shift of the convention
    errors.add("a.jpg", shape(0), shape(0) - 50 * shift, subsets=["helen"])
    errors.add("b.jpg", shape(1), shape(1), subsets=["lfpw"])
    errors.add("c.jpg", shape(2), None, subsets=["lfpw"])
    found = errors.report(boxes="truth")
    length = float(np.hypot(*shift))
    # plain errors: shift and 0; in convention: 0 and shift; misses count in neither mean
    assert found.nme == pytest.approx(length / 2)
    assert found.nme_in_convention == pytest.approx(length / 2)
    helen, lfpw = found.per_subset["helen"], found.per_subset["lfpw"]
    assert (helen.nme, helen.nme_in_convention) == (
        pytest.approx(length),
        pytest.approx(0, abs=1e-12),
    )
    assert (lfpw.nme, lfpw.nme_in_convention) == (0, pytest.approx(length))


def test_failure_rate_and_auc_ignore_the_convention() -> None:
    both = []
    common = protocol("300w-common")
    for fixed in (common, common.model_copy(update={"convention": None})):
        errors = ErrorAccumulator(fixed)
        errors.add("a.jpg", shape(0), shape(0) + 1)
        both.append(errors.report(boxes="truth"))
    assert both[0].at_thresholds == both[1].at_thresholds
    assert (both[0].auc, both[0].nme) == (both[1].auc, both[1].nme)
    assert both[1].nme_in_convention is None


def test_if_all_faces_are_missed_there_is_no_error_in_convention() -> None:
    errors = ErrorAccumulator(protocol("300w-common"))
    errors.add("a.jpg", shape(0), None)
    assert errors.report(boxes="truth").nme_in_convention is None


# -- contours and visibility


def test_the_jaw_of_300w_is_split_and_other_parts_are_not() -> None:
    errors = ErrorAccumulator(protocol("300w-val"))
    errors.add("a.jpg", shape(0), shape(0) + np.array([3, 4]))
    found = errors.report(boxes="truth")
    assert list(found.per_contour) == ["jaw"]
    jaw = found.per_contour["jaw"]
    assert jaw == found.contours
    # each error is 0.1, an upper bound for both components
    assert 0 < jaw.across <= 0.1
    assert 0 <= jaw.along <= 0.1


def test_visibility_is_ranked_over_all_faces() -> None:
    errors = ErrorAccumulator(protocol("folder"))
    for seed in range(2):
        visible = np.arange(N) < 30
        predicted = np.where(visible, 0.9, 0.2)
        predicted[29] = 0.1  # one of 30 visible points ranks below all 38 others
        predicted[0] = np.nan  # unknown
        errors.add(
            f"{seed}.jpg",
            shape(seed),
            shape(seed),
            visible=visible,
            visible_prob=predicted,
        )
    # of 29 known visible points one loses to every other
    assert errors.report(boxes="truth").visibility_auc == pytest.approx(28 / 29)


def test_points_of_unknown_visibility_are_not_ranked() -> None:
    errors = ErrorAccumulator(protocol("folder"))
    visible = (np.arange(N) < 30).astype(np.float32)
    predicted = np.where(visible > 0, 0.9, 0.2)
    visible[-5:], predicted[-3:] = np.nan, 0.05
    errors.add("a.jpg", shape(0), shape(0), visible=visible, visible_prob=predicted)
    assert errors.report(boxes="truth").visibility_auc == 1


def test_points_of_unknown_visibility_count_in_the_error_of_visible_points() -> None:
    errors = ErrorAccumulator(
        protocol("folder").model_copy(update={"visibility": "visible"})
    )
    truth, visible = shape(0), np.ones(N, np.float32)
    visible[:34], visible[34:51] = 0, np.nan
    pred = truth.copy()
    pred[:34] += 100  # not counted
    pred[34:51] += np.array([3, 4])  # a half of those that count: 5 px of 50
    assert errors.add("a.jpg", truth, pred, visible=visible) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("visible", "predicted"),
    [
        (np.arange(N) < 30, None),
        (np.arange(N) < 30, np.full(N, np.nan)),
        (np.full(N, True), np.full(N, 0.5)),
        (None, np.full(N, 0.5)),
    ],
    ids=["not predicted", "nan", "all visible", "not annotated"],
)
def test_visibility_auc_needs_predictions_and_both_classes(visible, predicted) -> None:
    errors = ErrorAccumulator(protocol("folder"))
    errors.add("a.jpg", shape(0), shape(0), visible=visible, visible_prob=predicted)
    assert errors.report(boxes="truth").visibility_auc is None


def test_points_without_sigma_count_in_the_error_but_not_in_the_calibration() -> None:
    errors = ErrorAccumulator(protocol("folder"))
    sigma_px = np.full(N, 5.0)
    sigma_px[3] = np.nan
    errors.add("a.jpg", shape(0), shape(0) + np.array([3, 4]), sigma_px=sigma_px)
    errors.add("b.jpg", shape(1), shape(1), sigma_px=np.full(N, np.nan))
    report = errors.report(boxes="truth")
    assert report.nme == pytest.approx(0.05)  # of 5 px over 50 px, and of 0
    assert report.reliability is not None
    assert report.reliability.points == N - 1
    unknown = ErrorAccumulator(protocol("folder"))
    unknown.add("b.jpg", shape(1), shape(1), sigma_px=np.full(N, np.nan))
    assert unknown.report(boxes="truth").reliability is None
