"""Crops of crops inside a network: the same geometry as outside of it."""

import numpy as np
import pytest

from lineament.crop import warp
from lineament.geometry import (
    apply_affine,
    crop_affine,
    fit_similarity,
    invert_affine,
    similarity,
)

torch = pytest.importorskip("torch")
from lineament.models.layers.resample import (
    apply_affines,
    box_affines,
    fit_similarities,
    invert_similarities,
    sample,
)

AFFINE = similarity(1.3, 20.0, np.array([10.0, 4.0]), np.array([3.0, 8.0]))
POINTS = np.random.default_rng(0).uniform(0, 50, (2, 7, 2))


def tensor(*arrays):
    return torch.tensor(np.stack(arrays), dtype=torch.float64)


def test_affines_in_a_network_match_geometry():
    moved = apply_affines(tensor(AFFINE, AFFINE), torch.tensor(POINTS))
    np.testing.assert_allclose(moved, apply_affine(AFFINE, POINTS), atol=1e-9)


def test_similarities_in_a_network_match_geometry():
    target = apply_affine(AFFINE, POINTS[0]) + np.array([[1.0, 0]] + [[0.0, 0]] * 6)
    fitted = fit_similarities(torch.tensor(POINTS), torch.tensor(target))
    for row in range(2):
        expected = fit_similarity(POINTS[row], target)
        np.testing.assert_allclose(fitted[row], expected, atol=1e-6)
    inverse = invert_similarities(tensor(AFFINE))
    np.testing.assert_allclose(inverse[0], invert_affine(AFFINE), atol=1e-9)


def test_crops_around_boxes_are_those_of_crop_affine():
    boxes = np.array([[3.0, 5, 23, 33], [0, 0, 8, 4]])
    found = box_affines(torch.tensor(boxes), 24)
    for row in range(2):
        expected = crop_affine(boxes[row], 24, 1.0)
        np.testing.assert_allclose(found[row], expected, atol=1e-9)


def test_a_sampled_crop_is_the_warped_one():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)
    image_to_crop = similarity(0.9, -15.0, np.array([30.0, 30]), np.array([12.0, 12]))
    expected = warp(image, image_to_crop, 24)
    images = torch.tensor(image).permute(2, 0, 1)[None].float()
    inverse = invert_affine(image_to_crop)
    found = sample(images, torch.tensor(inverse[None]).float(), 24)
    # OpenCV rounds places to 1/32 pixel: up to 1/64 of a difference of 255, along both axes
    difference = np.abs(found[0].permute(1, 2, 0).numpy() - expected)
    assert difference.max() < 2 * 255 / 64 + 1


def test_sampling_has_a_gradient_for_its_position():
    ramp = torch.arange(20.0).expand(1, 1, 20, 20)
    affine = torch.tensor([[[1.0, 0, 4], [0, 1, 5]]], requires_grad=True)
    sample(ramp, affine, 6).mean().backward()
    # the ramp rises by one per pixel along x
    assert affine.grad[0, 0, 2].item() == pytest.approx(1, abs=1e-4)
    assert affine.grad[0, 1, 2].item() == pytest.approx(0, abs=1e-4)
