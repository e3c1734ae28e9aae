"""The three networks of MTCNN: proposals, refinement, output.

Source: Zhang, Zhang, Li, Qiao 2016, figure 2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import RecipeError

Layer = tuple[int, int, int]
"""Kernel, channels, and side of the max pooling after it, of stride 2; 0: none."""
LAYERS: dict[str, tuple[Layer, ...]] = {
    "proposal": ((3, 10, 2), (3, 16, 0), (3, 32, 0)),
    "refine": ((3, 28, 3), (3, 48, 3), (2, 64, 0)),
    "output": ((3, 32, 3), (3, 64, 3), (3, 64, 2), (2, 128, 0)),
}
"""Convolutions of each network, each followed by PReLU."""
SIDES = {"proposal": 12, "refine": 24, "output": 48}
"""Side of the window that each network sees, pixels."""
DENSE = {"refine": 128, "output": 256}
STRIDE = 2
"""Pixels between two windows of the proposal network."""
MEAN, SCALE = 127.5, 128.0


@dataclass(frozen=True)
class WindowOutput:
    """Output of a network for B windows, in sides of the window from its upper left corner."""

    logits: Tensor
    """(B,): their sigmoid is the probability of a face."""
    boxes: Tensor
    """(B, 4): offsets of the face's box from the window's edges."""
    landmarks: Tensor
    """(B, 5, 2)."""


class WindowNet(nn.Module):
    """uint8 RGB windows (B, s, s, 3) -> WindowOutput.

    The network of proposals has no dense layer, so it takes larger images too: `scan`.

    Raises:
        RecipeError: For an unknown network.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in LAYERS:
            raise RecipeError(
                f"no network of MTCNN is called {name!r}; wanted {', '.join(LAYERS)}"
            )
        self.name, self.size = name, SIDES[name]
        layers: list[nn.Module] = []
        channels_in, side = 3, self.size
        for kernel, channels, pooled in LAYERS[name]:
            layers += [nn.Conv2d(channels_in, channels, kernel), nn.PReLU(channels)]
            side = side - kernel + 1
            if pooled:
                # sizes of the paper: 3 x 3 of stride 2 reaches over the border, as in Caffe
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
        self.out = nn.Conv2d(channels_in, 1 + 4 + 10, 1)

    def forward(self, windows: Tensor) -> WindowOutput:
        """Return the outputs of windows of the network's size."""
        out = self.scan(windows)[:, :, 0, 0]
        return WindowOutput(out[:, 0], out[:, 1:5], out[:, 5:].view(-1, 5, 2))

    def scan(self, images: Tensor) -> Tensor:
        """Return the outputs (B, 15, h, w) of all windows of images (B, H, W, 3)."""
        pixels = (images.permute(0, 3, 1, 2).float() - MEAN) / SCALE
        out: Tensor = self.out(self.features(pixels))
        return out.float()


def window_loss(
    output: WindowOutput,
    presence: Tensor,
    boxes: Tensor,
    landmarks: Tensor,
    weights: tuple[float, float, float],
    kept: float,
) -> dict[str, Tensor]:
    """Return the losses by name and their sum as "total".

    Args:
        presence: (B,), 1 for a face, 0 for none, nan for windows that train no score, which is
            beta of eq. 4.
        boxes: (B, 4), nan where no box is trained.
        landmarks: (B, 5, 2), nan where none is trained.
        weights: alpha of eq. 4: score, box, landmarks.
        kept: Share of windows with the largest losses that train the score: hard samples online.

    Source: Zhang et al. 2016, eq. 1 to 4 and section 3.3.
    """
    known = torch.isfinite(presence)
    each = nn.functional.binary_cross_entropy_with_logits(
        output.logits, torch.where(known, presence, 0.0), reduction="none"
    )
    each = torch.where(known, each, 0.0)
    count = (known.sum() * kept).clamp(min=1)
    # rank of each window by its loss, without a choice of another shape
    order = each.detach().argsort(descending=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    is_hard = (rank < count) & known
    score = torch.where(is_hard, each, 0.0).sum() / is_hard.sum().clamp(min=1)
    losses = {
        "score": weights[0] * score,
        "box": weights[1] * _mean_square(output.boxes, boxes),
        "points": weights[2]
        * _mean_square(output.landmarks.flatten(1), landmarks.flatten(1)),
    }
    return losses | {"total": torch.stack(list(losses.values())).sum()}


def _mean_square(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over rows of the sum of squares, of rows (B, K) that are known."""
    known = torch.isfinite(wanted).all(1)
    difference = torch.where(known[:, None], found - wanted, 0.0)
    return difference.square().sum() / known.sum().clamp(min=1)
