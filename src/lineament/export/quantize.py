"""fp32 ONNX -> int8 ONNX, static and calibrated, by ONNX Runtime's own quantizer."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportError

MOVED = ("Concat", "Reshape", "Transpose")  # by which models.rows moves pixels


def quantize_file(
    path: Path,
    input_name: str,
    inputs: Sequence[NDArray[np.uint8]],
    keep: Callable[[list[Any]], list[str]],
    mean: int,
    std: float,
    percentile: float | None = None,
) -> Path:
    """The int8 file written beside the fp32 one at `path`: QDQ, weights per channel.

    inputs: what the ranges of the activations are read from; with a percentile all of one shape.
    keep: nodes in the graph's order -> the names of those left in floating point.
    mean, std: what the graph subtracts from the bytes of its input, and divides by.
    percentile: of the absolute activations that the ranges hold; None: all of them.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Inputs(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest: Iterator[dict[str, NDArray[np.uint8]]] = iter(
                [{input_name: batch} for batch in inputs]
            )

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self.rest, None)

    prepared, out = path.with_suffix(".prepared.onnx"), path.with_suffix(".int8.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    nodes = list(onnx.load(str(prepared)).graph.node)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints each tensor's percentile
            quantize_static(
                str(prepared),
                str(out),
                Inputs(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Add", "Relu", "Clip", "Resize", *MOVED],
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=keep(nodes),
                calibrate_method=CalibrationMethod.MinMax
                if percentile is None
                else CalibrationMethod.Percentile,
                extra_options={} if percentile is None else {"CalibPercentile": percentile},
            )
    except ValueError as error:
        raise ExportError(
            f"{path.name}: its activations have no range to calibrate ({error}); train it further, or export fp32"
        ) from error
    take_bytes(out, mean, std)
    return out


def take_bytes(path: Path, mean: int, std: float) -> None:
    """Rewrites the int8 file at `path` so that its first convolution takes the input's bytes as they are.

    A byte b stands for (b - mean) / std: that is a quantized number with the zero point `mean` and the scale 1 / std,
    so casting, normalizing and quantizing it is for nothing.    Raises: ExportError where the graph starts otherwise.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    quantizing = next((node for node in graph.node if node.op_type == "QuantizeLinear"), None)
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
            "the int8 graph does not start with its bytes, normalized and quantized; export fp32 instead"
        )
    graph.initializer.append(numpy_helper.from_array(np.array(1 / std, np.float32), "bytes_scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(mean, np.uint8), "bytes_zero_point"))
    for reader in graph.node:
        if reader.op_type == "DequantizeLinear" and reader.input[0] == chain[0].output[0]:
            reader.input[:] = [chain[-1].input[0], "bytes_scale", "bytes_zero_point"]
    unused = {name for gone in chain for name in gone.input}
    for gone in chain:
        graph.node.remove(gone)
    for tensor in [tensor for tensor in graph.initializer if tensor.name in unused]:
        graph.initializer.remove(tensor)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
