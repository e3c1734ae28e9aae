"""Export a checkpoint to an ONNX file, fp32 or int8, and a card, after comparison with torch.

Depends on torch, onnx and ONNX Runtime.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.crop_cache import CropCache
from ..data.mixture import read_mixture
from ..data.no_face_photos import read_presence_data
from ..errors import InputError
from ..estimator import ValidationLimits
from ..inference.onnx_model import Model
from ..models.export_form import ExportForm
from ..models.profile import multiply_adds, parameters
from ..recipe import PresenceSettings, Recipe
from ..schemes import scheme, scheme_entries
from ..training.build import load_any, read_trained
from ..training.presence_rates import predict_states
from ..training.validate import predict_plain
from .calibrate import SigmaScale, fit_sigma, validation_limits, write_constants
from .card import check_name, make_card, write_model
from .gate import Gate, GateFaces, check_second_frame, choose_gate_faces, run_plain
from .graph import LandmarkGraph, set_metadata, write_onnx
from .occluded import OccludedCrops, occluded_crops
from .presence import StateGate
from .quantize import PERCENTILE, calibration_crops, decoding_nodes, quantize_file
from .request import ExportRequest


def export_checkpoint(request: ExportRequest) -> dict[str, Any]:
    """Write `out`/`name`.onnx and its card `name`.json; return the card.

    Raises:
        ExportError: If the gate fails; nothing is written.
        InputError: If `name` is not a valid file name, or the model lacks the points of the scheme.
    """
    check_name(request.name)
    model, recipe = load_any(request.checkpoint, request.scheme_name)
    if request.scheme_name not in ("", recipe.scheme):
        raise InputError(
            f"{request.checkpoint} predicts {recipe.scheme}, not {request.scheme_name}; omit the "
            "scheme"
        )
    form = model.for_export(request.int8)
    crop = (model.size, recipe.model.padding)
    mixture = read_mixture(
        recipe.data, recipe.scheme, request.data_root, request.cache, crop=crop
    )
    faces = choose_gate_faces(recipe, model.size, *mixture)
    states = None
    if form.presence:
        states = read_state_gate(
            model, recipe, faces.validation_faces, request.data_root, request.cache
        )
    metadata = _metadata(request.name, recipe, form.memory_shape, request.int8)
    groups = {} if recipe.tasks is None else recipe.tasks.groups
    classes = [len(names) for names in groups.values()]
    metadata |= {} if request.scheme_name else _unlearned(request.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        written = _write_checked(model, form, faces, states, metadata, path, classes)
        size = _size(model)
        card = make_card(
            written.path,
            metadata | written.limits.as_dict() | size,
            recipe,
            request.checkpoint,
            written.gate.as_dict(),
            written.scale,
            written.presence | request.about,
        )
        write_model(request.out, request.name, written.path.read_bytes(), card)
    return card


def _size(model: Any) -> dict[str, int]:
    """Return the parameters and multiply-adds of the network for one crop."""
    example = torch.zeros((1, model.size, model.size, 3), dtype=torch.uint8)
    return {
        "parameters": parameters(model),
        "multiply_adds": multiply_adds(model, example),
    }


def read_state_gate(
    model: Any,
    recipe: Recipe,
    validation_faces: dict[str, CropCache],
    data_root: Path,
    cache: Path,
) -> StateGate:
    """Read the validation crops of `recipe` and run the trained network on them.

    A recipe without [presence] uses the default photos.

    Raises:
        DataError: If photos are missing, or there is no validation face.
    """
    settings = recipe.presence or PresenceSettings.model_validate({})
    data = read_presence_data(settings, recipe, validation_faces, data_root, cache)
    assert data.validation is not None  # ensured by choose_gate_faces
    return StateGate(
        data.validation, predict_states(model, data.validation, recipe.model.padding)
    )


@dataclass(frozen=True)
class _Written:
    """A file that has passed the gate."""

    path: Path
    scale: SigmaScale
    gate: Gate
    limits: ValidationLimits
    presence: dict[str, Any]
    """The entry "presence" of the card; empty if the network does not predict it."""


def _write_checked(
    model: Any,
    form: ExportForm,
    faces: GateFaces,
    states: StateGate | None,
    metadata: dict[str, Any],
    path: Path,
    classes: Sequence[int],
) -> _Written:
    """Write an ONNX file that passes the gate, in the precision of its `metadata`.

    An int8 file is written next to `path`.
    """
    int8 = metadata["precision"] == "int8"
    predicted, variances = predict_plain(model, faces.faces, faces.padding)
    landmarks = predicted.astype(np.float64)
    scale = fit_sigma(np.linalg.norm(landmarks - faces.truth, axis=-1), variances)
    in_torch = in_file = occluded = None
    if states is not None:
        in_torch = in_file = states.fit(states.logits)
        occluded = occluded_crops(faces.faces, faces.truth, form.size, faces.padding)
        scale = occluded.fit_network(model, scale, in_torch)
    write_onnx(LandmarkGraph(form, scale, faces.padding, in_torch, classes), path)
    if int8:
        path = _quantize(path, form, faces)
    set_metadata(path, metadata)
    if int8:
        # visibility first, since sigma depends on it
        if states is not None and in_torch is not None:
            in_file = states.fit_again(path, in_torch)
        scale = _calibrate_again(path, faces, occluded, scale)
    exported = Model(path, 1)
    in_onnx = run_plain(exported, faces.faces)
    limits = validation_limits(exported, in_onnx.landmarks_crop, in_onnx.scores)
    set_metadata(path, metadata | limits.as_dict())
    gate = faces.compare(in_onnx.landmarks_crop, landmarks)
    gate.check(int8, form.rounding_px)
    presence = {}
    if states is not None and in_torch is not None and in_file is not None:
        presence = {"presence": states.check(exported, in_torch, in_file, int8)}
    if form.memory_shape is not None:
        check_second_frame(exported, form, faces.faces)
    return _Written(path, scale, gate, limits, presence)


def _metadata(
    name: str, recipe: Recipe, memory_shape: tuple[int, ...] | None, int8: bool
) -> dict[str, Any]:
    further: dict[str, Any] = {}
    if memory_shape is not None:
        further["memory"] = list(memory_shape)
    if recipe.tasks is not None:
        further["attributes"] = recipe.tasks.attributes()
    return {
        "kind": "landmarks",
        "name": name,
        **scheme_entries(recipe.scheme),
        "points": len(scheme(recipe.scheme)),
        "size": recipe.model.size,
        "padding": recipe.model.padding,
        "precision": "int8" if int8 else "fp32",
    } | further


def _unlearned(checkpoint: Path) -> dict[str, Any]:
    """Return the entry about the points that no training face has, if there are any."""
    points = read_trained(checkpoint)[0].get("task", {}).get("never_learned")
    return {"never_learned": points} if points else {}


def _quantize(path: Path, form: ExportForm, faces: GateFaces) -> Path:
    crops = calibration_crops(faces.training, form.size, faces.padding)
    mean, std = int(form.pixel_mean), float(form.pixel_std)
    return quantize_file(path, "crops", crops, decoding_nodes, mean, std, PERCENTILE)


def _calibrate_again(
    path: Path, faces: GateFaces, occluded: OccludedCrops | None, scale: SigmaScale
) -> SigmaScale:
    """Fit sigma to the errors of the quantized file at `path`, and store it in the file.

    Args:
        occluded: Occluded crops, for a file with visibility.
        scale: The scale that the file contains.
    """
    model = Model(path, 1)
    predicted = run_plain(model, faces.faces)
    variances = scale.variance(predicted.sigma_px, predicted.visible)
    errors = np.linalg.norm(predicted.landmarks_crop - faces.truth, axis=-1)
    fitted = fit_sigma(errors, variances)
    if occluded is not None:
        fitted = occluded.fit_file(model, scale, fitted)
    write_constants(path, fitted.constants())
    return fitted
