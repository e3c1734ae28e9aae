"""Pruning a supernet gives a smaller network with the outputs of the gated one."""

import copy

import pytest

torch = pytest.importorskip("torch")

from lineament.errors import RecipeError
from lineament.models.backbones.hr_supernet import FusionBlock, HRSuperNet
from lineament.training.prune.supernet import slimmed, surviving

pytestmark = pytest.mark.torch


def supernet(stages, seed=0):
    """Return a network with uniform random factors in [0, 1] and statistics as after training."""
    torch.manual_seed(seed)
    net = HRSuperNet(stages)
    for module in net.modules():
        if isinstance(module, FusionBlock):
            torch.nn.init.uniform_(module.factors.data, 0, 1)
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.bias.data, -0.2, 0.2)
    return net.eval()


FOUR = [{k: [0] for k in range(4)}] + [
    {k: [0, 1, 2, 3] for k in range(4)} for _ in range(3)
]


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("threshold", "relative"),
    [(0.0, False), (0.2, False), (0.35, False), (0.5, False), (0.3, True), (0.9, True)],
)
def test_the_slimmed_network_is_the_gated_one_with_those_gates_at_zero(
    seed, threshold, relative
):
    net = supernet(FOUR, seed)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    layout = surviving(net, threshold, relative)
    small = slimmed(net, layout)
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        given, wanted = small(x)[0], close(net, layout)(x)[0]
        assert (given - wanted).abs().max() <= 1e-5
        if threshold:
            assert count(small) < count(net)
            assert (net(x)[0] - wanted).abs().max() > 1e-3
    assert all(
        torch.equal(value, before[key]) for key, value in net.state_dict().items()
    )


def close(net, layout):
    """Return a copy of `net` of the same size in which every factor outside `layout` is 0."""
    closed = copy.deepcopy(net)
    for stage, kept in zip(closed.stages, layout, strict=True):
        for target, block in stage.items():
            with torch.no_grad():
                for k, source in enumerate(block.sources):
                    if source not in kept.get(int(target), []):
                        block.factors[k] = 0
    return closed


def set_factors(net, stage, target, values):
    with torch.no_grad():
        net.stages[stage][str(target)].factors.copy_(torch.tensor(values))


def test_a_block_without_input_is_removed_with_its_only_dependents():
    net = supernet([{0: [0], 1: [0]}, {0: [0, 1], 1: [0, 1]}, {0: [0, 1], 1: [0, 1]}])
    set_factors(net, 0, 0, [0.9])
    set_factors(net, 0, 1, [0.01])  # is removed
    set_factors(net, 1, 0, [0.9, 0.9])  # loses its second source
    set_factors(net, 1, 1, [0.01, 0.9])  # loses its only source
    set_factors(net, 2, 0, [0.9, 0.9])
    set_factors(net, 2, 1, [0.01, 0.9])
    assert surviving(net, 0.1) == [{0: [0]}, {0: [0]}, {0: [0]}]


def test_a_block_without_readers_is_removed_except_in_the_last_stage():
    net = supernet([{0: [0], 1: [0]}, {0: [0, 1], 1: [0, 1]}])
    set_factors(net, 0, 0, [0.9])
    set_factors(net, 0, 1, [0.9])
    set_factors(net, 1, 0, [0.9, 0.01])
    set_factors(net, 1, 1, [-0.9, 0.01])  # the sign does not count
    assert surviving(net, 0.1) == [{0: [0]}, {0: [0], 1: [0]}]


def test_with_relative_thresholds_no_block_with_readers_is_removed():
    net = supernet([{0: [0], 1: [0]}, {0: [0, 1], 1: [0, 1]}])
    set_factors(net, 0, 0, [0.9])
    set_factors(
        net, 0, 1, [0.001]
    )  # the only one in its block, so its size does not matter
    set_factors(net, 1, 0, [0.009, -0.03])
    set_factors(net, 1, 1, [0.5, 0.1])
    assert surviving(net, 0.25, relative=True) == [
        {0: [0], 1: [0]},
        {0: [0, 1], 1: [0]},
    ]
    assert surviving(net, 0.35, relative=True) == [{0: [0], 1: [0]}, {0: [1], 1: [0]}]
    # a block without readers is removed in any case
    set_factors(net, 1, 0, [0.03, 0.009])
    assert surviving(net, 0.35, relative=True) == [{0: [0]}, {0: [0], 1: [0]}]


def test_a_threshold_that_leaves_no_path_is_rejected():
    with pytest.raises(
        RecipeError,
        match=r"threshold of 1.5 stage 2 has no block left; lower the threshold",
    ):
        surviving(supernet(FOUR), 1.5)
