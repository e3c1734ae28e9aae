"""NumPy models are saved, loaded, and run by Predictor like any other."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from faces import write_faces
from lineament import load_model
from lineament.classic.mean_shape import MeanShape
from lineament.classic.numpy_model import METADATA_KEY
from lineament.classic.shapes import from_complex
from lineament.errors import ModelError, ShapeError
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme
from lineament.training.classic.registry import FITS
from lineament.training.classic.trainer import ClassicTrainer


@pytest.fixture
def path(tmp_path):
    """A saved mean shape."""
    file = tmp_path / "mean.safetensors"
    MeanShape.from_scheme("mean", "ibug68", 64, 1.3).save(file)
    return file


def test_a_saved_model_is_loaded_with_the_same_settings_and_arrays(path):
    made, model = MeanShape.from_scheme("mean", "ibug68", 64, 1.3), load_model(path)
    assert isinstance(model, MeanShape)
    assert (model.name, model.scheme, model.points) == ("mean", "ibug68", 68)
    assert (model.size, model.padding) == (64, 1.3)
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(model.arrays[name], array)


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


def test_crops_of_another_size_and_a_recurrent_state_are_rejected(path):
    model = load_model(path)
    with pytest.raises(
        ShapeError, match=r"crops are \(1, 7, 7, 3\); expected \(F, 64, 64, 3\)"
    ):
        model.predict(np.zeros((1, 7, 7, 3), np.uint8))
    with pytest.raises(ShapeError, match="the model 'mean' is not recurrent"):
        model.predict(
            np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 2, 4, 4), np.float32)
        )


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not a model saved by lineament"),
        (
            {METADATA_KEY: json.dumps({"kind": "men-shape"})},
            "unknown kind of model 'men-shape'; did you mean",
        ),
        (
            {
                METADATA_KEY: json.dumps(
                    {"kind": "mean-shape", "name": "a", "scheme": "ibug68"}
                )
            },
            "a mean-shape model lacks the setting 'points'",
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
            r"landmarks_crop is \(3,\); expected \(68, 2\)",
        ),
    ],
)
def test_a_file_that_is_no_such_model_raises_a_clear_error(metadata, message, tmp_path):
    save_file(
        {"landmarks_crop": np.zeros(3)}, str(tmp_path / "a.safetensors"), metadata
    )
    with pytest.raises(ModelError, match=message):
        load_model(tmp_path / "a.safetensors")


def test_a_missing_or_broken_file_raises_a_clear_error(tmp_path):
    with pytest.raises(ModelError, match=r"no model file at .*gone.safetensors"):
        load_model(tmp_path / "gone.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="not a safetensors file") as caught:
        load_model(tmp_path / "broken.safetensors")
    assert "\n" not in str(caught.value)


def test_a_mean_shape_is_trained_for_a_scheme_that_states_none(tmp_path):
    assert scheme("five").mean_shape is None
    write_faces(tmp_path, 10)
    values = {
        "name": "mean",
        "scheme": "five",
        "model": {"kind": "mean-shape", "size": 64, "padding": 1.3},
        "data": [{"reader": "folder", "folder": str(tmp_path)}],
        "train": {"steps": 1},
    }
    recipe = make_recipe(values, "test")
    places = tmp_path / "run", tmp_path, tmp_path / "cache"
    trainer = ClassicTrainer(FITS["mean-shape"], recipe, *places)
    model = load_model(trainer.run())
    mean = trainer.fit.faces.plain_shapes(64, 1.3).mean(0)
    np.testing.assert_allclose(model.arrays["landmarks_crop"], from_complex(mean))
