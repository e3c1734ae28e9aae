"""Feature mimicry: the detector's trunk imitates a network trained on ImageNet.

Depends on torch.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.backbones.registry import make_backbone
from ...models.face_detector import Cells, FaceDetectorNet

STRIDES = (8, 16, 32)


class ImitatingDetector(nn.Module):
    """A detector with 1x1 layers that map its features to the teacher's and are not exported."""

    def __init__(self, net: FaceDetectorNet, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.students = nn.ModuleList([net])
        self.adapt = nn.ModuleList(
            nn.Conv2d(channels_in, channels_out, 1)
            for channels_in, channels_out in zip(
                net.trunk_channels, channels, strict=True
            )
        )

    @property
    def net(self) -> FaceDetectorNet:
        """The detector."""
        net = self.students[0]
        assert isinstance(net, FaceDetectorNet)
        return net

    def forward(self, image: Tensor) -> Cells:
        """Run the detector alone."""
        return self.net(image)  # type: ignore[no-any-return]

    def with_features(self, image: Tensor) -> tuple[Cells, list[Tensor]]:
        """Return the cells and the mapped features (B, C, h, w) of strides 8, 16, 32."""
        taps = self.net.trunk(image)
        mapped = [adapt(tap) for adapt, tap in zip(self.adapt, taps, strict=True)]
        return self.net.cells(taps), mapped


class FeatureTeacher:
    """A frozen backbone with its ImageNet weights."""

    def __init__(self, name: str, device: torch.device) -> None:
        """Load the backbone.

        Raises:
            RecipeError: If the name is unknown, or it has no ImageNet weights.
            ExtraError: If their package is not installed.
        """
        backbone: Any = make_backbone(name, imagenet=True)
        self.chosen = [backbone.strides.index(stride) for stride in STRIDES]
        self.channels = tuple(int(backbone.channels[i]) for i in self.chosen)
        self.backbone: Any = backbone.eval().to(device)
        self.mean = torch.tensor(self.backbone.mean, device=device) * 255
        self.std = torch.tensor(self.backbone.std, device=device) * 255

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Tensor]:
        """Return the features (B, C, h, w) of uint8 images (B, H, W, 3) at strides 8, 16, 32."""
        maps = self.backbone(
            ((image.float() - self.mean) / self.std).permute(0, 3, 1, 2)
        )
        return [maps[i] for i in self.chosen]


def feature_distance(features: list[Tensor], target: list[Tensor]) -> Tensor:
    """Return the mean cosine distance between two lists of features, summed over the batch."""
    total = target[0].new_zeros((), dtype=torch.float32)
    for feature, other in zip(features, target, strict=True):
        cosine = functional.cosine_similarity(feature.float(), other.float(), dim=1)
        total = total + (1 - cosine).mean((1, 2)).sum()
    return total / len(target)
