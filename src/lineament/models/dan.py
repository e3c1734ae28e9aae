"""Deep alignment network: each stage sees the entire face, aligned by the previous stage.

Source: Kowalski, Naruniec, Trzcinski 2017; the emotion head: Tautkute, Trzcinski, Bielski 2018.
"""

from collections.abc import Collection
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RecipeError
from .cascade_form import cascade_form
from .export_form import ExportForm
from .heads.output import HeadOutput
from .layers.gray import to_gray
from .layers.resample import (
    apply_affines,
    fit_similarities,
    invert_similarities,
    sample,
)

CHANNELS = (64, 128, 256, 512)
"""Output channels of the four pairs of convolutions: Kowalski et al. 2017, table 1."""
DENSE = 256
"""Number of units of fc1."""
FEATURE_SIDE = 56
"""Side of the image that the connection layer computes from fc1, before upsampling by 2."""


class Stage(nn.Module):
    """One stage: a network that predicts a shift of the landmarks from an image (B, C, S, S).

    Later stages normalize their joint input, as both authors' published code does, because
    their heatmap varies much less than the image.
    """

    def __init__(
        self, channels_in: int, points: int, size: int, width: float, dropout: float
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if channels_in > 1:
            layers.append(nn.BatchNorm2d(channels_in))
        for full_channels in CHANNELS:
            channels = max(8, round(full_channels * width / 8) * 8)
            for count in (channels_in, channels):
                layers += [
                    nn.Conv2d(count, channels, 3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                ]
            layers.append(nn.MaxPool2d(2))
            channels_in = channels
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(dropout)
        self.fc1 = nn.Linear(channels_in * (size // 16) ** 2, DENSE, bias=False)
        self.norm = nn.BatchNorm1d(DENSE)
        self.fc2 = nn.Linear(DENSE, 3 * points)
        # an untrained stage does not move the landmarks
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    @torch.no_grad()
    def copy_from(self, previous: "Stage") -> None:
        """Copy the weights of the previous stage, except those of fc2.

        The first convolution ignores channels that the previous stage lacks.
        """
        convolutions = [m for m in self.features if isinstance(m, nn.Conv2d)]
        first = next(m for m in previous.features if isinstance(m, nn.Conv2d))
        common = first.weight.shape[1]
        convolutions[0].weight.zero_()
        convolutions[0].weight[:, :common] = first.weight
        # the last layers are the same with and without a norm of the input
        layers, older = list(self.features), list(previous.features)
        after_first = layers.index(convolutions[0]) + 1
        for layer, other in zip(
            layers[after_first:], older[older.index(first) + 1 :], strict=True
        ):
            layer.load_state_dict(other.state_dict())
        self.fc1.load_state_dict(previous.fc1.state_dict())
        self.norm.load_state_dict(previous.norm.state_dict())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output of fc1, the shift of the landmarks, and their log variance.

        Returns:
            (B, DENSE), (B, N, 2) in tenths of the crop side, and (B, N).
        """
        maps = self.drop(self.features(x).flatten(1))
        dense = F.relu(self.norm(self.fc1(maps)))
        out = self.fc2(dense).float().view(x.shape[0], -1, 3)
        return dense, out[..., :2], out[..., 2].clamp(-8, 8)


class Connection(nn.Module):
    """Connection between two stages: turns fc1 (B, DENSE) into an image (B, 1, S, S)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.side, self.size = FEATURE_SIDE * size // 112, size
        self.dense = nn.Linear(DENSE, self.side**2)

    def forward(self, dense: Tensor) -> Tensor:
        image = F.relu(self.dense(dense)).view(-1, 1, self.side, self.side)
        return F.interpolate(image.float(), scale_factor=2.0, mode="nearest")


def landmark_heatmap(landmarks: Tensor, size: int) -> Tensor:
    """Return 1 / (1 + distance to the nearest landmark), (B, 1, size, size).

    Args:
        landmarks: (B, N, 2), pixels.
        size: Side of the map.

    Source: Kowalski et al. 2017, eq. 4.
    """
    line = torch.arange(size, device=landmarks.device, dtype=landmarks.dtype)
    x = (line[None, None, :] - landmarks[..., 0:1]).square()  # (B, N, S)
    y = (line[None, None, :] - landmarks[..., 1:2]).square()
    squared = (x[:, :, None, :] + y[:, :, :, None]).amin(1, keepdim=True)
    return 1 / (1 + (squared + 1e-6).sqrt())


class DeepAlignment(nn.Module):
    """Deep alignment network: predicts the HeadOutput of its last stage.

    Takes uint8 RGB crops (B, S, S, 3).

    Args:
        mean_shape: (N, 2), pixels of the crop: the initial shape, and the pose to which later
            stages align the face.
        size: Side S of the crop, a multiple of 16.
        stages: Number of stages.
        width: Channels, as a fraction of the paper's.
        dropout: Dropout rate of the input of fc1.
        classes: Number of logits of the emotion head on the last stage; 0: no such head.

    Raises:
        RecipeError: If the size is not a multiple of 16.
    """

    mean: Tensor
    std: Tensor
    mean_shape: Tensor

    def __init__(
        self,
        mean_shape: Tensor,
        size: int,
        stages: int,
        width: float = 1.0,
        dropout: float = 0.5,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if size % 16:
            raise RecipeError(
                f"the crop's size is {size}; "
                "expected a multiple of 16, the stride of fc1's input"
            )
        self.size, points = size, len(mean_shape)
        self.stages = nn.ModuleList(
            [
                Stage(3 if number else 1, points, size, width, dropout)
                for number in range(stages)
            ]
        )
        self.connections = nn.ModuleList([Connection(size) for _ in range(stages - 1)])
        self.emotion = nn.Linear(DENSE, classes) if classes else None
        # parts that keep their random weights if the loaded weights lack them
        self.new_parts = ["emotion"]
        if stages > 1:
            self.new_parts += [f"stages.{stages - 1}", f"connections.{stages - 2}"]
        self.register_buffer("mean_shape", mean_shape.float())
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 128.0))
        self.register_buffer("std", torch.full((1, 3, 1, 1), 64.0))

    def forward(self, crops: Tensor) -> HeadOutput:
        """Predict uint8 RGB crops (B, S, S, 3)."""
        pixels = (crops.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return self.align(pixels)

    def align(self, pixels: Tensor) -> HeadOutput:
        """Predict normalized crops (B, 3, S, S)."""
        gray = to_gray(pixels)
        landmarks = self.mean_shape.expand(pixels.shape[0], -1, 2)
        dense, shift, log_variance = self.stages[0](gray)
        unit = self.size / 10
        landmarks = landmarks + unit * shift
        scale = torch.ones_like(log_variance[:, :1])
        for stage, connection in zip(self.stages[1:], self.connections, strict=True):
            # no gradient flows through the alignment, which only selects the input of the stage
            affines = fit_similarities(landmarks.detach(), self.mean_shape)
            inverse = invert_similarities(affines)
            upright = apply_affines(affines, landmarks)
            inputs = torch.cat(
                [
                    sample(gray, inverse, self.size),
                    landmark_heatmap(upright.detach(), self.size),
                    connection(dense),
                ],
                dim=1,
            )
            dense, shift, log_variance = stage(inputs)
            landmarks = apply_affines(inverse, upright + unit * shift)
            scale = inverse[:, 0, :2].square().sum(1, keepdim=True)
        variance = log_variance.exp() * (self.size / 100) ** 2 * scale
        logits = None if self.emotion is None else self.emotion(dense).float()
        return HeadOutput(landmarks, variance, class_logits=logits)

    def initialize_missing(self, names: Collection[str]) -> None:
        """Let a new stage start from the previous one.

        Args:
            names: Names of the weights that were not loaded.
        """
        last = len(self.stages) - 1
        if last and f"stages.{last}.fc1.weight" in names:
            stage, previous = self.stages[last], self.stages[last - 1]
            cast(Stage, stage).copy_from(cast(Stage, previous))

    def for_export(self, int8: bool = False) -> ExportForm:
        """Return the export form.

        Raises:
            RecipeError: If `int8` is set.
        """
        return cascade_form(self, int8)
