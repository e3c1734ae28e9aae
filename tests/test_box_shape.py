"""Boxes of user-defined points match those of 68 points; untrained points are ignored."""

import json

import numpy as np
import pytest

from lineament.data.mixture import to_scheme
from lineament.data.sample import Sample, tight_box
from lineament.estimator import CropLandmarks
from lineament.geometry import (
    apply_affine,
    box_side,
    fit_roll_deg,
    landmark_box,
    similarity,
    upright_box,
)
from lineament.inference.box_shape import BoxShape
from lineament.inference.predictor import Predictor
from lineament.io.formats import faces_from_json, faces_to_json
from lineament.schemes import check_scheme, convert, scheme
from tiny_sets import text

MEAN = scheme("ibug68").mean_shape
CHOSEN = [36, 45, 30, 48, 54]
POINTS = ["right_eye", "left_eye", "nose", "right_mouth", "left_mouth"]


@pytest.fixture
def placed(tmp_path):
    """Return the name of a scheme of five points with positions in the mean face."""
    mean = json.dumps(MEAN[CHOSEN].tolist())
    lines = f'points = {json.dumps(POINTS)}\nname = "placed5"\nmean_shape = {mean}'
    return check_scheme(str(text(tmp_path / "placed5.toml", lines)))


class FivePoints:
    """A model that centers the mean positions of five points in every crop; the last is unknown."""

    name, size, padding, points = "five points", 96, 1.25, 5
    never_learned = (4,)

    def __init__(self, scheme_name):
        self.scheme, self.crops = scheme_name, 0

    def predict(self, crops):
        self.crops += len(crops)
        landmarks = MEAN[CHOSEN] * self.size / self.padding + (self.size - 1) / 2
        landmarks[4] = -500, 900
        count = len(crops)
        scores = np.full((count, 5), 0.9, np.float32)
        scores[:, 4] = 0
        return CropLandmarks(
            np.repeat(landmarks[None], count, 0).astype(np.float32),
            scores,
            np.full((count, 5), 2.0, np.float32),
        )


def test_the_box_of_own_points_is_that_of_the_68_of_a_mean_face(placed):
    face = apply_affine(similarity(80, 20, (0, 0), (100, 120)), MEAN)
    box = landmark_box(face)
    assert np.allclose(tight_box(face[CHOSEN], placed), box, atol=1e-6)
    sample = Sample(None, face[CHOSEN], placed, "x")
    assert np.allclose(to_scheme(sample, placed).box, box, atol=1e-6)
    shape = BoxShape(placed, ())
    assert np.allclose(shape.points(face[CHOSEN]), face, atol=1e-6)
    without = BoxShape(placed, (4,))
    assert np.allclose(without.points(face[CHOSEN]), face, atol=1e-6)


def test_own_points_without_a_mean_position_keep_their_own_box(tmp_path):
    lines = f'points = {json.dumps(POINTS)}\nname = "unplaced5"'
    name = check_scheme(str(text(tmp_path / "unplaced5.toml", lines)))
    points = MEAN[CHOSEN] * 50
    sample = Sample(None, points, name, "x")
    assert np.array_equal(to_scheme(sample, name).box, landmark_box(points))
    assert BoxShape(name, ()).points(points) is points


def test_schemes_that_span_the_face_keep_their_own_box():
    assert BoxShape("ibug68", ()).points(MEAN) is MEAN
    assert BoxShape("ibug68", ()).mean is MEAN
    landmarks = np.random.default_rng(0).uniform(0, 99, (98, 2))
    assert BoxShape("wflw98", ()).points(landmarks) is landmarks


@pytest.mark.parametrize("name", ["five", "afw6", "ibug49", "ibug51"])
def test_the_box_of_inner_points_is_that_of_the_68_of_a_mean_face(name):
    face = apply_affine(similarity(80, 20, (0, 0), (100, 120)), MEAN)
    inner = convert(face, "ibug68", name).points
    shape = BoxShape(name, ())
    assert np.allclose(shape.points(inner), face, atol=1e-6)
    # the box that such networks are trained with
    box = landmark_box(shape.points(inner))
    assert np.allclose(box, tight_box(inner, name), atol=1e-6)
    square, roll_deg = upright_box(shape.points(inner), shape.mean)
    assert roll_deg == pytest.approx(20)
    assert box_side(square) == pytest.approx(80 * box_side(landmark_box(MEAN)))


def test_points_that_lack_the_jaw_are_inner_points():
    face = apply_affine(similarity(80, 0, (0, 0), (100, 120)), MEAN)
    shape = BoxShape("ibug68", range(17))
    face_without_jaw = face.copy()
    face_without_jaw[:17] = 0
    assert np.allclose(shape.points(face_without_jaw), face, atol=1e-6)


@pytest.mark.parametrize("name", ["wflw98", "lapa106", "cofw29", "aflw19", "helen194"])
def test_the_roll_of_other_schemes_uses_the_points_shared_with_the_68(name):
    turned = apply_affine(similarity(80, 70, (0, 0), (100, 120)), MEAN)
    landmarks = convert(turned, "ibug68", name).points.copy()
    unknown = np.isnan(landmarks).any(1)
    landmarks[unknown] = np.random.default_rng(0).uniform(0, 200, (unknown.sum(), 2))
    shape = BoxShape(name, ())
    points = shape.points(landmarks)
    assert fit_roll_deg(shape.mean, points) == pytest.approx(70)


class FaceFivePoints(FivePoints):
    """A model that centers the five points of the mean face in every crop."""

    never_learned = ()
    scheme = "five"

    def __init__(self):
        self.crops = 0

    def predict(self, crops):
        self.crops += len(crops)
        low, high = MEAN.min(0), MEAN.max(0)
        face = (MEAN - (low + high) / 2) / (high - low).max()
        face = face * self.size / self.padding + (self.size - 1) / 2
        landmarks = convert(face, "ibug68", "five").points.astype(np.float32)
        count = len(crops)
        return CropLandmarks(
            np.repeat(landmarks[None], count, 0),
            np.full((count, 5), 0.9, np.float32),
            np.full((count, 5), 2.0, np.float32),
        )


def test_five_points_that_fit_the_box_are_not_recropped():
    model = FaceFivePoints()
    image = np.full((200, 240, 3), 90, np.uint8)
    Predictor(model, lambda image: np.zeros((0, 4)))(image, [[60, 50, 140, 130]])
    assert model.crops == 1


def test_a_point_without_examples_is_marked_and_ignored(placed):
    model = FivePoints(placed)
    image = np.full((200, 240, 3), 90, np.uint8)
    faces = Predictor(model, lambda image: np.zeros((0, 4)))(
        image, [[60, 50, 140, 130]]
    )
    (face,) = faces
    assert model.crops == 1  # neither its position nor its score caused a re-crop
    assert face.scores.tolist() == pytest.approx([0.9, 0.9, 0.9, 0.9, 0])
    assert face.visible[4] == 0
    assert np.isnan(face.visible[:4]).all()
    assert np.isnan(face.sigma_px[4])
    assert face.occluded.tolist() == [False] * 4 + [True]
    assert np.isfinite(face.landmarks).all()
    assert faces_from_json(faces_to_json(faces))[1][0].scores[4] == 0
