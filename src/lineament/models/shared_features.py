"""A small network of shared features for landmarks and attributes, with one output per cluster.

Source: Zhang, Luo, Loy, Tang 2014 (tasks); Wu, Hassner, Kim, Medioni, Natarajan 2018 (clusters),
with the same layers.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import RecipeError
from .export_form import ExportForm, exported_tensors
from .heads.output import HeadOutput
from .layers.gray import to_gray
from .layers.local import AbsTanh
from .layers.weight_init import init_tanh

LAYERS = ((5, 16), (3, 48), (3, 64), (2, 64))
"""Kernel size and channels of the convolutions; all except the last are pooled."""
SHARED = 100
"""Number of units that all tasks share."""


class SharedFeatureNet(nn.Module):
    """Predict a HeadOutput from uint8 RGB crops (B, S, S, 3), with attribute logits if any.

    Args:
        mean_shape: (N, 2), pixels of the crop, which an untrained network predicts.
        size: Side S of the crop.
        width: Channels and shared units, as a multiple of the paper's.
        classes: Number of logits of all attributes.
        clusters: Number of clusters of the shared features, each with its own landmark output.

    Raises:
        RecipeError: If the crop is too small for the layers.
    """

    mean: Tensor
    std: Tensor
    mean_shape: Tensor
    centers: Tensor
    precisions: Tensor
    offsets: Tensor
    # weights of another scheme do not fit the landmark output and the mean shape
    new_parts = (
        "landmarks",
        "mean_shape",
        "attributes",
        "centers",
        "precisions",
        "offsets",
    )

    def __init__(
        self,
        mean_shape: Tensor,
        size: int,
        width: float = 1.0,
        classes: int = 0,
        clusters: int = 1,
    ) -> None:
        super().__init__()
        self.size, self.points, self.clusters = size, len(mean_shape), clusters
        layers: list[nn.Module] = []
        channels_in, side = 1, size
        for number, (kernel, full_channels) in enumerate(LAYERS):
            channels = round(full_channels * width)
            pool = 2 if number < len(LAYERS) - 1 else 1
            layers += [
                nn.Conv2d(channels_in, channels, kernel),
                AbsTanh(channels, pool),
            ]
            side = (side - kernel + 1) // pool
            channels_in = channels
        if side < 1:
            raise RecipeError(f"the crop's size is {size}; expected at least 36 pixels")
        shared = round(SHARED * width)
        self.features = nn.Sequential(*layers)
        self.shared = nn.Linear(channels_in * side**2, shared)
        # before the output layers, which are not followed by tanh
        init_tanh(self)
        self.landmarks = nn.Linear(shared, clusters * 3 * self.points)
        self.attributes = nn.Linear(shared, classes) if classes else None
        self.register_buffer("centers", torch.zeros(clusters, shared))
        self.register_buffer("precisions", torch.ones(clusters, shared))
        self.register_buffer("offsets", torch.zeros(clusters))
        self.register_buffer("mean_shape", mean_shape.float())
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 128.0))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 64.0))

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3)."""
        return self.predict((crops.permute(0, 3, 1, 2).float() - self.mean) / self.std)

    def shared_features(self, pixels: Tensor) -> Tensor:
        """Return the features (B, shared) of normalized crops (B, 3, S, S)."""
        maps = self.features(to_gray(pixels)).flatten(1)
        return torch.tanh(self.shared(maps))

    def cluster(self, features: Tensor) -> Tensor:
        """Return the most likely cluster (B,) of each row of features."""
        # written as a sum: a matrix product would be rounded to bfloat16 in training
        squared = (self.centers[None] - features.float()[:, None]).square()
        distance = (squared * self.precisions).sum(-1) / 2 - self.offsets
        return distance.argmin(1)

    @torch.no_grad()
    def set_clusters(self, centers: Any, precisions: Any, offsets: Any) -> None:
        """Set the clusters from arrays: centers and precisions (K, L), offsets (K,)."""
        for buffer, values in (
            (self.centers, centers),
            (self.precisions, precisions),
            (self.offsets, offsets),
        ):
            buffer.copy_(torch.from_numpy(values))

    def predict(self, pixels: Tensor) -> HeadOutput:
        """Predict normalized crops (B, 3, S, S)."""
        features = self.shared_features(pixels)
        out = self.landmarks(features).float().view(-1, self.clusters, 3 * self.points)
        if self.clusters > 1:
            chosen = self.cluster(features).view(-1, 1, 1)
            out = out.gather(1, chosen.expand(-1, 1, 3 * self.points))
        out = out.view(-1, self.points, 3)
        landmarks = self.mean_shape + out[..., :2] * self.size / 10
        variance = out[..., 2].clamp(-8, 8).exp() * (self.size / 100) ** 2
        logits = None if self.attributes is None else self.attributes(features).float()
        return HeadOutput(landmarks, variance, class_logits=logits)

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form; a network of this size gains nothing from int8.

        Raises:
            RecipeError: If `int8` is set.
        """
        if int8:
            raise RecipeError(
                "a network of shared features is too small to gain from int8; omit "
                "--int8"
            )
        return _SharedForm(copy.deepcopy(self).eval())


class _SharedForm(ExportForm):
    def __init__(self, net: SharedFeatureNet) -> None:
        super().__init__(net.size, net.mean, net.std)
        self.net = net

    def forward(
        self, crops: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return exported_tensors(self.net.predict(self.normalize(crops)))
