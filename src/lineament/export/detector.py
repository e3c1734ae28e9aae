"""A trained face detector -> ONNX with decoding inside, checked against torch, and its card."""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..atomic import atomic_path
from ..errors import ExportError, missing_extra
from ..models.face_detector import FaceDetectorNet
from .quantize import quantize_file

LARGEST_DIFFERENCE = 0.02
"""Pixels of a box, and hundredths of a score, that ONNX Runtime may differ from torch in fp32."""
PERCENTILE = 99.999
"""Of the activations that int8 ranges hold: whole ranges lose three of 109 small faces at as many false ones."""
SCORE_MOVE, BOX_MOVE = 0.05, 0.05
"""How far the scores and the sides of faces, in box sides, may move in the mean in int8."""


class Exported(nn.Module):
    """uint8 RGB (1, H, W, 3) -> scores (1, P), boxes (1, P, 4), directions (1, P, 2)."""

    def __init__(self, net: FaceDetectorNet, rows: bool = False) -> None:
        super().__init__()
        self.net = net.folded(rows)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cells = self.net(image)
        return cells.logits.sigmoid(), cells.boxes, cells.directions


def export_detector(
    net: FaceDetectorNet,
    path: Path,
    card: dict[str, Any],
    pictures: Sequence[NDArray[np.uint8]] = (),
) -> None:
    """Write `path` (.onnx) and its card beside it, with sha256, bytes and precision added.

    pictures: uint8 RGB (1, H, W, 3) with faces, sides multiples of 32: then the file is int8, calibrated on them.
    Raises: ExtraError without onnx; ExportError where ONNX Runtime's answers differ too much from torch's.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnx and onnxscript", "train") from error
    model = Exported(net).eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "detector.onnx"
        onnx.save(without_notes(write_graph(Exported(net, rows=bool(pictures)).eval())), str(file))
        difference = largest_difference(model, file)
        if not difference <= LARGEST_DIFFERENCE:
            raise ExportError(
                f"ONNX differs from torch by {difference:.3g}; wanted at most {LARGEST_DIFFERENCE}"
            )
        if pictures:
            file = quantize_file(
                file, "image", pictures, from_heads, mean=0, std=1.0, percentile=PERCENTILE
            )
            onnx.save(without_notes(onnx.load(str(file))), str(file))
            check_int8(model, file, pictures)
        content = file.read_bytes()
    made = {
        "precision": "int8" if pictures else "fp32",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with atomic_path(path) as beside:
        beside.write_bytes(content)
    write_card(path.with_suffix(".json"), card | made | {"bytes": len(content)})


def write_graph(model: Exported) -> Any:
    """The ONNX model of `model`, for pictures of any size."""
    example = torch.zeros(1, 256, 320, 3, dtype=torch.uint8)
    rows, columns = (
        torch.export.Dim("rows", min=1, max=512),
        torch.export.Dim("columns", min=1, max=512),
    )
    with warnings.catch_warnings():
        # torch's exporter calls its own deprecated functions
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["image"],
            output_names=["scores", "boxes", "directions"],
            dynamic_shapes={"image": {1: 32 * rows, 2: 32 * columns}},
            opset_version=18,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.optimize()
    return program.model_proto


def from_heads(nodes: list[Any]) -> list[str]:
    """The names of all nodes that no convolution follows: the heads' last layers and the decoding."""
    wanted: set[str] = set()  # tensors that a later convolution stands on
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            wanted.update(node.input)
        else:
            kept.append(node.name)
            if node.op_type == "Conv":
                wanted.add(node.input[0])
    return kept


def check_int8(model: nn.Module, path: Path, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Raises: ExportError where scores or boxes of faces in `pictures` are not near enough to torch's."""
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    score_moves, box_moves = [], []
    for picture in pictures:
        with torch.no_grad():
            scores, boxes, _ = (a[0].numpy() for a in model(torch.from_numpy(picture)))
        found = session.run(None, {"image": picture})
        faces = scores > 0.3
        sides = (boxes[faces, 2:] - boxes[faces, :2]).max(1, initial=1)
        score_moves.append(np.abs(found[0][0][faces] - scores[faces]))
        box_moves.append(np.abs(found[1][0][faces] - boxes[faces]).max(1, initial=0) / sides)
    moves = [
        float(np.concatenate(part).mean()) if part else 0.0 for part in (score_moves, box_moves)
    ]
    for move, bound, what in zip(
        moves, (SCORE_MOVE, BOX_MOVE), ("score", "side, in box sides,"), strict=True
    ):
        if not move <= bound:
            raise ExportError(
                f"int8 moves the mean {what} of a face by {move:.3f}; wanted at most {bound}: fp32 it is"
            )


def without_notes(model: Any) -> Any:
    """The ONNX `model` without the notes on every node of where it came from: a quarter of the file."""
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    return model


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the card, whole or not at all."""
    with atomic_path(path) as beside:
        beside.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def largest_difference(model: nn.Module, path: Path) -> float:
    """Between torch and ONNX Runtime on pictures of three shapes: box pixels, and 100 times scores and directions."""
    import onnxruntime  # type: ignore[import-untyped, unused-ignore]

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    largest = 0.0
    for shape in ((1, 256, 320, 3), (1, 480, 640, 3), (1, 32, 96, 3)):
        image = random.integers(0, 256, shape, dtype=np.uint8)
        with torch.no_grad():
            wanted = [a.numpy() for a in model(torch.from_numpy(image))]
        given = session.run(None, {"image": image})
        for a, b, weight in zip(wanted, given, (100, 1, 100), strict=True):
            largest = max(largest, float(np.abs(a - b).max()) * weight)
    return largest
