"""Losses between the outputs of a student and a teacher for the same crops.

Depends on torch. No gradient reaches the teacher.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import RecipeError


def pixel_wise(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared difference of heatmaps (B, N, h, w), summed over each map, (B, N).

    Source: Light-ResNet50, eq. 3, without the mean over the points.
    """
    _check_shapes(student, teacher, "heatmaps")
    return (student - teacher.detach()).square().sum((-2, -1))


def pair_wise(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of the maps' cosine similarities, (B,).

    The similarities are between all pairs of positions in a feature map (B, C, h, w); the two maps
    may differ in channels. With the normalized features of all positions as rows of A (P, C) and
    T (P, D), the sum is |AA' - TT'|^2 = |A'A|^2 - 2 |A'T|^2 + |T'T|^2, which needs no (P, P)
    matrix: 0.8 MB per crop instead of 67 MB at 64 x 64 positions and 256 channels.

    Source: Light-ResNet50, eq. 4 and 5.
    """
    _check_shapes(student, teacher, "feature maps", channels=False)
    a, b = (
        F.normalize(maps.permute(0, 2, 3, 1).flatten(1, 2).float(), dim=2)
        for maps in (student, teacher.detach())
    )
    total: Tensor = _Similarities.apply(a, b)  # type: ignore[no-untyped-call]
    return total / a.shape[1] ** 2


class _Similarities(torch.autograd.Function):
    """|AA' - TT'|^2 (B,) for unit features A (B, P, C) and T (B, P, D).

    The gradient, 4 A (A'A) - 4 T (A'T)', is computed in the forward pass: autograd
    would need another large product, since it does not exploit the symmetry of A'A.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        # in fp32, because the difference of large sums loses precision
        with torch.autocast(a.device.type, enabled=False):
            student_gram, cross_gram, teacher_gram = (
                x.transpose(1, 2) @ y for x, y in ((a, a), (a, b), (b, b))
            )
            student_gradient = torch.baddbmm(
                a @ student_gram, b, cross_gram.transpose(1, 2), beta=4, alpha=-4
            )
        ctx.save_for_backward(student_gradient)
        squares = [
            product.square().sum((1, 2))
            for product in (student_gram, cross_gram, teacher_gram)
        ]
        return (squares[0] - 2 * squares[1] + squares[2]).clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (student_gradient,) = ctx.saved_tensors
        return student_gradient * gradient[:, None, None], None


def heatmap_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the Kullback-Leibler divergence of the student's heatmaps from the teacher's, (B, N).

    Args:
        student, teacher: Logits (B, N, h, w).
        temperature: Divides the logits of both. The divergence is multiplied by its square to keep
            the scale of the gradient (Hinton et al. 2015, section 2).

    Source: SD-HRNet, eq. 3.
    """
    _check_shapes(student, teacher, "heatmaps")
    log_student = (student.flatten(2) / temperature).log_softmax(-1)
    log_teacher = (teacher.detach().flatten(2) / temperature).log_softmax(-1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(-1) * temperature**2


def to_peaks(logits: Tensor, sigma: float, width: float) -> Tensor:
    """Return maps (B, N, h, w) with peaks of height 1 from the logits of distributions.

    A predicted distribution is the average of its target Gaussians over the possible positions of
    the point. Blurred to `width` and multiplied by 2 pi width^2, it becomes an average of Gaussians
    of height 1, which is what maps trained with squared errors converge to.

    Args:
        logits: (B, N, h, w).
        sigma: Width of the target Gaussians of the distributions, cells.
        width: Width of the peaks, cells.
    """
    probability = logits.float().flatten(2).softmax(-1).view_as(logits)
    if width > sigma:
        more = (width**2 - sigma**2) ** 0.5
        rows, columns = (
            _blur_matrix(count, more, logits.device) for count in logits.shape[-2:]
        )
        probability = rows @ probability @ columns
    return probability * (2 * math.pi * max(width, sigma) ** 2)


def _blur_matrix(count: int, sigma: float, device: torch.device) -> Tensor:
    """Return the symmetric matrix (count, count) that blurs an axis by `sigma` cells."""
    cells = torch.arange(count, dtype=torch.float32, device=device)
    kernel = torch.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma**2))
    matrix: Tensor = kernel / (sigma * math.sqrt(2 * math.pi))
    return matrix


def peer_ensemble(peers: Sequence[Tensor], logits: bool = True) -> Tensor:
    """Return the mean (B, N, h, w) of the maps of `peers`, as logits, without a gradient.

    Args:
        peers: Maps (B, N, h, w) of each peer.
        logits: Average the softmax of the maps; False: average maps of peak 1, as in the paper.

    Raises:
        RecipeError: If there are fewer than two peers.

    Source: SD-HRNet, eq. 4.
    """
    if len(peers) < 2:
        raise RecipeError(f"{len(peers)} peers; expected at least 2")
    for other in peers[1:]:
        _check_shapes(other, peers[0], "heatmaps")
    stacked = torch.stack([peer.detach() for peer in peers])
    if not logits:
        return stacked.mean(0)
    flat = stacked.flatten(3).log_softmax(-1)
    mean = flat.logsumexp(0) - math.log(len(peers))
    return mean.view_as(peers[0])


def feature_mimicry(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of feature maps (B, C, h, w), (B,).

    Source: Romero et al. 2015 (FitNets), eq. 3; a 1x1 convolution has already matched the channels.
    """
    _check_shapes(student, teacher, "feature maps")
    return (student - teacher.detach()).square().mean((1, 2, 3))


def _check_shapes(
    student: Tensor, teacher: Tensor, what: str, channels: bool = True
) -> None:
    a, b = tuple(student.shape), tuple(teacher.shape)
    if (a if channels else (a[0], *a[2:])) != (b if channels else (b[0], *b[2:])):
        raise RecipeError(
            f"the student's {what} are {a}, the teacher's {b}; expected the same size: "
            "choose matching crops and strides, or resize the teacher's first"
        )
