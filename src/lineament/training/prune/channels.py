"""Channel pruning of any backbone without importance factors: channels of small weights go first.

Depends on Torch-Pruning, which finds the layers that must lose the same channels.
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
"""Channels stay a multiple of this, for fast kernels."""


def slimmed_channels(net: LandmarkNet, share: float) -> LandmarkNet:
    """Return a copy of `net` without about `share` of the channels of every layer.

    The importance of a channel is the norm of all weights that go with it. Heads keep their
    outputs.

    Args:
        net: Stays unchanged.
        share: From 0 to below 1.

    Raises:
        RecipeError: For another share, or a supernet.
        ExtraError: If torch-pruning is not installed.

    Source: Fang et al. 2023 (DepGraph), section 3.
    """
    if not 0 <= share < 1:
        raise RecipeError(
            f"slim.shares has {share}; wanted the fraction of channels to remove, at "
            "least 0 and below 1"
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
    # the library cannot follow a grouped transposed convolution
    grouped = [
        m for m in small.modules() if isinstance(m, nn.ConvTranspose2d) and m.groups > 1
    ]
    with warnings.catch_warnings():
        # about parameters that the library does not handle
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
    """The differentiable part of a network, from normalized crops on.

    The library cannot follow the attention of heads along axes; it sees their first layers, after
    which no channel goes anyway.
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
