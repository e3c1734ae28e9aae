"""Export MTCNN: one ONNX file with three networks, compared with torch, and a card.

Depends on torch, onnx and ONNX Runtime.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.detection.photos import read_detector_photos
from ..data.mixture import read_mixture
from ..errors import ExportError, InputError, missing_extra
from ..inference.mtcnn_detector import MtcnnDetector
from ..inference.mtcnn_model import KIND, MtcnnFile, MtcnnModel
from ..models.mtcnn import LAYERS, OUTPUTS, SIDES, Mtcnn, WindowNet
from ..models.profile import multiply_adds, parameters
from ..recipe import Recipe
from ..recipe.model import MtcnnSettings
from ..training.build import load_any
from ..training.validate import predict_plain
from .calibrate import fit_sigma, near_exponent, validation_limits
from .card import check_name, make_card, write_model
from .gate import choose_gate_faces, run_plain
from .graph import OPSET, set_metadata, trace, without_notes
from .request import ExportRequest
from .thresholds import MIN_THRESHOLD, lowest_thresholds

MAX_DIFFERENCE = 1e-3
"""Largest difference between file and torch: of a logit, or in units of the window side."""
INPUT, NETWORK, OUTPUT = "images", "network", "windows"
"""Tensor names: images (B, H, W, 3), index of the network to run, outputs (B, 15, h, w)."""


class Scan(nn.Module):
    """A network's outputs (B, 15, h, w) for all windows of images (B, H, W, 3)."""

    def __init__(self, net: WindowNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net.scan(images)


def export_mtcnn(request: ExportRequest) -> dict[str, Any]:
    """Write `out`/`name`.onnx and its card `name`.json; return the card.

    The file is a face detector; its output network is also a landmark model.

    Raises:
        ExportError: If the file differs from torch by more than a bound; nothing is written.
        InputError: If `name` is not a valid file name, int8 or another scheme is set, or the
            checkpoint lacks a network.
    """
    check_name(request.name)
    if request.int8 or request.scheme_name not in ("", "five"):
        raise InputError(
            f"{request.checkpoint} is an mtcnn, exported in fp32 with five points; omit --int8 "
            "and --scheme"
        )
    net, recipe = load_any(request.checkpoint)
    if list(net.networks) != list(LAYERS):
        raise InputError(
            f"{request.checkpoint} has the networks {', '.join(net.networks)}; "
            f"expected {', '.join(LAYERS)}: train a recipe with model.stages = "
            f"{len(LAYERS)}"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{request.name}.onnx"
        write_networks(net, path)
        difference = check_networks(net, path)
        card = _complete(path, net, recipe, request)
        card["gate"] |= {"max_difference": round(difference, 6)}
        write_model(request.out, request.name, path.read_bytes(), card | request.about)
    return card | request.about


def _complete(
    path: Path, net: Mtcnn, recipe: Recipe, request: ExportRequest
) -> dict[str, Any]:
    """Write sigma and thresholds into the file at `path`, check it, and return its card."""
    m = recipe.model
    assert isinstance(m, MtcnnSettings)
    crop = (net.size, m.padding)
    root, cache = request.data_root, request.cache
    mixture = read_mixture(recipe.data, recipe.scheme, root, cache, crop=crop)
    faces = choose_gate_faces(recipe, net.size, *mixture)
    predicted, variances = predict_plain(net, faces.faces, faces.padding)
    landmarks = predicted.astype(np.float64)
    scale = fit_sigma(np.linalg.norm(landmarks - faces.truth, axis=-1), variances)
    metadata = {
        "kind": KIND,
        "name": request.name,
        "scheme": recipe.scheme,
        "points": landmarks.shape[1],
        "size": net.size,
        "padding": m.padding,
        "precision": "fp32",
        "sides": SIDES,
        "min_scores": [*m.min_scores, MIN_THRESHOLD],
        **scale.constants(),
        "near_exponent": near_exponent(net.size, m.padding),
    }
    set_metadata(path, metadata)
    metadata["min_scores"][-1] = _threshold(path, recipe, root)
    exported = MtcnnModel(path, 1)
    in_onnx = run_plain(exported, faces.faces)
    limits = validation_limits(exported, in_onnx.landmarks_crop, in_onnx.scores)
    metadata |= limits.as_dict()
    set_metadata(path, metadata)
    gate = faces.compare(in_onnx.landmarks_crop, landmarks)
    gate.check(int8=False)
    example = torch.zeros((1, net.size, net.size, 3), dtype=torch.uint8)
    size = {
        "parameters": parameters(net),
        "multiply_adds": multiply_adds(net, example),
    }
    stated = metadata | size
    return make_card(
        path, stated, recipe, request.checkpoint, gate.as_dict(), scale, {}
    )


def _threshold(path: Path, recipe: Recipe, data_root: Path) -> float:
    """Return the threshold of the last network, chosen as for the face detector."""
    m = recipe.model
    assert isinstance(m, MtcnnSettings)
    photos = []
    for photo in read_detector_photos(data_root, m.photos):
        if photo.is_validation() and photo.has_no_face():
            photos.append(photo)
    if not photos:
        return 0.5
    detect = MtcnnDetector(path)
    return lowest_thresholds([detect(photo.read()) for photo in photos])["threshold"]


def write_networks(net: Mtcnn, path: Path) -> None:
    """Write the networks of `net` as one ONNX file.

    Raises:
        ExtraError: If onnx is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnx and onnxscript", "train") from error
    traced = [_trace(net.network(name), name) for name in LAYERS]
    onnx.save(_choose_by_number(traced), str(path))
    set_metadata(path, {"kind": KIND, "sides": SIDES})


def _trace(net: WindowNet, name: str) -> Any:
    """Return the ONNX model of a network for windows, or for whole images if it scans them."""
    axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=4096)}
    shape = [2, net.size, net.size, 3]
    if name == "proposal":
        # one even and one odd side
        shape = [2, 47, 64, 3]
        axes |= {
            1: torch.export.Dim("rows", min=net.size, max=65536),
            2: torch.export.Dim("columns", min=net.size, max=65536),
        }
    images = torch.zeros(*shape, dtype=torch.uint8)
    program = trace(Scan(net), {INPUT: images}, [OUTPUT], {INPUT: axes}, OPSET)
    program.optimize()
    return without_notes(program.model_proto)


def _choose_by_number(models: Sequence[Any]) -> Any:
    """Return the ONNX model that runs one of `models`, selected by its index."""
    import onnx
    from onnx import TensorProto, helper

    graphs = []
    for number, model in enumerate(models):
        # names must be unique across subgraphs; the images are an input of the outermost graph
        graph = onnx.compose.add_prefix_graph(
            model.graph, f"{number}_", rename_inputs=False
        )
        del graph.input[:]
        graphs.append(graph)
    *others, chosen = graphs
    for number, graph in reversed(list(enumerate(others))):
        chosen = _either(number, graph, chosen)
    images: list[str | int | None] = ["batch", "rows", "columns", 3]
    chosen.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, images))
    chosen.input.append(helper.make_tensor_value_info(NETWORK, TensorProto.INT64, []))
    opsets, version = models[0].opset_import, models[0].ir_version
    return helper.make_model(chosen, opset_imports=opsets, ir_version=version)


def _either(number: int, graph: Any, other: Any) -> Any:
    """Return an ONNX graph that runs `graph` if the index is `number`, else `other`."""
    from onnx import TensorProto, helper

    network_index, is_wanted, output = (
        f"{name}_{number}" for name in ("is", "chosen", OUTPUT)
    )
    value = helper.make_tensor(network_index, TensorProto.INT64, [], [number])
    nodes = [
        helper.make_node("Equal", [NETWORK, network_index], [is_wanted]),
        helper.make_node(
            "If", [is_wanted], [output], then_branch=graph, else_branch=other
        ),
    ]
    shape: list[str | int | None] = ["batch", OUTPUTS, "window_rows", "window_columns"]
    value_info = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    return helper.make_graph(nodes, f"{KIND}_{number}", [], [value_info], [value])


@torch.no_grad()
def check_networks(net: Mtcnn, path: Path) -> float:
    """Return the largest difference between the outputs of a file and of `net`.

    The inputs are windows, and images with even and odd sides for the proposal network.

    Raises:
        ExportError: If it exceeds MAX_DIFFERENCE.
    """
    rng, file = np.random.default_rng(0), MtcnnFile(path, 1)
    largest = 0.0
    for name, side in SIDES.items():
        shapes = [(3, side, side, 3), (1, side, side, 3)]
        if name == "proposal":
            shapes += [(1, 47, 64, 3), (1, 120, 61, 3)]
        for shape in shapes:
            images = rng.integers(0, 256, shape, dtype=np.uint8)
            expected = net.network(name).scan(torch.from_numpy(images)).numpy()
            outputs = file.run(name, images)
            largest = max(largest, float(np.abs(outputs - expected).max()))
    if not largest <= MAX_DIFFERENCE:
        raise ExportError(
            f"ONNX differs from torch by {largest:.3g}; "
            f"expected at most {MAX_DIFFERENCE}"
        )
    return largest
