"""Convert int8 ONNX files for browsers: int8 weights, float activations.

WebAssembly has no fast 8-bit convolution, but its float one is fast. Depends on onnx.
"""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_path, write_text
from ..errors import ExportError, InputError, missing_extra
from ..inference.model_files import read_card
from ..inference.onnx_model import METADATA_KEY

MOVING = ("Concat", "Reshape", "Transpose")
"""Operators that rearrange values without changing them."""
PRECISION = "int8 weights"
"""Precision stated in files of `write_web`."""
LEFT_OUT = ("figures", "gate")
"""Card entries that are not copied, since they were measured with the int8 file."""
Limits = tuple[float, float]


def export_web_file(source: Path, out: Path, name: str) -> dict[str, Any]:
    """Write an int8 file for browsers as `out`/`name`.onnx, and its card; return the card.

    Raises:
        ExportError: If the file was not written by `lineament export --int8`.
        ExtraError: If onnx is not installed.
        InputError: If the new file would overwrite the source.
    """
    target = out / f"{name}.onnx"
    if target.resolve() == source.resolve():
        raise InputError(
            f"{source} would be replaced by the file for browsers; give another --out or --name"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_web(source, target)
    data = target.read_bytes()
    card = {}
    for key, value in read_card(source).items():
        if key not in LEFT_OUT:
            card[key] = value
    card |= {
        "name": name,
        "precision": PRECISION,
        "sha256": sha256(data).hexdigest(),
        "bytes": len(data),
        "made_from": sha256(source.read_bytes()).hexdigest(),
    }
    text = json.dumps(card, indent=2, allow_nan=False) + "\n"
    write_text(target.with_suffix(".json"), text)
    return card


def write_web(source: Path, target: Path) -> None:
    """Convert the int8 file at `source` for browsers.

    Each quantize-dequantize pair becomes a Clip to its range, because the quantizer folded the
    activation functions into these ranges. Weights stay int8 in the file and are converted to
    float when it is loaded.

    Raises:
        ExportError: If the file was not written by `lineament export --int8`.
        ExtraError: If onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("onnx", "page") from error
    model = onnx.load(str(source))
    _Rewriter(model.graph, source.name).rewrite()
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            stated = json.loads(entry.value) | {"precision": PRECISION}
            entry.value = json.dumps(stated)
    onnx.checker.check_model(model)
    with atomic_path(target) as partial:
        onnx.save(model, str(partial))


class _Rewriter:
    """Replaces the quantization of one graph, in place.

    Args:
        graph: The ONNX graph.
        name: Name of the file, for errors.
    """

    def __init__(self, graph: Any, name: str) -> None:
        from onnx import numpy_helper

        self.graph, self.name = graph, name
        self.constants: dict[str, NDArray[Any]] = {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        self.renamed: dict[str, str] = {}
        """Tensor of the new graph by (de)quantized tensor of the old one."""
        self.limits: dict[str, Limits] = {}
        """Known value ranges of tensors of the new graph."""
        self.nodes: list[Any] = []

    def rewrite(self) -> None:
        """Replace the nodes and remove unused constants."""
        from onnx import numpy_helper

        steps = {
            "QuantizeLinear": self.quantize,
            "DequantizeLinear": self.dequantize,
        }
        kinds = {node.op_type for node in self.graph.node}
        if not set(steps) <= kinds:
            raise ExportError(
                f"{self.name} is not quantized; "
                "expected an int8 file of lineament export --int8"
            )
        for node in self.graph.node:
            steps.get(node.op_type, self.keep)(node)
        outputs = {output.name for output in self.graph.output}
        if outputs & set(self.renamed):
            raise ExportError(
                f"{self.name}: an output is quantized; export the model with lineament"
            )
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        needed: set[str] = set()
        for node in self.nodes:
            needed.update(node.input)
        del self.graph.initializer[:]
        for name, values in self.constants.items():
            if name in needed:
                self.graph.initializer.append(numpy_helper.from_array(values, name))

    def keep(self, node: Any) -> None:
        """Keep a node that is not part of the quantization."""
        for k, name in enumerate(node.input):
            node.input[k] = self.renamed.get(name, name)
        self.nodes.append(node)
        if node.op_type in MOVING:
            self.move_limits(node)

    def move_limits(self, node: Any) -> None:
        """Store the output range of a node that rearranges values, if its inputs' are known."""
        inputs = [name for name in node.input if name not in self.constants]
        if not all(name in self.limits for name in inputs):
            return
        ranges = [self.limits[name] for name in inputs]
        lows, highs = zip(*ranges, strict=True)
        self.limits[node.output[0]] = min(lows), max(highs)

    def quantize(self, node: Any) -> None:
        """Replace a QuantizeLinear by a Clip; omit it if the values are within the range."""
        source = self.renamed.get(node.input[0], node.input[0])
        low, high = self.range_of(node)
        limits = self.limits.get(source, (-np.inf, np.inf))
        target = source
        if limits[0] < low or limits[1] > high:
            target = f"{node.output[0]}_clipped"
            bounds = [f"{target}_min", f"{target}_max"]
            for name, bound in zip(bounds, (low, high), strict=True):
                self.constants[name] = np.array(bound, np.float32)
            self.add("Clip", [source, *bounds], target)
            self.limits[target] = low, high
        self.renamed[node.output[0]] = target

    def dequantize(self, node: Any) -> None:
        """Remove a DequantizeLinear of activations; replace one of weights by a product."""
        source, target = node.input[0], node.output[0]
        if source in self.renamed:
            self.renamed[target] = self.renamed[source]
        elif source in self.constants:
            self.dequantize_weights(node)
        else:  # the uint8 input, which is converted to float here
            self.nodes.append(node)
            self.limits[target] = self.range_of(node)

    def dequantize_weights(self, node: Any) -> None:
        """Multiply int8 weights by their scales; runtimes fold the product when they load the file.

        They might execute a DequantizeLinear at every inference instead.
        """
        source, target = node.input[0], node.output[0]
        values = self.constants[source]
        scale = self.constants[node.input[1]]
        if self.constants[node.input[2]].any():
            raise ExportError(
                f"{self.name}: weights have a nonzero zero point; export the model with lineament"
            )
        channels = scale.reshape(-1, *[1] * (values.ndim - 1)) if scale.ndim else scale
        if values.dtype != np.int8:  # biases are small and stored as float
            self.constants[target] = values.astype(np.float32) * channels
            return
        self.constants[f"{target}_scale"] = channels
        self.add("Cast", [source], f"{target}_cast", to=1)
        self.add("Mul", [f"{target}_cast", f"{target}_scale"], target)

    def range_of(self, node: Any) -> Limits:
        """Return the values of the lowest and highest byte of a quantized tensor."""
        scale = float(self.constants[node.input[1]])
        zero_point = int(self.constants[node.input[2]])
        return -zero_point * scale, (255 - zero_point) * scale

    def add(self, kind: str, inputs: Iterable[str], output: str, **more: Any) -> None:
        """Append a node with one output."""
        from onnx import helper

        node = helper.make_node(
            kind, list(inputs), [output], name=f"{output}_node", **more
        )
        self.nodes.append(node)
