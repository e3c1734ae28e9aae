"""Losses of landmarks: each takes HeadOutput and the truth and counts only the points that are annotated.

Stands on torch.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RecipeError, did_you_mean
from ..models.heads.output import HeadOutput
from .targets import gaussian_1d, gaussian_2d


def present(landmarks: Tensor) -> Tensor:
    """(B, N) bool: which of the `landmarks` (B, N, 2) are annotated, that is, not nan."""
    return torch.isfinite(landmarks).all(-1)


def mean_present(values: Tensor, mask: Tensor, count: int | Tensor | None = None) -> Tensor:
    """The mean of `values` (B, N) over the points of `mask`; 0 where there is none.    count: divides instead."""
    count = mask.sum() if count is None else count
    return torch.where(mask, values, 0.0).sum() / (
        count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)
    )


def cross_entropy_2d(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """(B, N): cross-entropy between the softmax of each heatmap and a Gaussian around the truth."""
    heatmaps = _need(raw.heatmap_logits, "cross_entropy", "heatmap2d")
    target = _target_2d(raw, heatmaps, landmarks, stride * sigma)
    return -(target * heatmaps.flatten(2).log_softmax(-1).view_as(heatmaps)).sum((-2, -1))


def _target_2d(raw: HeadOutput, heatmaps: Tensor, landmarks: Tensor, sigma_px: float) -> Tensor:
    """The distributions that `heatmaps` (B, N, h, w) of a head are to be."""
    return gaussian_2d(
        landmarks, heatmaps.shape[-2], heatmaps.shape[-1], raw.stride, sigma_px / raw.stride
    )


def mse_2d(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """(B, N): squared error between each map of a gaussian2d head and a Gaussian of height 1, integrated over it.

    The unit of length is `stride`, that of a map of the usual size, whose cells are added up; a finer map has the same
    loss for the same error. Source: Xiao et al. 2018, section 2.
    """
    heatmaps = _need(raw.heatmaps, "mse", "gaussian2d")
    target = _target_2d(raw, heatmaps, landmarks, stride * sigma)
    away = (heatmaps - target / target.amax((-2, -1), keepdim=True)).square().sum((-2, -1))
    return away * (raw.stride / stride) ** 2


def adaptive_wing(
    raw: HeadOutput,
    landmarks: Tensor,
    stride: float,
    sigma: float,
    omega: float = 14,
    theta: float = 0.5,
    alpha: float = 2.1,
) -> Tensor:
    """(B, N): adaptive wing loss between each map of a gaussian2d head and a Gaussian of height 1, averaged.

    Source: Wang et al. 2019, eq. 3, with epsilon = 1.
    """
    heatmaps = _need(raw.heatmaps, "adaptive_wing", "gaussian2d")
    target = _target_2d(raw, heatmaps, landmarks, stride * sigma)
    target = target / target.amax((-2, -1), keepdim=True)
    power = alpha - target
    delta = (heatmaps - target).abs()
    slope = omega / (1 + theta**power) * power * theta ** (power - 1)
    offset = theta * slope - omega * torch.log1p(theta**power)
    return torch.where(
        delta < theta, omega * torch.log1p(delta**power), slope * delta - offset
    ).mean((-2, -1))


def cross_entropy_1d(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """(B, N): cross-entropy along x and y to Gaussians around the truth, averaged; `stride`, in which `sigma` is given,
    is that of a 2D map.

    Source: Li et al. 2022 (SimCC), section 3.2.
    """
    total: Tensor | float = 0.0
    for logits, positions in (
        (raw.heatmap_logits_x, landmarks[..., 0]),
        (raw.heatmap_logits_y, landmarks[..., 1]),
    ):
        logits = _need(logits, "cross_entropy_1d", "attentive1d")
        target = gaussian_1d(positions, logits.shape[-1], raw.stride, sigma * stride / raw.stride)
        total = total - (target * logits.log_softmax(-1)).sum(-1) / 2
    return total  # type: ignore[return-value]


def mse_1d(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """(B, N): squared error between the maps along x and y and Gaussians of height 1, integrated over both.

    The unit of length, of `sigma`, too, is `stride`, that of a 2D map: maps of any length have the same loss for the
    same error. Source: Yin et al. 2020, eq. 11 and 12: the marginals of a Gaussian are Gaussians.
    """
    total: Tensor | float = 0.0
    for maps, positions in (
        (raw.heatmaps_x, landmarks[..., 0]),
        (raw.heatmaps_y, landmarks[..., 1]),
    ):
        maps = _need(maps, "mse_1d", "attentive1d-gaussian")
        target = gaussian_1d(positions, maps.shape[-1], raw.stride, sigma * stride / raw.stride)
        total = (
            total
            + (maps - target / target.amax(-1, keepdim=True)).square().sum(-1) * raw.stride / stride
        )
    return total  # type: ignore[return-value]


def l1(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """(B, N): absolute error of the coordinates in units of `stride`, x and y added."""
    return ((raw.landmarks - landmarks) / stride).abs().sum(-1)


def smooth_l1(
    raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float, beta: float = 0.25
) -> Tensor:
    """(B, N): smooth L1 of the coordinates in units of `stride`, quadratic below `beta`, x and y added."""
    return F.smooth_l1_loss(
        raw.landmarks / stride, landmarks / stride, reduction="none", beta=beta
    ).sum(-1)


def wing(
    raw: HeadOutput,
    landmarks: Tensor,
    stride: float,
    sigma: float,
    omega: float = 10,
    epsilon: float = 2,
) -> Tensor:
    """(B, N): wing loss of the coordinates in pixels of the crop, x and y added.

    Source: Feng et al. 2018, eq. 5.
    """
    delta = (raw.landmarks - landmarks).abs()
    offset = omega - omega * math.log1p(omega / epsilon)
    return torch.where(delta < omega, omega * torch.log1p(delta / epsilon), delta - offset).sum(-1)


def gaussian_nll(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """(B, N): negative log likelihood of the truth under the head's own variance, in units of `stride`, x and y added.

    The gradient reaches the variance alone: coordinates are learnt by their own loss.
    """
    variance = raw.variance / stride**2 + 1e-4
    squared = ((raw.landmarks.detach() - landmarks) / stride).square().sum(-1)
    return squared / (2 * variance) + variance.log()


Loss = Callable[[HeadOutput, Tensor, float, float], Tensor]
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy_2d,
    "mse": mse_2d,
    "adaptive_wing": adaptive_wing,
    "cross_entropy_1d": cross_entropy_1d,
    "mse_1d": mse_1d,
    "l1": l1,
    "smooth_l1": smooth_l1,
    "wing": wing,
    "gaussian_nll": gaussian_nll,
}


def total_loss(
    raw: HeadOutput,
    landmarks: Tensor,
    weights: dict[str, float],
    stride: float,
    sigma: float,
    count: int | Tensor | None = None,
) -> dict[str, Tensor]:
    """The weighted losses by name, and their sum as "total"; each the mean over the annotated points.

    landmarks: (B, N, 2), pixels of the crop, nan where not annotated.
    count: of the annotated points of a larger batch that this one is a part of; None: this one is whole.
    """
    mask = present(landmarks)
    filled = torch.where(mask[..., None], landmarks, 0.0)
    parts = {
        name: weight * mean_present(LOSSES[name](raw, filled, stride, sigma), mask, count)
        for name, weight in weights.items()
    }
    return parts | {"total": torch.stack(list(parts.values())).sum()}


def check_losses(weights: dict[str, float]) -> None:
    """Raises: RecipeError for a loss nobody knows, a weight not above 0, or no loss at all."""
    if not weights:
        raise RecipeError(
            "the recipe names no loss; wanted at least one of " + ", ".join(sorted(LOSSES))
        )
    for name in weights:
        if name not in LOSSES:
            raise RecipeError(f"no loss is called {name!r}; {did_you_mean(name, LOSSES)}")
        if not weights[name] > 0:
            raise RecipeError(
                f"the weight of the loss {name!r} is {weights[name]}; wanted a number above 0"
            )


def _need(part: Tensor | None, loss: str, head: str) -> Tensor:
    if part is None:
        raise RecipeError(
            f"the loss {loss!r} wants the head {head!r}; choose that head or another loss"
        )
    return part
