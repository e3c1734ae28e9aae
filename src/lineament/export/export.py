"""Checkpoint -> ONNX with decoding inside the graph, fp32 or int8, behind a gate that compares it with torch.

Stands on torch, onnx and ONNX Runtime. A file is written only when the gate is passed, together with its card.
"""

import copy
import json
import logging
import math
import re
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..atomic import atomic_path
from ..data.crop_cache import CropCache, plain_crops
from ..data.mixture import read_mixture
from ..errors import DataError, ExportError, InputError, ModelError, missing_extra
from ..estimator import CropLandmarks
from ..geometry import Array, apply_affine
from ..inference.onnx_model import METADATA_KEY, Model
from ..models.heads.attentive_1d import Attentive1D
from ..models.landmark_net import LandmarkNet
from ..models.layers.space_to_depth import RowStem, as_rows, can_become_rows, double_by_rows
from ..models.profile import multiply_adds, parameters
from ..models.refinement import WIDTH, RefinedNet
from ..recipe import NAME, Recipe
from ..schemes import scheme
from ..training.build import load_any
from ..training.validate import interocular_nme, known_eyes, predict_plain
from .calibrate import SigmaScale, fit_sigma, near_exponent
from .card import make_card
from .quantize import quantize_file

NME_CHANGE = 0.01
"""Largest change of the validation NME, as a fraction of itself."""
MOVE_FP32 = 0.05
"""Largest move of any point between torch and fp32 ONNX, in pixels of the crop."""
MOVE_INT8 = 0.5
"""Largest median move of the points between torch and int8 ONNX, in pixels of the crop."""
OPSET = 20


@dataclass(frozen=True)
class Gate:
    """How an exported file differs from torch on the validation faces."""

    largest_move_px: float
    median_move_px: float
    nme_torch: float
    nme_onnx: float

    def as_dict(self) -> dict[str, float]:
        """As a card tells it."""
        return {
            "largest_move_px": round(self.largest_move_px, 4),
            "median_move_px": round(self.median_move_px, 4),
            "validation_nme_torch": round(self.nme_torch, 6),
            "validation_nme_onnx": round(self.nme_onnx, 6),
        }

    def check(self, int8: bool, cell: float = 0.0) -> None:
        """Raises: ExportError where points move, or the NME changes, more than the bounds.

        cell: pixels of the crop by which rounding moves a point that is read to whole cells.
        """
        move, bound = (
            (self.median_move_px, MOVE_INT8) if int8 else (self.largest_move_px, MOVE_FP32)
        )
        bound += math.sqrt(2) * cell
        which = "the median point" if int8 else "a point"
        if not move <= bound:  # nor nan
            raise ExportError(
                f"{which} moves {move:.3f} px of the crop in ONNX; at most {round(bound, 3)} allowed: not written"
            )
        change = self.nme_onnx / self.nme_torch - 1
        if not change <= NME_CHANGE:
            raise ExportError(
                f"the validation NME goes from {self.nme_torch:.5f} to {self.nme_onnx:.5f} ({change:+.2%}); at most "
                f"{NME_CHANGE:+.0%} allowed: not written"
            )


class _Graph(nn.Module):
    """uint8 crops (B, S, S, 3) -> landmarks_crop, scores, sigma_px; of a RefinedNet with its memory in and out.

    rows: the model's first convolution is a RowStem.
    """

    def __init__(
        self, model: LandmarkNet | RefinedNet, scale: SigmaScale, padding: float, rows: bool = False
    ) -> None:
        super().__init__()
        self.model, self.rows = model, rows
        net = _detector(model)
        # numbers where all channels share them, as quantization and rows want
        self.mean, self.std = (_one_number(t) for t in (net.mean, net.std))
        self.scale, self.exponent = scale, near_exponent(model.size, padding)

    def forward(self, crops: Tensor, memory: Tensor | None = None) -> tuple[Tensor, ...]:
        pixels = as_rows(crops) if self.rows else crops.permute(0, 3, 1, 2)
        x = (pixels.float() - self.mean) / self.std
        rest: tuple[Tensor, ...] = ()
        if isinstance(self.model, RefinedNet):
            raw, *rest = self.model.read(x, memory)  # type: ignore[assignment]
        else:
            raw = self.model.head(self.model.levels(x)[0])
        squared = self.scale.slope * raw.variance.clamp(min=0) + self.scale.floor
        return raw.landmarks, 1 - torch.exp(-self.exponent / squared), squared.sqrt(), *rest


