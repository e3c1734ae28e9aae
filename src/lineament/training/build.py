"""Build networks from recipes, with initial weights, and from checkpoints. Depends on torch."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError, RecipeError
from ..models.face_detector import FaceDetectorNet
from ..models.landmark_net import LandmarkNet
from ..models.refinement import RefinedNet
from ..models.registry import build_network
from ..recipe import LandmarkNetSettings, ModelSettings, Recipe
from ..recipe.file import make_recipe
from ..recipe.model import PartCascadeSettings
from ..schemes import scheme
from .checkpoint import (
    WEIGHTS,
    load_checkpoint,
    load_weights,
    read_metadata,
    read_weights,
    student_weights,
)
from .freeze import check_parts, in_part
from .layer_shapes import fit_shapes

NEW_PARTS = ("head", "presence")
"""Parts that keep their random weights if the loaded ones do not fit; a network overrides them
with `new_parts`."""
REFINEMENT = "refine."
"""Prefix of the weight names of a refinement."""


def build_model(recipe: Recipe, resume_from: Path | None = None) -> nn.Module:
    """Return the network of `recipe`; new layers are initialized from the recipe's seed.

    Args:
        resume_from: The run's own checkpoint, which defines the layer shapes of a pruned network.

    Raises:
        RecipeError: If `model.pruned_from` is set without `init_from`.
    """
    torch.manual_seed(recipe.train.seed)
    m = recipe.model
    if m.pruned_from and not recipe.init_from:
        raise RecipeError(
            f"model.pruned_from is {m.pruned_from!r} without init_from, so the resized "
            "layers have no weights; set init_from as well"
        )
    other_weights = recipe.init_from or "backbone" in recipe.init_parts
    model: nn.Module = build_network(
        recipe.with_model(imagenet=m.imagenet and not other_weights)
    )
    if m.pruned_from:
        fit_shapes(model, load_weights(resume_from or Path(m.pruned_from)))
    return model


def adopt_architecture(recipe: Recipe, resume_from: Path | None = None) -> Recipe:
    """Return `recipe` with the architecture of the slimmed network it starts from.

    An architecture set in the recipe takes precedence.

    Args:
        resume_from: The run's own checkpoint, read instead of `init_from`, which may be missing.
    """
    source, m = resume_from or Path(recipe.init_from), recipe.model
    if not recipe.init_from or not source.is_file():
        return recipe
    keys: tuple[str, ...]
    if isinstance(m, LandmarkNetSettings):
        keys = "architecture", "pruned_from"
    elif isinstance(m, PartCascadeSettings):
        keys = ("pruned_from",)
    else:
        return recipe
    stored_recipe = read_stored_recipe(source)
    if stored_recipe is None:
        return recipe
    stored = stored_recipe.model
    same = stored.kind == m.kind and _backbone(stored) == _backbone(m)
    if not same or any(getattr(m, key) for key in keys):
        return recipe
    changes = {key: getattr(stored, key) for key in keys}
    if not any(changes.values()):
        return recipe
    if changes["pruned_from"]:
        changes["pruned_from"] = recipe.init_from
    return recipe.with_model(**changes)


def _backbone(settings: ModelSettings) -> str:
    """Return the name of the backbone; empty for models without a choice of one."""
    return str(getattr(settings, "backbone", ""))


def load_initial_weights(model: nn.Module, recipe: Recipe) -> None:
    """Fill `model` with the weights of `init_from`, then its parts with those of `init_parts`.

    Layers of the head or of presence keep their random weights if the file lacks them or their
    shapes differ. So does the entire head if the file has another kind of head or another scheme,
    with two exceptions: if the file's scheme joins the recipe's with others, the recipe's points
    are selected; if the recipe's scheme is the joined one, the file's points are filled in.

    Raises:
        ModelError: If a file contains no weights, or layers before the head do not fit.
    """
    if recipe.init_from:
        _load_network(model, recipe)
    for part, file in recipe.init_parts.items():
        _load_part(model, part, Path(file))


def _load_network(model: nn.Module, recipe: Recipe) -> None:
    path = Path(recipe.init_from)
    (weights, file_recipe), state = read_initial_weights(path), model.state_dict()
    if file_recipe is not None:
        file_scheme, recipe_scheme = scheme(file_recipe.scheme), scheme(recipe.scheme)
        same_head = _head(file_recipe) == _head(recipe)
        if same_head and recipe_scheme.name in file_scheme.heads:
            weights = _select_points(
                weights, len(file_scheme), file_scheme.heads[recipe_scheme.name]
            )
        elif same_head and file_scheme.name in recipe_scheme.heads:
            weights = _fill_points(
                weights, state, recipe_scheme.heads[file_scheme.name]
            )
        else:
            weights = _without_points(
                weights, same_head, file_recipe.scheme == recipe.scheme
            )
    matching = {}
    new_parts = getattr(model, "new_parts", NEW_PARTS)
    for key, value in state.items():
        if key in weights and weights[key].shape == value.shape:
            matching[key] = weights[key]
        elif not any(in_part(key, part) for part in new_parts):
            raise _shape_error(
                path, key, weights.get(key), value, "backbone and channels"
            )
    model.load_state_dict(state | matching)
    initialize = getattr(model, "initialize_missing", None)
    if initialize is not None:
        initialize(state.keys() - matching.keys())


def _without_points(
    weights: dict[str, Tensor], same_head: bool, same_scheme: bool
) -> dict[str, Tensor]:
    """Return `weights` without the layers that depend on the kind of head or the scheme."""
    dropped = [] if same_head and same_scheme else ["head"]
    if not same_scheme:
        dropped.append("presence.visible")
    remaining = {}
    for key, value in weights.items():
        if not any(in_part(key, part) for part in dropped):
            remaining[key] = value
    return remaining


def _head(recipe: Recipe) -> str:
    """Return the kind of head, or the kind of model if it has no head setting."""
    return str(getattr(recipe.model, "head", recipe.kind))


def _load_part(model: nn.Module, part: str, path: Path) -> None:
    weights, state = load_weights(path), model.state_dict()
    check_parts([part], state, "init_parts")
    part_weights = {}
    for key, value in state.items():
        if not in_part(key, part):
            continue
        if key not in weights or weights[key].shape != value.shape:
            raise _shape_error(path, key, weights.get(key), value, part)
        part_weights[key] = weights[key]
    model.load_state_dict(state | part_weights)


def _shape_error(
    path: Path, key: str, loaded: Tensor | None, expected: Tensor, parts: str
) -> ModelError:
    shape = "absent" if loaded is None else tuple(loaded.shape)
    return ModelError(
        f"{path}: {key} is {shape}, the recipe's model has {tuple(expected.shape)}; "
        f"give the recipe the {parts} that the weights were trained with"
    )


def _select_points(
    weights: dict[str, Any], count: int, points: tuple[int, ...]
) -> dict[str, Any]:
    """Return `weights` with only the rows `points` in layers that have a row per point."""
    selected = dict(weights)
    for key, value in weights.items():
        if _has_row_per_point(key, value, count):
            selected[key] = value[list(points)]
    return selected


def _fill_points(
    weights: dict[str, Tensor], state: dict[str, Tensor], points: tuple[int, ...]
) -> dict[str, Tensor]:
    """Return `weights` expanded to the rows of `state`; the file's rows replace `points`."""
    filled = dict(weights)
    for key, value in weights.items():
        if key in state and _has_row_per_point(key, value, len(points)):
            filled[key] = state[key].clone()
            filled[key][list(points)] = value.to(state[key].dtype)
    return filled


