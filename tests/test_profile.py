"""Parameters and multiply-adds, counted by hand and against the published networks."""

import pytest

torch = pytest.importorskip("torch")

from lineament.models.backbones.mobilenetv2 import MobileNetV2
from lineament.models.profile import multiply_adds, parameters

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("layer", "shape", "by_hand"),
    [
        (torch.nn.Conv2d(3, 8, 3, 2, 1), (2, 3, 10, 14), 5 * 7 * 8 * 3 * 9),
        (torch.nn.Conv2d(8, 8, 3, 1, 1, groups=8), (1, 8, 4, 5), 4 * 5 * 8 * 9),
        (torch.nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 3, 3), 3 * 3 * 4 * 6 * 4),
        (
            torch.nn.ConvTranspose2d(4, 6, 2, 2, groups=2),
            (1, 4, 3, 3),
            3 * 3 * 4 * 3 * 4,
        ),
        (torch.nn.Conv1d(3, 8, 5, padding=2), (2, 3, 10), 10 * 8 * 3 * 5),
        (torch.nn.ConvTranspose1d(4, 6, 2, 2), (1, 4, 3), 3 * 4 * 6 * 2),
        (torch.nn.Linear(7, 5), (3, 7), 35),
    ],
)
def test_a_layer_counts_as_by_hand(layer, shape, by_hand):
    assert multiply_adds(layer, torch.zeros(shape)) == by_hand


def test_mobilenetv2_has_the_published_multiply_adds():
    # 300 M at 224 x 224 in table 4 of the paper, of which
    # 49 x 320 x 1280 + 1280 x 1000 are not of a backbone
    found = multiply_adds(MobileNetV2(), torch.zeros(1, 3, 224, 224))
    assert found + 49 * 320 * 1280 + 1280 * 1000 == pytest.approx(300e6, rel=0.01)


def test_counting_leaves_the_network_as_it_was():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    multiply_adds(net, torch.ones(2, 3, 8, 8))
    assert net.training
    assert all(
        torch.equal(value, before[key]) for key, value in net.state_dict().items()
    )
    assert not net[0]._forward_hooks
    assert parameters(net) == 4 * 3 * 9 + 4 + 8
