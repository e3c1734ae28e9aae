"""Recipe -> network, and checkpoint -> the network it holds.

Stands on torch.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, RecipeError
from ..models.heads.output import STRIDE, HeadSettings
from ..models.landmark_net import LandmarkNet
from ..models.refinement import RefinedNet
from ..recipe import Recipe, make_recipe
from ..schemes import scheme
from .checkpoint import load_checkpoint, load_weights, student_weights
from .layer_shapes import fit_shapes

REFINEMENT = "refine."
"""What the names of a refinement's weights begin with."""


def build_model(recipe: Recipe, begun: Path | None = None) -> LandmarkNet:
    """The network of `recipe`, its new layers drawn from the recipe's seed.

    begun: the run's own checkpoint, which tells the sizes of a cut network's layers where there is one.
    Raises: RecipeError where `model.pruned_from` comes without weights to start from.
    """
    torch.manual_seed(recipe.train.seed)
    m = recipe.model
    imagenet = m.imagenet and not recipe.init_from
    head = HeadSettings(m.length, m.attention, m.decoder, recipe.sigma * STRIDE)
    model = LandmarkNet(
        m.backbone,
        len(scheme(recipe.scheme)),
        m.head,
        m.size,
        m.channels,
        imagenet,
        m.architecture,
        head,
    )
    if m.pruned_from and not recipe.init_from:
        raise RecipeError(
            f"model.pruned_from is {m.pruned_from!r} without init_from: layers of other sizes have no weights; set init_from too"
        )
    if m.pruned_from:
        fit_shapes(model, load_weights(begun or Path(m.pruned_from)))
    return model


def as_its_start(recipe: Recipe, begun: Path | None = None) -> Recipe:
    """`recipe` with the layout or the cut of the slimmed network it starts from, where it names none itself.

    begun: the run's own checkpoint, which tells that where there is one; what it started from may be gone.
    """
    source, m = begun or Path(recipe.init_from), recipe.model
    if (
        not recipe.init_from
        or source.suffix != ".pt"
        or not source.is_file()
        or m.architecture
        or m.pruned_from
    ):
        return recipe
    given = read_trained(source)[1].model
    if given.backbone != m.backbone or not (given.architecture or given.pruned_from):
        return recipe
    update = {
        "architecture": given.architecture,
        "pruned_from": recipe.init_from if given.pruned_from else "",
    }
    return recipe.model_copy(update={"model": m.model_copy(update=update)})


def start_from(model: nn.Module, recipe: Recipe) -> None:
    """Fills `model` with the weights that `recipe` starts from; layers of a head that do not fit stay as they are.

    So does the whole head where the checkpoint has one of another kind or scheme: what it says would mislead. Of a
    scheme that joins the recipe's with others, the recipe's points are taken.
    Raises: ModelError where the file is no such thing, or layers before the head do not fit.
    """
    path = Path(recipe.init_from)
    weights, own = load_weights(path), model.state_dict()
    if path.suffix != ".safetensors":
        given = read_trained(path)[1]
        joined = scheme(given.scheme).heads
        if given.model.head == recipe.model.head and recipe.scheme in joined:
            weights = _points_of_head(weights, len(scheme(given.scheme)), joined[recipe.scheme])
        elif (given.model.head, given.scheme) != (recipe.model.head, recipe.scheme):
            weights = {key: value for key, value in weights.items() if not key.startswith("head.")}
    fitting = {
        key: weights[key] for key in own if key in weights and weights[key].shape == own[key].shape
    }
    misfit = [key for key in own if key not in fitting and not key.startswith("head.")]
    if misfit:
        told = tuple(weights[misfit[0]].shape) if misfit[0] in weights else "absent"
        raise ModelError(
            f"{path}: {misfit[0]} is {told}, the recipe's model has {tuple(own[misfit[0]].shape)}; "
            "give the recipe the backbone and channels that the weights were trained with"
        )
    model.load_state_dict(own | fitting)


def _points_of_head(weights: dict[str, Any], count: int, points: tuple[int, ...]) -> dict[str, Any]:
    """Return `weights`, where head layers with a row per point, `count` in all, keep the rows of `points`."""
    kept = dict(weights)
    for key, value in weights.items():
        if key.startswith("head.") and value.ndim and value.shape[0] == count:
            kept[key] = value[list(points)]
    return kept


def _plain(recipe: Recipe) -> Recipe:
    """`recipe` for a network whose weights come later."""
    update = {"imagenet": False, "pruned_from": ""}
    return recipe.model_copy(
        update={"model": recipe.model.model_copy(update=update), "init_from": ""}
    )


def read_trained(checkpoint: Path) -> tuple[dict[str, Any], Recipe]:
    """What a checkpoint holds, and the recipe it was trained by.    Raises: ModelError, RecipeError."""
    state = load_checkpoint(checkpoint)
    try:
        told, average = json.loads(state["recipe"]), state["average"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{checkpoint}: no checkpoint of `lineament train` ({error}); give one that it wrote"
        ) from error
    if not isinstance(average, dict):
        raise ModelError(
            f"{checkpoint}: holds no weights; give a checkpoint that `lineament train` wrote"
        )
    return state, make_recipe(told, str(checkpoint))


def load_any(checkpoint: Path) -> tuple[LandmarkNet | RefinedNet, Recipe]:
    """The averaged network of a checkpoint, ready to predict, and its recipe; a tracker's with its refinement."""
    state, recipe = read_trained(checkpoint)
    weights = student_weights(state["average"])
    net = build_model(_plain(recipe))
    model: LandmarkNet | RefinedNet = net
    if recipe.refine is not None and any(key.startswith(REFINEMENT) for key in weights):
        model = RefinedNet(net, len(scheme(recipe.scheme)), recipe.refine.decay)
    try:
        if recipe.model.pruned_from:
            fit_shapes(model, weights)
        model.load_state_dict(weights)
    except (RuntimeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{checkpoint}: its weights are not of its recipe's model; train again"
        ) from error
    return model.eval(), recipe


def load_trained(checkpoint: Path) -> tuple[LandmarkNet, Recipe]:
    """As `load_any`, of a network without a memory.    Raises: ModelError for a tracker."""
    model, recipe = load_any(checkpoint)
    if isinstance(model, RefinedNet):
        raise ModelError(
            f"{checkpoint}: a tracker, which remembers frames; give the checkpoint of its detector"
        )
    return model, recipe
