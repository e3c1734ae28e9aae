"""Export a model without a network: .safetensors file with calibrated sigma, and card."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..classic.numpy_model import NumpyModel
from ..classic.uncertainty import Uncertainty
from ..data.crop_cache import CropCache
from ..data.mixture import read_mixture
from ..errors import DataError, InputError
from ..inference.registry import load_numpy_model
from ..recipe import Recipe
from ..training.classic.predict import predict_plain_faces
from ..training.classic.stored import stored_recipe
from ..training.validate import has_norm_points, interocular_nme
from .calibrate import fit_sigma, near_exponent, validation_limits
from .card import check_name, file_entries, recipe_entry, write_model
from .request import ExportRequest


def export_classic(request: ExportRequest) -> dict[str, Any]:
    """Write `out`/`name`.safetensors and its card `name`.json; return the card.

    Raises:
        DataError: If there is no validation face for calibration.
        InputError: If `name` is not a valid file name, or int8 or a scheme is set.
    """
    check_name(request.name)
    if request.int8 or request.scheme_name:
        raise InputError(
            f"{request.checkpoint} is a model without a network; omit --int8 and --scheme"
        )
    model, recipe = (
        load_numpy_model(request.checkpoint),
        stored_recipe(request.checkpoint),
    )
    faces = _validation_faces(recipe, request.data_root, request.cache)
    exported, scale = calibrated(model, request.name, faces)
    predicted, truth, _ = predict_plain_faces(exported, faces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        exported.save(path)
        card = {
            "kind": exported.kind,
            **{
                key: exported.settings[key]
                for key in ("name", "scheme", "points", "size")
            },
            **exported.validation_limits.as_dict(),
            "padding": exported.padding,
            "precision": "fp16",
            **file_entries(path, model.settings["step"]),
            "recipe": recipe_entry(recipe),
            "sigma": scale,
            "gate": {
                "validation_nme": round(
                    interocular_nme(predicted, truth, model.scheme), 6
                )
            },
            **request.about,
        }
        write_model(request.out, request.name, path.read_bytes(), card, ".safetensors")
    return card


def calibrated(
    model: NumpyModel, name: str, faces: CropCache
) -> tuple[NumpyModel, dict[str, float]]:
    """Return the model, named `name`, with sigma fitted on `faces`, and the scale of sigma."""
    predicted, truth, squared = predict_plain_faces(model, faces)
    uncertainty = Uncertainty.read(model.settings)
    variances = (squared - uncertainty.floor) / uncertainty.slope
    scale = fit_sigma(
        np.linalg.norm(predicted - truth, axis=-1), np.maximum(variances, 0)
    )
    settings = model.settings | {
        "name": name,
        "sigma_slope": scale.slope,
        "sigma_floor": scale.floor,
        "near_exponent": near_exponent(model.size, model.padding),
    }
    sigma = Uncertainty.read(settings)
    scores = sigma(predicted, np.maximum(variances, 0)).scores
    settings |= validation_limits(model, predicted, scores).as_dict()
    return type(model)(settings, model.arrays), scale.as_dict()


def _validation_faces(recipe: Recipe, data_root: Path, cache: Path) -> CropCache:
    """Return the validation faces with eyes and the most annotated points."""
    crop = recipe.model.size, recipe.model.padding
    _, by_set = read_mixture(recipe.data, recipe.scheme, data_root, cache, crop=crop)
    for faces in sorted(
        by_set.values(), key=lambda faces: np.isnan(faces.landmarks).mean()
    ):
        if has_norm_points(faces.landmarks, recipe.scheme).any():
            return faces
    raise DataError(
        f"the recipe {recipe.name!r}: none of its data sets has a validation face to calibrate on; "
        "add faces"
    )
