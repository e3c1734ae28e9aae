"""Model repositories for Triton: the layout, and a configuration that fits the file."""

import json
import re

import pytest

from commands import call
from lineament.errors import ExportError, ModelError
from lineament.export.triton import triton_config, write_triton
from lineament.inference.model_files import weights_folder
from lineament.inference.tensors import ModelTensor


def test_a_repository_has_the_file_its_configuration_and_its_card(tmp_path):
    folder = write_triton("fast", tmp_path)
    assert folder == tmp_path / "fast"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert files == ["1", "1/model.onnx", "card.json", "config.pbtxt"]
    original = weights_folder() / "fast.onnx"
    assert (folder / "1/model.onnx").read_bytes() == original.read_bytes()
    assert json.loads((folder / "card.json").read_text())["name"] == "fast"


def test_the_configuration_states_the_tensors_without_their_batch(tmp_path):
    text = (write_triton("fast", tmp_path) / "config.pbtxt").read_text()
    assert 'name: "fast"' in text
    assert 'platform: "onnxruntime_onnx"' in text
    assert "max_batch_size: 64" in text
    assert "dynamic_batching" in text
    found = re.findall(r'name: "(\w+)"\n  data_type: (\w+)\n  dims: \[ (.*?) \]', text)
    assert found == [
        ("crops", "TYPE_UINT8", "128, 128, 3"),
        ("landmarks_crop", "TYPE_FP32", "68, 2"),
        ("scores", "TYPE_FP32", "68"),
        ("sigma_px", "TYPE_FP32", "68"),
        ("presence", "TYPE_FP32", "1"),
        ("visible", "TYPE_FP32", "68"),
    ]
    assert text.count("reshape { shape: [ ] }") == 1  # presence, one number per crop


def test_the_detector_takes_one_image_of_any_size(tmp_path):
    text = (write_triton("detector", tmp_path) / "config.pbtxt").read_text()
    assert "max_batch_size: 0" in text
    assert "dims: [ 1, -1, -1, 3 ]" in text
    assert "dynamic_batching" not in text


def test_batching_requires_a_dynamic_first_dimension_in_every_tensor():
    crops = ModelTensor("crops", "UINT8", (-1, 8, 8, 3))
    fixed = ModelTensor("scores", "FP32", (4, 68))
    assert "max_batch_size: 0" in triton_config("m", [crops], [fixed])


def test_an_existing_model_is_kept(tmp_path):
    write_triton("fast", tmp_path)
    with pytest.raises(ExportError, match=r"fast exists; remove it"):
        write_triton("fast", tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_models_without_a_network_are_rejected(tmp_path):
    with pytest.raises(ExportError, match="no network for Triton"):
        write_triton(str(tmp_path / "m.safetensors"), tmp_path)
    with pytest.raises(ModelError, match="unknown model 'nobody'"):
        write_triton("nobody", tmp_path)


def test_the_command_writes_several_models_into_one_repository(tmp_path):
    for name in ("fast", "detector"):
        code, printed, _ = call("export", name, "--to", "triton", "--out", tmp_path)
        assert code == 0
        assert str(tmp_path / name) in printed
    assert {path.name for path in tmp_path.iterdir()} == {"fast", "detector"}


def test_options_of_other_targets_are_rejected(tmp_path):
    code, _, error = call("export", "fast", "--to", "triton", "--int8")
    assert code == 2
    assert "--int8" in error


def test_a_model_with_a_scalar_input_is_not_batched():
    images = ModelTensor("images", "UINT8", (-1, -1, -1, 3))
    network = ModelTensor("network", "INT64", ())
    text = triton_config("mtcnn", [images, network], [images])
    assert "max_batch_size: 0" in text
    assert "dims: [ 1 ]\n  reshape { shape: [ ] }" in text
