"""Memory of a head: bytes of its output, and bytes kept for the backward pass."""

import torch

from ..models.heads.output import STRIDE, HeadSettings
from ..models.heads.registry import make_head
from ..recipe import Recipe
from ..schemes import scheme
from ..training.losses import total_loss

FACES = 2
"""Faces per measured batch; with one, batch normalization has no variance."""


def output_bytes(recipe: Recipe) -> float:
    """Return the bytes of the heatmaps of one face."""
    _, total = _measure(recipe)
    return total


def training_bytes(recipe: Recipe) -> float:
    """Return the bytes per face that head and losses keep for the backward pass."""
    saved, _ = _measure(recipe)
    return saved


def _measure(recipe: Recipe) -> tuple[float, float]:
    """Run head and losses on random features of a batch of FACES."""
    torch.manual_seed(0)
    settings, points = recipe.landmark_net, len(scheme(recipe.scheme))
    chosen = HeadSettings(settings.length, settings.attention)
    head = make_head(
        settings.head, settings.channels, points, settings.size, chosen
    ).train()
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = sum(p.numel() * p.element_size() for p in head.parameters())
    side = settings.size // STRIDE
    features = torch.randn(FACES, settings.channels, side, side, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = head(features)
        truth = torch.rand(FACES, points, 2) * settings.size
        total_loss(output, truth, recipe.losses, STRIDE, recipe.sigma)
    maps = (output.heatmaps, output.heatmaps_x, output.heatmaps_y)
    logits = (output.heatmap_logits, output.heatmap_logits_x, output.heatmap_logits_y)
    outputs = [part for part in maps if part is not None] or [
        part for part in logits if part is not None
    ]
    total = sum(part[0].numel() * part.element_size() for part in outputs)
    return (sum(saved.values()) - weights) / FACES, total
