"""Space-to-depth by rows: the rewritten layers give the same outputs."""

import pytest

torch = pytest.importorskip("torch")

from lineament.models.backbones.mobilenetv2 import MobileNetV2
from lineament.models.face_detector import FaceDetectorNet
from lineament.models.layers.space_to_depth import (
    RowStem,
    Upsample2x,
    as_rows,
    upsample_by_rows,
)

pytestmark = pytest.mark.torch


def trained(stem):
    """Return `stem` with non-trivial statistics, as after training."""
    norm = stem[1]
    for part, low, high in (
        (norm.running_mean, -1, 1),
        (norm.running_var, 0.5, 2),
        (norm.bias.data, -1, 1),
    ):
        torch.nn.init.uniform_(part, low, high)
    torch.nn.init.uniform_(norm.weight.data, 0.5, 2)
    return stem.eval()


@pytest.mark.parametrize(("height", "width"), [(8, 12), (64, 64), (2, 4)])
def test_a_row_stem_is_the_convolution_norm_and_activation(height, width):
    torch.manual_seed(0)
    stem = trained(MobileNetV2().features[0])
    image = torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8)
    with torch.no_grad():
        wanted = stem(image.permute(0, 3, 1, 2).float() / 100 - 1)
        given = RowStem.of(stem)(as_rows(image).float() / 100 - 1)
    assert given.shape == wanted.shape == (2, 32, height // 2, width // 2)
    assert wanted.std() > 0.1
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=1e-5)


def test_a_detector_with_a_row_stem_finds_the_same():
    torch.manual_seed(0)
    net = FaceDetectorNet(widths=(4, 8, 8, 8, 8), depths=(0, 0, 0, 0), pyramid=8).eval()
    trained(net.stem)
    image = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        for given, wanted in zip(net.folded(rows=True)(image), net(image), strict=True):
            torch.testing.assert_close(given, wanted, atol=1e-4, rtol=1e-4)


def test_upsampling_by_rows_repeats_every_pixel_four_times():
    x = torch.arange(2 * 3 * 2 * 5, dtype=torch.float32).view(2, 3, 2, 5)
    double = Upsample2x()
    wanted = double(x)
    upsample_by_rows(double)
    assert double.by_rows
    assert torch.equal(double(x), wanted)
    assert torch.equal(wanted, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
