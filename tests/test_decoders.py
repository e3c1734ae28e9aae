"""decoders.py: decoding a target returns its landmarks within a bound, in ONNX as well."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch")

import decode_oracle as oracle
from lineament.errors import RecipeError
from lineament.inference.onnx_model import open_session
from lineament.models.decoders import (
    DECODERS,
    Smoothing,
    check_decoder,
    decode_1d,
    decode_2d,
)
from lineament.models.heads.heatmap_2d import Gaussian2D, Heatmap2D
from lineament.models.heads.output import HeadSettings
from lineament.training.targets import gaussian_1d, gaussian_2d

pytestmark = pytest.mark.torch

STRIDE, CELLS, SIGMA = 4.0, 32, 1.2
SIZE = STRIDE * CELLS  # 128 crop pixels: cell centers at 1.5, 5.5, ..., 125.5
DARK = Smoothing(SIGMA, 3 * SIGMA)
CASES = [(name, dimensions) for dimensions in (1, 2) for name in DECODERS]


def target(landmarks, height=CELLS, width=CELLS):
    """Return maps (B, N, h, w) of landmarks (B, N, 2), in double precision."""
    return gaussian_2d(torch.from_numpy(landmarks), height, width, STRIDE, SIGMA)


def axis_target(positions):
    return gaussian_1d(torch.from_numpy(positions), CELLS, STRIDE, SIGMA)


def decode_maps(name, maps, smoothing=DARK):
    """Decode distributions (B, N, h, w) to landmarks and sigma, in pixels of the crop."""
    landmarks, variance = decode_2d(maps.log(), STRIDE, name, smoothing)
    return landmarks.numpy(), variance.sqrt().numpy()


def decode(name, landmarks, dimensions, smoothing=DARK):
    """Decode targets made from `landmarks`; return landmarks and sigma."""
    if dimensions == 2:
        return decode_maps(name, target(landmarks), smoothing)
    along = [axis_target(landmarks[..., axis]).log() for axis in (0, 1)]
    found, variance = decode_1d(*along, STRIDE, name, smoothing)
    return found.numpy(), variance.sqrt().numpy()


def spread_landmarks(low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (40, 5, 2))


# Largest error along an axis, crop pixels, 5 sigma (6 cells, 24 px) from the border. argmax: half a
# cell, 2 px. Quarter: the peak is in the half of the cell that was chosen, a quarter of a cell from
# its middle: 1 px. DARK: the log of a Gaussian is a parabola, so one Newton step is exact except
# for the tail beyond the border. Mean: the tail is cut off, sigma phi(5) = 1.8e-6 cells.
BOUNDS = {"argmax": 2.0, "quarter": 1.0, "dark": 1e-4, "expectation": 1e-4}


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_decoding_a_target_gives_its_landmarks_within_the_decoders_bound(
    name, dimensions
):
    landmarks = spread_landmarks(24, SIZE - 25)
    error = np.abs(decode(name, landmarks, dimensions)[0] - landmarks).max()
    assert error <= BOUNDS[name] + 1e-9


@given(
    arrays(np.float64, (2, 3, 2), elements=st.floats(24, 103)), st.sampled_from(CASES)
)
@settings(max_examples=60, deadline=None)
def test_any_landmark_away_from_the_border_survives_the_round_trip(landmarks, case):
    name, dimensions = case
    error = np.abs(decode(name, landmarks, dimensions)[0] - landmarks).max()
    assert error <= BOUNDS[name] + 1e-9


@pytest.mark.parametrize("dimensions", [1, 2])
def test_finer_decoders_have_smaller_errors(dimensions):
    landmarks = spread_landmarks(24, SIZE - 25)
    mean = {}
    for name in DECODERS:
        mean[name] = np.abs(decode(name, landmarks, dimensions)[0] - landmarks).mean()
    # offsets are uniform in a cell of 4 px: mean |e| per axis is 1 px for argmax, 0.5 for quarter
    assert mean["argmax"] > 1.7 * mean["quarter"] > 100 * mean["dark"]
    assert mean["argmax"] == pytest.approx(1.0, abs=0.1)


# At the border, crop pixels. argmax and quarter: half a cell. DARK: exact, as nothing is smoothed
# there. Mean: half the mass is cut off, which moves it by up to sigma phi(0) / Phi(0) = 0.96 cells,
# 3.8 px.
BORDER = {"argmax": 2.0, "quarter": 2.0, "dark": 1e-3, "expectation": 4.0}


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_peak_at_the_border_is_decoded_inside_the_crop_within_its_bound(
    name, dimensions
):
    line = np.linspace(-0.5, SIZE - 0.5, 97)
    ends = [-0.5, 0.0, 1.5, SIZE - 2.5, SIZE - 0.5]
    landmarks = np.array([[[a, b], [b, a]] for a in line for b in ends])
    found, _ = decode(name, landmarks, dimensions)
    assert np.abs(found - landmarks).max() <= BORDER[name]
    assert found.min() >= -0.5 - 1e-9
    assert found.max() <= SIZE - 0.5 + 1e-9


@pytest.mark.parametrize("dimensions", [1, 2])
def test_dark_without_smoothing_is_exact_up_to_the_border_in_both_axes(dimensions):
    # from the inner neighbor of a border cell the parabola of the log reaches -0.5 exactly
    landmarks = np.array([[[-0.5, 127.5], [0.0, 60.3], [1.5, 125.0], [64.1, -0.2]]])
    found, _ = decode("dark", landmarks, dimensions, Smoothing())
    assert found == pytest.approx(landmarks, abs=1e-6)


@pytest.mark.parametrize("name", DECODERS)
def test_x_and_y_are_distinct_on_a_map_wider_than_high(name):
    landmarks = np.array([[[100.0, 20.0]]])
    found, _ = decode_maps(name, target(landmarks, height=12, width=40))
    assert np.abs(found - landmarks).max() <= BOUNDS[name] + 0.01


def test_quarter_offset_points_to_the_higher_neighbor():
    maps = torch.full((1, 1, 5, 5), 1e-9)
    maps[0, 0, 2, 1:4] = torch.tensor([0.1, 1.0, 0.5])
    maps[0, 0, 1, 2] = 0.3
    # cell (2, 2) is crop pixel 9.5 at stride 4; + 0.25 cells along x, - 0.25 along y
    assert decode_2d(maps.log(), 4.0, "quarter")[0].tolist() == [[[10.5, 8.5]]]


def test_dark_follows_a_tilted_gaussian_better_than_the_axes_alone():
    # x and y correlated: the mixed derivative matters
    x, y = np.meshgrid(np.arange(32.0), np.arange(32.0))
    dx, dy = x - 15.4, y - 16.3
    logits = torch.from_numpy(-(dx**2 + dy**2 - 1.2 * dx * dy) / 4)[None, None]
    found = decode_2d(logits, 1.0, "dark")[0]
    assert found[0, 0].tolist() == pytest.approx([15.4, 16.3], abs=1e-6)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_flat_map_decodes_to_its_center_with_a_large_sigma(name, dimensions):
    flat = torch.full((2, 3, CELLS, CELLS), -3.0)
    if dimensions == 1:
        found, variance = decode_1d(flat[..., 0], flat[..., 0], STRIDE, name, DARK)
    else:
        found, variance = decode_2d(flat, STRIDE, name, DARK)
    torch.testing.assert_close(found, torch.full((2, 3, 2), SIZE / 2 - 0.5))
    assert variance.sqrt().min() > SIZE / np.sqrt(12) - 0.1  # of a uniform distribution


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_a_constant_added_to_the_logits_changes_nothing(name, dimensions):
    logits = target(spread_landmarks(24, 103)[:3]).log()
    if dimensions == 1:
        rows = logits.logsumexp(2)
        found = [decode_1d(x, x, STRIDE, name, DARK)[0] for x in (rows, rows + 3)]
    else:
        found = [decode_2d(x, STRIDE, name, DARK)[0] for x in (logits, logits + 3)]
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_batched_decoding_equals_single_decoding(name, dimensions):
    landmarks = spread_landmarks(-0.5, SIZE - 0.5)
    together = decode(name, landmarks, dimensions)
    for k in (0, 7, 39):
        alone = decode(name, landmarks[k : k + 1], dimensions)
        for part, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(single[0], part[k], atol=1e-9, rtol=0)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_an_empty_batch_gives_no_landmarks(name, dimensions):
    landmarks, sigma = decode(name, np.zeros((0, 5, 2)), dimensions)
    assert landmarks.shape == (0, 5, 2)
    assert sigma.shape == (0, 5)


@pytest.mark.parametrize(("name", "dimensions"), CASES)
def test_sigma_is_that_of_the_target_in_pixels(name, dimensions):
    landmarks = np.full((1, 1, 2), 65.5)  # the center of cell 16, so nothing is rounded
    _, sigma = decode(name, landmarks, dimensions)
    assert sigma[0, 0] == pytest.approx(SIGMA * STRIDE, rel=1e-6)


def noisy(shape, seed):
    """Return logits of slightly noisy Gaussians, like a network's output."""
    generator = torch.Generator().manual_seed(seed)
    landmarks = torch.rand(4, 6, 2, generator=generator) * 56 + 4
    maps = gaussian_2d(landmarks, 16, 16, STRIDE, SIGMA) if len(shape) == 2 else None
    if maps is None:
        maps = gaussian_1d(
            landmarks[..., 0], shape[0], 64 / shape[0], SIGMA * shape[0] / 16
        )
    noise = torch.rand(maps.shape, generator=generator)
    return (maps + 0.02 * noise * maps.amax()).log()


