"""Flip test-time augmentation: mirrored landmarks are mapped back and averaged."""

from dataclasses import replace

import numpy as np
import pytest

from lineament.errors import ShapeError
from lineament.estimator import CropLandmarks
from lineament.inference.flip import predict_with_flip
from lineament.schemes import scheme

MIRROR = scheme("five").mirror
FIVE = np.array([[12.0, 20], [40, 19], [27, 30], [16, 44], [38, 43]], np.float32)
MOVE = np.array([3, 5], np.float32)


def answers(landmarks, scores=0.5, sigma=1.0):
    shape = landmarks.shape[:2]
    return CropLandmarks(
        landmarks, np.full(shape, scores, np.float32), np.full(shape, sigma, np.float32)
    )


def painted(landmarks, side=64):
    """Return a crop with point i as a pixel of value 100 + i."""
    crop = np.zeros((side, side, 3), np.uint8)
    for i, (x, y) in enumerate(landmarks.astype(int)):
        crop[y, x] = 100 + i
    return crop


def find_painted(crops):
    """Return the points of a perfect model, which swaps left and right in a mirrored crop."""
    found = []
    for crop in crops:
        places = [np.argwhere(crop[..., 0] == 100 + i)[0][::-1] for i in range(5)]
        turned = places[0][0] > places[1][0]
        found.append([places[MIRROR[i]] if turned else places[i] for i in range(5)])
    return answers(np.array(found, np.float32))


def test_a_perfect_model_stays_perfect():
    crops = np.stack([painted(FIVE), painted(FIVE + MOVE)])
    found = predict_with_flip(find_painted, MIRROR)(crops)
    assert np.array_equal(
        found.landmarks_crop, np.stack([FIVE, FIVE + MOVE]).astype(np.float32)
    )


def test_horizontal_errors_cancel_and_vertical_errors_remain():
    def biased(crops):
        plain = find_painted(crops)
        return answers(plain.landmarks_crop + np.float32([2, 3]))

    found = predict_with_flip(biased, MIRROR)(painted(FIVE)[None])
    assert np.allclose(found.landmarks_crop[0], FIVE + np.array([0, 3]))


def test_scores_and_sigma_are_those_of_the_same_point_averaged():
    def rising(crops):
        row = np.tile(np.arange(5, dtype=np.float32), (len(crops), 1))
        return CropLandmarks(find_painted(crops).landmarks_crop, row / 10, row)

    found = predict_with_flip(rising, MIRROR)(painted(FIVE)[None])
    assert np.allclose(found.sigma_px[0], (np.arange(5) + MIRROR) / 2)
    assert np.allclose(found.scores[0], (np.arange(5) + MIRROR) / 20)


def test_no_crop_gives_no_face():
    def nothing(crops):
        return answers(np.zeros((len(crops), 5, 2), np.float32))

    assert predict_with_flip(nothing, MIRROR)(
        np.zeros((0, 64, 64, 3), np.uint8)
    ).landmarks_crop.shape == (0, 5, 2)


def test_the_result_does_not_depend_on_the_batch():
    crops = np.stack([painted(FIVE), painted(FIVE + MOVE)])
    heads = predict_with_flip(find_painted, MIRROR)
    assert np.array_equal(
        heads(crops).landmarks_crop[1], heads(crops[1:]).landmarks_crop[0]
    )


def test_a_mirror_of_another_scheme_is_rejected():
    with pytest.raises(
        ShapeError,
        match="the model predicts 5 points, but mirror has 68; give the mirror of its own scheme",
    ):
        predict_with_flip(find_painted, scheme("ibug68").mirror)(painted(FIVE)[None])


def test_visibility_is_that_of_the_same_point_averaged_and_presence_is_averaged():
    def rising(crops):
        row = np.tile(np.arange(5, dtype=np.float32), (len(crops), 1)) / 10
        presence = np.linspace(0.2, 0.6, len(crops), dtype=np.float32)
        return replace(find_painted(crops), presence=presence, visible=row)

    found = predict_with_flip(rising, MIRROR)(painted(FIVE)[None])
    assert np.allclose(found.visible[0], (np.arange(5) + MIRROR) / 20)
    # 0.2 of the crop and 0.6 of its mirror image
    assert np.allclose(found.presence, 0.4)


def test_presence_remains_unknown_if_it_is_not_predicted():
    found = predict_with_flip(find_painted, MIRROR)(painted(FIVE)[None])
    assert found.presence is None
    assert found.visible is None


def test_attributes_of_the_sides_are_swapped():
    def looks(crops):
        # the first crop looks left, its mirror image right
        left = np.array([0.75, 0.25], np.float32)
        attributes = {"left": left, "right": 1 - left, "smiling": np.float32([0.5, 1])}
        return replace(find_painted(crops), attributes=attributes)

    found = predict_with_flip(looks, MIRROR)(painted(FIVE)[None]).attributes
    assert found["left"] == [0.75]
    assert found["right"] == [0.25]
    assert found["smiling"] == [0.75]
