"""Export DPM-CNN: ONNX, compared with torch, and a card.

Depends on torch, onnx and ONNX Runtime.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.detection.photos import read_detector_photos
from ..errors import ExportError, InputError, missing_extra
from ..evaluation.thresholds import lowest_threshold
from ..inference.dpm_cnn_detector import KIND, DpmCnnDetector
from ..inference.onnx_model import open_session
from ..models.dpm_detector import DpmDetector
from ..models.parts import enlarged
from ..models.profile import multiply_adds, parameters
from ..recipe import Recipe
from ..training.build import load_any
from ..training.checkpoint import load_checkpoint
from .card import check_name, file_entries, recipe_entry, write_model
from .graph import OPSET, set_metadata, trace
from .request import ExportRequest
from .thresholds import ALLOWED_FALSE_POSITIVES, MIN_THRESHOLD

MAX_DIFFERENCE = 0.05
"""Largest difference between file and torch: pixels of the window, hundredths of a score."""
INPUT, OUTPUTS = "windows", ["boxes", "landmarks", "scores"]
DEFAULT_THRESHOLD = 0.5
"""Threshold if there is no validation photo without a face."""


class Windows(nn.Module):
    """Predict boxes (B, 4), landmarks (B, 68, 2) and scores (B,) from windows.

    Takes uint8 RGB windows (B, S, S, 3); results are in pixels of the window.
    """

    def __init__(self, net: DpmDetector) -> None:
        super().__init__()
        self.net = net

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = self.net.run(windows)
        logits = output.presence_logits
        assert logits is not None  # a DPM detector always predicts presence
        boxes = enlarged(output.boxes["face"], 1.0)
        return boxes, output.landmarks, logits.sigmoid()


def export_dpm_cnn(request: ExportRequest) -> dict[str, Any]:
    """Write `out`/`name`.onnx and its card `name`.json; return the card.

    Raises:
        ExportError: If the file differs from torch by more than a bound; nothing is written.
        InputError: If `name` is not a valid file name, or int8 or another scheme is set.
    """
    check_name(request.name)
    if request.int8 or request.scheme_name not in ("", "ibug68"):
        raise InputError(
            f"{request.checkpoint} is a dpm-cnn, exported in fp32 with 68 points; omit --int8 and "
            "--scheme"
        )
    net, recipe = load_any(request.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{request.name}.onnx"
        metadata = {
            "kind": KIND,
            "name": request.name,
            "scheme": recipe.scheme,
            "size": net.size,
            "padding": recipe.model.padding,
            "threshold": MIN_THRESHOLD,
        }
        difference = write_windows(net, path, metadata)
        metadata["threshold"] = _threshold(path, recipe, request.data_root)
        set_metadata(path, metadata)
        example = torch.zeros((1, net.size, net.size, 3), dtype=torch.uint8)
        card = {
            **metadata,
            "parameters": parameters(net),
            "multiply_adds": multiply_adds(net, example),
            "precision": "fp32",
            "star_weight": round(float(net.log_weight.detach().exp()), 4),
            **file_entries(path, load_checkpoint(request.checkpoint)["step"]),
            "recipe": recipe_entry(recipe),
            "gate": {"max_difference": round(difference, 6)},
            **request.about,
        }
        write_model(request.out, request.name, path.read_bytes(), card)
    return card


def write_windows(net: DpmDetector, path: Path, metadata: dict[str, Any]) -> float:
    """Write `net` as ONNX with `metadata`; return its difference from torch.

    Raises:
        ExtraError: If onnxscript is not installed.
        ExportError: If it differs by more than MAX_DIFFERENCE.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnxscript", "train") from error
    graph = Windows(net).eval()
    windows = torch.zeros((2, net.size, net.size, 3), dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = trace(graph, {INPUT: windows}, OUTPUTS, ({0: batch},), OPSET)
    program.save(str(path), external_data=False)
    set_metadata(path, metadata)
    return check_windows(graph, path)


@torch.no_grad()
def check_windows(graph: Windows, path: Path) -> float:
    """Return the largest difference between the file at `path` and torch, see MAX_DIFFERENCE.

    Raises:
        ExportError: If it exceeds MAX_DIFFERENCE.
    """
    rng, session, largest = np.random.default_rng(0), open_session(path, 1), 0.0
    size = graph.net.size
    for count in (3, 1):
        windows = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        expected = graph(torch.from_numpy(windows))
        outputs = session.run(None, {INPUT: windows})
        for a, b, weight in zip(expected, outputs, (1, 1, 100), strict=True):
            largest = max(largest, weight * float(np.abs(a.numpy() - b).max()))
    if not largest <= MAX_DIFFERENCE:
        raise ExportError(
            f"ONNX differs from torch by {largest:.3g}; "
            f"expected at most {MAX_DIFFERENCE}"
        )
    return largest


def _threshold(path: Path, recipe: Recipe, data_root: Path) -> float:
    """Return the threshold, chosen as for the face detector, but not rounded.

    The score of a network trained without hard negatives is close to 1 for many windows, so that a
    rounded threshold could be 1, above all faces.
    """
    assert recipe.presence is not None  # ensured by the task
    photos = []
    for photo in read_detector_photos(data_root, recipe.presence.photos):
        if photo.is_validation() and photo.has_no_face():
            photos.append(photo)
    if not photos:
        return DEFAULT_THRESHOLD
    detect = DpmCnnDetector(path)
    allowed = int(ALLOWED_FALSE_POSITIVES["threshold"] * len(photos))
    lowest = lowest_threshold([detect(photo.read()) for photo in photos], allowed)
    return max(lowest, MIN_THRESHOLD)
