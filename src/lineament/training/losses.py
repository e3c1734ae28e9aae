"""Landmark losses: each compares a HeadOutput with the annotation and returns (B, N).

Depends on torch. All take landmarks in pixels of the crop. Their unit of length, also of `sigma`,
is `stride`, the crop pixels per cell of a 2D map.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RecipeError, did_you_mean
from ..models.heads.output import HeadOutput
from ..recipe import Recipe
from .freeze import in_part
from .targets import gaussian_1d, gaussian_2d


def present(landmarks: Tensor) -> Tensor:
    """Return a mask (..., N) of the annotated `landmarks` (..., N, 2), those that are not nan."""
    return torch.isfinite(landmarks).all(-1)


def mean_present(
    values: Tensor, mask: Tensor, count: int | Tensor | None = None
) -> Tensor:
    """Return the sum of `values` where `mask`, divided by `count`, by default the mask's sum."""
    count = mask.sum() if count is None else count
    at_least_1 = count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)
    return torch.where(mask, values, 0.0).sum() / at_least_1


def cross_entropy_2d(
    raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float
) -> Tensor:
    """Return the cross-entropy between the softmax of each heatmap and a Gaussian."""
    heatmaps = _need(raw.heatmap_logits, "cross_entropy", "heatmap2d")
    target = _target_2d(raw, heatmaps, landmarks, stride * sigma)
    return -(target * heatmaps.flatten(2).log_softmax(-1).view_as(heatmaps)).sum(
        (-2, -1)
    )


def _target_2d(
    raw: HeadOutput, heatmaps: Tensor, landmarks: Tensor, sigma_px: float
) -> Tensor:
    """Return the target distributions (B, N, h, w) of `heatmaps`."""
    height, width = heatmaps.shape[-2:]
    return gaussian_2d(landmarks, height, width, raw.stride, sigma_px / raw.stride)


