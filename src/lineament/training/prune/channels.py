"""Magnitude-based channel pruning of any backbone without importance factors.

Depends on Torch-Pruning, which finds layers whose channels must be removed together.
"""

import copy
import warnings

import torch
from torch import Tensor, nn

from ...errors import RecipeError, missing_extra
from ...models.backbones.hr_supernet import HRSuperNet
from ...models.heads.attentive_1d import Attentive1D
from ...models.landmark_net import LandmarkNet

ROUND = 8
"""Channel counts remain multiples of this, for fast kernels."""


def slimmed_channels(net: LandmarkNet, share: float) -> LandmarkNet:
    """Return a copy of `net` with about `share` of the channels of every layer removed.

    The importance of a channel is the norm of all weights that are removed with it. Outputs of
    heads are kept.

    Args:
        net: Network, left unchanged.
        share: Fraction from 0 to below 1.

    Raises:
        RecipeError: If the share is out of range, or for a supernet.
        ExtraError: If torch-pruning is not installed.

    Source: Fang et al. 2023 (DepGraph), section 3.
    """
    if not 0 <= share < 1:
        raise RecipeError(
            f"slim.shares has {share}; "
            "expected the fraction of channels to remove, at least 0 and below 1"
        )
    if isinstance(net.backbone, HRSuperNet):
        raise RecipeError(
            "a supernet is slimmed by its importance factors; give slim.thresholds, not slim.shares"
        )
    try:
        import torch_pruning
    except ImportError as error:
        raise missing_extra("torch-pruning", "train") from error
    small = copy.deepcopy(net).eval()
    if share == 0:
        return small
    # the library does not support grouped transposed convolutions
    grouped = [
        m for m in small.modules() if isinstance(m, nn.ConvTranspose2d) and m.groups > 1
    ]
    with warnings.catch_warnings():
        # warnings about parameters that the library does not handle
        warnings.simplefilter("ignore")
        pruner = torch_pruning.pruner.MagnitudePruner(
            _Body(small),
            torch.zeros(1, 3, small.size, small.size),
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=share,
            ignored_layers=[*small.head.modules(), *_presence_layers(small), *grouped],
            round_to=ROUND,
        )
        pruner.step()
    return small


def _presence_layers(net: LandmarkNet) -> list[nn.Module]:
    return [] if net.presence is None else list(net.presence.modules())


class _Body(nn.Module):
    """Part of a network that the library can trace, from normalized crops on.

    It cannot trace the attention of 1D heads, so the trace ends after their first layers; later
    layers lose no channels anyway.
    """

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels, head = self.net.levels(x), self.net.head
        features = levels[0]
        read: tuple[Tensor, ...] = ()
        if self.net.presence is not None:
            read = (self.net.presence.read(levels[-1]),)
        if isinstance(head, Attentive1D):
            first = head.squeeze_x(features), head.squeeze_y(features.transpose(2, 3))
            return *first, *read
        return head(features).landmarks, *read
