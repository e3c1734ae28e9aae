"""Re-crop policy: doubtful, turned and misplaced faces get other crops, by the rules given."""

from types import SimpleNamespace

import numpy as np
import pytest

from lineament.estimator import CropRequest, ValidationLimits
from lineament.geometry import apply_affine, box_error, landmark_box, similarity
from lineament.inference.detections import Detections
from lineament.inference.recrop import (
    DEFAULT_RECROP,
    SEARCH_ROLLS_DEG,
    RecropPolicy,
    first_crops,
    is_truncated,
)
from lineament.schemes import scheme

MEAN = scheme("ibug68").mean_shape
FACE = MEAN * 100 + 200
SURE, UNSURE = np.full(68, 0.9), np.full(68, 0.5)


def turned(angle_deg):
    return apply_affine(similarity(1.0, angle_deg, (200, 200), (200, 200)), FACE)


def test_a_face_that_fits_its_crop_needs_no_other():
    first = CropRequest(0, landmark_box(FACE), 0.0)
    assert DEFAULT_RECROP.second_crops(first, FACE, SURE, MEAN) == []


def test_a_doubtful_face_is_searched_at_other_angles_and_around_its_landmarks():
    first = CropRequest(3, landmark_box(FACE), 10.0)
    tried = DEFAULT_RECROP.second_crops(first, FACE, UNSURE, MEAN)
    assert [request.roll_deg - 10 for request in tried[:-1]] == list(SEARCH_ROLLS_DEG)
    assert [request.image for request in tried] == [3] * 4
    assert DEFAULT_RECROP.second_crops(first, FACE, SURE, MEAN) == []


@pytest.mark.parametrize("roll_in_image", [0.0, 170.0, -170.0])
def test_a_face_rotated_in_its_crop_is_cropped_upright(roll_in_image):
    policy = RecropPolicy(max_roll_deg=25, max_box_error=9)
    for beyond, count in ((20, 0), (-20, 0), (30, 1), (-30, 1)):
        first = CropRequest(0, landmark_box(FACE), roll_in_image)
        found = policy.second_crops(first, turned(roll_in_image + beyond), SURE, MEAN)
        assert len(found) == count
        for request in found:
            left = (request.roll_deg - roll_in_image - beyond + 180) % 360 - 180
            assert left == pytest.approx(0, abs=1e-6)


def test_the_error_of_a_box_counts_in_its_sides_and_in_the_log_of_its_side():
    tight = np.array([0.0, 0, 100, 100])
    assert box_error(tight, tight) == 0
    assert box_error(tight + 10, tight) == pytest.approx(np.hypot(0.1, 0.1))
    assert box_error(np.array([-5.0, -5, 105, 105]), tight) == pytest.approx(
        np.log(1.1)
    )
    off = CropRequest(0, landmark_box(FACE) + 12, 0.0)  # an error of 0.17
    assert (
        len(RecropPolicy(max_box_error=0.15).second_crops(off, FACE, SURE, MEAN)) == 1
    )
    assert RecropPolicy(max_box_error=0.2).second_crops(off, FACE, SURE, MEAN) == []


@pytest.mark.parametrize(
    ("policy", "rolls"),
    [
        (None, [0, 30, 0]),
        (DEFAULT_RECROP, [0, 30, 0]),
        (RecropPolicy(max_roll_deg=10), [-20, 30, 0]),
        (RecropPolicy(max_roll_deg=40), [0, 0, 0]),
    ],
)
def test_the_first_crop_follows_a_roll_above_that_of_the_policy(policy, rolls):
    boxes = np.tile([20.0, 20, 30, 30], (3, 1))
    found = Detections(boxes, np.ones(3), np.array([-20.0, 30, np.nan]))
    requests = first_crops(found, policy, (90, 90), image=7)
    assert [request.roll_deg for request in requests] == rolls
    assert {request.image for request in requests} == {7}


