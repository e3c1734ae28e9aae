"""Targets: Gaussians around the landmark, along one axis or two."""

import pytest

pytest.importorskip("torch")

import torch

from lineament.training.targets import gaussian_1d, gaussian_2d

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("stride", [1.0, 4.0])
def test_the_mean_of_a_target_is_the_landmark(stride):
    # over 4 sigma from the edge, which truncates less than 1e-4; sampling a Gaussian of
    # sigma >= 1.2 cells moves its mean by less than 2 exp(-2 pi^2 sigma^2) < 1e-11 cells
    positions = torch.tensor([40.25, 63.9, 71.07], dtype=torch.float64)
    length = int(128 / stride)
    target = gaussian_1d(positions, length, stride, 1.2)
    cells = (torch.arange(length, dtype=torch.float64) + 0.5) * stride - 0.5
    assert torch.allclose((target * cells).sum(-1), positions, atol=1e-4)


def test_the_width_of_a_target_is_sigma_in_cells():
    target = gaussian_1d(torch.tensor([63.5], dtype=torch.float64), 64, 2.0, 1.5)
    cells = torch.arange(64, dtype=torch.float64)
    mean = (target * cells).sum()
    assert ((target * (cells - mean) ** 2).sum() ** 0.5).item() == pytest.approx(
        1.5, abs=1e-6
    )


def test_a_target_in_two_dimensions_is_the_product_of_two_in_one_x_along_columns():
    landmarks = torch.tensor([[[20.0, 50.0]]])
    target = gaussian_2d(landmarks, 24, 32, 4.0, 1.0)
    assert target.shape == (1, 1, 24, 32)
    assert torch.allclose(target.sum(), torch.tensor(1.0))
    assert torch.allclose(
        target[0, 0].sum(0), gaussian_1d(torch.tensor(20.0), 32, 4.0, 1.0), atol=1e-7
    )
    assert torch.allclose(
        target[0, 0].sum(1), gaussian_1d(torch.tensor(50.0), 24, 4.0, 1.0), atol=1e-7
    )


@pytest.mark.parametrize(("position", "cell"), [(-500.0, 0), (900.0, 31)])
def test_a_landmark_beyond_the_crop_counts_at_its_edge(position, cell):
    target = gaussian_1d(torch.tensor(position), 32, 4.0, 1.0)
    assert int(target.argmax()) == cell
    assert torch.allclose(target.sum(), torch.tensor(1.0))
