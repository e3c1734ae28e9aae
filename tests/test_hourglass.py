"""hourglass.py: the stacked hourglass as a backbone."""

import pytest

torch = pytest.importorskip("torch")

from lineament.models.backbones.hourglass import Hourglass, Residual, StackedHourglass
from lineament.models.landmark_net import LandmarkNet
from lineament.models.profile import parameters

pytestmark = pytest.mark.torch


def test_a_crop_becomes_a_map_of_stride_4():
    net = StackedHourglass(stacks=2, channels=32).eval()
    (level,) = net(torch.zeros(1, 3, 64, 96))
    assert level.shape == (1, 32, 16, 24)


def test_an_hourglass_covers_the_full_map_and_keeps_its_shape():
    torch.manual_seed(0)
    glass = Hourglass(8, 3).eval()
    x = torch.randn(1, 8, 16, 16)
    y = x.clone()
    y[0, :, 0, 0] += 5
    far = (glass(x) - glass(y)).abs()[0, :, 15, 15].max()
    near = (Residual(8, 8).eval()(x) - Residual(8, 8).eval()(x)).shape
    assert far > 0
    assert near == x.shape


def test_a_stack_of_256_channels_has_the_published_number_of_parameters():
    # a residual of 256 has 256 * 128 + 9 * 128 * 128 + 128 * 256 weights
    # and 2 * (256 + 128 + 128) of norms
    residual = 256 * 128 + 9 * 128 * 128 + 128 * 256 + 2 * (256 + 128 + 128)
    assert parameters(Residual(256, 256)) == residual
    # depth 3: three residuals at each of three levels and one in the middle
    assert parameters(Hourglass(256, 3)) == 10 * residual


def test_it_trains_with_a_head_along_each_axis():
    net = LandmarkNet("hourglass", 5, "attentive1d", 64, 16, imagenet=False).train()
    raw = net(torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8))
    raw.landmarks.sum().backward()
    assert net.backbone.stem[0].weight.grad.abs().max() > 0
