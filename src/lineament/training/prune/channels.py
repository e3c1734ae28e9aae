"""Magnitude-based channel pruning of networks without importance factors.

Depends on Torch-Pruning, which finds layers whose channels must be removed together.
"""

import copy
import warnings
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...errors import RecipeError, missing_extra
from ...models.backbones.hr_supernet import HRSuperNet
from ...models.dpm_cnn import DpmCnn, PlainNet
from ...models.heads.attentive_1d import Attentive1D
from ...models.landmark_net import LandmarkNet
from ...models.part_cascade import PartCascade
from ...models.vgg import VggNet

ROUND = 8
"""Channel counts remain multiples of this, for fast kernels."""


Net = TypeVar("Net", bound=LandmarkNet | PartCascade)


def slimmed_channels(net: Net, ratio: float) -> Net:
    """Return a copy of `net` with about `ratio` of the channels of every layer removed.

    The importance of a channel is the norm of all weights that are removed with it. Outputs of
    heads are kept. The networks of a cascade are pruned one by one.

    Args:
        net: Network, left unchanged.
        ratio: Fraction from 0 to below 1.

    Raises:
        RecipeError: If the ratio is out of range, or for a supernet.
        ExtraError: If torch-pruning is not installed.

    Source: Fang et al. 2023 (DepGraph), section 3.
    """
    if not 0 <= ratio < 1:
        raise RecipeError(
            f"slim.pruning_ratios has {ratio}; "
            "expected the fraction of channels to remove, at least 0 and below 1"
        )
    if isinstance(net, LandmarkNet) and isinstance(net.backbone, HRSuperNet):
        raise RecipeError(
            "a supernet is slimmed by its importance factors; give slim.thresholds, not "
            "slim.pruning_ratios"
        )
    small = copy.deepcopy(net)
    small.eval()
    _remove_channels(small, ratio)
    return small


def _remove_channels(net: LandmarkNet | PartCascade, ratio: float) -> None:
    if isinstance(net, PartCascade):
        _prune_cascade(net, ratio)
    else:
        _prune_landmark_net(net, ratio)


def _prune_cascade(net: PartCascade, ratio: float) -> None:
    for part, side in net.subnetworks():
        example = torch.zeros(1, 1, side, side)
        body = _DenseAsConvolution(part, example)
        _prune(body, example, ratio, [body.dense])
        part.out = body.as_linear()


def _prune_landmark_net(net: LandmarkNet, ratio: float) -> None:
    # the library does not support grouped transposed convolutions
    grouped = [
        m for m in net.modules() if isinstance(m, nn.ConvTranspose2d) and m.groups > 1
    ]
    ignored = [*net.head.modules(), *_presence_layers(net), *grouped]
    _prune(_Body(net), torch.zeros(1, 3, net.size, net.size), ratio, ignored)


def _prune(
    net: nn.Module, example: Tensor, ratio: float, ignored: list[nn.Module]
) -> None:
    """Remove `ratio` of the channels of `net`, in place, except for those of `ignored`.

    Raises:
        ExtraError: If torch-pruning is not installed.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise missing_extra("torch-pruning", "train") from error
    if ratio == 0:
        return
    with warnings.catch_warnings():
        # warnings about parameters that the library does not handle
        warnings.simplefilter("ignore")
        pruner = torch_pruning.pruner.MagnitudePruner(
            net,
            example,
            importance=torch_pruning.importance.MagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=ignored,
            round_to=ROUND,
        )
        pruner.step()


def _presence_layers(net: LandmarkNet) -> list[nn.Module]:
    return [] if net.presence is None else list(net.presence.modules())


class _DenseAsConvolution(nn.Module):
    """A network whose dense layer is a convolution over entire maps, without a flattening.

    The library cannot trace channels through a concatenation that is then flattened.
    """

    def __init__(self, net: DpmCnn | PlainNet | VggNet, example: Tensor) -> None:
        super().__init__()
        self.net = net
        with torch.no_grad():
            channels, height, width = net.maps(example).shape[1:]
        self.dense = nn.Conv2d(channels, net.out.out_features, (height, width))
        weight = net.out.weight.detach().view_as(self.dense.weight)
        self.dense.weight = nn.Parameter(weight.clone())
        self.dense.bias = net.out.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.net.maps(x))  # type: ignore[no-any-return]

    def as_linear(self) -> nn.Linear:
        """Return the dense layer."""
        weight = self.dense.weight.detach().flatten(1)
        linear = nn.Linear(weight.shape[1], len(weight))
        linear.weight = nn.Parameter(weight)
        linear.bias = self.net.out.bias
        return linear


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
