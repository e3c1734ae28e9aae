"""Losses between a student and what a teacher says of the same crops; each is one published equation.

Stands on torch. Nothing here has a gradient towards the teacher.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import RecipeError


def pixel_wise(student: Tensor, teacher: Tensor) -> Tensor:
    """(B, N): squared difference of the heatmaps (B, N, h, w), summed over each map.

    Source: Light-ResNet50, eq. 3; the mean over the points is left to the caller.
    """
    _same_maps(student, teacher, "heatmaps")
    return (student - teacher.detach()).square().sum((-2, -1))


def pair_wise(student: Tensor, teacher: Tensor) -> Tensor:
    """(B,): mean squared difference of the cosine similarities of all pairs of positions of two maps (B, C, h, w).

    The channels may differ. Source: Light-ResNet50, eq. 4 and 5. With the unit features of all positions as rows of
    A (P, C) and T (P, D), what is summed is |AA' - TT'|^2 = |A'A|^2 - 2 |A'T|^2 + |T'T|^2: the matrices of P x P
    similarities are never made. Memory is B (C^2 + C D + D^2) floats beside the features, 0.8 MB a picture of 256
    channels, where a map of 64 x 64 would take 67 MB a matrix; the sum is the same.
    """
    _same_maps(student, teacher, "feature maps", channels=False)
    a, b = (
        F.normalize(m.permute(0, 2, 3, 1).flatten(1, 2).float(), dim=2)
        for m in (student, teacher.detach())
    )
    total: Tensor = _Similarities.apply(a, b)  # type: ignore[no-untyped-call]
    return total / a.shape[1] ** 2


class _Similarities(torch.autograd.Function):
    """(B,): |AA' - TT'|^2 of the unit features A (B, P, C) and T (B, P, D) of all positions.

    The gradient, 4 A (A'A) - 4 T (A'T)', is made beside the value: autograd, which cannot know that A'A is symmetric,
    would need one large product more.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        with torch.autocast(
            a.device.type, enabled=False
        ):  # the difference of large sums wants every digit
            own, mixed, theirs = (x.transpose(1, 2) @ y for x, y in ((a, a), (a, b), (b, b)))
            slope = torch.baddbmm(a @ own, b, mixed.transpose(1, 2), beta=4, alpha=-4)
        ctx.save_for_backward(slope)
        total = (
            own.square().sum((1, 2)) - 2 * mixed.square().sum((1, 2)) + theirs.square().sum((1, 2))
        )
        return total.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradient[:, None, None], None


def heatmap_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """(B, N): Kullback-Leibler divergence from the student's softmax over each heatmap (B, N, h, w) to the teacher's.

    student, teacher: logits.    temperature: divides both; the divergence is multiplied by its square, which keeps the
    gradient's size (Hinton et al. 2015, section 2). Source: SD-HRNet, eq. 3.
    """
    _same_maps(student, teacher, "heatmaps")
    log_student = (student.flatten(2) / temperature).log_softmax(-1)
    log_teacher = (teacher.detach().flatten(2) / temperature).log_softmax(-1)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(-1) * temperature**2


def to_peaks(logits: Tensor, sigma: float, wanted: float) -> Tensor:
    """Maps (B, N, h, w) with spots of height 1 and width `wanted`, of the distributions that `logits` are of.

    sigma: width of the Gaussians that the distributions were trained towards; both in cells. Such a distribution is
    the mean of those Gaussians over where the point may be; widened, and times 2 pi wanted^2, it is that of Gaussians
    of height 1, which maps trained by squared errors come to.
    """
    probability = logits.float().flatten(2).softmax(-1).view_as(logits)
    if wanted > sigma:
        more = (wanted**2 - sigma**2) ** 0.5
        rows, columns = (_widen(count, more, logits.device) for count in logits.shape[-2:])
        probability = rows @ probability @ columns
    return probability * (2 * math.pi * max(wanted, sigma) ** 2)


def _widen(count: int, sigma: float, device: torch.device) -> Tensor:
    """(count, count): what a Gaussian of `sigma` cells makes of one axis; the matrix is its own transpose."""
    cells = torch.arange(count, dtype=torch.float32, device=device)
    kernel = torch.exp(-((cells[:, None] - cells) ** 2) / (2 * sigma**2))
    widened: Tensor = kernel / (sigma * math.sqrt(2 * math.pi))
    return widened


def peer_ensemble(peers: Sequence[Tensor], logits: bool = True) -> Tensor:
    """The mean (B, N, h, w) of what the `peers` say, as logits of a softmax, without a gradient.

    logits: average the softmax of each; else the maps themselves, as the paper does with maps of height 1.
    Source: SD-HRNet, eq. 4.    Raises: RecipeError for fewer than two peers.
    """
    if len(peers) < 2:
        raise RecipeError(f"{len(peers)} peers; wanted at least 2 to learn from one another")
    for other in peers[1:]:
        _same_maps(other, peers[0], "heatmaps")
    stacked = torch.stack([peer.detach() for peer in peers])
    if not logits:
        return stacked.mean(0)
    flat = stacked.flatten(3).log_softmax(-1)
    mean = flat.logsumexp(0) - math.log(len(peers))
    return mean.view_as(peers[0])


def feature_mimicry(student: Tensor, teacher: Tensor) -> Tensor:
    """(B,): mean squared difference of two feature maps (B, C, h, w) of the same shape.

    Source: Romero et al. 2015 (FitNets), eq. 3; where the channels differ, a 1x1 convolution comes before.
    """
    _same_maps(student, teacher, "feature maps")
    return (student - teacher.detach()).square().mean((1, 2, 3))


def _same_maps(student: Tensor, teacher: Tensor, what: str, channels: bool = True) -> None:
    a, b = tuple(student.shape), tuple(teacher.shape)
    if (a if channels else (a[0], *a[2:])) != (b if channels else (b[0], *b[2:])):
        raise RecipeError(
            f"the student's {what} are {a}, the teacher's {b}; wanted the same size: choose crops and strides that "
            "agree, or resize the teacher's first"
        )
