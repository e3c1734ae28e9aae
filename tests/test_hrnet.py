"""hrnet.py: the size of the published network, and exchange between all resolutions."""

import pytest

torch = pytest.importorskip("torch")

from lineament.models.backbones.hr_supernet import WIDTHS
from lineament.models.backbones.hrnet import HRModule, HRNet, fusion_layers
from lineament.models.landmark_net import LandmarkNet
from lineament.models.profile import multiply_adds, parameters

pytestmark = pytest.mark.torch


def test_its_size_is_close_to_the_published_one():
    net = LandmarkNet("hrnet-w18", 68, "heatmap2d", 256, 96, imagenet=False).eval()
    # 9.3 M and 4.3 G in Table 1 of SD-HRNet, which does not define what was counted
    assert parameters(net) == pytest.approx(9.3e6, rel=0.04)
    assert multiply_adds(
        net, torch.zeros(1, 256, 256, 3, dtype=torch.uint8)
    ) == pytest.approx(4.3e9, rel=0.09)


def test_it_has_eight_exchange_modules():
    counts = [len(m.branches) for m in HRNet().modules() if isinstance(m, HRModule)]
    assert counts == [2] + [3] * 4 + [4] * 3


@pytest.mark.parametrize("source", range(4))
@pytest.mark.parametrize("target", range(4))
def test_an_exchange_has_the_width_and_resolution_of_its_target(source, target):
    x = torch.randn(1, WIDTHS[source], 32 >> source, 32 >> source)
    y = fusion_layers(source, target).eval()(x)
    assert tuple(y.shape) == (1, WIDTHS[target], 32 >> target, 32 >> target)


def test_every_resolution_of_a_module_depends_on_every_other():
    module = HRModule(3).eval()
    maps = [
        torch.randn(1, WIDTHS[k], 16 >> k, 16 >> k, requires_grad=True)
        for k in range(3)
    ]
    for made in module(maps):
        gradients = torch.autograd.grad(made.sum(), maps, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in gradients)
