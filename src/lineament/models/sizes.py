"""How large each network to train is. Stands on torch."""

from typing import Any

import torch

from .backbones.registry import BACKBONES
from .landmark_net import LandmarkNet
from .profile import multiply_adds, parameters

CROP, POINTS, CHANNELS = 256, 68, 96
"""The papers' crop, 300W's points, and the width of the pyramid that a recipe has by default."""


def trainable_sizes() -> list[dict[str, Any]]:
    """Of each backbone, with a head of 2D heatmaps: its name, parameters and multiply-adds of one crop."""
    crop = torch.zeros(1, CROP, CROP, 3, dtype=torch.uint8)
    sizes = []
    for name in BACKBONES:
        net = LandmarkNet(name, POINTS, "heatmap2d", CROP, CHANNELS, imagenet=False)
        sizes.append(
            {"name": name, "parameters": parameters(net), "multiply_adds": multiply_adds(net, crop)}
        )
    return sizes
