"""calibrate.py: the fitted sigma_px covers the stated fraction of errors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from lineament.errors import DataError
from lineament.export.calibrate import (
    COVERAGE,
    NEAR,
    LogitScale,
    SigmaScale,
    StateScales,
    fit_logits,
    fit_occluded,
    fit_sigma,
    near_exponent,
    validation_limits,
)
from lineament.schemes import scheme

pytestmark = pytest.mark.torch
MODEL = SimpleNamespace(scheme="ibug68", size=64, padding=1.6)


def rayleigh_errors(per_axis: np.ndarray, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).normal(size=(2, *per_axis.shape)) * np.sqrt(
        per_axis
    )
    return np.hypot(*steps)


def test_two_sigma_covers_the_stated_fraction_of_errors():
    variance = np.random.default_rng(1).uniform(0.5, 30, 20_000)
    errors = rayleigh_errors(0.3 * variance + 0.8)
    sigma = fit_sigma(errors, variance).sigma_px(variance)
    assert np.mean(errors < 2 * sigma) == pytest.approx(COVERAGE, abs=1e-3)


def test_errors_are_covered_at_every_level_of_variance():
    variance = np.repeat([1.0, 4.0, 16.0, 64.0], 8000)
    errors = rayleigh_errors(0.5 * variance + 0.5)
    sigma = fit_sigma(errors, variance).sigma_px(variance)
    for level in np.unique(variance):
        assert 0.92 < np.mean((errors < 2 * sigma)[variance == level]) < 0.98


def test_the_fit_recovers_slope_and_floor():
    variance = np.random.default_rng(2).uniform(0.2, 40, 50_000)
    scale = fit_sigma(rayleigh_errors(0.25 * variance + 1.0, seed=3), variance)
    # 95 % of a Rayleigh lies under s * sqrt(-2 ln 0.05) = 2.448 s, which is 2 sigma_px:
    # sigma_px^2 = 1.498 s^2
    stretch = -2 * math.log(0.05) / 4
    assert scale.slope == pytest.approx(0.25 * stretch, rel=0.15)
    assert scale.floor == pytest.approx(1.0 * stretch, rel=0.3)


def test_points_that_are_not_annotated_do_not_count():
    variance = np.random.default_rng(1).uniform(0.5, 30, 5000)
    errors = rayleigh_errors(variance)
    with_gaps = np.concatenate([errors, np.full(100, np.nan)])
    assert fit_sigma(with_gaps, np.concatenate([variance, np.ones(100)])) == fit_sigma(
        errors, variance
    )


def test_too_few_points_are_rejected():
    with pytest.raises(
        DataError, match="5 points to calibrate on; expected at least 20"
    ):
        fit_sigma(np.ones(5), np.ones(5))


def test_a_score_is_the_probability_of_being_near_the_truth():
    size, padding, sigma_px = 130, 1.3, 4.0
    score = 1 - math.exp(-near_exponent(size, padding) / sigma_px**2)
    # the same sigma drawn: Rayleigh parameter 2 sigma / 2.448;
    # near means within 0.05 * 130 / 1.3 = 5 px
    drawn = np.random.default_rng(0).rayleigh(
        2 * sigma_px / math.sqrt(-2 * math.log(0.05)), 200_000
    )
    assert score == pytest.approx(np.mean(drawn < NEAR * size / padding), abs=0.005)


def test_one_validation_face_in_twenty_scores_below_the_low_score():
    means = np.random.default_rng(1).permutation(np.linspace(0.2, 0.9, 401))
    landmarks = np.zeros((401, 68, 2))
    landmarks[:, 1] = 1
    low = validation_limits(MODEL, landmarks, means[:, None] + [[-0.1, 0.1]]).low_score
    assert np.mean(means < low) == pytest.approx(0.05, abs=0.003)
    # if all faces have the same score, none is below it
    same = np.full((9, 2), 0.52349)
    assert 0.5233 < validation_limits(MODEL, landmarks[:9], same).low_score < 0.52349


def test_one_validation_face_in_twenty_has_a_larger_box_error():
    # the box of the crop is 40 px wide; the landmarks are centered on it and wider by a factor
    factors = np.random.default_rng(1).permutation(np.linspace(1.0, 1.5, 401))
    mean = np.asarray(scheme("ibug68").mean_shape)
    low, high = mean.min(0), mean.max(0)
    unit = (mean - (low + high) / 2) / (high - low).max()
    landmarks = 31.5 + 40 * factors[:, None, None] * unit
    limit = validation_limits(MODEL, landmarks, np.ones((401, 68))).box_error
    assert np.mean(np.log(factors) > limit) == pytest.approx(0.05, abs=0.003)


def test_sigma_keeps_the_shape_and_is_at_least_the_floor():
    sigma = SigmaScale(0.5, 0.04).sigma_px(np.zeros((3, 68)))
    assert sigma.shape == (3, 68)
    assert sigma == pytest.approx(0.2)


def test_occluded_points_get_a_larger_sigma_that_covers_their_errors():
    rng = np.random.default_rng(4)
    variance = rng.uniform(0.5, 30, 20_000)
    visible = rng.uniform(0.0, 0.8, len(variance))
    plain = SigmaScale(0.5, 0.4)
    # the squared error is 1 + 3 (1 - visible) times what the plain scale says
    per_axis = plain.sigma_px(variance) ** 2 / (-2 * math.log(0.05) / 4)
    errors = rayleigh_errors(per_axis * (1 + 3 * (1 - visible)), seed=5)
    errors[:50] = np.nan
    fitted = fit_occluded(plain, errors, variance, visible)
    assert (fitted.slope, fitted.floor) == (plain.slope, plain.floor)
    assert fitted.occluded == pytest.approx(3.0, rel=0.1)
    under = errors[50:] <= 2 * fitted.sigma_px(variance, visible)[50:]
    assert under.mean() == pytest.approx(COVERAGE, abs=1e-3)
    # visible points keep their sigma
    np.testing.assert_allclose(
        fitted.sigma_px(variance, np.ones_like(variance)), plain.sigma_px(variance)
    )


def test_occluded_points_with_small_errors_keep_their_sigma():
    small, one = np.full(100, 0.1), np.ones(100)
    assert fit_occluded(SigmaScale(1.0, 1.0), small, one, 0 * one).occluded < 0.01
    few = fit_occluded(SigmaScale(1.0, 1.0), np.full(5, 9.0), np.ones(5), np.zeros(5))
    assert few.occluded < 0.01


@pytest.mark.parametrize("occluded", [None, 2.5])
def test_the_variance_is_found_from_sigma(occluded):
    rng = np.random.default_rng(6)
    variance, visible = rng.uniform(0, 9, (2, 30)), rng.uniform(0, 1, (2, 30))
    scale = SigmaScale(0.5, 0.4, occluded)
    found = scale.variance(scale.sigma_px(variance, visible), visible)
    np.testing.assert_allclose(found, variance)


def test_the_fit_recovers_the_scale_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, 100_000)
    made = LogitScale(0.6, -1.2)
    truth = rng.random(len(logits)) < made.probability(logits)
    fitted = fit_logits(logits, truth)
    assert fitted.slope == pytest.approx(0.6, rel=0.03)
    assert fitted.offset == pytest.approx(-1.2, rel=0.03)


def test_balancing_removes_the_effect_of_class_sizes():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 20_000), rng.normal(-1, 1, 20_000)
    truth = np.arange(22_000) < 20_000
    logits = np.concatenate([positive, negative[:2000]])
    # for two unit normals at 1 and -1, the log odds are 2 x
    fitted = fit_logits(logits, truth, balanced=True)
    assert fitted.slope == pytest.approx(2, rel=0.1)
    assert fitted.offset == pytest.approx(0, abs=0.1)
    # 10 times as many: log 10 more
    assert fit_logits(logits, truth).offset == pytest.approx(np.log(10), abs=0.15)


def test_separable_classes_have_a_finite_scale_and_a_single_class_has_none():
    logits = np.concatenate([np.linspace(5, 9, 500), np.linspace(-9, -5, 500)])
    truth = logits > 0
    fitted = fit_logits(logits, truth)
    assert np.isfinite([fitted.slope, fitted.offset]).all()
    assert fitted.probability(logits[truth]).min() > 0.9
    assert fit_logits(logits[truth], truth[truth]) == LogitScale()


def test_probabilities_are_converted_back_to_logits():
    scale = LogitScale(1.7, -0.4)
    logits = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(
        scale.logits(scale.probability(logits)), logits, atol=1e-9
    )
    # the precision of float32 near probability 1
    assert np.isfinite(scale.logits(np.array([0.0, 1.0]))).all()
    constants = StateScales(scale, LogitScale()).constants()
    assert constants["presence_slope"] == 1.7


def test_points_without_examples_do_not_lower_the_low_score():
    scores = np.full((20, 68), 0.8)
    scores[:, :4] = 0.0
    landmarks = np.repeat(scheme("ibug68").mean_shape[None] * 40 + 32, 20, axis=0)
    model = SimpleNamespace(**vars(MODEL), never_learned=(0, 1, 2, 3))
    # the predictor replaces their scores by the mean of the others, 0.8
    limits = validation_limits(model, landmarks, scores)
    assert limits.low_score == pytest.approx(0.8, abs=1e-4)
