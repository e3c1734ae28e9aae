"""The kinds of models that are trained, by name. Depends on torch.

To add one: its settings in MODEL_KINDS of recipe/model.py, its network in a file of this
folder with `for_export()`, and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..recipe import Recipe
from ..schemes import scheme
from .face_detector import FaceDetectorNet
from .heads.output import STRIDE, HeadSettings
from .landmark_net import LandmarkNet
from .refinement import RefinedNet


@dataclass(frozen=True)
class Kind:
    """One kind of model."""

    build: Callable[[Recipe], nn.Module]
    """Makes the network of a recipe, with random weights except for ImageNet's."""
    task: str = "landmarks"
    """Task of `lineament train`: a key of TRAINED in training/registry.py."""
    file: str = "landmarks"
    """Kind of the exported file: a key of EXPORTERS in export/registry.py."""


def build_network(recipe: Recipe) -> Any:
    """Build the network of `recipe` by its kind."""
    return KINDS[recipe.kind].build(recipe)


def build_landmark_net(recipe: Recipe) -> LandmarkNet:
    """Build a landmark-net."""
    m = recipe.landmark_net
    head = HeadSettings(m.length, m.attention, m.decoder, recipe.sigma * STRIDE)
    points = len(scheme(recipe.scheme))
    return LandmarkNet(
        m.backbone,
        points,
        m.head,
        m.size,
        m.channels,
        m.imagenet,
        m.architecture,
        head,
        m.presence,
    )


def build_refined_net(recipe: Recipe) -> RefinedNet:
    """Build a landmark-net and the refinement of its heatmaps."""
    assert recipe.refine is not None  # or the task had refused the recipe
    net = build_landmark_net(recipe)
    return RefinedNet(net, len(scheme(recipe.scheme)), recipe.refine.decay)


def build_face_detector(recipe: Recipe) -> FaceDetectorNet:
    """Build a face detector."""
    settings = recipe.detector
    assert settings is not None  # of which Recipe.kind is made
    return FaceDetectorNet(settings.widths, settings.depths, settings.pyramid)


KINDS: dict[str, Kind] = {
    "landmark-net": Kind(build_landmark_net),
    "refined-net": Kind(build_refined_net, task="refine"),
    "face-detector": Kind(build_face_detector, task="detector", file="detector"),
}
