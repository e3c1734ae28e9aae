"""Degradations keep positions, shapes and their input unchanged, and follow the settings."""

import numpy as np
import pytest

from lineament.data.degrade import (
    add_noise,
    blacken_side,
    blur,
    change_color,
    compress,
    darken,
    degrade_scene,
    drawn_line,
    lower_resolution,
    make_gray,
    occlude,
    occlude_faces,
    photometric,
    rotated_shape,
    smooth_line,
)
from lineament.recipe import Augmentation
from test_augment import STILL, centroid, picture_of_blob


@pytest.mark.parametrize(
    "change", [blur, lower_resolution, compress, change_color, make_gray]
)
def test_degradations_move_no_point(change):
    center = np.array([60.2, 67.4])
    image = picture_of_blob(center, sigma=7.0, side=128)
    gaps = []
    for seed in range(60):
        crop = change(np.random.default_rng(seed), image)
        ground = np.median(crop)
        gaps.append(
            centroid(np.abs(crop.astype(float) - ground) * (np.abs(crop - ground) > 25))
            - center
        )
    # detects a systematic shift of half a pixel, from an even kernel or nearest-neighbor resizing
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.12


@pytest.mark.parametrize(
    "change",
    [
        blur,
        lower_resolution,
        compress,
        change_color,
        make_gray,
        darken,
        add_noise,
        occlude,
        photometric,
    ],
)
def test_degradations_keep_shape_and_type_and_do_not_modify_the_input(change):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    kept = image.copy()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        crop = (
            photometric(rng, image, Augmentation())
            if change is photometric
            else change(rng, image, np.zeros(image.shape[:2], np.uint8))
            if change in (occlude, blacken_side)
            else change(rng, image)
        )
        assert crop.shape == image.shape
        assert crop.dtype == np.uint8
    assert np.array_equal(image, kept)


def test_a_change_of_probability_one_always_happens_and_of_zero_never():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(
        photometric(np.random.default_rng(0), image, Augmentation(**STILL)), image
    )
    grey = photometric(
        np.random.default_rng(0), image, Augmentation(**(STILL | {"gray": 1.0}))
    )
    assert np.array_equal(grey[..., 0], grey[..., 1])


def test_a_degraded_scene_keeps_its_shape_and_has_a_minimum_face_size():
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    kept = image.copy()
    min_sides = []
    for seed in range(60):
        degraded, min_side = degrade_scene(np.random.default_rng(seed), image)
        assert degraded.shape == image.shape
        assert degraded.dtype == np.uint8
        min_sides.append(min_side)
    assert np.array_equal(image, kept)
    # 80 % keep their resolution and 80 % of all stay sharp: 64 %
    assert 0.4 < np.mean([side == 0 for side in min_sides]) < 0.85
    # at worst shrunk to 0.12 (6 / 0.12 = 50 px) or blurred by 4.5 px (27 px)
    assert max(min_sides) <= 50


def test_only_some_faces_are_occluded():
    image = np.full((100, 100, 3), 90, np.uint8)
    assert (
        occlude_faces(np.random.default_rng(0), image.copy(), np.zeros((0, 4)), [])
        == 90
    ).all()
    box = np.array([[30.0, 30, 70, 70]])
    changed = [
        (
            occlude_faces(np.random.default_rng(seed), image.copy(), box, np.zeros(1))
            != 90
        ).any()
        for seed in range(400)
    ]
    # 28 % of faces, minus up to 0.4 of them whose occluder matches the background; 400 draws
    assert 0.12 < np.mean(changed) < 0.34


@pytest.mark.parametrize(
    ("kernel", "shift"),
    # a line drawn in whole pixels deviates up to half a pixel between its ends
    [
        (smooth_line(9, 30.0), 0.01),
        (drawn_line(9, 0.5), 0.5),
        (drawn_line(3, 2.0), 0.5),
    ],
)
def test_blur_along_a_line_keeps_brightness_and_place(kernel, shift):
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    rows, columns = np.mgrid[0 : len(kernel), 0 : len(kernel)]
    middle = len(kernel) // 2
    assert (kernel * columns).sum() == pytest.approx(middle, abs=shift)
    assert (kernel * rows).sum() == pytest.approx(middle, abs=shift)


@pytest.mark.parametrize("ellipse", [False, True])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_rotated_shape_has_the_area_of_its_kind_and_its_center(ellipse, rounded):
    center, size = np.array([50.0, 40.0]), np.array([40.0, 20.0])
    mask = rotated_shape((90, 100), center, size, 30.0, ellipse, rounded)
    rows, columns = np.nonzero(mask)
    # a rectangle covers 40 x 20, an ellipse pi / 4 of it; the drawn edge adds up to a pixel around
    wanted = 800 * (np.pi / 4 if ellipse else 1)
    assert wanted * 0.95 < mask.sum() < wanted + 130
    assert [columns.mean(), rows.mean()] == pytest.approx(center, abs=0.6)
