"""simple_baseline.py: the sizes in the paper, and use as a backbone."""

import pytest

torch = pytest.importorskip("torch")

from lineament.errors import RecipeError
from lineament.models.backbones.registry import make_backbone
from lineament.models.backbones.simple_baseline import (
    MAX_OUTPUT,
    Bottleneck,
    SimpleBaseline,
)
from lineament.models.landmark_net import LandmarkNet

pytestmark = pytest.mark.torch


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_the_light_form_has_the_parameters_of_the_paper():
    net = LandmarkNet("light-resnet50", 68, "heatmap2d", 256, 96, imagenet=False)
    assert count(net) == 2_808_260  # 2.81 M in table 3
    assert 10.2 < count(net) * 4 / 2**20 < 10.8  # MB of the fp32 file


def test_the_teacher_is_resnet_50_with_three_deconvolutions():
    # ResNet-50 without its dense layer has 23.508 M;
    # 2 x 2 x 2048 x 256 + 2 of 2 x 2 x 256 x 256, and three norms
    assert (
        count(SimpleBaseline())
        == 23_508_032 + 4 * 256 * (2048 + 256 + 256) + 3 * 2 * 256
    )


@pytest.mark.parametrize("light", [False, True])
def test_every_deconvolution_is_a_level_finest_first(light):
    net = SimpleBaseline(light).eval()
    with torch.no_grad():
        levels = net(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, 256, 64 // s, 96 // s) for s in net.strides
    ]


def test_the_light_bottleneck_keeps_its_width_and_is_depthwise():
    light, full = Bottleneck(64, 64, 1, light=True), Bottleneck(64, 64, 1, light=False)
    assert light.downsample is None
    assert light.conv2.weight.shape == (64, 1, 3, 3)
    assert full.conv2.weight.shape == (64, 64, 3, 3)
    assert (light.conv3.out_channels, full.conv3.out_channels) == (64, 256)


def test_the_heatmaps_use_the_last_deconvolution_directly():
    net = LandmarkNet("light-resnet50", 68, "heatmap2d", 64, 96, imagenet=False).eval()
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        raw, levels = net(crops), net.backbone(net.normalize(crops))
        torch.testing.assert_close(raw.heatmap_logits, net.head.out(levels[0]))
    assert raw.heatmap_logits.shape == (2, 68, 16, 16)
    assert not hasattr(net, "pyramid")


def test_imagenet_weights_that_do_not_exist_raise_a_clear_error():
    with pytest.raises(
        RecipeError,
        match=r"no ImageNet weights for 'light-resnet50'; set model.imagenet = false",
    ):
        make_backbone("light-resnet50", imagenet=True)


def test_activations_of_the_light_bottleneck_are_bounded():
    torch.manual_seed(0)
    x = torch.randn(1, 64, 8, 8)
    x[..., 5, 5] = 1e4
    light, plain = (
        Bottleneck(64, 64 if light else 16, 1, light).eval() for light in (True, False)
    )
    assert light(x).max() == MAX_OUTPUT
    assert plain(x).max() > 1e3
    small = x.clamp(-1, 1)
    with torch.no_grad():
        y = torch.relu(light.bn1(light.conv1(small)))
        y = light.bn3(light.conv3(torch.relu(light.bn2(light.conv2(y)))))
    torch.testing.assert_close(light(small), torch.relu(y + small))
