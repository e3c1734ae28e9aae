"""Heads along each axis: their equations, and their decoders against the oracle."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from decode_oracle import decode_argmax_1d, decode_dark_1d, decode_expectation_1d
from lineament.errors import RecipeError
from lineament.inference.onnx_model import open_session
from lineament.models.heads.attentive_1d import (
    LENGTHS,
    Attentive1D,
    AttentiveGaussian1D,
    CoAttention,
)
from lineament.models.heads.output import HeadOutput, HeadSettings
from lineament.models.landmark_net import LandmarkNet
from lineament.training.losses import cross_entropy_1d, mse_1d, mse_2d
from lineament.training.targets import gaussian_1d, gaussian_2d

pytestmark = pytest.mark.torch


def net(head="attentive1d", size=64, **settings):
    torch.manual_seed(0)
    return LandmarkNet(
        "mobilenetv2",
        5,
        head,
        size,
        16,
        imagenet=False,
        settings=HeadSettings(**settings),
    ).eval()


def test_co_attention_matches_equations_9_and_10_per_channel():
    torch.manual_seed(1)
    attend = CoAttention(6, 0.4)
    x, y = torch.randn(2, 3, 4, 6), torch.randn(2, 3, 6, 4)  # a = 4, b = 6
    found_x, found_y = attend(x, y)
    for b in range(2):
        for k in range(3):
            dx, dy = x[b, k], y[b, k]
            w_xy = torch.softmax(dy.T @ attend.p @ dx.T / 6**0.5, dim=1)
            w_yx = torch.softmax(dx @ attend.q @ dy / 6**0.5, dim=1)
            torch.testing.assert_close(found_x[b, k], dx + 0.4 * w_yx @ dy.T)
            torch.testing.assert_close(found_y[b, k], dy + 0.4 * (w_xy @ dx).T)


def test_every_x_position_attends_to_every_y_position():
    """Before training, any row of the map affects all columns equally."""
    head = Attentive1D(4, 3, 128, HeadSettings(0.25, 0.3))
    with torch.no_grad():
        head.attend.p.zero_(), head.attend.q.zero_()
    x, y = torch.zeros(1, 64, 32, 8), torch.zeros(1, 64, 8, 32)
    y[..., 20] = 1.0
    found_x, found_y = head.attend(x, y)
    torch.testing.assert_close(found_x, torch.full_like(x, 0.3 / 32))
    torch.testing.assert_close(found_y, y)


def test_a_weight_of_zero_disables_attention():
    assert net(attention=0.0).head.attend is None
    attend = CoAttention(6, 0.0)
    x, y = torch.randn(1, 2, 4, 6), torch.randn(1, 2, 6, 4)
    for own, found in zip((x, y), attend(x, y), strict=True):
        torch.testing.assert_close(own, found)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("head", ["attentive1d", "attentive1d-gaussian"])
def test_the_heatmaps_have_the_given_cells_per_pixel(head, length):
    raw = net(head, length=length)(torch.zeros(2, 64, 64, 3, dtype=torch.uint8))
    assert (
        raw.heatmap_logits_x.shape
        == raw.heatmap_logits_y.shape
        == (2, 5, round(64 * length))
    )
    assert raw.landmarks.shape == (2, 5, 2)
    assert raw.stride == pytest.approx(1 / length)
    assert torch.isfinite(raw.landmarks).all()
    assert (raw.variance >= 0).all()
    assert (raw.heatmaps_x is not None) == (head == "attentive1d-gaussian")


def test_each_branch_compresses_the_other_axis():
    """A map that varies only along x gives a constant output in the y branch."""
    head = Attentive1D(4, 3, 128, HeadSettings(0.25, 0.0)).eval()
    features = torch.zeros(1, 4, 32, 32)
    features[..., 20] = 3.0  # a column
    raw = head(features)
    inside = slice(4, -4)  # exclude the ends, which depend on zero padding
    assert raw.heatmap_logits_y[..., inside].std(-1).max() < 1e-5
    assert raw.heatmap_logits_x[..., inside].std(-1).max() > 1e-3
    turned = head(features.transpose(2, 3))
    assert turned.heatmap_logits_x[..., inside].std(-1).max() < 1e-5
    assert turned.heatmap_logits_y[..., inside].std(-1).max() > 1e-3


@pytest.mark.parametrize("length", [0.25, 3.0])
def test_attention_does_not_change_the_initial_weights_of_other_layers(length):
    with_it, without = (
        net(length=length, attention=weight).head.state_dict() for weight in (0.3, 0.0)
    )
    assert set(with_it) - set(without) == {"attend.p", "attend.q"}
    assert all(torch.equal(with_it[key], value) for key, value in without.items())


def logits(length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(4, 6, generator=generator) * 50 + 5
    noise = torch.rand(4, 6, length, generator=generator) * 0.02
    return (
        gaussian_1d(places, length, 64 / length, 0.05 * length) + noise / length
    ).log()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("decoder", "other"),
    [
        ("expectation", lambda x, y, cell, sigma: decode_expectation_1d(x, y, cell)),
        ("argmax", lambda x, y, cell, sigma: decode_argmax_1d(x, y, cell)),
        ("dark", lambda x, y, cell, sigma: decode_dark_1d(x, y, cell, sigma)),
    ],
)
def test_the_decoders_match_the_oracle(decoder, other, length):
    head = Attentive1D(
        4, 6, 64, HeadSettings(length, 0.3, decoder, sigma_px=3.0)
    ).eval()
    x, y = logits(round(64 * length), 1), logits(round(64 * length), 2)
    raw = head.read(x, y)
    decoded = other(x.numpy(), y.numpy(), head.stride, 3.0 / head.stride)
    np.testing.assert_allclose(raw.landmarks.numpy(), decoded.landmarks_crop, atol=2e-3)
    np.testing.assert_allclose(
        raw.variance.sqrt().numpy(), decoded.sigma_px, rtol=2e-3, atol=2e-3
    )


@pytest.mark.parametrize("decoder", ["argmax", "dark"])
def test_a_constant_map_decodes_to_its_center(decoder):
    """An argmax over equal cells would depend on rounding."""
    head = AttentiveGaussian1D(4, 2, 64, HeadSettings(3.0, 0.3, decoder)).eval()
    nothing = torch.full((1, 2, 192), 0.01)
    raw = head.read(nothing, nothing)
    torch.testing.assert_close(raw.landmarks, torch.full((1, 2, 2), 31.5))


def test_dark_also_smooths_near_the_border():
    """Without smoothing, a noisy Gaussian of sigma 4.8 px near the border is off by 0.3 px."""
    head = AttentiveGaussian1D(4, 1, 128, HeadSettings(3.0, 0.3, "dark", 4.8)).eval()
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(200, 1, generator=generator) * 4 + 10
    target = gaussian_1d(places, 384, 1 / 3, 14.4)
    rough = torch.randn(200, 1, 384, generator=generator)
    noise = torch.nn.functional.avg_pool1d(rough, 9, 1, 4) * 3 * 0.03
    maps = target / target.amax(-1, keepdim=True) + noise
    away = head.read(maps, maps).landmarks[..., 0] - places
    assert away.square().mean().sqrt() < 0.2
    assert away.mean().abs() < 0.03


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("decoder", ["expectation", "argmax", "dark"])
def test_decoding_in_onnx_equals_torch(decoder, tmp_path):
    pytest.importorskip("onnxscript")
    head = AttentiveGaussian1D(4, 6, 128, HeadSettings(3.0, 0.3, decoder, 4.8)).eval()

    class Reads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = head

        def forward(self, maps_x, maps_y):
            return self.head.read(maps_x, maps_y).landmarks

    generator = torch.Generator().manual_seed(2)
    maps = []
    for _ in range(2):
        target = gaussian_1d(
            torch.rand(8, 6, generator=generator) * 120 + 4, 384, 1 / 3, 14.4
        )
        maps.append(
            target / target.amax(-1, keepdim=True)
            + torch.rand(8, 6, 384, generator=generator) * 0.05
        )
    program = torch.onnx.export(
        Reads().eval(), tuple(maps), input_names=["x", "y"], dynamo=True, verbose=False
    )
    program.save(str(tmp_path / "a.onnx"))
    found = open_session(tmp_path / "a.onnx", 1).run(
        None, {"x": maps[0].numpy(), "y": maps[1].numpy()}
    )[0]
    np.testing.assert_allclose(found, head.read(*maps).landmarks.numpy(), atol=0.01)


def test_training_always_decodes_by_the_differentiable_expectation():
    head = Attentive1D(4, 6, 64, HeadSettings(1.0, 0.3, "argmax"))
    x = logits(64).requires_grad_()
    head.train().read(x, x).landmarks.sum().backward()
    assert x.grad.abs().max() > 0


def test_the_loss_of_an_error_is_the_same_at_every_length():
    truth, losses = torch.tensor([[[20.3, 41.7]]]), []
    for length in LENGTHS:
        cell, cells = 1 / length, round(64 * length)
        target = [gaussian_1d(truth[..., k], cells, cell, 4.8 / cell) for k in range(2)]
        raw = (
            AttentiveGaussian1D(4, 1, 64, HeadSettings(length))
            .eval()
            .read(*(t / t.amax(-1, keepdim=True) for t in target))
        )
        losses.append(mse_1d(raw, truth + 3.0, 4.0, 1.2).item())
    np.testing.assert_allclose(
        losses, losses[0], rtol=0.08
    )  # a target of a coarse map peaks between cells
    two = []
    for length in (0.25, 1.0):
        cells = round(64 * length)
        target = gaussian_2d(truth, cells, cells, 1 / length, 4.8 * length)
        raw = HeadOutput(
            truth, torch.ones(1, 1), heatmaps=target / target.amax(), stride=1 / length
        )
        two.append(mse_2d(raw, truth + 3.0, 4.0, 1.2).item())
    assert two[1] == pytest.approx(two[0], rel=0.15)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_losses_are_minimal_at_target_maps(length):
    cells, truth = round(64 * length), torch.tensor([[[20.3, 41.7]]])
    cell = 1 / length
    target = [gaussian_1d(truth[..., k], cells, cell, 1.2 * 4 / cell) for k in range(2)]
    head = AttentiveGaussian1D(4, 1, 64, HeadSettings(length)).eval()
    raw = head.read(*(t / t.amax(-1, keepdim=True) for t in target))
    assert mse_1d(raw, truth, 4.0, 1.2).item() == pytest.approx(0, abs=1e-10)
    # the peak, of height 1 per cell of 4 px, is sharpened without moving its center
    assert torch.linalg.norm(raw.landmarks - truth, dim=-1).max() < 0.3 * max(cell, 1)
    moved = mse_1d(raw, truth + 1.0, 4.0, 1.2).item()
    assert moved > 0.01
    spread = (
        Attentive1D(4, 1, 64, HeadSettings(length))
        .eval()
        .read(*(t.clamp(min=1e-30).log() for t in target))
    )
    entropy = [-(t * t.clamp(min=1e-30).log()).sum(-1) for t in target]
    assert cross_entropy_1d(spread, truth, 4.0, 1.2).item() == pytest.approx(
        float(sum(entropy)) / 2, rel=1e-4
    )


def test_the_output_has_2nl_values_instead_of_nl_squared():
    size, points = 64, 5
    for length in (0.25, 1.0):
        raw = net(length=length)(torch.zeros(1, size, size, 3, dtype=torch.uint8))
        cells = round(size * length)
        assert (
            raw.heatmap_logits_x.numel() + raw.heatmap_logits_y.numel()
            == 2 * points * cells
        )
    two = LandmarkNet(
        "mobilenetv2", points, "heatmap2d", size, 16, imagenet=False
    ).eval()
    assert (
        two(torch.zeros(1, size, size, 3, dtype=torch.uint8)).heatmap_logits.numel()
        == points * (size // 4) ** 2
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: net(length=0.7),
            r"model\.length is 0\.7; expected one of 0\.25, 0\.5, 1\.0, 2\.0, 3\.0",
        ),
        (
            lambda: net(decoder="mean"),
            r"model\.decoder is 'mean'; expected one of expectation, argmax, quarter, dark",
        ),
        (
            lambda: net("attentive2d"),
            "unknown head 'attentive2d'; did you mean 'attentive1d'",
        ),
    ],
)
def test_settings_out_of_range_are_rejected(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


@pytest.mark.parametrize("head", ["heatmap2d", "gaussian2d"])
def test_two_dimensional_heads_can_have_finer_maps(head):
    plain = net(head)(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert (plain.heatmap_logits.shape[-1], plain.stride) == (16, 4)
    fine = net(head, length=1.0)(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert (fine.heatmap_logits.shape[-1], fine.stride) == (64, 1)
    assert fine.landmarks.shape == plain.landmarks.shape
    with pytest.raises(
        RecipeError,
        match=r"model\.length is 3\.0; expected one of 0\.25, 0\.5, 1\.0, 2\.0 for 2D heads",
    ):
        net(head, length=3.0)


@pytest.mark.parametrize("length", [0.25, 0.5, 1.0])
def test_squared_errors_are_minimal_at_the_truth_at_every_length(length):
    cells, truth = round(64 * length), torch.tensor([[[20.3, 41.7]]])
    target = gaussian_2d(truth, cells, cells, 1 / length, 4.8 * length)
    perfect = HeadOutput(
        truth, torch.ones(1, 1), heatmaps=target / target.amax(), stride=1 / length
    )
    assert mse_2d(perfect, truth, 4.0, 1.2).item() == pytest.approx(0, abs=1e-9)
    assert mse_2d(perfect, truth + 2, 4.0, 1.2).item() > 0.1
