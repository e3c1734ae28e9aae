"""Crops: image points move by the affine, at any rotation and downscaling."""

import cv2
import numpy as np
import pytest

from lineament.crop import crop_boxes, warp, warp_all
from lineament.errors import ShapeError
from lineament.geometry import apply_affine, crop_affine, flip_affine, invert_affine


def picture_of_blob(center, sigma, width=240, height=200):
    rows, columns = np.mgrid[0:height, 0:width]
    bump = np.exp(
        -((columns - center[0]) ** 2 + (rows - center[1]) ** 2) / (2 * sigma**2)
    )
    return np.repeat(np.round(255 * bump).astype(np.uint8)[..., None], 3, axis=2)


def centroid(crop):
    weights = crop[..., 0].astype(np.float64)
    rows, columns = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("roll", [0.0, 30.0, -75.0, 180.0, 133.0])
def test_a_blob_is_moved_by_the_affine_at_any_rotation(roll):
    center = np.array([131.3, 88.6])  # asymmetric and off the pixel grid
    affine = crop_affine((90, 60, 170, 120), 128, 1.3, roll)
    found = centroid(warp(picture_of_blob(center, 4.0), affine, 128))
    # warpAffine rounds positions to 1/32 px; 8-bit rounding of a 5 px blob adds less
    assert np.abs(found - apply_affine(affine, center)).max() < 0.05


@pytest.mark.parametrize("shrink", [0.45, 0.2, 0.07])
def test_a_blob_is_moved_by_the_affine_at_strong_downscaling(shrink):
    center, size = np.array([1203.7, 841.2]), 64
    side = size / (1.3 * shrink)  # so that the crop's scale is `shrink`
    image = picture_of_blob(center, 3 / shrink, 2000, 1500)
    box = (
        center[0] - 0.4 * side,
        center[1] - 0.6 * side,
        center[0] + 0.6 * side,
        center[1] + 0.4 * side,
    )
    affine = crop_affine(box, size, 1.3, 20.0)
    assert (
        np.abs(centroid(warp(image, affine, size)) - apply_affine(affine, center)).max()
        < 0.05
    )


def test_strong_downscaling_averages_without_aliasing():
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 200  # alternating pixels: the mean is 100 at any phase
    crop = warp(stripes, crop_affine((100, 100, 700, 700), 60, 1.0), 60)
    # 2 or 3 of 5 source pixels per cell are bright: 80 to 120
    assert crop.min() >= 80
    assert crop.max() <= 120


def test_shrinking_only_the_visible_part_equals_shrinking_the_image():
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(
        rng.integers(0, 256, (900, 1200, 3), dtype=np.uint8), (0, 0), 12
    )
    affine = crop_affine((400, 300, 700, 600), 64, 1.3, 35.0)
    blurred = cv2.GaussianBlur(image, (0, 0), 2)
    plain = cv2.warpAffine(blurred, affine, (64, 64), flags=cv2.INTER_LINEAR)
    assert np.abs(warp(image, affine, 64).astype(int) - plain).max() <= 3


def test_a_point_mapped_to_the_crop_and_back_is_unchanged():
    points = np.random.default_rng(0).uniform(-50, 400, (30, 2))
    _, affines = crop_boxes(
        np.zeros((50, 60, 3), np.uint8),
        [[3, 4, 40, 30], [10, 5, 30, 45]],
        96,
        1.7,
        [15, -170],
    )
    for affine in affines:
        back = apply_affine(invert_affine(affine), apply_affine(affine, points))
        assert np.abs(back - points).max() < 1e-9


def test_the_identity_crop_is_the_image():
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    # the box that covers all pixel areas: centers 0..39 reach from -0.5 to 39.5
    crops, affines = crop_boxes(image, [-0.5, -0.5, 39.5, 39.5], 40, 1.0)
    assert np.array_equal(crops[0], image)
    assert np.allclose(affines[0], [[1, 0, 0], [0, 1, 0]])


def test_a_mirrored_affine_gives_the_mirrored_crop():
    image = np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.array_equal(warp(image, flip_affine(40), 40), image[:, ::-1])


def test_crops_of_many_boxes_equal_single_crops():
    image = np.random.default_rng(4).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    boxes = [[10, 10, 50, 60], [60, 20, 110, 90]]
    together, _ = crop_boxes(image, boxes, 32, 1.3, [5, 50])
    for i, (box, roll) in enumerate(zip(boxes, (5, 50), strict=True)):
        assert np.array_equal(
            together[i], crop_boxes(image, [box], 32, 1.3, roll)[0][0]
        )


def test_no_boxes_give_no_crops():
    crops, affines = crop_boxes(np.zeros((10, 10, 3), np.uint8), [], 32, 1.3)
    assert crops.shape == (0, 32, 32, 3)
    assert affines.shape == (0, 2, 3)


@pytest.mark.parametrize("side", [10.0, 400.0])
def test_a_box_far_beyond_the_image_gives_a_black_crop(side):
    white = np.full((30, 30, 3), 255, np.uint8)
    crops, _ = crop_boxes(white, [5000, 5000, 5000 + side, 5000 + side], 32, 1.3)
    assert crops.max() == 0


def test_an_image_larger_than_opencvs_warp_limit_is_cropped():
    image = np.zeros((20, 40_000, 3), np.uint8)
    image[8:12, 35_000:35_004] = 255
    crops, affines = crop_boxes(image, [34_990, 0, 35_010, 19], 40, 1.0)
    assert (
        np.abs(centroid(crops[0]) - apply_affine(affines[0], (35_001.5, 9.5))).max()
        < 0.1
    )


def test_a_box_without_area_is_rejected():
    with pytest.raises(ShapeError, match=r"box 0 is .*expected finite x0 < x1"):
        crop_boxes(np.zeros((10, 10, 3), np.uint8), [[5, 5, 5, 9]], 32, 1.3)


def test_crops_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 255, (40 + 3 * i, 60, 3)).astype(np.uint8) for i in range(11)
    ]
    affines = [crop_affine([5, 6, 30 + i, 40], 32, 1.3, 7.0 * i) for i in range(11)]
    one_by_one = np.stack(
        [warp(image, affine, 32) for image, affine in zip(images, affines, strict=True)]
    )
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(
            warp_all(images, affines, 32, threads), one_by_one
        )
    assert warp_all([], [], 32).shape == (0, 32, 32, 3)
