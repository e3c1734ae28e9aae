"""Augmentation: landmarks follow their pixels, a flip swaps sides, crops depend on the seed."""

import numpy as np
import pytest
from pydantic import ValidationError

from lineament.data.augment import Augmentation, augment, draw_affine
from lineament.geometry import affine_roll_deg, affine_scale, apply_affine, crop_affine
from lineament.schemes import scheme

STILL = dict.fromkeys(
    ("color", "gray", "blur", "low_resolution", "jpeg", "noise", "dark", "occlusion"),
    0.0,
)
FIVE = np.array(
    [[85.3, 80.2], [133.1, 78.7], [112.4, 108.8], [92.9, 131.6], [130.6, 128.4]]
)
BOX = np.array([80.0, 70, 140, 135])


def picture_of_blob(center, sigma=3.0, side=220):
    rows, columns = np.mgrid[0:side, 0:side]
    bump = np.exp(
        -((columns - center[0]) ** 2 + (rows - center[1]) ** 2) / (2 * sigma**2)
    )
    return np.repeat(np.round(255 * bump).astype(np.uint8)[..., None], 3, axis=2)


def centroid(crop):
    weights = crop.astype(np.float64).sum(2)
    rows, columns = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_landmarks_move_with_their_pixels(seed, flip):
    settings = Augmentation(flip=flip, large_rotation=0.5, **STILL)
    mirror = scheme("five").mirror
    for i in range(5):
        image = picture_of_blob(FIVE[i])
        augmented = augment(
            np.random.default_rng(seed), image, FIVE, BOX, mirror, 128, 2.4, settings
        )
        row = int(np.flatnonzero(mirror == i)[0]) if flip else i
        # warpAffine rounds positions to 1/32 px
        place = augmented.landmarks[row]
        assert np.abs(centroid(augmented.crop) - place).max() < 0.06


def test_a_flip_permutes_left_and_right_landmarks():
    settings = Augmentation(
        flip=1, rotation_deg=0, large_rotation=0, scale=0, shift=0, **STILL
    )
    image = np.zeros((220, 220, 3), np.uint8)
    mirror = scheme("five").mirror
    augmented = augment(
        np.random.default_rng(0), image, FIVE, BOX, mirror, 128, 1.6, settings
    )
    plain = apply_affine(crop_affine(BOX, 128, 1.6), FIVE)
    mirrored = augmented.landmarks
    # x' = 127 - x, and the row of each eye holds the other eye's pixels
    assert np.allclose(mirrored[:, 0], 127 - plain[mirror, 0])
    assert np.allclose(mirrored[:, 1], plain[mirror, 1])
    assert (mirrored[1, 0] - mirrored[0, 0]) * (plain[1, 0] - plain[0, 0]) > 0


def test_equal_seeds_give_equal_crops_and_others_do_not():
    image = np.random.default_rng(0).integers(0, 256, (220, 220, 3), dtype=np.uint8)
    made = [
        augment(
            np.random.default_rng(seed),
            image,
            FIVE,
            BOX,
            scheme("five").mirror,
            96,
            1.3,
            Augmentation(),
        )
        for seed in (7, 7, 8)
    ]
    assert np.array_equal(made[0].crop, made[1].crop)
    assert np.array_equal(made[0].landmarks, made[1].landmarks)
    assert not np.array_equal(made[0].crop, made[2].crop)


def test_an_unknown_point_is_unknown_in_the_crop_and_changes_no_other():
    settings = Augmentation(flip=1, **STILL)
    points = FIVE.copy()
    points[0] = np.nan
    mirror = scheme("five").mirror
    augmented = augment(
        np.random.default_rng(0),
        np.zeros((220, 220, 3), np.uint8),
        points,
        BOX,
        mirror,
        128,
        1.6,
        settings,
    )
    assert np.isnan(augmented.landmarks).all(1).tolist() == (mirror == 0).tolist()


def test_crops_spread_by_the_settings():
    settings = Augmentation(
        flip=0.25, rotation_deg=10, large_rotation=0, scale=0.1, shift=0.08
    )
    rng = np.random.default_rng(0)
    drawn = [draw_affine(rng, BOX, 128, 1.3, settings) for _ in range(4000)]
    plain = crop_affine(BOX, 128, 1.3)
    logs = np.log([affine_scale(a) / affine_scale(plain) for a, _ in drawn])
    angles = [affine_roll_deg(a) for a, mirrored in drawn if not mirrored]
    # the crop's center maps to the shifted center of the box
    moved = [
        np.linalg.solve(a[:, :2], np.array([63.5, 63.5]) - a[:, 2]) - (110, 102.5)
        for a, _ in drawn
    ]
    # 4000 draws: a relative standard error of 1.1 %; clipping at 2.5 takes another 1.1 %
    assert np.std(logs) == pytest.approx(0.1, rel=0.05)
    assert np.std(angles) == pytest.approx(10, rel=0.05)
    assert np.std(moved, axis=0) / 65 == pytest.approx(
        [0.08, 0.08], rel=0.05
    )  # the longer side of BOX is 65
    assert np.mean([mirrored for _, mirrored in drawn]) == pytest.approx(0.25, abs=0.03)


def test_settings_out_of_range_or_unknown_are_rejected():
    for wrong in (
        {"flip": 1.5},
        {"shift": -0.1},
        {"scale": float("nan")},
        {"colour": 0.5},
    ):
        with pytest.raises(ValidationError):
            Augmentation(**wrong)