def _has_row_per_point(key: str, value: Tensor, count: int) -> bool:
    part = in_part(key, "head") or in_part(key, "presence.visible")
    return part and value.shape[:1] == (count,)


def read_trained(checkpoint: Path) -> tuple[dict[str, Any], Recipe]:
    """Return the state in a checkpoint and its recipe.

    Raises:
        ModelError: If the file is not a checkpoint, or contains no weights.
        RecipeError: If its recipe is invalid.
    """
    state = load_checkpoint(checkpoint)
    try:
        values, average = json.loads(state["recipe"]), state["average"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{checkpoint}: not a checkpoint of `lineament train` ({error}); give "
            "one that it wrote"
        ) from error
    if not isinstance(average, dict):
        raise ModelError(
            f"{checkpoint}: contains no weights; give a checkpoint that `lineament train` wrote"
        )
    return state, make_recipe(values, str(checkpoint))


def read_initial_weights(path: Path) -> tuple[dict[str, Tensor], Recipe | None]:
    """Return the weights in a file and its recipe, or None if it has none.

    Raises:
        ModelError: If the file is missing, broken or of another format.
        RecipeError: If its recipe is invalid.
    """
    if path.suffix != WEIGHTS:
        state, recipe = read_trained(path)
        return student_weights(state["average"]), recipe
    weights, metadata = read_weights(path)
    return weights, _recipe_in(metadata, path)


