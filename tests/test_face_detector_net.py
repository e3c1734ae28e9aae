"""The network of the face detector: its outputs, batches, and the folded form for export."""

import pytest

torch = pytest.importorskip("torch")
from lineament.models.face_detector import STRIDES, FaceDetectorNet, all_centers

pytestmark = pytest.mark.torch
TINY = {"widths": (8, 8, 16, 16, 16), "depths": (0, 1, 1, 0), "pyramid": 16}


def test_the_network_has_one_output_per_cell_in_the_order_of_all_centers():
    net = FaceDetectorNet(**TINY).eval()
    for height, width in ((64, 96), (32, 32), (160, 224)):
        cells = net(torch.zeros(2, height, width, 3, dtype=torch.uint8))
        centers, strides = all_centers(height, width)
        count = sum(-(-height // s) * -(-width // s) for s in STRIDES)
        assert cells.logits.shape == (2, count)
        assert cells.boxes.shape == (2, count, 4)
        assert centers.shape == (count, 2)
        # with outputs of zero every reach is one stride: a box two strides wide about its cell
        for head in net.heads:
            head[-1].weight.data.zero_()
            head[-1].bias.data.zero_()
        boxes = net(torch.zeros(1, height, width, 3, dtype=torch.uint8)).boxes[0]
        assert torch.allclose(
            boxes,
            torch.cat([centers - strides[:, None], centers + strides[:, None]], 1),
        )


def test_batched_outputs_equal_single_outputs():
    net = FaceDetectorNet(**TINY).eval()
    images = torch.randint(0, 256, (3, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        together = net(images)
        alone = net(images[1:2])
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:2], b, atol=1e-4)


def test_the_folded_network_computes_the_same_outputs():
    net = FaceDetectorNet(**TINY).eval()
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        for a, b in zip(net(image), net.folded()(image), strict=True):
            assert torch.allclose(a, b, atol=1e-4)
