"""Losses: minimal at the truth, as published, and without unannotated points."""

import math

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import RecipeError
from lineament.models.heads.output import HeadOutput
from lineament.training.losses import (
    LOSSES,
    check_losses,
    gaussian_nll,
    loss_counts,
    smooth_l1,
    total_loss,
    wing,
)
from lineament.training.targets import gaussian_1d, gaussian_2d

pytestmark = pytest.mark.torch
STRIDE, SIGMA = 4.0, 1.2
OF_MAPS = ("mse", "mse_1d")


def raw_at(landmarks, variance=4.0):
    """Return all outputs of a network with `landmarks` as sharp prediction."""
    batch, points, _ = landmarks.shape
    heatmaps = gaussian_2d(landmarks, 16, 16, STRIDE, SIGMA).clamp(min=1e-12).log()
    along = [
        gaussian_1d(landmarks[..., i], 16, STRIDE, SIGMA).clamp(min=1e-12).log()
        for i in (0, 1)
    ]
    return HeadOutput(
        landmarks.clone(), torch.full((batch, points), variance), heatmaps, None, *along
    )


TRUTH = torch.tensor([[[20.0, 31.0], [40.5, 12.0]], [[30.0, 30.0], [22.0, 41.0]]])


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in OF_MAPS])
def test_a_loss_is_minimal_at_the_truth(name):
    at_truth = LOSSES[name](raw_at(TRUTH), TRUTH, STRIDE, SIGMA)
    away = LOSSES[name](raw_at(TRUTH + 3), TRUTH, STRIDE, SIGMA)
    assert at_truth.shape == (2, 2)
    assert (away > at_truth).all()


@pytest.mark.parametrize("name", OF_MAPS)
def test_a_loss_of_heatmaps_is_zero_for_a_gaussian_of_height_one(name):
    target = gaussian_2d(TRUTH, 16, 16, STRIDE, SIGMA)
    along = [gaussian_1d(TRUTH[..., i], 16, STRIDE, SIGMA) for i in (0, 1)]
    along = [maps / maps.amax(-1, keepdim=True) for maps in along]
    high = target / target.amax((-2, -1), keepdim=True)
    perfect = HeadOutput(
        TRUTH, torch.ones(2, 2), heatmaps=high, heatmaps_x=along[0], heatmaps_y=along[1]
    )
    assert LOSSES[name](perfect, TRUTH, STRIDE, SIGMA).abs().max() < 1e-6
    assert (LOSSES[name](perfect, TRUTH + 3, STRIDE, SIGMA) > 1e-3).all()


def test_the_minimum_of_cross_entropy_is_the_entropy_of_the_target():
    target = gaussian_2d(TRUTH, 16, 16, STRIDE, SIGMA)
    entropy = -(target * target.clamp(min=1e-30).log()).sum((-2, -1))
    assert torch.allclose(
        LOSSES["cross_entropy"](raw_at(TRUTH), TRUTH, STRIDE, SIGMA), entropy, atol=1e-4
    )


def test_the_squared_loss_is_half_the_square_of_the_distance():
    moved = TRUTH + torch.tensor([6.0, -8.0])
    # 10 pixels are 2.5 strides
    found = LOSSES["squared"](raw_at(moved), TRUTH, STRIDE, SIGMA)
    torch.testing.assert_close(found, torch.full((2, 2), 2.5**2 / 2))


@pytest.mark.parametrize(
    ("gap", "wanted"),
    [
        # omega = 10, epsilon = 2: 10 ln(1 + 4/2) = 10.986 below omega,
        # else |x| - C with C = 10 - 10 ln 6 = -7.918
        (4.0, 10 * math.log(3)),
        (25.0, 25 - (10 - 10 * math.log(6))),
    ],
)
def test_wing_matches_the_paper(gap, wanted):
    raw = HeadOutput(TRUTH + torch.tensor([gap, 0.0]), torch.ones(2, 2))
    assert torch.allclose(
        wing(raw, TRUTH, STRIDE, SIGMA), torch.full((2, 2), wanted), rtol=1e-5
    )


def test_wing_is_continuous_where_its_pieces_meet():
    for at in (10 - 1e-4, 10 + 1e-4):
        raw = HeadOutput(TRUTH + torch.tensor([at, 0.0]), torch.ones(2, 2))
        assert wing(raw, TRUTH, STRIDE, SIGMA)[0, 0].item() == pytest.approx(
            10 * math.log(6), abs=1e-3
        )


def test_smooth_l1_is_quadratic_below_beta_and_linear_above():
    # beta = 0.25 strides = 1 px: 0.5 px = 0.125 strides -> 0.125^2 / 2 / 0.25 = 0.03125;
    # 8 px = 2 strides -> 2 - 0.125
    for gap, wanted in ((0.5, 0.03125), (8.0, 1.875)):
        raw = HeadOutput(TRUTH + torch.tensor([0.0, gap]), torch.ones(2, 2))
        assert torch.allclose(
            smooth_l1(raw, TRUTH, STRIDE, SIGMA), torch.full((2, 2), wanted)
        )


