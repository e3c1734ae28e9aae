"""Depthwise convolution with a fast bfloat16 backward pass on CPUs and the same results.

In oneDNN, the input gradient at stride 2 takes about 50 times as long as the forward pass, and the
weight gradient of a 5x5 kernel 50 to 90 times; the operations here take 2 to 10 times as long.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAST_KERNEL = 3
"""Kernel size whose weight gradient is fast in oneDNN."""


class _FastDepthwise(torch.autograd.Function):
    """A depthwise convolution of stride 1 or 2."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, 1, x.shape[1])

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        grad_x = (
            _input_gradient(gradient, x, weight, ctx.stride, ctx.padding)
            if ctx.needs_input_grad[0]
            else None
        )
        return (
            grad_x,
            _weight_gradient(gradient, x, weight, ctx.stride, ctx.padding),
            None,
            None,
        )


def _input_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """Return the gradient (B, C, H, W) of `x`: a convolution of `gradient` spread by the stride.

    x[i] contributes to output j through weight[i - stride * j + padding].
    """
    span = weight.shape[-1] - 1
    spread = gradient
    if stride > 1:
        height, width = (side + 2 * padding - span for side in x.shape[-2:])
        shape = (*x.shape[:2], height, width)
        spread = torch.empty(
            shape, dtype=gradient.dtype, device=x.device, memory_format=_layout(x)
        ).zero_()
        spread[:, :, ::stride, ::stride] = gradient
    flipped = weight.flip(2, 3).to(gradient.dtype)
    return F.conv2d(spread, flipped, None, 1, span - padding, 1, x.shape[1])


def _weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """Return the gradient (C, 1, k, k) of `weight`, computed for windows of 3x3 taps.

    The windows of a 5x5 kernel overlap in its middle row and column, with equal results.
    """
    kernel = weight.shape[-1]
    if kernel <= FAST_KERNEL:
        return _tap_gradient(gradient, x, weight, stride, padding)
    padded = F.pad(x, [padding] * 4)
    # size of the input region that the taps of a window cover
    height, width = (stride * (side - 1) + FAST_KERNEL for side in gradient.shape[-2:])
    window = weight[:, :, :FAST_KERNEL, :FAST_KERNEL].contiguous()
    full = torch.empty_like(weight)
    starts = range(0, kernel - 2, FAST_KERNEL - 1)
    for top in starts:
        for left in starts:
            region = padded[:, :, top : top + height, left : left + width].contiguous(
                memory_format=_layout(x)
            )
            part = _tap_gradient(gradient, region, window, stride, 0)
            full[:, :, top : top + FAST_KERNEL, left : left + FAST_KERNEL] = part
    return full


def _tap_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    tap_gradient: Tensor = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,
        [0, 0],
        x.shape[1],
        [False, True, False],
    )[1]
    return tap_gradient


def _layout(x: Tensor) -> torch.memory_format:
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


class DepthwiseConv2d(nn.Conv2d):
    """nn.Conv2d with groups = channels that trains fast in bfloat16 on a CPU.

    Args:
        padding: None for kernel // 2.
    """

    def __init__(
        self, channels: int, kernel: int, stride: int = 1, padding: int | None = None
    ) -> None:
        """Build the layer; a `padding` of None is kernel // 2."""
        padding = kernel // 2 if padding is None else padding
        super().__init__(
            channels, channels, kernel, stride, padding, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = int(self.kernel_size[0]), int(self.stride[0])
        padding = int(self.padding[0])
        slow = stride == 2 or (stride == 1 and kernel > FAST_KERNEL and kernel % 2 == 1)
        trains = (
            torch.is_grad_enabled()
            and x.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
        )
        if not (slow and trains):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        inputs = x.to(dtype), self.weight.to(dtype), stride, padding
        return _FastDepthwise.apply(*inputs)  # type: ignore[no-any-return, no-untyped-call]
