"""The detector's training: network, targets, losses, resumed runs, a tiny over-fit, the export."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lineament.export.detector as export_module
import lineament.training.detector.task as task_module
from detector_photos import SHARES, draw_face, files_of, write_photos
from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.scene import Scene
from lineament.data.detection.scenes import SceneMaker
from lineament.errors import ExportError, ModelError, RecipeError, TrainError
from lineament.export.detector import export_detector, write_detector
from lineament.export.registry import export_trained
from lineament.inference.face_detector import FaceDetector
from lineament.models.face_detector import STRIDES, Cells, FaceDetectorNet, all_centers
from lineament.recipe.file import make_recipe
from lineament.training.batch import collate
from lineament.training.build import load_detector
from lineament.training.checkpoint import load_checkpoint
from lineament.training.detector.losses import detector_loss, paired_iou
from lineament.training.detector.targets import MIN_SIDE, assign, scene_targets
from lineament.training.detector.task import (
    DetectorTask,
    TrainingScenes,
    cell_targets,
)
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer

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


def test_an_image_in_a_batch_gets_what_it_gets_alone():
    net = FaceDetectorNet(**TINY).eval()
    images = torch.randint(0, 256, (3, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        together = net(images)
        alone = net(images[1:2])
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a[1:2], b, atol=1e-4)


def test_the_folded_network_is_the_same_function():
    net = FaceDetectorNet(**TINY).eval()
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        for a, b in zip(net(image), net.folded()(image), strict=True):
            assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("side", [8, 12, 20, 36, 40, 60, 80, 120, 150, 230])
def test_every_face_in_the_image_has_cells_of_a_stride_that_suits_its_size(side):
    centers, strides = all_centers(256, 256)
    for x, y in ((128.0, 128.0), (131.3, 119.9), (15.5, 255 - 15.5)):
        box = torch.tensor([[x - side / 2, y - side / 2, x + side / 2, y + side / 2]])
        face, scored = assign(
            box,
            torch.tensor([True]),
            torch.ones(len(centers), dtype=torch.bool),
            centers,
            strides,
        )
        own = face == 0
        assert own.any()
        assert scored[own].all()
        assert (side / strides[own] <= 11).all() or side > 176
        # at most 1.25 strides from the center, and half a stride beyond 40 % of the face
        assert (
            (centers[own] - torch.tensor([x, y])).abs() <= 1.25 * strides[own, None]
        ).all()


def test_unrecognizable_tiny_and_unknown_places_are_neither_face_nor_background():
    centers, strides = all_centers(128, 128)
    boxes = torch.tensor(
        [[20.0, 20, 60, 60], [90, 90, 90 + MIN_SIDE - 1, 90 + MIN_SIDE - 1]]
    )
    unknown = centers[:, 0] > 100
    face, scored = assign(
        boxes, torch.tensor([False, True]), ~unknown, centers, strides
    )
    assert (face == -1).all()
    inside = ((centers > 20) & (centers < 60)).all(1)
    assert not scored[inside].any()
    assert not scored[unknown].any()
    assert scored[(centers < 20).all(1)].all()


def test_two_faces_share_no_cell_and_each_keeps_its_nearest():
    centers, strides = all_centers(128, 128)
    boxes = torch.tensor([[20.0, 20, 44, 44], [40.0, 20, 64, 44]])
    face, _ = assign(
        boxes,
        torch.tensor([True, True]),
        torch.ones(len(centers), dtype=torch.bool),
        centers,
        strides,
    )
    for i, x in enumerate((32, 52)):
        nearest = (
            (centers - torch.tensor([x, 32.0]))
            .abs()
            .sum(1)
            .masked_fill(strides != 8, 1e9)
            .argmin()
        )
        assert face[nearest] == i


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


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), count=12)


@pytest.fixture
def root(photos, tmp_path, monkeypatch):
    """A data root that holds the drawn photos."""
    for module in (task_module, export_module):
        monkeypatch.setattr(module, "read_detector_photos", lambda root, kinds: photos)
    return tmp_path


def recipe(**changes):
    detector = TINY | {"size": 128, "shares": SHARES, "validation_scenes": 6}
    train = {
        "steps": 12,
        "batch": 2,
        "warmup": 2,
        "bf16": False,
        "threads": 1,
        "num_workers": 0,
        "validate_every": 6,
    }
    values = {"name": "tiny", "detector": detector, "train": train}
    for key, value in changes.items():
        part, _, last = key.rpartition(".")
        (values[part] if part else values)[last] = value
    return make_recipe(values)


def trainer(recipe, root, name="run", resume=False):
    return Trainer(task_for(recipe, "train"), root / name, root, root / "cache", resume)


def test_a_scene_of_the_training_is_the_same_whenever_it_is_made(photos, tmp_path):
    images = ImageCache(tmp_path, files_of(photos))
    scenes = TrainingScenes(SceneMaker(photos, images, SHARES, size=128))
    batch = collate([scenes.make(0, position, 0, 0) for position in (3, 4)])
    again = collate([scenes.make(0, 4, 0, 0)])
    assert torch.equal(batch.crops[1:], again.crops)
    for a, b in zip(cell_targets(batch), cell_targets(again), strict=True):
        assert torch.equal(a[1:], b)
    # scenes go on over epochs
    other = TrainingScenes(SceneMaker(photos, images, SHARES, size=128, seed=1))
    assert not np.array_equal(
        scenes.make(1, 4, 0, 0)["crops"], scenes.make(0, 4, 0, 0)["crops"]
    )
    assert scenes.key() != other.key()


def test_a_killed_run_resumed_equals_the_unbroken_one(root):
    unbroken = load_checkpoint(
        trainer(recipe(**{"train.num_workers": 1}), root, "a").run()
    )
    killed = trainer(recipe(), root, "b")
    for step in killed.steps():
        if step == 5:
            killed.save()
        if step == 7:
            break
    resumed = load_checkpoint(trainer(recipe(), root, "b", resume=True).run())
    assert resumed["step"] == 12
    for part in ("model", "average"):
        for name, value in unbroken[part].items():
            assert torch.equal(value, resumed[part][name]), name
    rows = (root / "b/log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "6", "12"]
    assert "scenes_recall=" in rows[-1]


def test_a_checkpoint_of_another_recipe_is_refused(root):
    run = trainer(recipe(), root)
    run.save()
    with pytest.raises(TrainError, match=r"another recipe \(train.lr differ"):
        trainer(recipe(**{"train.lr": 1e-3}), root, resume=True)
    with pytest.raises(TrainError, match=r"another recipe \(detector"):
        trainer(recipe(**{"detector.shares": {"landmarks": 1.0}}), root, resume=True)


def test_a_training_starts_from_the_averaged_weights_of_another(root):
    checkpoint = trainer(recipe(**{"train.steps": 2}), root, "a").run()
    started = trainer(recipe(init_from=str(checkpoint)), root, "b")
    for name, value in load_checkpoint(checkpoint)["average"].items():
        assert torch.equal(started.model.state_dict()[name], value)
    with pytest.raises(ModelError, match=r"do not fit the recipe's \[detector\]"):
        trainer(recipe(init_from=str(checkpoint), **{"detector.pyramid": 8}), root, "c")


def test_a_recipe_with_a_wrong_key_or_without_a_detector_is_refused():
    with pytest.raises(
        RecipeError, match=r"unknown key 'detector.widhts'; did you mean 'widths'"
    ):
        recipe(**{"detector.widhts": (8, 8)})
    landmarks = make_recipe(
        {"name": "x", "data": [{"reader": "300w"}], "train": {"steps": 1}}
    )
    with pytest.raises(RecipeError, match=r"'x' has no \[detector\] part"):
        DetectorTask(landmarks)


def test_a_tiny_network_learns_one_image_and_onnx_finds_the_same_faces(tmp_path):
    """Two drawn faces, one upright and one turned by 90 degrees, with their boxes and rolls."""
    image = np.full((128, 128, 3), 80, np.uint8)
    draw_face(image, (36, 36), 40, 0.0)
    draw_face(image, (90, 84), 40, 90.0)
    boxes = [[16.0, 16, 56, 56], [70, 64, 110, 104]]
    torch.manual_seed(0)
    net = FaceDetectorNet(**TINY).train()
    targets, count = batched(scene_of(boxes, [0.0, 90.0], [1.0, 1.0]))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    batch = torch.from_numpy(image)[None]
    for _ in range(120):
        loss = detector_loss(net(batch), targets, count)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # statistics of one image are those it was trained with
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        net(batch)
    fp32, int8 = tmp_path / "tiny.onnx", tmp_path / "tiny-int8.onnx"
    assert write_detector(net.eval(), fp32)["max_difference"] <= 0.02
    assert write_detector(net, int8, [image[None]])["score_move"] <= 0.05
    for file, near in ((fp32, 4), (int8, 6)):
        found = FaceDetector(
            file, coarse_sides=(), enlarge=1.0, threshold=0.6, support=1
        )(image)
        assert len(found.boxes) == 2
        order = np.argsort(found.boxes[:, 0])
        assert found.boxes[order] == pytest.approx(np.array(boxes), abs=near)
        assert found.roll_deg[order] == pytest.approx([0, 90], abs=15)


def test_a_short_training_becomes_a_file_and_a_card_that_load(
    root, photos, monkeypatch
):
    checkpoint = trainer(recipe(**{"train.steps": 4}), root).run()
    net, trained = load_detector(checkpoint)
    assert not net.training
    assert trained.kind == "face-detector"
    for name, value in load_checkpoint(checkpoint)["average"].items():
        assert torch.equal(net.state_dict()[name], value)
    card = export_trained(checkpoint, root / "out", "tiny", False, root, root / "cache")
    assert json.loads((root / "out/tiny.json").read_text()) == card
    assert card["bytes"] == (root / "out/tiny.onnx").stat().st_size
    assert (card["precision"], card["recipe"]["detector"]["pyramid"]) == ("fp32", 16)
    detector = FaceDetector(root / "out/tiny.onnx")
    assert (detector.threshold, detector.support) == (
        card["threshold"],
        card["support"],
    )
    assert len(detector(np.full((120, 140, 3), 80, np.uint8)).boxes) == 0
    monkeypatch.setattr(export_module, "MAX_DIFFERENCE", -1.0)
    with pytest.raises(ExportError, match="ONNX differs from torch by"):
        export_detector(checkpoint, root / "none", "tiny", False, root, root / "cache")
    assert not (root / "none").exists()