def mse_2d(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """Return the squared error of each map from a Gaussian of peak 1, integrated over the map.

    The sum is in cells of stride 4, so the loss does not depend on the resolution of the map.
    Source: Xiao et al. 2018, section 2.
    """
    maps = _need(raw.heatmaps, "mse", "gaussian2d")
    target = _target_2d(raw, maps, landmarks, stride * sigma)
    squared = (maps - target / target.amax((-2, -1), keepdim=True)).square()
    return squared.sum((-2, -1)) * (raw.stride / stride) ** 2


def cross_entropy_1d(
    raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float
) -> Tensor:
    """Return the cross-entropy to Gaussians along x and y, averaged.

    Source: Li et al. 2022 (SimCC), section 3.2.
    """
    total = torch.zeros_like(landmarks[..., 0])
    for axis, axis_logits in enumerate((raw.heatmap_logits_x, raw.heatmap_logits_y)):
        logits = _need(axis_logits, "cross_entropy_1d", "attentive1d")
        target = _target_1d(raw, logits, landmarks[..., axis], stride * sigma)
        total = total - (target * logits.log_softmax(-1)).sum(-1) / 2
    return total


def _target_1d(
    raw: HeadOutput, maps: Tensor, positions: Tensor, sigma_px: float
) -> Tensor:
    """Return the target distributions (B, N, L) of `maps` along one axis."""
    return gaussian_1d(positions, maps.shape[-1], raw.stride, sigma_px / raw.stride)


def mse_1d(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """Return the squared error from Gaussians of peak 1 along x and y, integrated over both.

    The loss does not depend on the length of the maps.
    Source: Yin et al. 2020, eq. 11 and 12: the marginals of a Gaussian are Gaussians.
    """
    total = torch.zeros_like(landmarks[..., 0])
    for axis, axis_maps in enumerate((raw.heatmaps_x, raw.heatmaps_y)):
        maps = _need(axis_maps, "mse_1d", "attentive1d-gaussian")
        target = _target_1d(raw, maps, landmarks[..., axis], stride * sigma)
        squared = (maps - target / target.amax(-1, keepdim=True)).square()
        total = total + squared.sum(-1) * raw.stride / stride
    return total


def smooth_l1(
    raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float, beta: float = 0.25
) -> Tensor:
    """Return the sum of the smooth L1 errors of x and y, quadratic below `beta`."""
    pred, truth = raw.landmarks / stride, landmarks / stride
    return F.smooth_l1_loss(pred, truth, reduction="none", beta=beta).sum(-1)


def squared(raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float) -> Tensor:
    """Return half the sum of the squared errors of x and y.

    Source: Zhang, Luo, Loy, Tang 2014, eq. 4 (TCDCN).
    """
    return ((raw.landmarks - landmarks) / stride).square().sum(-1) / 2


def wing(
    raw: HeadOutput,
    landmarks: Tensor,
    stride: float,
    sigma: float,
    omega: float = 10,
    epsilon: float = 2,
) -> Tensor:
    """Return the sum of the wing losses of x and y, in pixels of the crop.

    Source: Feng et al. 2018, eq. 5.
    """
    delta = (raw.landmarks - landmarks).abs()
    offset = omega - omega * math.log1p(omega / epsilon)
    return torch.where(
        delta < omega, omega * torch.log1p(delta / epsilon), delta - offset
    ).sum(-1)


def gaussian_nll(
    raw: HeadOutput, landmarks: Tensor, stride: float, sigma: float
) -> Tensor:
    """Return the sum of the negative log likelihoods of x and y under the predicted variance.

    Only the variance gets a gradient; another loss must train the landmarks.
    """
    variance = raw.variance / stride**2 + 1e-4
    squared = ((raw.landmarks.detach() - landmarks) / stride).square().sum(-1)
    return squared / (2 * variance) + variance.log()


Loss = Callable[[HeadOutput, Tensor, float, float], Tensor]
LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy_2d,
    "mse": mse_2d,
    "cross_entropy_1d": cross_entropy_1d,
    "mse_1d": mse_1d,
    "smooth_l1": smooth_l1,
    "squared": squared,
    "wing": wing,
    "gaussian_nll": gaussian_nll,
}


def presence_loss(raw: HeadOutput, presence: Tensor) -> Tensor:
    """Return the binary cross-entropy of the presence of a face, per crop."""
    logits = raw.presence_logits
    assert logits is not None  # ensured by check_presence
    return F.binary_cross_entropy_with_logits(logits, presence, reduction="none")


def visible_loss(raw: HeadOutput, visible: Tensor) -> Tensor:
    """Return the binary cross-entropy of the visibility of each point."""
    logits = raw.visible_logits
    assert logits is not None  # ensured by check_presence
    return F.binary_cross_entropy_with_logits(logits, visible, reduction="none")


STATE_LOSSES: dict[str, Callable[[HeadOutput, Tensor], Tensor]] = {
    "presence": presence_loss,
    "visible": visible_loss,
}
"""Losses by name of their target, which is nan where unknown."""


def loss_counts(
    landmarks: Tensor, presence: Tensor | None = None, visible: Tensor | None = None
) -> Tensor:
    """Return the counts (4,) that sums are divided by.

    They are the numbers of annotated points, of crops and points with a presence or visibility
    label, and of crops that may show a face.
    """
    faces = landmarks.new_tensor(len(landmarks))
    known_presence = known_visible = torch.zeros_like(faces)
    if presence is not None:
        known_presence = torch.isfinite(presence).sum()
        faces = (presence != 0).sum()
    if visible is not None:
        known_visible = torch.isfinite(visible).sum()
    numbers = (present(landmarks).sum(), known_presence, known_visible, faces)
    return torch.stack([number.to(torch.int64) for number in numbers])


def total_loss(
    raw: HeadOutput,
    landmarks: Tensor,
    weights: dict[str, float],
    stride: float,
    sigma: float,
    count: Tensor | None = None,
    presence: Tensor | None = None,
    visible: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the weighted losses by name and their sum as "total".

    Args:
        landmarks: (B, N, 2), pixels of the crop, nan where not annotated.
        stride: Unit of length, crop pixels.
        sigma: Width of the target Gaussian, in strides.
        count: Result of `loss_counts` to divide the sums by; None: that of this batch.
        presence: (B,), nan where unknown.
        visible: (B, N), nan where unknown.
    """
    if count is None:
        count = loss_counts(landmarks, presence, visible)
    mask = present(landmarks)
    filled = torch.where(mask[..., None], landmarks, 0.0)
    targets = {"presence": (presence, count[1]), "visible": (visible, count[2])}
    parts = {}
    for name, weight in weights.items():
        if name in STATE_LOSSES:
            target, known_count = targets[name]
            parts[name] = weight * _state_loss(name, raw, target, known_count)
        else:
            values = LOSSES[name](raw, filled, stride, sigma)
            parts[name] = weight * mean_present(values, mask, count[0])
    return parts | {"total": torch.stack(list(parts.values())).sum()}


def _state_loss(
    name: str, raw: HeadOutput, target: Tensor | None, count: Tensor
) -> Tensor:
    if target is None:
        raise RecipeError(
            f"the loss {name!r} needs crops with and without a face; add [presence]"
        )
    annotated = torch.isfinite(target)
    values = STATE_LOSSES[name](raw, torch.where(annotated, target, 0.0))
    return mean_present(values, annotated, count)


def check_losses(weights: dict[str, float]) -> None:
    """Check names and weights in [losses].

    Raises:
        RecipeError: If there are none, or one is invalid.
    """
    names = [*LOSSES, *STATE_LOSSES]
    if not weights:
        raise RecipeError(
            "the recipe names no loss; expected at least one of "
            + ", ".join(sorted(names))
        )
    for name in weights:
        if name not in names:
            raise RecipeError(f"unknown loss {name!r}; {did_you_mean(name, names)}")
        if not weights[name] > 0:
            raise RecipeError(
                f"the weight of the loss {name!r} is {weights[name]}; "
                "expected a number above 0"
            )


def check_presence(recipe: Recipe) -> None:
    """Check that the outputs, data and losses of presence and visibility match.

    Raises:
        RecipeError: If one of them is missing.
    """
    trained = [name for name in STATE_LOSSES if name in recipe.losses]
    predicts = bool(getattr(recipe.model, "presence", False))
    if trained and not predicts:
        raise RecipeError(
            f"the loss {trained[0]!r} needs a network that predicts it; set "
            "model.presence = true"
        )
    if trained and recipe.presence is None:
        raise RecipeError(
            f"the loss {trained[0]!r} needs crops with and without a face; add "
            "[presence]"
        )
    if recipe.presence is not None and not trained:
        raise RecipeError(
            "[presence] adds crops without a face, but no loss uses them; add "
            "presence and visible to losses"
        )
    frozen = any(in_part("presence", part) for part in recipe.train.freeze)
    if predicts and not frozen:
        for name in STATE_LOSSES:
            if name not in trained:
                raise RecipeError(
                    f"model.presence is true, but no loss trains {name!r}; add it to "
                    "losses, or freeze 'presence'"
                )


def _need(part: Tensor | None, loss: str, head: str) -> Tensor:
    if part is None:
        raise RecipeError(
            f"the loss {loss!r} needs the head {head!r}; choose that head or another "
            "loss"
        )
    return part