@pytest.mark.parametrize("length", [16, 64])
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_along_axes_match_the_oracle(name, length):
    stride = 64 / length
    x, y = noisy((length,), 1), noisy((length,), 2)
    sigma = SIGMA * length / 16
    found, variance = decode_1d(x, y, stride, name, Smoothing(sigma, 3 * sigma))
    more = (sigma,) if name == "dark" else ()
    wanted = getattr(oracle, f"decode_{name}_1d")(x, y, stride, *more)
    np.testing.assert_allclose(found, wanted.landmarks_crop, atol=2e-3)
    np.testing.assert_allclose(variance.sqrt(), wanted.sigma_px, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_in_two_dimensions_match_the_oracle(name):
    logits = noisy((16, 16), 3)
    found, variance = decode_2d(logits, STRIDE, name, DARK)
    more = (SIGMA,) if name == "dark" else ()
    wanted = getattr(oracle, f"decode_{name}")(logits, STRIDE, *more)
    np.testing.assert_allclose(found, wanted.landmarks_crop, atol=2e-3)
    np.testing.assert_allclose(variance.sqrt(), wanted.sigma_px, rtol=2e-3, atol=2e-3)


def head_maps(kind, head, seed):
    """Return maps (8, 6, h, w) like those of a trained head, and their landmarks."""
    generator = torch.Generator().manual_seed(seed)
    landmarks = torch.rand(8, 6, 2, generator=generator) * 120 + 4
    cells = round(128 / head.stride)
    maps = gaussian_2d(landmarks, cells, cells, head.stride, 4.8 / head.stride)
    maps = maps / maps.amax((-2, -1), keepdim=True)
    noisy = maps + 0.02 * torch.rand(maps.shape, generator=generator)
    return (noisy if kind is Gaussian2D else 10 * noisy), landmarks


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("kind", [Heatmap2D, Gaussian2D])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_heads_of_two_dimensions_decode_in_onnx_as_in_torch(kind, name, tmp_path):
    pytest.importorskip("onnxscript")
    head = kind(4, 6, 128, HeadSettings(0.5, decoder=name, sigma_px=4.8)).eval()

    class Reads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = head

        def forward(self, maps):
            output = self.head.read(maps)
            return output.landmarks, output.variance

    maps, landmarks = head_maps(kind, head, 2)
    program = torch.onnx.export(
        Reads().eval(), (maps,), input_names=["maps"], dynamo=True, verbose=False
    )
    program.save(str(tmp_path / "a.onnx"))
    found, variance = open_session(tmp_path / "a.onnx", 1).run(
        None, {"maps": maps.numpy()}
    )
    wanted = head.read(maps)
    np.testing.assert_allclose(found, wanted.landmarks.numpy(), atol=0.01)
    np.testing.assert_allclose(variance, wanted.variance.numpy(), rtol=1e-3, atol=0.01)
    if name == "dark":
        away = (wanted.landmarks - landmarks).abs()
        assert away.mean() < 0.25  # of a sixteenth of a cell at the usual stride


@pytest.mark.parametrize("kind", [Heatmap2D, Gaussian2D])
@pytest.mark.parametrize("name", ["argmax", "quarter", "dark"])
def test_heads_of_two_dimensions_train_by_the_expectation(kind, name):
    plain, other = (
        kind(4, 6, 128, HeadSettings(decoder=d)) for d in ("expectation", name)
    )
    maps, _ = head_maps(kind, plain, 3)
    assert torch.equal(
        plain.train().read(maps).landmarks, other.train().read(maps).landmarks
    )
    assert not torch.equal(
        plain.eval().read(maps).landmarks, other.eval().read(maps).landmarks
    )


def test_dark_is_not_rounded_by_autocast():
    logits = noisy((16, 16), 4)
    plain, _ = decode_2d(logits, STRIDE, "dark", DARK)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = decode_2d(logits, STRIDE, "dark", DARK)
    assert torch.equal(plain, mixed)


def test_an_unknown_decoder_is_rejected():
    with pytest.raises(
        RecipeError, match="'mean'; expected one of expectation, argmax, quarter"
    ):
        check_decoder("mean")
