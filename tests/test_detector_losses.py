"""Losses of the face detector: least at the truth, and additive over parts of a batch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from lineament.data.detection.scene import Scene
from lineament.models.face_detector import Cells, FaceDetectorNet, all_centers
from lineament.training.detector.losses import detector_loss, paired_iou
from lineament.training.detector.targets import scene_targets

pytestmark = pytest.mark.torch
TINY = {"widths": (8, 8, 16, 16, 16), "depths": (0, 1, 1, 0), "pyramid": 16}


def scene_of(boxes, roll_deg, roll_weight, image=None):
    """A scene of 128 pixels whose faces all count."""
    return Scene(
        image=np.zeros((128, 128, 3), np.uint8) if image is None else image,
        boxes=np.array(boxes, float).reshape(-1, 4),
        recognizable=np.ones(len(boxes), bool),
        roll_deg=np.array(roll_deg, float),
        roll_weight=np.array(roll_weight, float),
        labeled=np.ones((128, 128), bool),
    )


def batched(*scenes):
    """The targets of a batch of scenes, and the count that its losses are divided by."""
    each = [scene_targets(scene, *all_centers(128, 128)) for scene in scenes]
    targets = type(each[0])(
        *(torch.stack(values) for values in zip(*each, strict=True))
    )
    positive = (targets.face >= 0).sum().float()
    return targets, torch.stack([positive, targets.direction_weights.sum()])


def test_boxes_and_directions_that_are_right_cost_nothing_and_wrong_ones_something():
    targets, count = batched(
        scene_of([[30, 30, 90, 90]], [90.0], [1.0]), scene_of([], [], [])
    )
    shape = targets.face.shape
    right = torch.tensor([30.0, 30, 90, 90]).expand(*shape, 4)
    logits = torch.where(targets.face >= 0, 30.0, -30.0)
    direction = torch.tensor([0.0, 1.0]).expand(*shape, 2)
    losses = detector_loss(Cells(logits, right, direction), targets, count)
    assert [float(value) for value in losses.values()] == pytest.approx(
        [0, 0, 0, 0], abs=1e-6
    )
    # moved by its half: IoU 1/3; the outer box of 90 x 60 is covered, so GIoU is 1/3, too
    moved = right + torch.tensor([30.0, 0, 30, 0])
    losses = detector_loss(Cells(logits, moved, -direction), targets, count)
    assert float(losses["box"]) == pytest.approx(2.0 * 2 / 3, abs=1e-5)
    # opposite directions of length 1 are 2 apart: squared 4, weighted by a half
    assert float(losses["direction"]) == pytest.approx(0.5 * 4.0, abs=1e-5)
    assert float(losses["score"]) > 0.1
    assert float(losses["total"]) == pytest.approx(
        sum(float(losses[n]) for n in ("score", "box", "direction"))
    )


def test_losses_of_parts_of_a_batch_add_up():
    first = scene_of([[30, 30, 90, 90]], [0.0], [1.0])
    second = scene_of([[10, 10, 40, 40], [60, 60, 100, 100]], [5.0, 80.0], [0.3, 1.0])
    torch.manual_seed(0)
    net = FaceDetectorNet(**TINY).eval()
    images = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    together, count = batched(first, second)
    with torch.no_grad():
        whole = detector_loss(net(images), together, count)
        parts = [
            detector_loss(net(images[i : i + 1]), batched(scene)[0], count)
            for i, scene in enumerate((first, second))
        ]
    for name, value in whole.items():
        assert float(value) == pytest.approx(
            sum(float(part[name]) for part in parts), rel=1e-4
        )


def test_generalized_iou_of_distant_boxes_is_negative():
    a, b = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]])
    iou, giou = paired_iou(a, b)
    # no overlap; the outer box is 4 x 1, of which 2 are covered: 0 - 2 / 4
    assert float(iou) == 0
    assert float(giou) == pytest.approx(-0.5)
