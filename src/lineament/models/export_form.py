"""Export form of a network: uint8 crops in, landmarks and variance out."""

import torch
from torch import Tensor, nn

from .heads.output import HeadOutput
from .layers.space_to_depth import as_rows


class ExportForm(nn.Module):
    """Predict landmarks (B, N, 2) and variance (B, N) from uint8 RGB crops (B, S, S, 3).

    Further outputs follow in this order: logits of presence (B,) and of the points' visibility
    (B, N) if `presence` is true, logits of attributes (B, K), and the memory of a recurrent
    network, which is also its second input. Constants that must be found in the quantized file
    are buffers, since buffers keep their names.
    """

    memory_shape: tuple[int, ...] | None = None
    """(2, W, L): shape of the memory of a recurrent network; None: not recurrent."""
    presence = False
    """True if the network predicts presence and visibility."""
    rounding_px = 0.0
    """Crop pixels by which rounding alone may move a landmark."""
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, size: int, mean: Tensor, std: Tensor, by_rows: bool = False
    ) -> None:
        """Set the normalization.

        Args:
            size: Side S of the crop.
            mean, std: Mean and standard deviation per channel, in byte values.
            by_rows: The network's first layer is a RowStem; all channels then share mean and std.
        """
        super().__init__()
        self.size, self.by_rows = size, by_rows
        self.register_buffer("pixel_mean", _shared(mean))
        self.register_buffer("pixel_std", _shared(std))

    def normalize(self, crops: Tensor) -> Tensor:
        """Convert uint8 crops to the input of the network's first layer."""
        pixels = as_rows(crops) if self.by_rows else crops.permute(0, 3, 1, 2)
        return (pixels.float() - self.pixel_mean) / self.pixel_std

    def forward(
        self, crops: Tensor, memory: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        raise NotImplementedError


def exported_tensors(output: HeadOutput) -> tuple[Tensor, ...]:
    """Return the tensors of `output` that an export form returns, in order."""
    tensors = [output.landmarks, output.variance]
    states = output.presence_logits, output.visible_logits, output.class_logits
    for logits in states:
        if logits is not None:
            tensors.append(logits)
    return tuple(tensors)


def _shared(values: Tensor) -> Tensor:
    """Return the common value of all channels as a scalar, for row forms and the quantizer."""
    first = values.flatten()[0]
    return first.clone() if bool((values == first).all()) else values.clone()


def even_normalization(mean: Tensor, std: Tensor, backbone: nn.Module) -> None:
    """Normalize all channels by one mean and deviation, in place; the first layers compensate.

    The function stays the same except at the outermost pixels, where the padding becomes the common
    mean. An int8 graph can then read the bytes of the crop directly.

    Args:
        mean, std: Buffers of three channels.
        backbone: Its first convolution and norm follow the normalization.
    """
    common_mean, common_std = torch.round(mean.mean()), std.mean()
    convolution = next(m for m in backbone.modules() if isinstance(m, nn.Conv2d))
    norm = next(m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        shift = ((common_mean - mean) / std).view(1, 3, 1, 1) * convolution.weight
        assert norm.running_mean is not None
        norm.running_mean -= shift.sum((1, 2, 3))
        convolution.weight *= (common_std / std).view(1, 3, 1, 1)
        mean.fill_(common_mean)
        std.fill_(common_std)
