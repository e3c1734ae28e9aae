"""Exported files in other runtimes: how far landmarks move, and runtimes that cannot run them."""

from importlib.util import find_spec

import numpy as np
import pytest

from commands import call
from lineament.errors import ExportError, ExtraError, InputError
from tiny_onnx import PLACES, SIZE, write_model

pytest.importorskip("torch")
pytest.importorskip("onnx")
from lineament.data.crop_cache import CropCache
from lineament.export import other_runtimes
from lineament.export.other_runtimes import check_runtime, compare_on, compare_runtime
from lineament.inference.onnx_model import Model
from lineament.recipe.file import make_recipe

pytestmark = pytest.mark.torch


@pytest.fixture
def model(tmp_path):
    return Model(write_model(tmp_path / "tiny.onnx"), 1)


@pytest.fixture
def faces():
    # five crops of 32 pixels, whose boxes give plain crops of the model
    boxes = np.tile([8.0, 8.0, 24.0, 24.0], (5, 1))
    landmarks = np.tile(PLACES + 8, (5, 1, 1))
    return CropCache(np.full((5, 32, 32, 3), 90, np.uint8), landmarks, boxes)


def test_moves_are_measured_between_runtimes(model, faces, monkeypatch):
    def fake(path):
        def run(crops):
            found = np.tile(PLACES, (len(crops), 1, 1))
            found[:, 0] += [3, 4]
            return found

        return "fake 1.0", run

    monkeypatch.setitem(other_runtimes.RUNTIMES, "fake", fake)
    moves = compare_on(model.path, "fake", faces, model)
    # one point of five moves by 5 pixels, the others not at all
    assert (moves.faces, moves.median_px) == (5, 0.0)
    assert moves.largest_px == moves.p99_px == 5.0
    assert moves.nme_other > moves.nme
    assert moves.sentence().startswith("fake 1.0: on 5 validation faces")


def test_a_runtime_that_cannot_run_a_file_raises_a_clear_error(
    model, faces, monkeypatch
):
    def broken(path):
        raise RuntimeError("no such\noperator")

    monkeypatch.setitem(other_runtimes.RUNTIMES, "broken", broken)
    with pytest.raises(ExportError, match=r"broken cannot run .* \(no such operator\)"):
        compare_on(model.path, "broken", faces, model)


def test_a_runtime_that_is_absent_or_unknown_is_named_in_the_error(model, faces):
    if find_spec("openvino") is None:
        with pytest.raises(ExtraError, match=r"pip install 'lineament\[openvino\]'"):
            compare_on(model.path, "openvino", faces, model)
    with pytest.raises(InputError, match="unknown runtime 'tvm'; choose one of"):
        check_runtime("tvm")
    code, _, noted = call("export", "absent.pt", "--check-with", "tvm")
    assert code == 1
    assert "unknown runtime 'tvm'" in noted


def test_opencv_runs_a_network_of_convolutions_as_onnx_runtime_does(tmp_path):
    from onnx import TensorProto, helper, numpy_helper, save

    kernel = np.random.default_rng(2).normal(size=(4, 3, 3, 3)).astype(np.float32)
    # a kernel of 3 takes a pixel from each side
    shape = [1, 4, SIZE - 2, SIZE - 2]
    output = helper.make_tensor_value_info("landmarks_crop", TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        [
            helper.make_node(
                "Conv", ["crops", "kernel"], ["maps"], kernel_shape=[3, 3]
            ),
            helper.make_node("Relu", ["maps"], ["landmarks_crop"]),
        ],
        "small",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
        [output],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    opset = helper.make_opsetid("", 13)
    path = tmp_path / "small.onnx"
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    name, run = other_runtimes.run_opencv(path)
    crops = np.random.default_rng(3).random((2, 3, SIZE, SIZE)).astype(np.float32)
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    wanted = [session.run(None, {"crops": crop[None]})[0] for crop in crops]
    assert name.startswith("opencv ")
    np.testing.assert_allclose(run(crops), np.concatenate(wanted), atol=1e-4)


def test_an_exported_part_of_joined_schemes_is_compared_on_its_own_points(
    model, monkeypatch, tmp_path
):
    chosen = []

    def choose(recipe, size, *mixture):
        chosen.append(recipe.scheme)
        raise InterruptedError

    monkeypatch.setattr(other_runtimes, "read_mixture", lambda *a, **more: ([], {}))
    monkeypatch.setattr(other_runtimes, "choose_gate_faces", choose)
    recipe = make_recipe(
        {
            "name": "joined",
            "scheme": "ibug68_helen194",
            "data": [{"reader": "300w"}],
            "train": {"steps": 1},
        }
    )
    with pytest.raises(InterruptedError):
        compare_runtime(model.path, "opencv", recipe, tmp_path, tmp_path)
    assert chosen == [model.scheme]