def test_the_likelihood_is_best_if_the_variance_is_the_mean_squared_error_per_axis():
    # an error of (3, 5) px: (9 + 25) / 2 = 17 px^2 an axis
    losses = [
        gaussian_nll(
            HeadOutput(TRUTH + torch.tensor([3.0, 5.0]), torch.full((2, 2), v)),
            TRUTH,
            STRIDE,
            SIGMA,
        )[0, 0].item()
        for v in (12.0, 17.0, 24.0)
    ]
    assert losses[1] == min(losses)


def test_the_likelihood_trains_only_the_variance():
    landmarks = (TRUTH + 1).requires_grad_()
    variance = torch.full((2, 2), 4.0, requires_grad=True)
    gaussian_nll(HeadOutput(landmarks, variance), TRUTH, STRIDE, SIGMA).sum().backward()
    assert landmarks.grad is None
    assert (variance.grad != 0).all()


def test_unannotated_points_have_no_loss_and_no_gradient():
    holes = TRUTH.clone()
    holes[0, 1] = math.nan
    landmarks = (TRUTH + 2).requires_grad_()
    heatmaps = torch.randn(2, 2, 16, 16, requires_grad=True)
    raw = HeadOutput(landmarks, torch.ones(2, 2), heatmaps)
    losses = total_loss(
        raw, holes, {"cross_entropy": 1.0, "smooth_l1": 0.5}, STRIDE, SIGMA
    )
    losses["total"].backward()
    # three points are left, off by half a stride along each axis: 2 (0.5 - 0.125), times 0.5
    assert losses["smooth_l1"].item() == pytest.approx(0.375)
    assert torch.isfinite(losses["total"])
    for gradient in (landmarks.grad, heatmaps.grad):
        assert torch.isfinite(gradient).all()
        assert gradient[0, 1].abs().max() == 0
        assert gradient[0, 0].abs().max() > 0


def test_a_batch_without_a_point_has_no_loss():
    nothing = torch.full_like(TRUTH, math.nan)
    assert (
        total_loss(
            raw_at(TRUTH),
            nothing,
            {"smooth_l1": 1.0, "cross_entropy": 1.0},
            STRIDE,
            SIGMA,
        )["total"]
        == 0
    )


def test_losses_of_two_halves_add_up_to_those_of_the_batch():
    holes = TRUTH.clone()
    holes[0, 1] = math.nan
    raw, weights = raw_at(TRUTH + 2), {"smooth_l1": 1.0}
    whole = total_loss(raw, holes, weights, STRIDE, SIGMA)["total"]
    halves = [
        total_loss(
            HeadOutput(raw.landmarks[i : i + 1], raw.variance[i : i + 1]),
            holes[i : i + 1],
            weights,
            STRIDE,
            SIGMA,
            loss_counts(holes),
        )
        for i in (0, 1)
    ]
    assert torch.allclose(halves[0]["total"] + halves[1]["total"], whole)


def test_the_total_is_the_sum_of_its_weighted_parts():
    losses = total_loss(
        raw_at(TRUTH + 2), TRUTH, {"smooth_l1": 2.0, "wing": 0.25}, STRIDE, SIGMA
    )
    # half a stride along each axis: 2 (0.5 - 0.125), times 2; twice 10 ln 2 = 13.863, times 0.25
    assert losses["smooth_l1"].item() == pytest.approx(1.5)
    assert losses["wing"].item() == pytest.approx(5 * math.log(2))
    assert losses["total"] == losses["smooth_l1"] + losses["wing"]


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "cross_entropy_1d"])
def test_a_loss_without_its_head_names_the_head_it_needs(name):
    with pytest.raises(
        RecipeError,
        match=f"the loss '{name}' needs the head '(heatmap2d|gaussian2d|attentive1d(-gaussian)?)'",
    ):
        LOSSES[name](HeadOutput(TRUTH, torch.ones(2, 2)), TRUTH, STRIDE, SIGMA)


def test_unknown_absent_and_negative_losses_are_rejected():
    with pytest.raises(
        RecipeError, match=r"unknown loss 'smoothl1'; did you mean 'smooth_l1'"
    ):
        check_losses({"smoothl1": 1.0})
    with pytest.raises(
        RecipeError,
        match="the recipe names no loss; expected at least one of cross_entropy, ",
    ):
        check_losses({})
    with pytest.raises(
        RecipeError,
        match=r"the weight of the loss 'wing' is -1.0; expected a number above 0",
    ):
        check_losses({"wing": -1.0})
