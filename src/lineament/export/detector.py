"""Export a face detector: ONNX with decoding in the graph, compared with torch, and a card.

Depends on torch, onnx and ONNX Runtime.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.detection.photos import Photo, read_detector_photos
from ..errors import ExportError, InputError, missing_extra
from ..inference.face_detector import FaceDetector, resize_to_scale
from ..inference.onnx_model import open_session
from ..models.face_detector import FaceDetectorNet
from ..models.profile import multiply_adds, parameters
from ..training.build import load_detector
from ..training.checkpoint import load_checkpoint
from .card import file_entries, recipe_entry, write_model
from .graph import trace, without_notes
from .quantize import quantize_file
from .request import ExportRequest
from .thresholds import ALLOWED_FALSE_POSITIVES, MIN_THRESHOLD, lowest_thresholds

MAX_DIFFERENCE = 0.02
"""Largest difference between fp32 ONNX and torch: box pixels, or hundredths of a score."""
PERCENTILE = 99.999
"""Percentile of activations inside the int8 ranges; full ranges miss 3 of 109 small faces."""
MAX_SCORE_MOVE, MAX_BOX_MOVE = 0.05, 0.05
"""Largest mean change by int8 of the scores, and of the box sides in units of the box side."""
SUPPORT = 1
"""Number of cells per scale whose mean score is the score of a face."""
COARSE_SIDES = (160,)
"""Longer sides of additional passes, for the largest faces."""
LARGEST_PX = 128
"""Side of a face above which a coarser pass is used, since boxes become too small."""
MIN_FACE_PX = 16
"""Longer side of the smallest face that is detected reliably, pixels of the input."""
CALIBRATION_IMAGES, CALIBRATION_SIDE = 64, 512
ALLOWED_IN_WORDS = " and ".join(
    f"{rate:g} for {name}" for name, rate in ALLOWED_FALSE_POSITIVES.items()
)
OPSET = 18
ENTRIES = {
    "kind": "face detector",
    "scheme": "five",
    "points": 5,
    "predicts": "a score, a tight landmark box (brows to chin) and five points in every cell of "
    "strides 8 to 64",
    "input": "image: uint8 RGB (1, H, W, 3), H and W multiples of 32",
    "outputs": "scores (1, P), boxes (1, P, 4) x0 y0 x1 y1 in pixels, "
    "landmarks (1, P, 5, 2) eyes, nose tip and mouth corners in pixels",
    "support": SUPPORT,
    "coarse_sides": list(COARSE_SIDES),
    "min_face_px": MIN_FACE_PX,
    "largest_px": LARGEST_PX,
    "threshold_rule": "Each threshold is the lowest score, rounded up to hundredths, with at most "
    f"this number of false positives per validation photo without a face: {ALLOWED_IN_WORDS}. "
    "The lower one is for a landmark model that predicts presence, which rejects most of them.",
}


class Graph(nn.Module):
    """Predict scores (1, P), boxes (1, P, 4) and landmarks (1, P, 5, 2).

    Takes an uint8 RGB image (1, H, W, 3).
    """

    def __init__(self, net: FaceDetectorNet, rows: bool = False) -> None:
        super().__init__()
        self.net = net.folded(rows)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cells = self.net(image)
        return cells.logits.sigmoid(), cells.boxes, cells.five


def export_detector(request: ExportRequest) -> dict[str, Any]:
    """Write `out`/`name`.onnx and its card `name`.json; return the card.

    Raises:
        ExportError: If the file differs from torch by more than a bound; nothing is written.
        InputError: If a scheme is set.
    """
    if request.scheme_name not in ("", "five"):
        raise InputError(
            f"a face detector predicts five points, not {request.scheme_name}; omit the scheme"
        )
    net, recipe = load_detector(request.checkpoint)
    assert recipe.detector is not None
    photos = read_detector_photos(request.data_root, recipe.detector.sampling_weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{request.name}.onnx"
        images = calibration_images(photos) if request.int8 else ()
        gate = write_detector(net, path, images)
        without_face = [p for p in photos if p.is_validation() and p.has_no_face()]
        example = torch.zeros((1, 480, 640, 3), dtype=torch.uint8)
        entry = recipe_entry(recipe)
        recipe_entries = {
            key: entry[key] for key in ("name", "init_from", "detector", "train")
        }
        card = {
            "name": request.name,
            **ENTRIES,
            **choose_thresholds(path, without_face),
            "parameters": parameters(net),
            "multiply_adds": multiply_adds(net, example),
            "precision": "int8" if request.int8 else "fp32",
            **file_entries(path, load_checkpoint(request.checkpoint)["step"]),
            "recipe": recipe_entries,
            "gate": gate,
            **request.about,
        }
        write_model(request.out, request.name, path.read_bytes(), card)
    return card


def calibration_images(photos: Sequence[Photo]) -> list[NDArray[np.uint8]]:
    """Return evenly spaced training photos of all kinds, resized to fit into (1, S, S, 3)."""
    training = [photo for photo in photos if not photo.is_validation()]
    images = []
    for photo in training[:: max(1, len(training) // CALIBRATION_IMAGES)]:
        image = photo.read()
        scale = CALIBRATION_SIDE / max(image.shape[:2])
        resized = resize_to_scale(image, image.shape, scale)
        height, width = resized.shape[:2]
        square = np.zeros((1, CALIBRATION_SIDE, CALIBRATION_SIDE, 3), np.uint8)
        square[0, :height, :width] = resized
        images.append(square)
    return images


def choose_thresholds(path: Path, photos: Sequence[Photo]) -> dict[str, float]:
    """Return the thresholds of a file for `ALLOWED_FALSE_POSITIVES`; 0.5 without photos."""
    if not photos:
        return dict.fromkeys(ALLOWED_FALSE_POSITIVES, 0.5)
    # the file has no card yet
    detect = FaceDetector(
        path,
        threshold=MIN_THRESHOLD,
        coarse_sides=COARSE_SIDES,
        support=SUPPORT,
    )
    return lowest_thresholds([detect(photo.read()) for photo in photos])


def write_detector(
    net: FaceDetectorNet, path: Path, images: Sequence[NDArray[np.uint8]] = ()
) -> dict[str, float]:
    """Write `net` as ONNX; return its differences from torch.

    Args:
        images: uint8 RGB (1, S, S, 3) with faces, S a multiple of 32. If given, the file is int8,
            calibrated on them.

    Raises:
        ExtraError: If onnx is not installed.
        ExportError: If ONNX Runtime differs too much from torch.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnx and onnxscript", "train") from error
    model = Graph(net).eval()
    onnx.save(without_notes(_trace_any_size(Graph(net, rows=bool(images)))), str(path))
    difference = max_difference(model, path)
    if not difference <= MAX_DIFFERENCE:
        raise ExportError(
            f"ONNX differs from torch by {difference:.3g}; "
            f"expected at most {MAX_DIFFERENCE}"
        )
    gate = {"max_difference": round(difference, 5)}
    if images:
        quantized = quantize_file(
            path, "image", images, _heads, mean=0, std=1.0, percentile=PERCENTILE
        )
        onnx.save(without_notes(onnx.load(str(quantized))), str(path))
        gate |= check_moves(partial(predict_torch, model), path, images)
    return gate


