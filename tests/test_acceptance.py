"""Acceptance: detections with doubtful landmarks and duplicates are dropped."""

from pathlib import Path

import numpy as np
import pytest

from lineament.estimator import CropLandmarks
from lineament.inference.acceptance import is_same_face, keep_faces
from lineament.inference.face_landmarks import FaceLandmarks
from lineament.inference.predictor import Predictor
from lineament.io.image import read_image
from lineament.schemes import scheme
from lineament.tracking.tracker import Tracker

PHOTO = Path(__file__).parents[1] / "docs/pictures/astronaut.jpg"

FACE = scheme("ibug68").mean_shape * 100 + 200


def moved(x):
    return FACE + np.array([x, 0])


def scored(*means):
    return np.repeat(np.array(means)[:, None], 68, 1)


def found(landmarks, scores, presence=np.nan):
    unknown = np.full_like(scores, np.nan)
    presences = np.full(len(scores), presence)
    return FaceLandmarks(landmarks, scores, unknown, presences, unknown)


def keep(landmarks, scores, min_landmark_score):
    """Return the rows kept for a model without presence; the required presence has no effect."""
    return keep_faces(found(landmarks, scores), 0.9, min_landmark_score)


def test_faces_below_the_score_threshold_are_dropped_and_the_order_is_kept():
    faces = np.stack([FACE, FACE + 300, FACE + 600])
    assert keep(faces, scored(0.5, 0.3, 0.9), 0.4) == [0, 2]
    assert keep(faces, scored(0.5, 0.3, 0.9), 0.0) == [0, 1, 2]
    # a mean at the threshold is enough
    assert keep(faces, scored(0.75, 0.5, 0.25), 0.5) == [0, 1]


def test_the_better_of_two_boxes_of_the_same_face_is_kept():
    # 5 px apart on a face with a box side of 100 px, where the limit is 10
    faces = np.stack([FACE, moved(5), moved(20)])
    assert keep(faces, scored(0.6, 0.8, 0.7), 0.4) == [1, 2]
    assert is_same_face(FACE, moved(9))
    assert not is_same_face(FACE, moved(11))


def test_no_face_gives_no_rows():
    assert keep(np.zeros((0, 68, 2)), np.zeros((0, 68)), 0.4) == []


def test_only_presence_decides_if_the_model_predicts_it():
    faces = np.stack([FACE, FACE + 300, FACE + 600])
    scores, presence = scored(0.9, 0.1, 0.9), np.array([0.49, 0.9, 0.5])
    assert keep_faces(found(faces, scores, presence), 0.5, 0.4) == [1, 2]
    assert keep_faces(found(faces, scores, presence), 0.3, 0.99) == [0, 1, 2]


def test_presence_times_score_ranks_two_boxes_of_the_same_face():
    faces = np.stack([FACE, moved(5)])
    # 0.9 x 0.6 = 0.54 is below 0.7 x 0.8 = 0.56
    twice = found(faces, scored(0.6, 0.8), np.array([0.9, 0.7]))
    assert keep_faces(twice, 0.5, 0.4) == [1]
    twice = found(faces, scored(0.6, 0.8), np.array([0.9, 0.6]))
    assert keep_faces(twice, 0.5, 0.4) == [0]


def test_landmarks_inside_a_better_face_are_dropped():
    eye, other = FACE * 0.2 + 160, FACE + 300
    faces = np.stack([eye, FACE, other])
    assert keep(faces, scored(0.6, 0.9, 0.5), 0.4) == [1, 2]
    # the better one of the two may be a small face in front of a large one
    assert keep(faces, scored(0.9, 0.6, 0.5), 0.4) == [0, 1, 2]


@pytest.mark.parametrize("name", ["accurate", "fast"])
def test_a_packaged_model_accepts_a_face_and_rejects_an_object(name):
    face, helmet = [180.0, 88, 272, 179], [290.0, 350, 490, 510]
    predictor = Predictor(name, detector=lambda image: np.array([face, helmet]))
    (found,) = predictor(read_image(PHOTO))
    assert np.linalg.norm(found.landmarks.mean(0) - (226, 133)) < 30
    # given boxes are never dropped, so the helmet's presence is reported
    presences = [each.presence for each in predictor(read_image(PHOTO), [face, helmet])]
    assert presences[0] > 0.9 > presences[1]


class OnePlace:
    """A model that predicts all landmarks at one place of the crop."""

    name, scheme, points, size, padding = "one-place", "ibug68", 68, 32, 1.3

    def predict(self, crops):
        shape = (len(crops), 68)
        landmarks = np.full((*shape, 2), 9, np.float32)
        sure = np.full(shape, 0.9, np.float32)
        return CropLandmarks(landmarks, sure, np.ones(shape, np.float32))


def test_landmarks_that_coincide_are_no_face_except_in_given_boxes():
    image, box = np.zeros((60, 60, 3), np.uint8), [[10.0, 10.0, 40.0, 40.0]]
    predictor = Predictor(OnePlace(), detector=lambda image: np.array(box))
    assert len(predictor(image)) == 0
    assert len(predictor(image, box)) == 1
    tracker = Tracker(predictor)
    assert [len(tracker(image)) for _ in range(2)] == [0, 0]
