"""The mean shape: fitted by least squares, placed in the box, scored like any model."""

import json

import numpy as np
import pytest

from commands import call
from faces import write_faces
from lineament import Predictor
from lineament.classic.mean_shape import MeanShape
from lineament.data.readers.registry import read_data
from lineament.errors import ModelError
from lineament.geometry import apply_affine, crop_affine, invert_affine, landmark_box
from lineament.schemes import scheme

BOX = np.array([40.0, 30.0, 140.0, 130.0])


@pytest.fixture
def path(tmp_path):
    """A saved mean shape."""
    file = tmp_path / "mean.safetensors"
    MeanShape.from_scheme("mean", "ibug68", 64, 1.3).save(file)
    return file


def test_the_mean_shape_fills_the_box_it_is_placed_in(path):
    face = Predictor(path, recrop=None)(np.zeros((200, 220, 3), np.uint8), BOX)[0]
    assert face.landmarks.shape == (68, 2)
    box = landmark_box(face.landmarks)
    # centered on the box; its longer side is that of the box
    np.testing.assert_allclose(
        (box[:2] + box[2:]) / 2, (BOX[:2] + BOX[2:]) / 2, atol=1e-3
    )
    assert max(box[2:] - box[:2]) == pytest.approx(100, abs=1e-3)


def test_a_fitted_mean_is_the_least_squares_solution_and_covers_its_errors():
    rng = np.random.default_rng(0)
    center = rng.uniform(20, 44, (68, 2))
    faces = center + rng.normal(0, 3.0, (400, 68, 2))
    faces[::7, 5] = np.nan  # not annotated
    model = MeanShape.fit("fitted", "ibug68", faces, 64, 1.3)
    # the mean of 400 draws of deviation 3: 5 standard errors of 0.15
    np.testing.assert_allclose(model.arrays["landmarks_crop"], center, atol=0.8)
    found = model.predict(np.zeros((1, 64, 64, 3), np.uint8))
    np.testing.assert_allclose(found.sigma_px, 3.0, rtol=0.2)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_a_scheme_without_a_mean_shape_is_rejected():
    assert scheme("cofw29").mean_shape is None
    with pytest.raises(
        ModelError, match="the scheme 'cofw29' has no mean shape; fit one"
    ):
        MeanShape.from_scheme("mean", "cofw29")


def test_evaluate_scores_a_mean_shape_by_its_distance_from_each_face(tmp_path):
    write_faces(tmp_path / "faces", 6)
    model = MeanShape.from_scheme("mean", "ibug68", 64, 1.3)
    model.save(tmp_path / "mean.safetensors")
    options = ("--protocol", "folder", "--data", tmp_path / "faces", "--format", "json")
    code, out, err = call(
        "evaluate", *options, "--model", tmp_path / "mean.safetensors"
    )
    assert code == 0, err
    expected = []
    for face in read_data("folder", tmp_path / "faces", "all"):
        to_image = invert_affine(crop_affine(face.face_box(), 64, 1.3))
        placed = apply_affine(to_image, model.arrays["landmarks_crop"])
        interocular = np.linalg.norm(face.landmarks[36] - face.landmarks[45])
        error = np.linalg.norm(placed - face.landmarks, axis=1).mean()
        expected.append(error / interocular)
    assert json.loads(out)["nme"] == pytest.approx(np.mean(expected), rel=1e-4)
