"""Losses of the face detector: minimal at the truth, and additive over parts of a batch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from detector_photos import five_points, scene_of
from lineament.models.face_detector import Cells, FaceDetectorNet, all_centers
from lineament.training.detector.losses import detector_loss, paired_iou
from lineament.training.detector.targets import scene_targets

pytestmark = pytest.mark.torch
TINY = {"widths": (8, 8, 16, 16, 16), "depths": (0, 1, 1, 0), "pyramid": 16}


def batched(*scenes):
    """Return the targets of a batch of scenes, and the count that normalizes its losses."""
    each = [scene_targets(scene, *all_centers(128, 128)) for scene in scenes]
    targets = type(each[0])(
        *(torch.stack(values) for values in zip(*each, strict=True))
    )
    positive = (targets.face >= 0).sum().float()
    known = torch.isfinite(targets.five).all(-1).sum()
    return targets, torch.stack([positive, known])


def test_the_loss_is_zero_for_correct_boxes_and_points_only():
    five = five_points((60, 60), 60)
    targets, count = batched(scene_of([[30, 30, 90, 90]], [five]), scene_of([], []))
    shape = targets.face.shape
    right = torch.tensor([30.0, 30, 90, 90]).expand(*shape, 4)
    logits = torch.where(targets.face >= 0, 30.0, -30.0)
    points = torch.tensor(five, dtype=torch.float32).expand(*shape, 5, 2)
    losses = detector_loss(Cells(logits, right, points), targets, count)
    assert [float(value) for value in losses.values()] == pytest.approx(
        [0, 0, 0, 0], abs=1e-6
    )
    # moved by half its width: IoU 1/3; the union fills the outer box of 90 x 60, so GIoU is 1/3
    moved = right + torch.tensor([30.0, 0, 30, 0])
    losses = detector_loss(Cells(logits, moved, points + 6.0), targets, count)
    assert float(losses["box"]) == pytest.approx(2.0 * 2 / 3, abs=1e-5)
    # both axes are wrong by 6 of 60 pixels, 0.1 sides: linear above 0.02, so 0.1 - 0.02 / 2 each
    assert float(losses["points"]) == pytest.approx(4.0 * 2 * 0.09, abs=1e-5)
    assert float(losses["score"]) > 0.1
    assert float(losses["total"]) == pytest.approx(
        sum(float(losses[n]) for n in ("score", "box", "points"))
    )


def test_only_known_points_contribute_to_the_loss():
    five = five_points((60, 60), 60)
    five[[0, 3]] = np.nan
    targets, count = batched(scene_of([[30, 30, 90, 90]], [five]))
    assert int(count[1]) == 3 * int(count[0])
    shape = targets.face.shape
    given = torch.zeros(*shape, 5, 2, requires_grad=True)
    boxes = torch.tensor([30.0, 30, 90, 90]).expand(*shape, 4)
    cells = Cells(torch.zeros(shape), boxes, given)
    detector_loss(cells, targets, count)["points"].backward()
    assert torch.isfinite(given.grad).all()
    assert (given.grad[..., [0, 3], :] == 0).all()
    assert (given.grad[targets.face >= 0][:, [1, 2, 4]] != 0).all()


def test_losses_of_parts_of_a_batch_add_up():
    unknown = np.full((5, 2), np.nan)
    first = scene_of([[30, 30, 90, 90]], [five_points((60, 60), 60)])
    faces = [five_points((25, 25), 30), unknown]
    second = scene_of([[10, 10, 40, 40], [60, 60, 100, 100]], faces)
    torch.manual_seed(0)
    net = FaceDetectorNet(**TINY).eval()
    images = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    together, count = batched(first, second)
    with torch.no_grad():
        joined = detector_loss(net(images), together, count)
        parts = [
            detector_loss(net(images[i : i + 1]), batched(scene)[0], count)
            for i, scene in enumerate((first, second))
        ]
    for name, value in joined.items():
        assert float(value) == pytest.approx(
            sum(float(part[name]) for part in parts), rel=1e-4
        )


def test_generalized_iou_of_distant_boxes_is_negative():
    a, b = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]])
    iou, giou = paired_iou(a, b)
    # no overlap; the outer box is 4 x 1, of which 2 are covered: 0 - 2 / 4
    assert float(iou) == 0
    assert float(giou) == pytest.approx(-0.5)
