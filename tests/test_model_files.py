"""Model files: their location, and the error if they are missing."""

import sys

import pytest

from lineament import Predictor
from lineament.errors import ModelError
from lineament.inference import model_files, onnx_model
from lineament.inference.onnx_model import open_session

REINSTALL = "type: pip install --force-reinstall --no-deps lineament"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Replace the package's weights with an empty folder."""
    for module in (model_files, onnx_model):
        monkeypatch.setattr(module, "weights_folder", lambda: tmp_path / "weights")
    return tmp_path / "weights"


@pytest.mark.parametrize("exists", [False, True])
def test_missing_models_are_a_single_correct_message(weights, exists):
    if exists:
        weights.mkdir()
    with pytest.raises(ModelError) as caught:
        Predictor("accurate")
    assert str(caught.value) == (
        f"the packaged models are missing: no .onnx file in {weights}; {REINSTALL}"
    )


def test_a_missing_detector_is_named_among_other_models(weights):
    weights.mkdir()
    (weights / "fast.onnx").write_bytes(b"")
    message = (
        rf"the packaged face detector is missing: no detector\.onnx in .*; {REINSTALL}"
    )
    with pytest.raises(ModelError, match=message):
        model_files.find_model("detector")


def test_a_frozen_application_is_to_be_built_with_them(weights, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ModelError, match=r"PyInstaller: --collect-data lineament"):
        Predictor("accurate")


def test_an_empty_file_is_reported_as_empty(weights, tmp_path):
    weights.mkdir()
    for folder, remedy in ((weights, REINSTALL), (tmp_path, "export it again")):
        path = folder / "accurate.onnx"
        path.write_bytes(b"")
        with pytest.raises(ModelError) as caught:
            open_session(path)
        assert str(caught.value) == f"{path}: an empty file, not a model; {remedy}"


def test_a_card_that_is_a_list_raises_one_clear_error(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ModelError, match="not a card"):
        model_files.read_card(tmp_path / "a.onnx")
