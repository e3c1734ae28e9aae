"""Metrics, checked by laws, hand-derived numbers and independent numeric integration."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.errors import InputError, ShapeError
from lineament.evaluation import metrics

CORNERS = ([36], [45])
EYES = (list(range(36, 42)), list(range(42, 48)))
ERRORS = st.lists(st.floats(0, 0.3) | st.just(math.inf), min_size=1, max_size=40)


def face(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 200, (68, 2))


# -- the error of one face


def test_nme_of_points_all_moved_by_3_4_is_5_over_the_norm() -> None:
    truth = face()
    assert metrics.nme(truth + np.array([3, 4]), truth, 50) == pytest.approx(0.1)


def test_nme_is_the_mean_over_points_not_a_root_mean_square() -> None:
    # errors 0 and 6: mean 3 (a root mean square would be 4.24)
    assert metrics.nme([[0, 0], [6, 0]], [[0, 0], [0, 0]], 100) == pytest.approx(0.03)


def test_points_without_annotation_do_not_count() -> None:
    truth = np.array([[0.0, 0.0], [np.nan, np.nan], [10.0, 0.0]])
    pred = np.array([[2.0, 0.0], [99.0, 99.0], [10.0, 4.0]])
    assert metrics.nme(pred, truth, 10) == pytest.approx(0.3)  # (2 + 4) / 2 / 10
    assert np.isnan(metrics.point_errors(pred, truth)[1])


def test_a_face_without_any_annotated_point_is_rejected() -> None:
    with pytest.raises(
        InputError, match="no point of this face is annotated; expected at least one"
    ):
        metrics.nme([[1, 1]], [[np.nan, np.nan]], 10)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(-500, 500))
def test_nme_is_the_same_if_the_image_is_scaled_rotated_and_moved(
    scale: float, angle: float, shift: float
) -> None:
    truth, pred = face(1), face(1) + np.random.default_rng(2).normal(0, 2, (68, 2))
    turn = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    moved_truth, moved_pred = truth @ turn.T + shift, pred @ turn.T + shift
    before = metrics.nme(
        pred, truth, metrics.norm_length("interocular", truth, CORNERS)
    )
    after = metrics.nme(
        moved_pred,
        moved_truth,
        metrics.norm_length("interocular", moved_truth, CORNERS),
    )
    assert after == pytest.approx(before, rel=1e-9)


def test_different_counts_and_non_finite_predictions_are_rejected() -> None:
    with pytest.raises(
        ShapeError,
        match="5 landmarks were predicted, but the truth has 68; expected the same number",
    ):
        metrics.point_errors(np.zeros((5, 2)), face())
    pred = face()
    pred[7, 1] = np.nan
    with pytest.raises(
        ShapeError,
        match=r"1 predicted landmarks are not finite, e.g. 7; expected finite",
    ):
        metrics.point_errors(pred, face())


# -- norms


def test_each_norm_is_the_length_of_its_name() -> None:
    truth = np.zeros((68, 2))
    truth[0], truth[1] = (-10, -20), (90, 30)  # the tight box is 100 wide, 50 high
    truth[36], truth[45] = (10, 5), (40, 45)  # a 3-4-5 triangle: 50
    assert metrics.norm_length("interocular", truth, CORNERS) == pytest.approx(50)
    assert metrics.norm_length("box", truth) == pytest.approx(
        math.sqrt(100 * 65)
    )  # y now spans -20 to 45
    assert metrics.norm_length("diagonal", truth) == pytest.approx(math.hypot(100, 65))
    assert metrics.norm_length("side", truth) == pytest.approx(100)
    assert metrics.norm_length("given-box", truth, box=[0, 0, 8, 2]) == pytest.approx(4)
    eyes = np.zeros((68, 2))
    eyes[42:48, 0] = [60, 60, 60, 66, 66, 66]  # mean 63 against 0
    assert metrics.norm_length("interpupil", eyes, EYES) == pytest.approx(63)


@pytest.mark.parametrize(
    "rule", ["interocular", "interpupil", "box", "side", "diagonal"]
)
def test_a_degenerate_face_has_no_norm(rule: str) -> None:
    points = CORNERS if rule == "interocular" else EYES
    with pytest.raises(
        InputError,
        match=f"the {rule} norm of a/b.jpg is 0 px; expected a finite length above 0",
    ):
        metrics.norm_length(rule, np.full((68, 2), 7.0), points, name="a/b.jpg")


def test_a_norm_from_points_not_annotated_is_rejected() -> None:
    truth = face()
    truth[36] = np.nan
    with pytest.raises(InputError, match="the interocular norm is nan px"):
        metrics.norm_length("interocular", truth, CORNERS)


def test_a_norm_that_lacks_its_points_or_box_is_rejected() -> None:
    with pytest.raises(
        InputError, match="interpupil norm is measured between two groups of points"
    ):
        metrics.norm_length("interpupil", face())
    with pytest.raises(
        InputError, match="given-box norm needs a box from the data set"
    ):
        metrics.norm_length("given-box", face())
    with pytest.raises(
        InputError,
        match="unknown norm 'pupil'; choose one of interocular, interpupil, box",
    ):
        metrics.norm_length("pupil", face())


@pytest.mark.parametrize("norm", [0.0, -3.0, math.nan, math.inf, 1e-12])
def test_nme_rejects_a_norm_it_cannot_divide_by(norm: float) -> None:
    with pytest.raises(
        InputError, match=r"the norm is .* px; expected a finite length above 0"
    ):
        metrics.nme(face(), face(), norm)


# -- many faces


def test_failure_is_strictly_above_the_threshold() -> None:
    assert metrics.failure_rate([0.08, 0.0800001, 0.01, 0.2], 0.08) == 0.5


def integral_of_the_ced(errors: list[float], threshold: float) -> float:
    """Sum the area of the staircase between its corners, without the formula under test."""
    corners = sorted({0.0, threshold, *(e for e in errors if e < threshold)})
    area = 0.0
    for left, right in pairwise(corners):
        area += (right - left) * sum(e <= left for e in errors) / len(errors)
    return area / threshold


@settings(max_examples=150, deadline=None)
@given(ERRORS, st.sampled_from([0.05, 0.08, 0.1]))
def test_auc_equals_the_integral_of_the_ced(
    errors: list[float], threshold: float
) -> None:
    assert metrics.auc(errors, threshold) == pytest.approx(
        integral_of_the_ced(errors, threshold), abs=1e-12
    )


@settings(max_examples=100, deadline=None)
@given(ERRORS, st.sampled_from([0.05, 0.08, 0.1]))
def test_the_ced_ends_at_the_success_rate_and_has_the_auc_under_it(
    errors: list[float], a: float
) -> None:
    x, y = metrics.ced(errors, a)
    assert x[0] == 0
    assert x[-1] == a
    assert y[-1] == pytest.approx(1 - metrics.failure_rate(errors, a))
    assert (np.diff(y) >= 0).all()
    assert float((np.diff(x) * y[:-1]).sum() / a) == pytest.approx(
        metrics.auc(errors, a), abs=1e-12
    )


def test_auc_by_a_fine_quadrature_agrees() -> None:
    errors = np.random.default_rng(0).gamma(4, 0.01, 500)
    grid = np.linspace(0, 0.08, 200_001)
    curve = np.searchsorted(np.sort(errors), grid, side="right") / 500
    assert metrics.auc(errors, 0.08) == pytest.approx(curve.mean(), abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 0.08), min_size=1, max_size=30))
def test_without_failures_auc_is_one_minus_nme_over_the_threshold(
    errors: list[float],
) -> None:
    assert metrics.failure_rate(errors, 0.08) == 0
    assert metrics.auc(errors, 0.08) == pytest.approx(
        1 - metrics.mean_nme(errors) / 0.08
    )


def test_a_missed_face_fails_adds_no_area_and_does_not_change_the_mean() -> None:
    errors = [0.02, 0.04, math.inf]
    assert metrics.mean_nme(errors) == pytest.approx(0.03)
    assert metrics.failure_rate(errors, 0.1) == pytest.approx(1 / 3)
    assert metrics.auc(errors, 0.1) == pytest.approx((0.8 + 0.6 + 0) / 3)


def test_the_mean_over_only_missed_faces_is_nan() -> None:
    assert math.isnan(metrics.mean_nme([math.inf, math.inf]))


def test_summaries_reject_empty_nan_and_negative_errors_and_bad_thresholds() -> None:
    with pytest.raises(
        InputError,
        match="there are no errors to summarize; expected errors of at least one face",
    ):
        metrics.mean_nme([])
    with pytest.raises(
        InputError,
        match="error 1 is nan; expected fractions of the norm, inf for a missed face",
    ):
        metrics.auc([0.1, math.nan], 0.08)
    with pytest.raises(InputError, match=r"error 0 is -0.1; expected fractions"):
        metrics.failure_rate([-0.1], 0.08)
    for threshold in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(
            InputError,
            match=r"the threshold is .*; expected a fraction of the norm above 0, e.g. 0.08",
        ):
            metrics.ced([0.1], threshold)


def test_per_part_is_the_mean_of_its_counting_points() -> None:
    errors = [0.1, 0.3, np.nan, 0.5]
    found = metrics.per_part(errors, {"a": [0, 1], "b": [2, 3], "none": [2]})
    assert found == {"a": pytest.approx(0.2), "b": pytest.approx(0.5)}


# -- calibration


def test_isotropic_gaussian_errors_with_their_mean_as_sigma_are_calibrated() -> None:
    rng = np.random.default_rng(3)
    sigma = rng.uniform(0.005, 0.08, 60_000)
    # The length of an isotropic Gaussian of width s has mean s sqrt(pi / 2)
    errors = np.hypot(*rng.normal(0, sigma / math.sqrt(math.pi / 2), (2, 60_000)))
    found = metrics.calibration(errors, sigma)
    assert found.points == 60_000
    for k, share in found.under.items():
        assert share == pytest.approx(found.expected_under[k], abs=0.01)
    assert found.expected_under[2.0] == pytest.approx(0.9568, abs=1e-4)  # 1 - exp(-pi)
    assert found.ece_relative < 0.02
    assert [b.error for b in found.bins] == pytest.approx(
        [b.sigma for b in found.bins], rel=0.15
    )


def test_a_sigma_of_half_the_error_is_off_by_half_of_it() -> None:
    found = metrics.calibration(np.full(10, 0.04), np.full(10, 0.02))
    assert found.ece == pytest.approx(0.02)
    assert found.ece_relative == pytest.approx(0.5)
    assert found.under[2.0] == 0  # an error of just 2 sigma is not under it
    assert found.under[2.5] == 1


def test_calibration_accumulated_in_pieces_equals_that_of_all_at_once() -> None:
    rng = np.random.default_rng(5)
    errors, sigmas = rng.gamma(2, 0.02, 900), rng.uniform(0, 0.2, 900)
    errors[::7] = np.nan
    gathered = metrics.CalibrationAccumulator()
    for start in range(0, 900, 68):
        gathered.add(errors[start : start + 68], sigmas[start : start + 68])
    piecewise, at_once = gathered.result(), metrics.calibration(errors, sigmas)
    assert piecewise is not None
    assert piecewise.points == at_once.points == int(np.isfinite(errors).sum())
    assert piecewise.ece == pytest.approx(at_once.ece)
    assert sum(b.points for b in piecewise.bins) == at_once.points
    assert [b.error for b in piecewise.bins] == pytest.approx(
        [b.error for b in at_once.bins]
    )


def test_calibration_rejects_bad_and_empty_sigmas() -> None:
    with pytest.raises(
        ShapeError, match="2 errors and 1 sigmas; expected one sigma for each point"
    ):
        metrics.calibration([0.1, 0.2], [0.1])
    with pytest.raises(
        ShapeError, match="sigma 1 is nan; expected a finite sigma, 0 or more"
    ):
        metrics.calibration([0.1, 0.2], [0.1, math.nan])
    with pytest.raises(InputError, match="there are no errors to calibrate"):
        metrics.calibration([], [])


# -- published figures


def golden(data_root: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    path = data_root.parent / "golden" / name
    if not path.exists():
        pytest.skip(f"needs the published predictions: no file {path}")
    rows = json.loads(path.read_text())
    return np.array([r["pred"] for r in rows]), np.array([r["truth"] for r in rows])


@pytest.mark.data
def test_the_published_figures_of_300w_are_reproduced_to_the_last_digit(
    data_root: Path,
) -> None:
    pred, truth = golden(data_root, "300w_public.json")
    errors = [
        metrics.nme(p, t, metrics.norm_length("interocular", t, CORNERS))
        for p, t in zip(pred, truth, strict=True)
    ]
    # 554 common faces come first, then 135 challenging
    for part, figure in (
        (errors, "2.994"),
        (errors[:554], "2.587"),
        (errors[554:], "4.662"),
    ):
        assert f"{100 * metrics.mean_nme(part):.3f}" == figure
    assert f"{100 * metrics.failure_rate(errors, 0.08):.3f}" == "0.726"
    assert f"{100 * metrics.auc(errors, 0.08):.2f}" == "62.72"


@pytest.mark.data
def test_the_published_figures_of_cofw68_are_reproduced_to_the_last_digit(
    data_root: Path,
) -> None:
    pred, truth = golden(data_root, "cofw68.json")
    for rule, figure in (("interocular", "3.935"), ("box", "2.517")):
        found = [
            metrics.nme(p, t, metrics.norm_length(rule, t, CORNERS))
            for p, t in zip(pred, truth, strict=True)
        ]
        assert f"{100 * metrics.mean_nme(found):.3f}" == figure
