"""Decoders give back what their targets were made of, each within its bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lineament.errors import ShapeError
from lineament.models.decoders import (
    Decoded,
    decode_argmax,
    decode_argmax_1d,
    decode_dark,
    decode_dark_1d,
    decode_expectation_1d,
    decode_quarter,
    decode_soft_argmax,
)

STRIDE, CELLS, SIGMA = 4.0, 32, 1.2
SIZE = STRIDE * CELLS  # 128 crop pixels: cell centres at 1.5, 5.5, ..., 125.5


def dark(maps, stride, logits=False):
    return decode_dark(maps, stride, SIGMA, logits)


def dark_1d(x, y, stride, logits=False):
    return decode_dark_1d(x, y, stride, SIGMA, logits)


DECODERS_2D = {
    "argmax": decode_argmax,
    "quarter": decode_quarter,
    "dark": dark,
    "soft_argmax": decode_soft_argmax,
}
DECODERS_1D = {"argmax": decode_argmax_1d, "dark": dark_1d, "expectation": decode_expectation_1d}


def axis_target(positions, length=CELLS, stride=STRIDE, sigma=SIGMA):
    """learn/target.py in NumPy: (...) crop pixels -> (..., L), each summing to 1."""
    center = np.clip((positions + 0.5) / stride - 0.5, -0.5, length - 0.5)
    weights = np.exp(-((np.arange(length) - center[..., None]) ** 2) / (2 * sigma**2))
    return weights / weights.sum(-1, keepdims=True)


def target(landmarks, height=CELLS, width=CELLS):
    along_x, along_y = axis_target(landmarks[..., 0], width), axis_target(landmarks[..., 1], height)
    return along_y[..., :, None] * along_x[..., None, :]


def decode(name, landmarks, dimensions):
    """Landmarks of targets around `landmarks`, by the decoder called `name`."""
    if dimensions == 2:
        return DECODERS_2D[name](target(landmarks), STRIDE)
    return DECODERS_1D[name](axis_target(landmarks[..., 0]), axis_target(landmarks[..., 1]), STRIDE)


def spread_landmarks(low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (40, 5, 2))


# Largest error along an axis, crop pixels, 5 sigma (6 cells, 24 px) from the border. argmax: half a cell, 2 px.
# Quarter: the peak is in the half of the cell that was chosen, a quarter of a cell from its middle: 1 px.
# DARK: the log of a Gaussian is a parabola, so one Newton step is exact but for the tail beyond the border.
# Mean: the tail is cut off, sigma phi(5) = 1.8e-6 cells.
BOUNDS = {"argmax": 2.0, "quarter": 1.0, "dark": 1e-4, "soft_argmax": 1e-4, "expectation": 1e-4}
CASES = [(name, 2) for name in DECODERS_2D] + [(name, 1) for name in DECODERS_1D]


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_decoding_a_target_gives_its_landmarks_within_the_decoders_bound(name, dimensions):
    landmarks = spread_landmarks(24, SIZE - 25)
    error = np.abs(decode(name, landmarks, dimensions).landmarks_crop - landmarks).max()
    assert error <= BOUNDS[name] + 1e-9


@given(arrays(np.float64, (2, 3, 2), elements=st.floats(24, 103)), st.sampled_from(CASES))
@settings(max_examples=60, deadline=None)
def test_any_landmark_away_from_the_border_survives_the_round_trip(landmarks, case):
    name, dimensions = case
    error = np.abs(decode(name, landmarks, dimensions).landmarks_crop - landmarks).max()
    assert error <= BOUNDS[name] + 1e-9


def test_a_finer_decoder_errs_less():
    landmarks = spread_landmarks(24, SIZE - 25)
    mean = {
        name: np.linalg.norm(decode(name, landmarks, 2).landmarks_crop - landmarks, axis=-1).mean()
        for name in DECODERS_2D
    }
    # an even offset in a cell of 4 px: |e| averages 1 px along an axis by argmax, 0.5 by quarter
    assert mean["argmax"] > 1.7 * mean["quarter"] > 100 * mean["dark"]
    along_axis = np.abs(decode("argmax", landmarks, 2).landmarks_crop - landmarks).mean()
    assert along_axis == pytest.approx(1.0, abs=0.1)


# At the border, crop pixels. argmax and quarter: half a cell. DARK: exact, as nothing is smoothed there.
# Mean: half the mass is cut off, which moves it by up to sigma phi(0) / Phi(0) = 0.96 cells, 3.8 px.
BORDER = {"argmax": 2.0, "quarter": 2.0, "dark": 1e-3, "soft_argmax": 4.0, "expectation": 4.0}


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_peak_at_the_border_is_decoded_inside_the_crop_within_its_bound(name, dimensions):
    line = np.linspace(-0.5, SIZE - 0.5, 97)
    ends = [-0.5, 0.0, 1.5, SIZE - 2.5, SIZE - 0.5]
    landmarks = np.array([[[a, b], [b, a]] for a in line for b in ends])
    found = decode(name, landmarks, dimensions).landmarks_crop
    assert np.abs(found - landmarks).max() <= BORDER[name]
    assert found.min() >= -0.5
    assert found.max() <= SIZE - 0.5


def test_dark_without_smoothing_is_exact_up_to_the_border_in_both_axes():
    # from the inner neighbor of a border cell the parabola of the log reaches -0.5 exactly
    landmarks = np.array([[[-0.5, 127.5], [0.0, 60.3], [1.5, 125.0], [64.1, -0.2]]])
    assert decode_dark(target(landmarks), STRIDE, 0.0).landmarks_crop == pytest.approx(
        landmarks, abs=1e-6
    )
    along = [axis_target(landmarks[..., k]) for k in (0, 1)]
    assert decode_dark_1d(*along, STRIDE, 0.0).landmarks_crop == pytest.approx(landmarks, abs=1e-6)


def test_x_and_y_are_told_apart_on_a_map_wider_than_high():
    landmarks = np.array([[[100.0, 20.0]]])
    for name, decoder in DECODERS_2D.items():
        found = decoder(target(landmarks, height=12, width=40), STRIDE).landmarks_crop
        assert np.abs(found - landmarks).max() <= BOUNDS[name] + 0.01, name


def test_quarter_offset_points_to_the_higher_neighbor():
    maps = np.zeros((1, 1, 5, 5))
    maps[0, 0, 2, 1:4] = [0.1, 1.0, 0.5]
    maps[0, 0, 1, 2] = 0.3
    # cell (2, 2) is crop pixel 9.5 at stride 4; + 0.25 cells along x, - 0.25 along y
    assert decode_quarter(maps, 4.0).landmarks_crop[0, 0].tolist() == [10.5, 8.5]


def test_dark_follows_a_tilted_gaussian_better_than_the_axes_alone():
    # x and y correlated: the mixed derivative matters
    x, y = np.meshgrid(np.arange(32.0), np.arange(32.0))
    dx, dy = x - 15.4, y - 16.3
    maps = np.exp(-(dx**2 + dy**2 - 1.2 * dx * dy) / 4)[None, None]
    assert decode_dark(maps, 1.0, 0.0).landmarks_crop[0, 0] == pytest.approx([15.4, 16.3], abs=1e-6)


@pytest.mark.parametrize("name", DECODERS_2D)
@pytest.mark.parametrize("maps", [np.zeros, np.ones, lambda s: np.full(s, -3.0)])
@pytest.mark.parametrize("logits", [False, True])
def test_a_flat_map_gives_a_landmark_in_the_crop_a_low_score_and_a_wide_sigma(name, maps, logits):
    decoded = DECODERS_2D[name](maps((2, 3, CELLS, CELLS)), STRIDE, logits)
    assert ((decoded.landmarks_crop >= -0.5) & (decoded.landmarks_crop <= SIZE - 0.5)).all()
    assert decoded.scores.max() < 0.06  # at most (2 x 3.2 + 1) cells of 32 along each axis: 0.054
    assert (
        decoded.sigma_px.min() > SIZE / np.sqrt(12) - 0.1
    )  # an even distribution's, from its mean


@pytest.mark.parametrize("name", DECODERS_2D)
def test_negative_values_do_not_count_beside_positive_ones(name):
    maps = target(spread_landmarks(24, 103)[:2])
    dirty = np.where(maps < 1e-9, -0.2, maps)
    clean = np.where(maps < 1e-9, 0.0, maps)
    assert (
        DECODERS_2D[name](dirty, 4.0).landmarks_crop == DECODERS_2D[name](clean, 4.0).landmarks_crop
    ).all()


@pytest.mark.parametrize("name", DECODERS_2D)
def test_a_map_all_below_zero_keeps_its_peak(name):
    landmarks = np.array([[[40.0, 70.0]]])
    found = DECODERS_2D[name](target(landmarks) - 5.0, STRIDE).landmarks_crop
    assert np.abs(found - landmarks).max() <= BOUNDS[name] + 0.01


@pytest.mark.parametrize("name", DECODERS_2D)
@pytest.mark.parametrize("factor", [1e-300, 7.0, 1e300])
def test_the_height_of_a_map_does_not_matter(name, factor):
    maps = target(spread_landmarks(24, 103)[:2])
    scaled, plain = DECODERS_2D[name](maps * factor, STRIDE), DECODERS_2D[name](maps, STRIDE)
    assert scaled.landmarks_crop == pytest.approx(plain.landmarks_crop, abs=1e-3)
    assert scaled.scores == pytest.approx(plain.scores, abs=1e-6)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_batch_gives_what_its_maps_give_alone(name, dimensions):
    landmarks = spread_landmarks(-0.5, SIZE - 0.5)
    whole = decode(name, landmarks, dimensions)
    for k in (0, 7, 39):
        alone = decode(name, landmarks[k : k + 1], dimensions)
        assert (alone.landmarks_crop[0] == whole.landmarks_crop[k]).all()
        assert (alone.scores[0] == whole.scores[k]).all()
        assert (alone.sigma_px[0] == whole.sigma_px[k]).all()


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_no_map_gives_no_landmark(name, dimensions):
    decoded = decode(name, np.zeros((0, 5, 2)), dimensions)
    assert decoded.landmarks_crop.shape == (0, 5, 2)
    assert decoded.scores.shape == decoded.sigma_px.shape == (0, 5)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_sigma_is_the_targets_in_pixels_and_the_score_nears_one_for_a_sharp_map(name, dimensions):
    landmarks = np.full((1, 1, 2), 65.5)  # the middle of cell 16: nothing is rounded
    decoded = decode(name, landmarks, dimensions)
    assert decoded.sigma_px[0, 0] == pytest.approx(SIGMA * STRIDE, rel=1e-6)
    # cells within 3.2 of the middle: 3 on each side, to 3.5 cells = 2.92 sigma: 0.9965 along an axis, squared 0.993
    assert decoded.scores[0, 0] == pytest.approx(0.993, abs=2e-3)


def test_the_log_of_a_map_taken_as_logits_decodes_like_the_map():
    maps = target(spread_landmarks(24, 103)[:3])
    for name, decoder in DECODERS_2D.items():
        as_logits = decoder(np.log(maps) + 3.0, STRIDE, True)
        assert as_logits.landmarks_crop == pytest.approx(
            decoder(maps, STRIDE).landmarks_crop, abs=1e-6
        ), name


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((2, 8, 8)), r"shape \(2, 8, 8\); wanted \(B, N, h, w\)"),
        (np.zeros((1, 2, 0, 8)), r"shape \(1, 2, 0, 8\); wanted \(B, N, h, w\)"),
        (np.full((1, 1, 4, 4), np.nan), "hold 16 values that are not finite"),
    ],
)
@pytest.mark.parametrize("name", DECODERS_2D)
def test_maps_of_another_shape_or_not_finite_are_refused(name, maps, message):
    with pytest.raises(ShapeError, match=message):
        DECODERS_2D[name](maps, STRIDE)


def test_axes_that_do_not_belong_together_or_are_too_short_are_refused():
    with pytest.raises(ShapeError, match=r"wanted \(B, N, L\)"):
        decode_argmax_1d(np.zeros((1, 8)), np.zeros((1, 8)), STRIDE)
    with pytest.raises(ShapeError, match=r"heatmaps_y \(1, 3, 8\); wanted the same \(B, N\)"):
        decode_expectation_1d(np.zeros((1, 2, 8)), np.zeros((1, 3, 8)), STRIDE)
    with pytest.raises(ShapeError, match="2 cells; wanted at least 3"):
        decode_dark_1d(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), STRIDE, 0.0)
    with pytest.raises(ShapeError, match="2 x 9 cells; wanted at least 3 x 3"):
        decode_dark(np.zeros((1, 2, 2, 9)), STRIDE, 0.0)


@pytest.mark.torch
def test_the_targets_of_these_tests_are_those_of_training():
    torch = pytest.importorskip("torch")
    from lineament.training.targets import gaussian_1d, gaussian_2d

    landmarks = spread_landmarks(-10, SIZE + 10)
    made = gaussian_2d(torch.from_numpy(landmarks), CELLS, CELLS, STRIDE, SIGMA).numpy()
    assert made == pytest.approx(target(landmarks), abs=1e-12)
    along_x = gaussian_1d(torch.from_numpy(landmarks[..., 0]), CELLS, STRIDE, SIGMA).numpy()
    assert along_x == pytest.approx(axis_target(landmarks[..., 0]), abs=1e-12)


def _agrees(raw, decoded: Decoded) -> None:
    assert raw.landmarks.detach().numpy() == pytest.approx(decoded.landmarks_crop, abs=1e-3)
    assert np.sqrt(raw.variance.detach().numpy()) == pytest.approx(decoded.sigma_px, abs=1e-2)


@pytest.mark.torch
def test_the_networks_heads_decode_as_the_expectations_here():
    torch = pytest.importorskip("torch")
    from lineament.models.heads.heatmap_2d import Heatmap1D, Heatmap2D

    torch.manual_seed(0)
    features = 3 * torch.randn(2, 8, 16, 16)
    raw = Heatmap2D(8, 5, 4, 64)(features)
    _agrees(raw, decode_soft_argmax(raw.heatmaps.detach().numpy(), 4.0, True))
    raw = Heatmap1D(8, 5, 4, 64)(features)
    along = [maps.detach().numpy() for maps in (raw.heatmaps_x, raw.heatmaps_y)]
    _agrees(raw, decode_expectation_1d(*along, 1.0, True))
