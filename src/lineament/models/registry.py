"""Kinds of trainable models by name. Depends on torch.

To add one: its settings in MODEL_KINDS of recipe/model.py, its network in a file of this
folder with `for_export()`, and one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.cifar10 import CLASSES
from ..errors import RecipeError
from ..geometry import apply_affine, crop_affine, landmark_box
from ..recipe import Recipe
from ..recipe.model import (
    ClassifierSettings,
    CoarseToFineSettings,
    ConvCascadeSettings,
    DeepAlignmentSettings,
    DpmCnnSettings,
    MtcnnSettings,
    PartCascadeSettings,
    SharedFeatureSettings,
)
from ..schemes import convert, scheme
from .dan import DeepAlignment
from .dcnn import ConvCascade
from .dpm_detector import DpmDetector
from .face_detector import FaceDetectorNet
from .facepp import CoarseToFine
from .heads.output import STRIDE, HeadSettings
from .landmark_net import LandmarkNet
from .mtcnn import Mtcnn
from .part_cascade import PartCascade
from .refinement import RefinedNet
from .shared_features import SharedFeatureNet
from .vgg import Classifier


@dataclass(frozen=True)
class Kind:
    """One kind of model."""

    build: Callable[[Recipe], nn.Module]
    """Builds the network of a recipe, with random weights except for ImageNet's."""
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
    assert recipe.refine is not None  # checked by the task
    net = build_landmark_net(recipe)
    return RefinedNet(net, len(scheme(recipe.scheme)), recipe.refine.decay)


def build_face_detector(recipe: Recipe) -> FaceDetectorNet:
    """Build a face detector."""
    settings = recipe.detector
    assert settings is not None  # since Recipe.kind depends on it
    return FaceDetectorNet(settings.widths, settings.depths, settings.pyramid)


def build_shared_features(recipe: Recipe) -> SharedFeatureNet:
    """Build a network of shared features."""
    m = recipe.model
    assert isinstance(m, SharedFeatureSettings)
    mean = mean_shape_in_crop(recipe)
    return SharedFeatureNet(mean, m.size, m.width, class_count(recipe), m.clusters)


def class_count(recipe: Recipe) -> int:
    """Return the number of logits of the recipe's [tasks]; 0 if it has none."""
    if recipe.tasks is None:
        return 0
    return sum(len(names) for names in recipe.tasks.groups.values())


def build_coarse_to_fine(recipe: Recipe) -> CoarseToFine:
    """Build Face++'s cascade.

    Raises:
        RecipeError: If the scheme is not ibug68.
    """
    m = recipe.model
    assert isinstance(m, CoarseToFineSettings)
    check_parts_scheme(recipe)
    return CoarseToFine(mean_shape_in_crop(recipe), m.size, m.levels)


def build_conv_cascade(recipe: Recipe) -> ConvCascade:
    """Build Sun's cascade.

    Raises:
        RecipeError: If the scheme does not have five points.
    """
    m = recipe.model
    assert isinstance(m, ConvCascadeSettings)
    if recipe.scheme != "five":
        raise RecipeError(
            f'the scheme is {recipe.scheme}; a conv-cascade has five points: set scheme to "five"'
        )
    return ConvCascade(m.size, m.padding, m.levels)


def build_mtcnn(recipe: Recipe) -> Mtcnn:
    """Build MTCNN.

    Raises:
        RecipeError: If the scheme does not have five points.
    """
    m = recipe.model
    assert isinstance(m, MtcnnSettings)
    if recipe.scheme != "five":
        raise RecipeError(
            f'the scheme is {recipe.scheme}; an mtcnn has five points: set scheme to "five"'
        )
    return Mtcnn(m.stages)


def build_classifier(recipe: Recipe) -> Classifier:
    """Build a classifier of CIFAR-10."""
    m = recipe.model
    assert isinstance(m, ClassifierSettings)
    return Classifier(m.network, m.size, CLASSES, m.width)


def build_part_cascade(recipe: Recipe) -> PartCascade:
    """Build a cascade with parts.

    Raises:
        RecipeError: If the scheme is not ibug68.
    """
    m = recipe.model
    assert isinstance(m, PartCascadeSettings)
    check_parts_scheme(recipe)
    mean = mean_shape_in_crop(recipe)
    return PartCascade(mean, m.size, m.levels, m.width, m.contour_width, m.pool_first)


def build_dpm_cnn(recipe: Recipe) -> DpmDetector:
    """Build DPM-CNN.

    Raises:
        RecipeError: If the scheme is not ibug68.
    """
    m = recipe.model
    assert isinstance(m, DpmCnnSettings)
    check_parts_scheme(recipe)
    return DpmDetector(mean_shape_in_crop(recipe), m.width)


def check_parts_scheme(recipe: Recipe) -> None:
    """Check that the recipe's scheme has the parts of ibug68.

    Raises:
        RecipeError: If it does not.
    """
    if recipe.scheme != "ibug68":
        raise RecipeError(
            f"the scheme is {recipe.scheme}; the parts of a {recipe.kind} are those of ibug68"
        )


def build_deep_alignment(recipe: Recipe) -> DeepAlignment:
    """Build a deep alignment network."""
    m = recipe.model
    assert isinstance(m, DeepAlignmentSettings)
    mean = mean_shape_in_crop(recipe)
    classes = class_count(recipe)
    return DeepAlignment(mean, m.size, m.stages, m.width, m.dropout, classes)


def mean_shape_in_crop(recipe: Recipe) -> Tensor:
    """Return the mean shape (N, 2) of the recipe's scheme, pixels of a plain crop.

    A scheme without a mean shape gets that of ibug68, converted.

    Raises:
        RecipeError: If the conversion is not possible.
    """
    mean, ibug68_mean = scheme(recipe.scheme).mean_shape, scheme("ibug68").mean_shape
    assert ibug68_mean is not None
    if mean is None:
        mean = convert(ibug68_mean, "ibug68", recipe.scheme).points
    if not np.isfinite(mean).all():
        raise RecipeError(
            f"the scheme {recipe.scheme} has no mean shape, which a {recipe.kind} "
            "needs; choose a scheme that has one"
        )
    m = recipe.model
    # crops are made around the 68 points, whatever the scheme
    affine = crop_affine(landmark_box(ibug68_mean), m.size, m.padding)
    return torch.from_numpy(apply_affine(affine, mean))


KINDS: dict[str, Kind] = {
    "landmark-net": Kind(build_landmark_net),
    "refined-net": Kind(build_refined_net, task="refine"),
    "shared-features": Kind(build_shared_features, task="attributes"),
    "coarse-to-fine": Kind(build_coarse_to_fine),
    "conv-cascade": Kind(build_conv_cascade),
    "deep-alignment": Kind(build_deep_alignment, task="attributes"),
    "classifier": Kind(build_classifier, task="classifier", file="classifier"),
    "part-cascade": Kind(build_part_cascade, task="parts"),
    "dpm-cnn": Kind(build_dpm_cnn, task="dpm-cnn", file="dpm-cnn"),
    "mtcnn": Kind(build_mtcnn, task="mtcnn", file="mtcnn"),
    "face-detector": Kind(build_face_detector, task="detector", file="detector"),
}
