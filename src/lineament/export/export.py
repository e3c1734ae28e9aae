"""Checkpoint -> ONNX file and card, fp32 or int8, compared with torch first.

Depends on torch, onnx and ONNX Runtime.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.mixture import read_mixture
from ..errors import DataError, InputError
from ..geometry import Array
from ..inference.onnx_model import Model
from ..models.export_form import ExportForm
from ..models.profile import multiply_adds, parameters
from ..recipe import NAME, Recipe
from ..schemes import scheme
from ..training.build import load_any
from ..training.validate import known_eyes, predict_plain
from .calibrate import SigmaScale, fit_sigma, write_scale
from .card import make_card, write_model
from .gate import Gate, GateFaces, check_second_frame, crop_truth, run_plain
from .graph import LandmarkGraph, set_metadata, write_onnx
from .quantize import PERCENTILE, calibration_crops, decoding_nodes, quantize_file


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    name: str,
    int8: bool,
    data_root: Path,
    cache: Path,
    about: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write `out`/`name`.onnx and its card `name`.json; return the card.

    Args:
        name: Letters, digits, dots, + and -.
        int8: Quantize, calibrated on training faces.
        data_root: Folder of the data sets of the checkpoint's recipe.
        about: Further entries of the card: data, license, limits.

    Raises:
        ExportError: If the gate is not passed; then nothing is written.
        InputError: If `name` cannot be the name of a file.
    """
    if not re.match(NAME, name):
        raise InputError(
            f"the name {name!r}; wanted letters, digits, dots, + and - as in fast-128"
        )
    model, recipe = load_any(checkpoint)
    form = model.for_export(int8)
    faces = read_gate_faces(recipe, model.size, data_root, cache)
    metadata = _metadata(name, recipe, form.memory_shape, int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path, scale, gate = _write_checked(model, form, faces, metadata, path)
        example = torch.zeros((1, model.size, model.size, 3), dtype=torch.uint8)
        size = {
            "parameters": parameters(model),
            "multiply_adds": multiply_adds(model, example),
        }
        card = make_card(
            path,
            metadata | size,
            recipe,
            checkpoint,
            gate.as_dict(),
            scale,
            about or {},
        )
        write_model(out, name, path.read_bytes(), card)
    return card


def read_gate_faces(
    recipe: Recipe, size: int, data_root: Path, cache: Path
) -> GateFaces:
    """Read the first validation set of `recipe` in which eyes are annotated.

    Raises:
        DataError: If no set has such a face.
    """
    padding = recipe.model.padding
    sources, validation_faces = read_mixture(
        recipe.data, recipe.scheme, data_root, cache, crop=(size, padding)
    )
    for faces in validation_faces.values():
        truth = crop_truth(faces, size, padding)
        if known_eyes(truth, recipe.scheme).any():
            return GateFaces(faces, truth, sources[0].cache, recipe.scheme, padding)
    raise DataError(
        f"the recipe {recipe.name!r}: none of its data sets has a validation face to compare on; "
        "add faces"
    )


def _write_checked(
    model: Any, form: ExportForm, faces: GateFaces, metadata: dict[str, Any], path: Path
) -> tuple[Path, SigmaScale, Gate]:
    """Write an ONNX file that passes the gate, in the precision of its `metadata`.

    Returns:
        The file, which is next to `path` if it is int8, its calibration, and the gate.
    """
    int8 = metadata["precision"] == "int8"
    found, variances = predict_plain(model, faces.faces, faces.padding)
    landmarks = found.astype(np.float64)
    scale = fit_sigma(np.linalg.norm(landmarks - faces.truth, axis=-1), variances)
    write_onnx(LandmarkGraph(form, scale, faces.padding), path)
    if int8:
        path = _quantize(path, form, faces)
    set_metadata(path, metadata)
    if int8:
        scale = _calibrate_again(path, faces, scale)
    exported = Model(path, 1)
    gate = faces.compare(exported, landmarks)
    gate.check(int8, form.rounding_px)
    if form.memory_shape is not None:
        check_second_frame(exported, form, faces.faces)
    return path, scale, gate


def _metadata(
    name: str, recipe: Recipe, memory_shape: tuple[int, ...] | None, int8: bool
) -> dict[str, Any]:
    memory = {} if memory_shape is None else {"memory": list(memory_shape)}
    return {
        "kind": "landmarks",
        "name": name,
        "scheme": recipe.scheme,
        "points": len(scheme(recipe.scheme)),
        "size": recipe.model.size,
        "padding": recipe.model.padding,
        "precision": "int8" if int8 else "fp32",
    } | memory


def _quantize(path: Path, form: ExportForm, faces: GateFaces) -> Path:
    crops = calibration_crops(faces.training, form.size, faces.padding)
    mean, std = int(form.pixel_mean), float(form.pixel_std)
    return quantize_file(path, "crops", crops, decoding_nodes, mean, std, PERCENTILE)


def _calibrate_again(path: Path, faces: GateFaces, scale: SigmaScale) -> SigmaScale:
    """Fit sigma to the errors of the quantized file at `path`, and write it there."""
    found = run_plain(Model(path, 1), faces.faces)
    variances: Array = (
        found.sigma_px.astype(np.float64) ** 2 - scale.floor
    ) / scale.slope
    errors = np.linalg.norm(found.landmarks_crop - faces.truth, axis=-1)
    fitted = fit_sigma(errors, variances)
    write_scale(path, fitted)
    return fitted
