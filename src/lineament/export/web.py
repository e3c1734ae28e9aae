"""int8 ONNX -> the same network with int8 weights and float activations, for browsers.

WebAssembly has no fast 8-bit convolution, but its float one is fast. Depends on onnx.
"""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import atomic_path
from ..errors import ExportError, InputError, missing_extra
from ..inference.model_files import read_card
from ..inference.onnx_model import METADATA_KEY

MOVING = ("Concat", "Reshape", "Transpose")
"""Operators that move values and do not change them."""
PRECISION = "int8 weights"
"""Of the files that `write_web` writes."""
LEFT_OUT = ("figures", "gate")
"""Entries of a card that were measured with the int8 file."""
Limits = tuple[float, float]


def export_web_file(source: Path, out: Path, name: str) -> dict[str, Any]:
    """Write an int8 file for browsers as `out`/`name`.onnx, and its card; return the card.

    Raises:
        ExportError: If the file is not int8 as `lineament export --int8` writes it.
        ExtraError: If onnx is not installed.
        InputError: If the new file would replace the given one.
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
    with atomic_path(target.with_suffix(".json")) as partial:
        text = json.dumps(card, indent=2, allow_nan=False) + "\n"
        partial.write_text(text, encoding="utf-8")
    return card


def write_web(source: Path, target: Path) -> None:
    """Write the int8 file at `source` for browsers.

    Each quantize-dequantize pair becomes a Clip to its range: the quantizer folded the
    activation functions into these ranges, so the network needs them. Weights stay int8 in
    the file and become float numbers when it is opened.

    Raises:
        ExportError: If the file is not int8 as `lineament export --int8` writes it.
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
        name: Of the file, for errors.
    """

    def __init__(self, graph: Any, name: str) -> None:
        from onnx import numpy_helper

        self.graph, self.name = graph, name
        self.constants: dict[str, NDArray[Any]] = {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        self.renamed: dict[str, str] = {}
        """Tensor of the new graph by dequantized or quantized tensor of the old one."""
        self.limits: dict[str, Limits] = {}
        """Range of the values of a tensor of the new graph, if it is known."""
        self.nodes: list[Any] = []

    def rewrite(self) -> None:
        """Replace the nodes and drop the constants that none needs any more."""
        from onnx import numpy_helper

        steps = {
            "QuantizeLinear": self.quantize,
            "DequantizeLinear": self.dequantize,
        }
        kinds = {node.op_type for node in self.graph.node}
        if not set(steps) <= kinds:
            raise ExportError(
                f"{self.name} is not quantized; wanted an int8 file of lineament export --int8"
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
        """Take over a node that has nothing to do with quantization."""
        for k, name in enumerate(node.input):
            node.input[k] = self.renamed.get(name, name)
        self.nodes.append(node)
        if node.op_type in MOVING:
            self.move_limits(node)

    def move_limits(self, node: Any) -> None:
        """State the range of what a node moves, if those of its inputs are known."""
        moved = [name for name in node.input if name not in self.constants]
        if not all(name in self.limits for name in moved):
            return
        ranges = [self.limits[name] for name in moved]
        lows, highs = zip(*ranges, strict=True)
        self.limits[node.output[0]] = min(lows), max(highs)

    def quantize(self, node: Any) -> None:
        """Replace a QuantizeLinear by a Clip, or by nothing if the range is kept anyway."""
        given = self.renamed.get(node.input[0], node.input[0])
        low, high = self.range_of(node)
        known = self.limits.get(given, (-np.inf, np.inf))
        made = given
        if known[0] < low or known[1] > high:
            made = f"{node.output[0]}_clipped"
            bounds = [f"{made}_min", f"{made}_max"]
            for name, bound in zip(bounds, (low, high), strict=True):
                self.constants[name] = np.array(bound, np.float32)
            self.add("Clip", [given, *bounds], made)
            self.limits[made] = low, high
        self.renamed[node.output[0]] = made

    def dequantize(self, node: Any) -> None:
        """Replace a DequantizeLinear: of activations by nothing, of weights by a product."""
        given, made = node.input[0], node.output[0]
        if given in self.renamed:
            self.renamed[made] = self.renamed[given]
        elif given in self.constants:
            self.dequantize_weights(node)
        else:  # the bytes of the input, which become numbers here
            self.nodes.append(node)
            self.limits[made] = self.range_of(node)

    def dequantize_weights(self, node: Any) -> None:
        """Multiply int8 weights by their scales, which is done when the file is opened.

        A DequantizeLinear might not be done then, but at each run.
        """
        given, made = node.input[0], node.output[0]
        values = self.constants[given]
        scale = self.constants[node.input[1]]
        if self.constants[node.input[2]].any():
            raise ExportError(
                f"{self.name}: weights have a zero point; export the model with lineament"
            )
        channels = scale.reshape(-1, *[1] * (values.ndim - 1)) if scale.ndim else scale
        if values.dtype != np.int8:  # a bias, which is small
            self.constants[made] = values.astype(np.float32) * channels
            return
        self.constants[f"{made}_scale"] = channels
        self.add("Cast", [given], f"{made}_cast", to=1)
        self.add("Mul", [f"{made}_cast", f"{made}_scale"], made)

    def range_of(self, node: Any) -> Limits:
        """Return the numbers that the first and the last byte of a quantized tensor mean."""
        scale = float(self.constants[node.input[1]])
        zero_point = int(self.constants[node.input[2]])
        return -zero_point * scale, (255 - zero_point) * scale

    def add(self, kind: str, inputs: Iterable[str], output: str, **more: Any) -> None:
        """Append a node of one output."""
        from onnx import helper

        made = helper.make_node(
            kind, list(inputs), [output], name=f"{output}_node", **more
        )
        self.nodes.append(made)
