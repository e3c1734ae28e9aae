"""quantize.py: an int8 graph takes its bytes as they are, or is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import onnxruntime
import onnxruntime.quantization

from lineament.errors import ExportError
from lineament.export import quantize
from lineament.export.quantize import (
    quantize_file,
    read_uint8_input,
    store_weights_as_bytes,
)
from lineament.inference.onnx_model import open_session

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

MEAN, STD = 116, 57.0


class Small(torch.nn.Module):
    """Two convolutions over normalized bytes."""

    def __init__(self):
        super().__init__()
        self.one, self.two = (
            torch.nn.Conv2d(3, 8, 3, padding=1),
            torch.nn.Conv2d(8, 2, 1),
        )

    def forward(self, image):
        return self.two(
            torch.relu(self.one((image.permute(0, 3, 1, 2).float() - MEAN) / STD))
        )


def written(folder):
    torch.manual_seed(0)
    model = Small().eval()
    path = folder / "small.onnx"
    example = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    torch.onnx.export(
        model,
        (example,),
        path,
        dynamo=True,
        input_names=["image"],
        verbose=False,
        external_data=False,
    )
    return model, path


# the ranges of many inputs are calibrated in parts; of 8 inputs in parts of 3, six count
@pytest.mark.parametrize("chunk", [quantize.CHUNK, 3])
def test_the_int8_graph_accepts_bytes_and_is_close_to_torch(
    chunk, tmp_path, monkeypatch
):
    monkeypatch.setattr(quantize, "CHUNK", chunk)
    model, path = written(tmp_path)
    pictures = list(
        np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8, 3), dtype=np.uint8)
    )
    out = quantize_file(path, "image", pictures, lambda nodes: [], MEAN, STD)
    kinds = [node.op_type for node in onnx.load(str(out)).graph.node]
    assert "Cast" not in kinds
    assert "Sub" not in kinds
    session = open_session(out, threads=1)
    for picture in pictures:
        with torch.no_grad():
            wanted = model(torch.from_numpy(picture)).numpy()
        given = session.run(None, {"image": picture})[0]
        assert np.abs(given - wanted).max() < 0.05 * np.ptp(wanted)


def test_a_graph_that_is_not_int8_is_rejected(tmp_path):
    _, path = written(tmp_path)
    with pytest.raises(ExportError, match="does not start by normalizing"):
        read_uint8_input(path, MEAN, STD)


def test_activations_without_a_range_raise_a_clear_error(tmp_path, monkeypatch):
    def without_range(*arguments, **more):
        raise ValueError(
            "Too many bins for data range."
        )  # the error that numpy raises in the calibrator

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", without_range)
    _, path = written(tmp_path)
    with pytest.raises(
        ExportError,
        match=r"no range to calibrate \(Too many bins .*; train it further, or export fp32",
    ):
        quantize_file(path, "image", [], lambda nodes: [], MEAN, STD)


def test_large_linear_layers_are_stored_as_bytes(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(80, 60), torch.nn.ReLU(), torch.nn.Linear(60, 5)
    ).eval()
    path = tmp_path / "linear.onnx"
    example = torch.randn(3, 80)
    settings = {"dynamo": True, "input_names": ["x"], "verbose": False}
    torch.onnx.export(model, (example,), path, external_data=False, **settings)
    with torch.no_grad():
        wanted = model(example).numpy()
    store_weights_as_bytes(path)
    # 60 * 80 bytes and 60 scales instead of 60 * 80 floats; the small layer stays as it is
    assert [60, 80] not in float_shapes(path)
    assert [5, 60] in float_shapes(path)
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    given = session.run(None, {"x": example.numpy()})[0]
    # a weight is rounded by at most half of 1/127 of the largest one of its output
    assert 0 < np.abs(given - wanted).max() < 0.02 * np.abs(wanted).max()


def float_shapes(path):
    """Return the shapes of the floating-point constants in a file."""
    return [
        list(tensor.dims)
        for tensor in onnx.load(str(path)).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    ]
