"""classic/: models without a network are saved, loaded, and run by Predictor like any other."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from commands import call
from faces import write_faces
from lineament import Predictor, load_model
from lineament.classic.mean_shape import MeanShape
from lineament.classic.numpy_model import METADATA_KEY
from lineament.data.readers.registry import read_data
from lineament.errors import ModelError, ShapeError
from lineament.geometry import apply_affine, crop_affine, invert_affine, landmark_box
from lineament.schemes import scheme

BOX = np.array([40.0, 30.0, 140.0, 130.0])


@pytest.fixture
def path(tmp_path):
    """A saved mean shape."""
    file = tmp_path / "mean.safetensors"
    MeanShape.of_scheme("mean", "ibug68", 64, 1.3).save(file)
    return file


def test_a_saved_model_is_loaded_with_the_same_settings_and_arrays(path):
    made, model = MeanShape.of_scheme("mean", "ibug68", 64, 1.3), load_model(path)
    assert isinstance(model, MeanShape)
    assert (model.name, model.scheme, model.points) == ("mean", "ibug68", 68)
    assert (model.size, model.padding) == (64, 1.3)
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(model.arrays[name], array)


def test_the_mean_shape_fills_the_box_it_is_placed_in(path):
    face = Predictor(path, recrop=None)(np.zeros((200, 220, 3), np.uint8), BOX)[0]
    assert face.landmarks.shape == (68, 2)
    box = landmark_box(face.landmarks)
    # centered on the box; its longer side is that of the box
    np.testing.assert_allclose(
        (box[:2] + box[2:]) / 2, (BOX[:2] + BOX[2:]) / 2, atol=1e-3
    )
    assert max(box[2:] - box[:2]) == pytest.approx(100, abs=1e-3)


def test_batched_equals_single(path):
    model = load_model(path)
    crops = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    together = model.predict(crops)
    for k in range(5):
        alone = model.predict(crops[k : k + 1])
        for name in ("landmarks_crop", "scores", "sigma_px"):
            np.testing.assert_array_equal(
                getattr(alone, name)[0], getattr(together, name)[k]
            )
    assert model.predict(crops[:0]).landmarks_crop.shape == (0, 68, 2)


def test_a_fitted_mean_is_the_least_squares_answer_and_covers_its_errors():
    rng = np.random.default_rng(0)
    center = rng.uniform(20, 44, (68, 2))
    faces = center + rng.normal(0, 3.0, (400, 68, 2))
    faces[::7, 5] = np.nan  # not annotated
    model = MeanShape.fit("fitted", "ibug68", faces, 64, 1.3)
    # the mean of 400 draws of deviation 3: 5 standard errors of 0.15
    np.testing.assert_allclose(model.arrays["landmarks_crop"], center, atol=0.8)
    np.testing.assert_allclose(model.arrays["sigma_px"], 3.0, rtol=0.2)
    assert ((model.arrays["scores"] >= 0) & (model.arrays["scores"] <= 1)).all()


def test_a_scheme_without_a_mean_shape_is_refused():
    assert scheme("cofw29").mean_shape is None
    with pytest.raises(
        ModelError, match="the scheme 'cofw29' has no mean shape; fit one"
    ):
        MeanShape.of_scheme("mean", "cofw29")


def test_crops_of_another_size_and_a_memory_are_refused(path):
    model = load_model(path)
    with pytest.raises(
        ShapeError, match=r"crops are \(1, 7, 7, 3\); wanted \(F, 64, 64, 3\)"
    ):
        model.predict(np.zeros((1, 7, 7, 3), np.uint8))
    with pytest.raises(ShapeError, match="the model 'mean' keeps none"):
        model.predict(
            np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 2, 4, 4), np.float32)
        )


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not a model that lineament saved"),
        (
            {METADATA_KEY: json.dumps({"kind": "men-shape"})},
            "a men-shape model; did you mean",
        ),
        (
            {
                METADATA_KEY: json.dumps(
                    {"kind": "mean-shape", "name": "a", "scheme": "ibug68"}
                )
            },
            "a mean-shape model without the setting 'points'",
        ),
        (
            {
                METADATA_KEY: json.dumps(
                    {
                        "kind": "mean-shape",
                        "name": "a",
                        "scheme": "ibug68",
                        "points": 68,
                        "size": 64,
                        "padding": 1.3,
                    }
                )
            },
            r"landmarks_crop is \(3,\); wanted \(68, 2\)",
        ),
    ],
)
def test_a_file_that_is_no_such_model_is_one_clear_line(metadata, message, tmp_path):
    save_file(
        {"landmarks_crop": np.zeros(3)}, str(tmp_path / "a.safetensors"), metadata
    )
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "a.safetensors")


def test_a_missing_or_broken_file_is_one_clear_line(tmp_path):
    with pytest.raises(ModelError, match=r"no model file at .*gone.safetensors"):
        load_model(tmp_path / "gone.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="not a safetensors file") as caught:
        load_model(tmp_path / "broken.safetensors")
    assert "\n" not in str(caught.value)


def test_evaluate_scores_a_mean_shape_by_its_distance_from_each_face(tmp_path):
    write_faces(tmp_path / "faces", 6)
    model = MeanShape.of_scheme("mean", "ibug68", 64, 1.3)
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
