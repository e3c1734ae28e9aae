"""The test convolution that shows whether sums of int8 products overflow."""

import numpy as np
import onnxruntime
import pytest

from lineament.inference import int8_sums
from lineament.inference.int8_sums import CONVOLUTION, int8_sums_overflow


@pytest.fixture(autouse=True)
def forget():
    int8_sums_overflow.cache_clear()
    yield
    int8_sums_overflow.cache_clear()


def test_the_convolution_is_the_one_described():
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(CONVOLUTION)
    onnx.checker.check_model(model, full_check=True)
    (node,) = model.graph.node
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    assert node.op_type == "QLinearConv"
    *_, w_scale, w_zero, y_scale, y_zero = (values.get(name) for name in node.input)
    assert (w_scale, w_zero, y_zero) == (1, 0, 0)
    assert 16 * 255 * 127 / y_scale == pytest.approx(int8_sums.EXACT_RESULT)


@pytest.mark.parametrize(
    ("sum_of_16", "overflows"), [(16 * 255 * 127, False), (8 * 32767, True)]
)
def test_sums_in_16_bits_are_noticed(sum_of_16, overflows, monkeypatch):
    class Session:
        def __init__(self, *arguments, **named):
            pass

        def run(self, outputs, inputs):
            products = inputs["x"][0, :, 0, 0].astype(int) * inputs["w"][0, :, 0, 0]
            assert products.sum() == 16 * 255 * 127
            return [np.full((1, 16, 4, 4), round(sum_of_16 / 2590.8), np.uint8)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    assert int8_sums_overflow() is overflows


def test_a_runtime_without_the_operation_gets_the_safe_mode(monkeypatch):
    def refuse(*arguments, **named):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    assert int8_sums_overflow()
