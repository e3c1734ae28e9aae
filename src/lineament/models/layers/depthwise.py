"""A depthwise convolution with a fast backward pass on a CPU in bfloat16.

oneDNN's input gradient of a stride-2 depthwise convolution in bfloat16 takes about 50
times the forward pass; zeros between the outputs and one more convolution take about 2
times.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _StridedDepthwise(torch.autograd.Function):
    """Stride 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        return F.conv2d(x, weight, None, 2, padding, 1, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        padding, reach = ctx.padding, weight.shape[-1] - 1
        grad_x = None
        if ctx.needs_input_grad[0]:
            # x[i] met output j by weight[i - 2 j + padding]: the spread gradient is
            # convolved with the turned kernel
            height, width = (side + 2 * padding - reach for side in x.shape[-2:])
            shape = (*x.shape[:2], height, width)
            spread = torch.empty(
                shape, dtype=gradient.dtype, device=x.device, memory_format=_layout(x)
            ).zero_()
            spread[:, :, ::2, ::2] = gradient
            grad_x = F.conv2d(
                spread,
                weight.flip(2, 3).to(gradient.dtype),
                None,
                1,
                reach - padding,
                1,
                x.shape[1],
            )
        _, grad_weight, _ = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight,
            None,
            [2, 2],
            [padding, padding],
            [1, 1],
            False,
            [0, 0],
            x.shape[1],
            [False, True, False],
        )
        return grad_x, grad_weight, None


def _layout(x: Tensor) -> torch.memory_format:
    channels_last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


class DepthwiseConv2d(nn.Conv2d):
    """nn.Conv2d with groups = channels; fast at stride 2 in bfloat16 on a CPU."""

    def __init__(
        self, channels: int, kernel: int, stride: int = 1, padding: int | None = None
    ) -> None:
        """Build it; a `padding` of None is kernel // 2."""
        padding = kernel // 2 if padding is None else padding
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        slow = self.stride[0] == 2 and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not (slow and torch.is_grad_enabled()):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        padding = int(self.padding[0])
        weight = self.weight.to(dtype)
        return _StridedDepthwise.apply(x.to(dtype), weight, padding)  # type: ignore[no-any-return, no-untyped-call]
