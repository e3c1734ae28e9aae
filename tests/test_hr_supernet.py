"""hr_supernet.py: the paper's size, the layout of stages, importance factors of transforms."""

import pytest

torch = pytest.importorskip("torch")

from lineament.models.backbones.hr_supernet import (
    WIDTHS,
    FusionBlock,
    HRSuperNet,
    full_supernet,
    transform,
)
from lineament.models.landmark_net import LandmarkNet
from lineament.models.profile import multiply_adds, parameters

pytestmark = pytest.mark.torch


def test_parameters_and_multiply_adds_are_within_3_percent_of_the_paper():
    net = LandmarkNet("hr-supernet", 68, "heatmap2d", 256, 96, imagenet=False).eval()
    assert parameters(net) == pytest.approx(3.27e6, rel=0.03)
    assert multiply_adds(
        net, torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    ) == pytest.approx(1.25e9, rel=0.03)


def test_the_full_supernet_has_nine_stages_of_four_blocks_after_the_first():
    stages = full_supernet()
    assert [len(stage) for stage in stages] == [4] * 9
    assert stages[0] == {k: [0] for k in range(4)}
    assert all(
        list(sources) == [0, 1, 2, 3]
        for stage in stages[1:]
        for sources in stage.values()
    )
    blocks = [m for m in HRSuperNet().modules() if isinstance(m, FusionBlock)]
    assert sum(len(block.factors) for block in blocks) == 4 + 8 * 16


@pytest.mark.parametrize("source", range(4))
@pytest.mark.parametrize("target", range(4))
def test_a_transform_has_the_width_and_resolution_of_its_target(source, target):
    side = 32
    x = torch.randn(1, WIDTHS[source], side >> source, side >> source)
    y = transform(source, target).eval()(x)
    assert tuple(y.shape) == (1, WIDTHS[target], side >> target, side >> target)
    if source == target:
        assert y is x


def test_upsampling_after_the_1x1_convolution_equals_upsampling_before():
    torch.manual_seed(0)
    grow, x = transform(2, 0), torch.randn(2, WIDTHS[2], 6, 6)
    grow[2].eval()  # evaluation statistics, so that the order does not affect the norm
    quick = grow(x)
    assert grow.training
    torch.testing.assert_close(quick, grow.eval()(x))


def test_a_factor_of_zero_is_equivalent_to_removing_the_transform():
    torch.manual_seed(0)
    block = FusionBlock([0, 1, 2], 1).eval()
    slim = FusionBlock([0, 2], 1).eval()
    slim.transforms[0], slim.transforms[1] = block.transforms[0], block.transforms[2]
    slim.encode = block.encode
    maps = {k: torch.randn(2, WIDTHS[k], 16 >> k, 16 >> k) for k in range(3)}
    with torch.no_grad():
        block.factors[1] = 0
        torch.testing.assert_close(block(maps), slim(maps))
        maps[1] += 1
        torch.testing.assert_close(block(maps), slim(maps))
        block.factors[1] = 1
        assert (block(maps) - slim(maps)).abs().max() > 0.1


def test_a_network_with_fewer_blocks_runs_and_keeps_the_width_of_its_head():
    net = HRSuperNet([{0: [0], 1: [0]}, {0: [0, 1], 2: [1]}]).eval()
    with torch.no_grad():
        (level,) = net(torch.zeros(1, 3, 64, 96))
    assert net.mix[0].in_channels == 18 + 72
    assert tuple(level.shape) == (1, 270, 16, 24)


def test_a_block_without_a_factor_contributes_nothing():
    block = FusionBlock([0, 1], 2).eval()
    maps = {0: torch.randn(1, 18, 16, 24), 1: torch.randn(1, 36, 8, 12)}
    with torch.no_grad():
        assert block(maps).abs().max() > 0
        block.factors.zero_()
        assert torch.equal(block(maps), torch.zeros(1, 72, 4, 6))
