"""MTCNN: the proposal, refine and output networks. Depends on torch.

Source: Zhang, Zhang, Li, Qiao 2016, figure 2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .heads.output import HeadOutput

Layer = tuple[int, int, int]
"""Kernel size, channels, and kernel size of the max pooling of stride 2 after it; 0: none."""
LAYERS: dict[str, tuple[Layer, ...]] = {
    "proposal": ((3, 10, 2), (3, 16, 0), (3, 32, 0)),
    "refine": ((3, 28, 3), (3, 48, 3), (2, 64, 0)),
    "output": ((3, 32, 3), (3, 64, 3), (3, 64, 2), (2, 128, 0)),
}
"""Convolutions of each network, each followed by PReLU; networks in the order of their use."""
SIDES = {"proposal": 12, "refine": 24, "output": 48}
"""Window side of each network, pixels."""
DENSE = {"refine": 128, "output": 256}
"""Units of the dense layer; the proposal network has none and also takes larger images."""
OUTPUTS = 15
"""Outputs per window: a logit, the four edges of the box, five points."""
MEAN, SCALE = 127.5, 128.0


@dataclass(frozen=True)
class WindowOutput:
    """Output of a network for B windows."""

    logits: Tensor
    """(B,): their sigmoid is the probability of a face."""
    boxes: Tensor
    """(B, 4), pixels of the window."""
    landmarks: Tensor
    """(B, 5, 2), pixels of the window."""


class WindowNet(nn.Module):
    """Predict a WindowOutput from uint8 RGB windows (B, s, s, 3)."""

    def __init__(self, name: str) -> None:
        """Build the network with random weights.

        Args:
            name: A key of LAYERS.
        """
        super().__init__()
        self.size = SIDES[name]
        layers: list[nn.Module] = []
        channels_in, side = 3, self.size
        for kernel, channels, pooled in LAYERS[name]:
            layers += [nn.Conv2d(channels_in, channels, kernel), nn.PReLU(channels)]
            side = side - kernel + 1
            if pooled:
                # ceil_mode gives the paper's sizes: as in Caffe, pooling may exceed the border
                layers.append(nn.MaxPool2d(pooled, 2, ceil_mode=True))
                side = -(-(side - pooled) // 2) + 1
            channels_in = channels
        if name in DENSE:
            layers += [
                nn.Conv2d(channels_in, DENSE[name], side),
                nn.PReLU(DENSE[name]),
            ]
            channels_in = DENSE[name]
        self.features = nn.Sequential(*layers)
        self.out = nn.Conv2d(channels_in, OUTPUTS, 1)

    def forward(self, windows: Tensor) -> WindowOutput:
        out = self.scan(windows)[:, :, 0, 0]
        start, end = out[:, 1:3] * self.size - 0.5, out[:, 3:5] * self.size - 0.5
        boxes = torch.cat([start, end + self.size], 1)
        landmarks = out[:, 5:].view(-1, 5, 2) * self.size - 0.5
        return WindowOutput(out[:, 0], boxes, landmarks)

    def scan(self, images: Tensor) -> Tensor:
        """Return the outputs (B, 15, h, w) for all windows of images (B, H, W, 3).

        They are a logit, the offsets of the box edges from the window edges, and five points
        relative to the window's upper left corner, in units of the window side.
        """
        pixels = (images.permute(0, 3, 1, 2).float() - MEAN) / SCALE
        out: Tensor = self.out(self.features(pixels))
        return out.float()


class Mtcnn(nn.Module):
    """The networks up to one stage; the last one is trained and predicts crops.

    Maps uint8 RGB crops (B, S, S, 3) to a HeadOutput of five points.
    """

    def __init__(self, stages: int) -> None:
        """Build the networks with random weights.

        Args:
            stages: Number of networks, 1 to 3.
        """
        super().__init__()
        names = list(LAYERS)[:stages]
        self.networks = nn.ModuleDict({name: WindowNet(name) for name in names})
        self.new_parts = (f"networks.{names[-1]}",)
        self.size = SIDES[names[-1]]

    @property
    def last(self) -> WindowNet:
        """The network that is trained."""
        return self.network(list(self.networks)[-1])

    def network(self, name: str) -> WindowNet:
        """Return a network by its name."""
        network = self.networks[name]
        assert isinstance(network, WindowNet)
        return network

    def forward(self, crops: Tensor) -> HeadOutput:
        output: WindowOutput = self.last(crops)
        # no variance is predicted, but errors grow as the face score falls
        face_nll = nn.functional.softplus(-output.logits)[:, None]
        return HeadOutput(output.landmarks, face_nll.expand(-1, 5))
