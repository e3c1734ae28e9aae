"""Row forms of layers: equivalent layers over rows of pixels, for which int8 kernels are fast.

The kernels use channels-last memory, so neighboring pixels of a row can be read as one pixel with
more channels, without a copy.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIXELS = 4
"""Pixels of a row that become the channels of one cell."""


class RowStem(nn.Module):
    """The first convolution over rows of four pixels, with its norm folded in.

    (B, 12, H, W / 4), four RGB pixels of a row in each cell -> (B, C, H / 2, W / 2). The plain
    convolution gathers 9 x 3 bytes per output, this one 6 x 12 bytes for two outputs.
    """

    def __init__(
        self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, activation: nn.Module
    ) -> None:
        """Fold the layers.

        Args:
            convolution: 3x3, stride 2, padding 1, three channels, no bias.
            norm: Its batch normalization, trained.
            activation: Applied last.
        """
        super().__init__()
        self.channels = channels = convolution.out_channels
        self.wide = nn.Conv2d(3 * PIXELS, 2 * channels, (3, 2), (2, 1))
        self.activation = activation
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert self.wide.bias is not None
        with torch.no_grad():
            gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            kernel = convolution.weight * gain.view(-1, 1, 1, 1)
            self.wide.bias.copy_((norm.bias - norm.running_mean * gain).repeat(2))
            self.wide.weight.zero_()
            for output in range(2):
                for column in range(3):
                    # cell -1 is the previous cell
                    cell, pixel = divmod(2 * output - 1 + column, PIXELS)
                    rows = slice(output * channels, (output + 1) * channels)
                    colors = slice(3 * pixel, 3 * pixel + 3)
                    self.wide.weight[rows, colors, :, cell + 1] = kernel[..., column]

    @classmethod
    def of(cls, stem: nn.Module) -> "RowStem":
        """Return the row form of `stem`: convolution, norm and activation."""
        convolution, norm, activation = stem.children()
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        return cls(convolution, norm, activation)

    def forward(self, cells: Tensor) -> Tensor:
        y: Tensor = self.activation(self.wide(F.pad(cells, (1, 0, 1, 0))))
        height, width = y.shape[2:]
        # a cell contains two neighboring outputs; in channels-last memory, a view splits them
        y = y.permute(0, 2, 3, 1).reshape(-1, height, 2 * width, self.channels)
        return y.permute(0, 3, 1, 2)


class Upsample2x(nn.Module):
    """Nearest-neighbor upsampling: (B, C, H, W) -> (B, C, 2 H, 2 W)."""

    def __init__(self) -> None:
        super().__init__()
        self.by_rows = False
        """True: use the row form, which copies complete rows."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.by_rows:
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        channels, height, width = x.shape[1:]
        y = x.permute(0, 2, 3, 1)
        y = torch.cat([y, y], 3).reshape(-1, height, 1, 2 * width * channels)
        return (
            torch.cat([y, y], 2)
            .reshape(-1, 2 * height, 2 * width, channels)
            .permute(0, 3, 1, 2)
        )


def upsample_by_rows(model: nn.Module) -> None:
    """Switch every Upsample2x of `model` to its row form."""
    for module in model.modules():
        if isinstance(module, Upsample2x):
            module.by_rows = True


def as_rows(image: Tensor) -> Tensor:
    """Reshape uint8 RGB (B, H, W, 3), W a multiple of four, to (B, 12, H, W / 4)."""
    height, width = image.shape[1:3]
    return image.reshape(-1, height, width // PIXELS, 3 * PIXELS).permute(0, 3, 1, 2)