def _trace_any_size(model: Graph) -> Any:
    """Return the ONNX model of `model` for images of any size."""
    rows = torch.export.Dim("rows", min=1, max=512)
    columns = torch.export.Dim("columns", min=1, max=512)
    shapes = {"image": {1: 32 * rows, 2: 32 * columns}}
    image = torch.zeros(1, 256, 320, 3, dtype=torch.uint8)
    outputs = ["scores", "boxes", "landmarks"]
    program = trace(model, {"image": image}, outputs, shapes, OPSET)
    program.optimize()
    return program.model_proto


def _heads(nodes: list[Any]) -> list[str]:
    """Return the names of nodes not followed by a convolution: last head layers and decoding."""
    before_convolution: set[str] = set()  # tensors that a later convolution depends on
    names = []
    for node in reversed(nodes):
        if not before_convolution.isdisjoint(node.output):
            before_convolution.update(node.input)
        else:
            names.append(node.name)
            if node.op_type == "Conv":
                before_convolution.add(node.input[0])
    return names


PredictImage = Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]]
"""Maps uint8 RGB (1, H, W, 3) to the outputs of a file."""


@torch.no_grad()
def predict_torch(model: nn.Module, image: NDArray[np.uint8]) -> list[NDArray[Any]]:
    """Return the outputs of a network in torch as arrays."""
    return [tensor.numpy() for tensor in model(torch.from_numpy(image))]


def check_moves(
    predict: PredictImage, path: Path, images: Sequence[NDArray[np.uint8]]
) -> dict[str, float]:
    """Return the mean changes of scores and box sides of faces between `predict` and the file.

    Raises:
        ExportError: If one exceeds its bound.
    """
    session = open_session(path)
    score_moves, box_moves = [], []
    for image in images:
        scores, boxes, _ = (output[0] for output in predict(image))
        outputs = session.run(None, {"image": image})
        faces = scores > 0.3
        sides = (boxes[faces, 2:] - boxes[faces, :2]).max(1, initial=1)
        score_moves.append(np.abs(outputs[0][0][faces] - scores[faces]))
        box_moves.append(
            np.abs(outputs[1][0][faces] - boxes[faces]).max(1, initial=0) / sides
        )
    moves = {}
    for name, values, bound in (
        ("score_move", score_moves, MAX_SCORE_MOVE),
        ("side_move", box_moves, MAX_BOX_MOVE),
    ):
        joined = np.concatenate(values)
        move = float(joined.mean()) if len(joined) else 0.0
        if not move <= bound:
            raise ExportError(
                f"the int8 file has a mean {name} of {move:.3f} per face; expected at "
                f"most {bound}: export fp32 instead"
            )
        moves[name] = round(move, 5)
    return moves


def max_difference(model: nn.Module, path: Path) -> float:
    """Return the largest difference between torch and ONNX Runtime on images of three shapes.

    The unit is pixels for boxes and points, and hundredths for scores.
    """
    session = open_session(path)
    rng = np.random.default_rng(0)
    largest = 0.0
    for shape in ((1, 256, 320, 3), (1, 480, 640, 3), (1, 32, 96, 3)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        with torch.no_grad():
            expected = [tensor.numpy() for tensor in model(torch.from_numpy(image))]
        outputs = session.run(None, {"image": image})
        for a, b, weight in zip(expected, outputs, (100, 1, 1), strict=True):
            largest = max(largest, float(np.abs(a - b).max()) * weight)
    return largest
