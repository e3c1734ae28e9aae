"""Recipe -> network, and checkpoint -> the network it holds.

Stands on torch.
"""

import json
from pathlib import Path

import torch

from ..errors import RecipeError
from ..models.attentive_1d import AxisSettings
from ..models.heads import STRIDE
from ..models.landmark_net import LandmarkNet
from ..models.refinement import RefinedNet
from ..schemes import scheme
from .checkpoint import load_checkpoint, load_weights, student_weights
from .recipe import Recipe, make_recipe
from .shapes import fit_shapes


def build_model(recipe: Recipe) -> LandmarkNet:
    """The network of `recipe`, its new layers drawn from the recipe's seed.

    Raises: RecipeError where `model.cut` comes without weights to start from.
    """
    torch.manual_seed(recipe.train.seed)
    m = recipe.model
    imagenet = m.imagenet and not recipe.start
    axes = AxisSettings(m.length, m.attention, m.decoder, recipe.sigma * STRIDE)
    model = LandmarkNet(m.backbone, len(scheme(recipe.scheme)), m.head, m.size, m.channels, imagenet, m.layout, axes)
    if m.cut and not recipe.start:
        raise RecipeError(
            f"model.cut is {m.cut!r} without a start: layers of other sizes have no weights; set start too"
        )
    if m.cut:
        fit_shapes(model, load_weights(Path(m.cut)))
    return model


def as_its_start(recipe: Recipe) -> Recipe:
    """`recipe` with the layout or the cut of the slimmed network it starts from, where it names none itself."""
    start, m = Path(recipe.start), recipe.model
    if not recipe.start or start.suffix != ".pt" or not start.is_file() or m.layout or m.cut:
        return recipe
    given = make_recipe(json.loads(load_checkpoint(start)["recipe"]), str(start)).model
    if given.backbone != m.backbone or not (given.layout or given.cut):
        return recipe
    update = {"layout": given.layout, "cut": recipe.start if given.cut else ""}
    return recipe.model_copy(update={"model": m.model_copy(update=update)})


def _plain(recipe: Recipe) -> Recipe:
    """`recipe` for a network whose weights come later."""
    update = {"imagenet": False, "cut": ""}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=update), "start": ""})


def load_trained(checkpoint: Path) -> tuple[LandmarkNet, Recipe]:
    """The averaged network of a checkpoint, ready to predict, and its recipe."""
    state = load_checkpoint(checkpoint)
    recipe = make_recipe(json.loads(state["recipe"]), str(checkpoint))
    model, weights = build_model(_plain(recipe)), student_weights(state["average"])
    if recipe.model.cut:
        fit_shapes(model, weights)
    model.load_state_dict(weights)
    return model.eval(), recipe


def build_refined(recipe: Recipe, fade: float) -> RefinedNet:
    """The network of `recipe` with the refinement of its heatmaps, both without anything learnt.

    Raises: RecipeError where the network has no heatmaps along axes.
    """
    return RefinedNet(build_model(_plain(recipe)), len(scheme(recipe.scheme)), fade)


def load_any(checkpoint: Path) -> tuple[LandmarkNet | RefinedNet, Recipe]:
    """As `load_trained`; of a checkpoint of `lineament refine` the network with its refinement."""
    state = load_checkpoint(checkpoint)
    recipe = make_recipe(json.loads(state["recipe"]), str(checkpoint))
    if recipe.refine is None:
        return load_trained(checkpoint)
    model = build_refined(recipe, recipe.refine.fade)
    model.load_state_dict(state["average"])
    return model.eval(), recipe
