"""A trained face detector -> ONNX with decoding inside, checked against torch, and its card."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ExportError, missing_extra
from ..models.face_detector import FaceDetectorNet

LARGEST_DIFFERENCE = 0.02
"""Pixels of a box, and hundredths of a score, that ONNX Runtime may differ from torch."""


class Exported(nn.Module):
    """uint8 RGB (1, H, W, 3) -> scores (1, P), boxes (1, P, 4), directions (1, P, 2)."""

    def __init__(self, net: FaceDetectorNet) -> None:
        super().__init__()
        self.net = net.folded()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cells = self.net(image)
        return cells.logits.sigmoid(), cells.boxes, cells.directions


def export_detector(net: FaceDetectorNet, path: Path, card: dict[str, Any]) -> None:
    """Write `path` (.onnx) and its card beside it, with sha256 and bytes added.

    Raises: ExtraError without onnx; ExportError where ONNX Runtime's answers differ from torch's.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnx and onnxscript", "train") from error
    model = Exported(net).eval()
    beside = path.with_suffix(".part.onnx")
    example = torch.zeros(1, 256, 320, 3, dtype=torch.uint8)
    rows, columns = torch.export.Dim("rows", min=1, max=512), torch.export.Dim("columns", min=1, max=512)
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
    onnx.save(without_notes(program.model_proto), str(beside))
    difference = largest_difference(model, beside)
    if not difference <= LARGEST_DIFFERENCE:
        beside.unlink()
        raise ExportError(f"ONNX differs from torch by {difference:.3g}; wanted at most {LARGEST_DIFFERENCE}")
    content = beside.read_bytes()
    full = card | {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    beside.replace(path)
    write_card(path.with_suffix(".json"), full)


def without_notes(model: Any) -> Any:
    """The ONNX `model` without the notes on every node of where it came from: a quarter of the file."""
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    return model


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the card, whole or not at all."""
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


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
