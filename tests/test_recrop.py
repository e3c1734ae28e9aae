"""Re-crop policy: doubtful, turned and misplaced faces get other crops, by the rules given."""

import numpy as np
import pytest

from lineament.estimator import CropRequest
from lineament.geometry import apply_affine, landmark_box, similarity
from lineament.inference.detections import Detections
from lineament.inference.recrop import (
    DEFAULT_RECROP,
    SEARCH_ROLLS_DEG,
    RecropPolicy,
    box_error,
    first_crops,
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
    boxes = np.tile([0.0, 0, 10, 10], (3, 1))
    found = Detections(boxes, np.ones(3), np.array([-20.0, 30, np.nan]))
    requests = first_crops(found, policy, image=7)
    assert [request.roll_deg for request in requests] == rolls
    assert {request.image for request in requests} == {7}
