"""Static int8 quantization of fp32 ONNX files by ONNX Runtime's quantizer."""

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.crop_cache import CropCache, plain_crops
from ..errors import ExportError
from ..inference.runtime import load_runtime

MOVED = ("Concat", "Reshape", "Transpose")
"""Operators with which layers/space_to_depth.py rearranges pixels."""
QUANTIZED = ["Conv", "Add", "Relu", "Clip", "Resize", *MOVED]
PERCENTILE = 99.999
"""Percentile of absolute activations inside the ranges of a landmark model. Among 99.9, 99.99,
99.999 and 100 %, over 64 and 256 crops, it changes the landmarks of both shipped models least."""

MIN_INT8_WEIGHTS = 4096
"""Minimum number of weights of a fully connected layer that is stored as bytes."""

CHUNK = 32
"""Inputs processed at once during calibration, to limit memory."""


def quantize_file(
    path: Path,
    input_name: str,
    inputs: Sequence[NDArray[np.uint8]],
    keep: Callable[[list[Any]], list[str]],
    mean: int,
    std: float,
    percentile: float | None = None,
) -> Path:
    """Write an int8 file next to the fp32 one: QDQ, weights per channel.

    Args:
        inputs: Inputs for calibrating ranges; with a percentile, all have one shape.
        keep: Maps nodes in graph order to the names of those left in floating point.
        mean, std: Mean and deviation with which the graph normalizes its input bytes.
        percentile: Percentile of absolute activations inside the ranges; None: all of them.

    Returns:
        Path of the int8 file.

    Raises:
        ExportError: If an activation has no range, or the graph does not start with the input
            bytes.
    """
    import onnx

    load_runtime()
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, out = path.with_suffix(".prepared.onnx"), path.with_suffix(".int8.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    excluded = keep(list(onnx.load(str(prepared)).graph.node))
    try:
        _quantize(prepared, out, _Inputs(input_name, inputs), excluded, percentile)
    except ValueError as error:
        raise ExportError(
            f"{path.name}: its activations have no range to calibrate ({error}); "
            "train it further, or export fp32"
        ) from error
    read_uint8_input(out, mean, std)
    store_weights_as_bytes(out)
    return out


def _quantize(
    prepared: Path,
    out: Path,
    inputs: "_Inputs",
    excluded: list[str],
    percentile: float | None,
) -> None:
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    method, more = CalibrationMethod.MinMax, {}
    if percentile is not None:
        method, more = CalibrationMethod.Percentile, {"CalibPercentile": percentile}
    if len(inputs) > CHUNK:
        # otherwise the activations of all inputs are in memory at once
        more["CalibStridedMinMax"] = CHUNK
    # the quantizer prints each tensor's percentile
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(
            str(prepared),
            str(out),
            inputs,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=method,
            extra_options=more,
        )


class _Inputs:
    """Calibration data with the interface of ONNX Runtime's CalibrationDataReader."""

    def __init__(self, name: str, inputs: Sequence[NDArray[np.uint8]]) -> None:
        whole_chunks = len(inputs) // CHUNK * CHUNK or len(inputs)
        self.name, self.inputs = name, inputs[:whole_chunks]
        self.rest = iter(self.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Continue with the inputs from `start_index` to before `end_index`."""
        self.rest = iter(self.inputs[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next batch by input name, or None at the end."""
        batch = next(self.rest, None)
        return None if batch is None else {self.name: batch}


def decoding_nodes(nodes: list[Any]) -> list[str]:
    """Return the nodes after the last convolution, which remain in floating point."""
    last = max(i for i, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[last + 1 :]]


def calibration_crops(
    faces: CropCache, size: int, padding: float, count: int = 256
) -> list[NDArray[np.uint8]]:
    """Return plain training crops in batches of one, evenly spaced over the set.

    Percentiles require batches of equal size.
    """
    part = faces.take(faces.evenly_spaced(count))
    return [crops for crops, _ in plain_crops(part, size, padding, 1)]


def read_uint8_input(path: Path, mean: int, std: float) -> None:
    """Make the first convolution of the int8 file at `path` read the input bytes directly.

    A byte b represents (b - mean) / std, so it is already a quantized value with zero point
    `mean` and scale 1 / std. Cast, normalization and quantization are removed.

    Raises:
        ExportError: If the graph starts differently.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    quantizing = next(
        (node for node in graph.node if node.op_type == "QuantizeLinear"), None
    )
    chain: list[Any] = []
    node = quantizing
    while node is not None and (not chain or chain[-1].op_type != "Cast"):
        chain.append(node)
        node = maker.get(node.input[0])
    if (
        not chain
        or chain[-1].op_type != "Cast"
        or {n.op_type for n in chain[1:]} - {"Cast", "Sub", "Div"}
    ):
        raise ExportError(
            "the int8 graph does not start by normalizing and quantizing uint8 crops; "
            "export fp32 instead"
        )
    graph.initializer.append(
        numpy_helper.from_array(np.array(1 / std, np.float32), "bytes_scale")
    )
    graph.initializer.append(
        numpy_helper.from_array(np.array(mean, np.uint8), "bytes_zero_point")
    )
    for reader in graph.node:
        if (
            reader.op_type == "DequantizeLinear"
            and reader.input[0] == chain[0].output[0]
        ):
            reader.input[:] = [chain[-1].input[0], "bytes_scale", "bytes_zero_point"]
    unused = {name for removed in chain for name in removed.input}
    for removed in chain:
        graph.node.remove(removed)
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unused]:
        graph.initializer.remove(tensor)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def store_weights_as_bytes(path: Path) -> None:
    """Store the weights of large fully connected layers in the file at `path` as int8.

    Each output has its own scale. Runtimes dequantize once, when they load the file; the layers
    still compute in floating point.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    restored = []
    for node in graph.node:
        # (outputs, inputs), as torch exports a linear layer
        is_linear = node.op_type == "Gemm" and any(
            entry.name == "transB" and entry.i == 1 for entry in node.attribute
        )
        tensor = weights.pop(node.input[1], None) if is_linear else None
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < MIN_INT8_WEIGHTS:
            continue
        scale = np.maximum(np.abs(values).max(1, keepdims=True), 1e-12) / 127
        name = tensor.name
        parts = {
            f"{name}_bytes": np.rint(values / scale).astype(np.int8),
            f"{name}_scale": scale.astype(np.float32),
        }
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            numpy_helper.from_array(part, key) for key, part in parts.items()
        )
        restored += [
            helper.make_node("Cast", [f"{name}_bytes"], [f"{name}_cast"], to=1),
            helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]),
        ]
    for node in reversed(restored):
        graph.node.insert(0, node)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