def test_a_face_is_cut_if_its_box_ends_at_the_border_or_beyond():
    shape = (100, 200, 3)
    # within 5 % of the side, 2 px, of the last pixel at 199 or 99, or of the first
    assert not is_truncated(np.array([2.5, 2.5, 42.5, 42.5]), shape)
    assert is_truncated(np.array([1.5, 30, 41.5, 70]), shape)
    assert is_truncated(np.array([30, 1.5, 70, 41.5]), shape)
    assert not is_truncated(np.array([156, 56, 196, 96]), shape)
    assert is_truncated(np.array([158, 30, 198, 70]), shape)
    assert is_truncated(np.array([30, 80, 70, 120]), shape)


def test_a_face_that_the_border_cuts_is_first_cropped_upright():
    boxes = np.array([[20.0, 20, 40, 40], [20, 75, 40, 99], [50, 75, 70, 99]])
    found = Detections(boxes, np.ones(3), np.array([170.0, 170, -60]))
    requests = first_crops(found, DEFAULT_RECROP, (100, 100))
    # upside down inside, cut, and turned to the side only
    assert [request.roll_deg for request in requests] == [170, 0, -60]


def test_rotated_landmarks_are_penalized_more_if_the_border_cuts_the_face():
    inside, cut = (
        CropRequest(0, landmark_box(FACE), 0.0),
        CropRequest(0, np.array([150.0, 200, 250, 299]), 0.0),
    )
    policy = RecropPolicy(min_turned_gain=0.05, min_upside_down_gain=0.1)
    arguments = (MEAN, (300, 400))
    for roll_deg, counts, counts_cut in ((0, 0, 0), (80, 0.05, 0.05), (170, 0.05, 0.1)):
        landmarks = turned(roll_deg)
        assert policy.roll_penalty(inside, landmarks, *arguments) == counts
        assert policy.roll_penalty(cut, landmarks, *arguments) == counts_cut
    # a face of known roll is upright in its crop
    known = CropRequest(0, landmark_box(FACE), 80.0, is_roll_known=True)
    assert policy.roll_penalty(known, turned(85), *arguments) == 0


def with_limits(**limits):
    """The default policy for a model with these limits."""
    return DEFAULT_RECROP.for_model(
        SimpleNamespace(validation_limits=ValidationLimits(**limits))
    )


def test_a_model_of_low_scores_searches_angles_below_its_own_low_score():
    first = CropRequest(0, landmark_box(FACE), 0.0)
    policy = with_limits(low_score=0.45)
    assert policy.second_crops(first, FACE, UNSURE, MEAN) == []
    assert len(policy.second_crops(first, FACE, np.full(68, 0.4), MEAN)) == 4
    assert with_limits(low_score=0.9) == DEFAULT_RECROP


def test_a_model_trained_on_larger_boxes_keeps_crops_of_that_size():
    box = landmark_box(FACE)
    side = box[2] - box[0]
    first = CropRequest(0, box + side * np.array([-0.2, -0.2, 0.2, 0.2]), 0.0)
    error = box_error(first.box, box)
    assert error > DEFAULT_RECROP.max_box_error
    sure = np.full(68, 0.9)
    assert len(DEFAULT_RECROP.second_crops(first, FACE, sure, MEAN)) == 1
    policy = with_limits(box_error=error + 0.01)
    assert policy.second_crops(first, FACE, sure, MEAN) == []
    assert len(
        with_limits(box_error=error - 0.01).second_crops(first, FACE, sure, MEAN)
    )
    # a model without limits, such as a user-defined one
    assert DEFAULT_RECROP.for_model(SimpleNamespace()) == DEFAULT_RECROP


def test_landmarks_that_coincide_get_no_other_crop():
    first = CropRequest(0, landmark_box(FACE), 0.0)
    for scores in (SURE, UNSURE):
        point = np.full((68, 2), 200.0)
        assert DEFAULT_RECROP.second_crops(first, point, scores, MEAN) == []


def test_without_a_mean_face_a_crop_at_a_known_roll_is_kept():
    first = CropRequest(0, landmark_box(FACE), 60.0)
    assert DEFAULT_RECROP.second_crops(first, FACE, SURE, None) == []
    assert len(DEFAULT_RECROP.second_crops(first, FACE + 90, SURE, None)) == 1
