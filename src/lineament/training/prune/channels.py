"""Channel slimming of any backbone without importance factors of its own: whole channels go, smallest weights first.

Stands on Torch-Pruning, which finds the layers that must lose the same channels; nothing else here knows of it.
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
"""Channels stay a multiple of this, as fast kernels want them."""


def slimmed_channels(net: LandmarkNet, share: float) -> LandmarkNet:
    """A copy of `net` in which about `share` of the channels of every layer are gone; `net` stays as it is.

    A channel's importance is the length of all the weights that go with it. A head keeps its outputs.
    share: at least 0, below 1.    Raises: RecipeError for another share or a supernet, ExtraError where torch-pruning
    is not installed.    Source: Fang et al. 2023 (DepGraph), section 3.
    """
    if not 0 <= share < 1:
        raise RecipeError(
            f"slim.shares has {share}; wanted the share of channels that go, from 0 to below 1"
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
    # a grouped transposed convolution is more than the library can follow
    grouped = [m for m in small.modules() if isinstance(m, nn.ConvTranspose2d) and m.groups > 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on parameters of torch that it does not know
        pruner = torch_pruning.pruner.MagnitudePruner(
            _Body(small),
            torch.zeros(1, 3, small.size, small.size),
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=share,
            ignored_layers=[*small.head.modules(), *grouped],
            round_to=ROUND,
        )
        pruner.step()
    return small


class _Body(nn.Module):
    """The network from normalized crops on: what has a gradient to be followed.

    Of heads along axes the library cannot follow the attention; no channel goes behind their first layers anyway.
    """

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        features, head = self.net.levels(x)[0], self.net.head
        if isinstance(head, Attentive1D):
            return head.squeeze_x(features), head.squeeze_y(features.transpose(2, 3))
        return (head(features).landmarks,)
