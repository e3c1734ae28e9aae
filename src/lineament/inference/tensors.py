"""Inputs and outputs of a model file, as defined by the Open Inference Protocol."""

from dataclasses import dataclass
from typing import Any

DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
}
"""Data types of the protocol by ONNX Runtime type."""


@dataclass(frozen=True)
class ModelTensor:
    """One input or output of a model."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 for a variable dimension."""


def input_tensors(session: Any) -> list[ModelTensor]:
    """Return the inputs of an open ONNX file."""
    return [_tensor(value) for value in session.get_inputs()]


def output_tensors(session: Any) -> list[ModelTensor]:
    """Return the outputs of an open ONNX file."""
    return [_tensor(value) for value in session.get_outputs()]


def _tensor(value: Any) -> ModelTensor:
    shape = []
    for side in value.shape:
        shape.append(side if isinstance(side, int) else -1)
    return ModelTensor(value.name, DATATYPES[value.type], tuple(shape))