def read_stored_recipe(path: Path) -> Recipe | None:
    """Return the recipe of a checkpoint or of a weights file, None if it has none.

    Raises:
        ModelError: If the file is missing, broken or of another format.
        RecipeError: If its recipe is invalid.
    """
    if path.suffix != WEIGHTS:
        return read_trained(path)[1]
    return _recipe_in(read_metadata(path), path)


def _recipe_in(metadata: dict[str, str], path: Path) -> Recipe | None:
    if "recipe" not in metadata:
        return None
    return make_recipe(json.loads(metadata["recipe"]), str(path))


def load_any(checkpoint: Path, scheme_name: str = "") -> tuple[Any, Recipe]:
    """Return the averaged network of a checkpoint, in evaluation mode, and its recipe.

    Args:
        scheme_name: If the network's scheme joins this one with others, the network predicts
            only the points of this one.

    Raises:
        ModelError: If the file is missing, broken or of another format.
        RecipeError: If its recipe is invalid.
    """
    state, recipe = read_trained(checkpoint)
    weights = student_weights(state["average"])
    joined = scheme(recipe.scheme)
    if scheme_name in joined.heads:
        weights = _select_points(weights, len(joined), joined.heads[scheme_name])
        recipe = recipe.model_copy(update={"scheme": scheme_name})
    if any(key.startswith(REFINEMENT) for key in weights):
        # earlier checkpoints do not name this kind
        recipe = recipe.with_model(kind="refined-net")
    plain = recipe.with_model(imagenet=False, pruned_from="")
    model = build_model(plain.model_copy(update={"init_from": ""}))
    try:
        if recipe.model.pruned_from:
            fit_shapes(model, weights)
        model.load_state_dict(weights)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{checkpoint}: its weights do not fit the model of its recipe; train again"
        ) from error
    return model.eval(), recipe


def load_trained(checkpoint: Path, scheme_name: str = "") -> tuple[LandmarkNet, Recipe]:
    """Return the averaged network of a checkpoint, which must not be recurrent.

    Args:
        scheme_name: See `load_any`.

    Raises:
        ModelError: If it is recurrent, as trackers are.
    """
    model, recipe = load_any(checkpoint, scheme_name)
    if isinstance(model, RefinedNet):
        raise ModelError(
            f"{checkpoint}: a recurrent tracker, which cannot be used here; "
            "give the checkpoint of the landmark model that it refines"
        )
    return model, recipe


def load_detector(checkpoint: Path) -> tuple[FaceDetectorNet, Recipe]:
    """Return the averaged network of a face detector's checkpoint, and its recipe.

    Raises:
        ModelError: If the file is not a face detector's checkpoint.
    """
    model, recipe = load_any(checkpoint)
    if not isinstance(model, FaceDetectorNet):
        raise ModelError(
            f"{checkpoint} is not a checkpoint of a face detector; give the checkpoint of one"
        )
    return model, recipe