def _one_number(values: Tensor) -> Tensor | float:
    return float(values.flatten()[0]) if bool((values == values.flatten()[0]).all()) else values


def _detector(model: LandmarkNet | RefinedNet) -> LandmarkNet:
    """The part of `model` that sees pictures."""
    return model.net if isinstance(model, RefinedNet) else model


def even_normalization(model: LandmarkNet) -> LandmarkNet:
    """`model` with one mean and one deviation for all channels, the rest moved into the first convolution and norm.

    The same function but for the outermost pixels, where the padding is now the common mean. An int8 graph can then
    take the uint8 crop as it is.
    """
    mean, std = model.mean.flatten(), model.std.flatten()
    common_mean, common_std = torch.round(mean.mean()), std.mean()
    convolution = next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d))
    norm = next(m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        shift = ((common_mean - mean) / std).view(1, 3, 1, 1) * convolution.weight
        assert norm.running_mean is not None
        norm.running_mean -= shift.sum((1, 2, 3))
        convolution.weight *= (common_std / std).view(1, 3, 1, 1)
        model.mean.fill_(common_mean)
        model.std.fill_(common_std)
    return model


def by_rows(graph: _Graph) -> _Graph:
    """A copy of `graph` with its parts in their forms by rows, the first convolution where it can be."""
    copied = copy.deepcopy(graph)
    double_by_rows(copied)
    features = getattr(copied.model.backbone, "features", None)
    if not isinstance(features, nn.ModuleList) or not can_become_rows(features[0]):
        return copied
    features[0] = RowStem.of(features[0])
    copied.rows = True
    return copied


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    name: str,
    int8: bool,
    data_root: Path,
    cache: Path,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `out`/`name`.onnx and its card `name`.json; gives the card.

    int8: quantized, calibrated on training faces.    about: further entries of the card (data, licence, limits).
    Raises: ExportError where the gate is not passed; then nothing is written. InputError where `name` can be no file.
    """
    if not re.match(NAME, name):
        raise InputError(f"the name {name!r}; wanted letters, digits, dots, + and - as in fast-128")
    model, recipe = load_any(checkpoint)
    if int8 and isinstance(model, RefinedNet):
        raise ExportError(
            f"{checkpoint}: a model that remembers frames is exported in fp32 alone; leave --int8 out"
        )
    crop = recipe.model.size, recipe.model.padding
    sources, validation_faces = read_mixture(
        recipe.data, recipe.scheme, data_root, cache, crop=crop
    )
    faces, truth = _to_compare_on(checkpoint, validation_faces, model.size, recipe)
    found, variances = predict_plain(model, faces, recipe.model.padding)
    landmarks = found.astype(np.float64)
    scale = fit_sigma(np.linalg.norm(landmarks - truth, axis=-1), variances)
    metadata = {
        "kind": "landmarks",
        "name": name,
        "scheme": recipe.scheme,
        "points": len(scheme(recipe.scheme)),
        "size": model.size,
        "padding": recipe.model.padding,
        "precision": "int8" if int8 else "fp32",
    }
    if isinstance(model, RefinedNet):
        metadata["memory"] = [2, WIDTH, model.cells]
    with tempfile.TemporaryDirectory() as folder:
        path, net = Path(folder) / "model.onnx", _detector(model)
        if int8:
            even_normalization(net)  # of what the file is compared with, points are known already
        graph = _Graph(model, scale, recipe.model.padding)
        write_fp32(by_rows(graph) if int8 else graph, model.size, path)
        if int8:
            crops = calibration_crops(sources[0].cache, model.size, recipe.model.padding)
            path = quantize(path, crops, int(net.mean.flatten()[0]), float(net.std.flatten()[0]))
            scale = _rescale(path, metadata, faces, truth, recipe.model.padding, scale)
        set_metadata(path, metadata)
        gate = compare(Model(path, 1), faces, truth, landmarks, recipe)
        to_cells = isinstance(net.head, Attentive1D) and net.head.decoder == "argmax"
        gate.check(int8, float(net.head.stride) if to_cells else 0.0)  # type: ignore[arg-type]
        if isinstance(model, RefinedNet):
            _compare_second_look(Model(path, 1), model, faces)
        example = torch.zeros((1, model.size, model.size, 3), dtype=torch.uint8)
        size = {"parameters": parameters(model), "multiply_adds": multiply_adds(model, example)}
        card = make_card(
            path, metadata | size, recipe, checkpoint, gate.as_dict(), scale, about or {}
        )
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / f"{name}.onnx", path.read_bytes())
        write_whole(
            out / f"{name}.json", (json.dumps(card, indent=2, allow_nan=False) + "\n").encode()
        )
    return card


def _to_compare_on(
    checkpoint: Path, validation_faces: dict[str, CropCache], size: int, recipe: Recipe
) -> tuple[CropCache, Array]:
    """The first validation faces whose eyes are known, and their true landmarks (M, N, 2) in pixels of the crop.

    Raises: DataError where there is none.
    """
    for faces in validation_faces.values():
        truth = crop_truth(faces, size, recipe.model.padding)
        if known_eyes(truth, recipe.scheme).any():
            return faces, truth
    raise DataError(
        f"{checkpoint}: none of its data sets has a validation face to compare on; add faces"
    )


def crop_truth(faces: CropCache, size: int, padding: float) -> Array:
    """The true landmarks (M, N, 2) in pixels of the plain crops."""
    affines = np.concatenate([a for _, a in plain_crops(faces, size, padding, 64)])
    return np.stack(
        [apply_affine(a, points) for a, points in zip(affines, faces.landmarks, strict=True)]
    )


def write_fp32(graph: _Graph, size: int, path: Path) -> None:
    """Writes `graph` as ONNX with a free batch size."""
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_extra("onnxscript", "train") from error
    crops = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    chatter = logging.getLogger(
        "torch.onnx"
    )  # says at length that torchvision, which nothing here needs, is absent
    level = chatter.level
    chatter.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = {"crops": crops}
        if isinstance(graph.model, RefinedNet):
            inputs["memory"] = torch.zeros(2, 2, WIDTH, graph.model.cells)
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},) * len(inputs),
            input_names=list(inputs),
            output_names=["landmarks_crop", "scores", "sigma_px"]
            + ["memory_after"] * (len(inputs) - 1),
            opset_version=OPSET,
            verbose=False,
        )
    chatter.setLevel(level)
    assert program is not None
    program.save(str(path), external_data=False)


def quantize(path: Path, crops: list[NDArray[np.uint8]], mean: int, std: float) -> Path:
    """The int8 file made of the fp32 one beside it: static, per channel, the decoding left in floating point.

    Ranges by percentile: of 99.9, 99.99, 99.999 and the whole, over 64 and 256 crops, this one moves the points of both
    landmark models that ship least.
    """

    def decoding(nodes: list[Any]) -> list[str]:
        last = max(i for i, node in enumerate(nodes) if node.op_type == "Conv")
        return [node.name for node in nodes[last + 1 :]]

    return quantize_file(path, "crops", crops, decoding, mean, std, percentile=99.999)


def calibration_crops(
    faces: CropCache, size: int, padding: float, count: int = 256
) -> list[NDArray[np.uint8]]:
    """Plain training crops in batches of one, spread evenly over the set; the percentiles want batches of one size."""
    chosen = np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int)
    part = CropCache(faces.crops[chosen], faces.landmarks[chosen], faces.boxes[chosen])
    return [crops for crops, _ in plain_crops(part, size, padding, 1)]


def set_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Writes `metadata` into the ONNX file, in place of torch's notes of which line of which file made which node."""
    import onnx

    model = onnx.load(str(path))
    for part in (model, model.graph, *model.graph.node):
        del part.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(metadata))
    onnx.save(model, str(path))


