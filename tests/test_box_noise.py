"""Box noise: the fit recovers the augmentation's settings from perturbed boxes."""

import numpy as np
import pytest

from lineament.data.box_noise import fit_box_noise
from lineament.errors import InputError


def noisy_boxes(truth, shift, scale, rng):
    """Return boxes perturbed like those in augment.draw_affine."""
    sides = (truth[:, 2:] - truth[:, :2]).max(1)
    factors = np.exp(np.clip(rng.normal(size=len(truth)), -2.5, 2.5) * scale)
    moved = (
        np.clip(rng.normal(size=(len(truth), 2)), -2.5, 2.5) * shift * sides[:, None]
    )
    centers = (truth[:, :2] + truth[:, 2:]) / 2 + moved
    half = (truth[:, 2:] - truth[:, :2]) / 2 * factors[:, None]
    return np.concatenate([centers - half, centers + half], axis=1)


@pytest.fixture
def truth():
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, 100, (20_000, 2))
    return np.concatenate([corners, corners + rng.uniform(20, 90, (20_000, 2))], axis=1)


def test_the_fit_recovers_the_settings_of_the_augmentation(truth):
    shift, scale = fit_box_noise(
        noisy_boxes(truth, 0.05, 0.09, np.random.default_rng(6)), truth
    )
    # 40,000 and 20,000 draws: a relative standard error of 1 / sqrt(2 n) = 0.35 % and 0.5 %
    assert shift == pytest.approx(0.05, rel=0.02)
    assert scale == pytest.approx(0.09, rel=0.025)


def test_a_few_outliers_hardly_change_the_fit(truth):
    detected = noisy_boxes(truth, 0.05, 0.09, np.random.default_rng(6))
    detected[:100] += (
        5000  # 0.5 % of them: unclipped they would give a shift of some 10 sides
    )
    assert fit_box_noise(detected, truth)[0] < 0.06


def test_a_bias_counts_as_noise():
    truth = np.array([[0.0, 0, 100, 80], [10, 10, 110, 60]])
    # every error is the same, so none is clipped: 10 px of 100 in x, 0 in y
    # -> rms 0.1 / sqrt(2) = 0.0707
    shift, scale = fit_box_noise(truth + np.array([10, 0, 10, 0]), truth)
    assert shift == pytest.approx(0.0707 / 0.98865, abs=2e-4)
    assert scale == 0


def test_exact_boxes_give_no_noise():
    truth = np.array([[0.0, 0, 100, 80], [10, 10, 110, 60]])
    assert fit_box_noise(truth, truth) == (0.0, 0.0)


def test_unpaired_boxes_are_rejected():
    with pytest.raises(
        InputError, match="1 detected and 2 true boxes; expected pairs, at least 2"
    ):
        fit_box_noise([[0, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 2, 2]])


def test_a_shift_to_one_side_counts_as_spread():
    shift, scale = fit_box_noise([[10, 0, 110, 80]] * 3, [[0, 0, 100, 80]] * 3)
    assert shift == pytest.approx(0.1 / np.sqrt(2) / 0.98865)
    assert scale == 0.0