def run_plain(model: Model, faces: CropCache) -> CropLandmarks:
    """The heads of an exported model on plain crops of `faces`."""
    parts = [model.predict(crops) for crops, _ in plain_crops(faces, model.size, model.padding, 32)]
    return CropLandmarks(
        *(
            np.concatenate([getattr(p, f) for p in parts])
            for f in ("landmarks_crop", "scores", "sigma_px")
        )
    )


def compare(model: Model, faces: CropCache, truth: Array, landmarks: Array, recipe: Recipe) -> Gate:
    """The gate of an exported model against torch's `landmarks` (M, N, 2) on the validation faces."""
    found = run_plain(model, faces).landmarks_crop
    moves = np.linalg.norm(found - landmarks, axis=-1)
    nmes = [interocular_nme(points, truth, recipe.scheme) for points in (landmarks, found)]
    return Gate(float(moves.max()), float(np.median(moves)), *nmes)


def _compare_second_look(exported: Model, model: RefinedNet, faces: CropCache) -> None:
    """Raises: ExportError where the exported model remembers anything else than `model` does."""
    crops = next(crops for crops, _ in plain_crops(faces, exported.size, exported.padding, 32))
    later = np.ascontiguousarray(
        crops[::-1]
    )  # each face is followed by another one: no memory fits better by chance
    with torch.no_grad():
        _, memory = model.follow(torch.from_numpy(crops), None)
        wanted = model.follow(torch.from_numpy(later), memory)[0].landmarks.numpy()
    found = exported.predict(later, exported.predict(crops).memory).landmarks_crop
    move = float(np.linalg.norm(found - wanted, axis=-1).max())
    if move > MOVE_FP32:
        raise ExportError(
            f"a point moves {move:.3f} px of the crop in the second frame; at most {MOVE_FP32} allowed"
        )


def _rescale(
    path: Path,
    metadata: dict[str, Any],
    faces: CropCache,
    truth: Array,
    padding: float,
    scale: SigmaScale,
) -> SigmaScale:
    """Fits sigma anew to the errors of the quantized graph and writes the new numbers into it."""
    import onnx

    set_metadata(path, metadata)
    heads = run_plain(Model(path, 1), faces)
    variances = (heads.sigma_px.astype(np.float64) ** 2 - scale.floor) / scale.slope
    fitted = fit_sigma(np.linalg.norm(heads.landmarks_crop - truth, axis=-1), variances)
    model = onnx.load(str(path))
    replaced = 0
    for tensor in [
        *model.graph.initializer,
        *(a.t for n in model.graph.node for a in n.attribute if a.HasField("t")),
    ]:
        values = onnx.numpy_helper.to_array(tensor)
        for old, new in ((scale.slope, fitted.slope), (scale.floor, fitted.floor)):
            if values.size == 1 and values.dtype == np.float32 and values.item() == np.float32(old):
                tensor.CopyFrom(
                    onnx.numpy_helper.from_array(np.full_like(values, new), tensor.name)
                )
                replaced += 1
    if replaced != 2:
        raise ExportError(
            f"{replaced} calibration constants found in the int8 graph, wanted 2; export fp32 instead"
        )
    onnx.save(model, str(path))
    return fitted


def write_whole(path: Path, data: bytes) -> None:
    """Writes `data` to `path`, whole or not at all."""
    try:
        with atomic_path(path) as beside:
            beside.write_bytes(data)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error}); choose another folder") from error
