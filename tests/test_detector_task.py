"""The task of the face detector: resumed runs, a tiny overfit, the exported file."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import lineament.export.detector as export_module
import lineament.training.detector.task as task_module
from detector_photos import SHARES, draw_face, five_points, scene_of, write_photos
from lineament.data.detection.image_cache import ImageCache
from lineament.data.detection.scenes import SceneMaker
from lineament.errors import ExportError, ModelError, RecipeError, TrainError
from lineament.export.detector import write_detector
from lineament.export.registry import export_trained
from lineament.inference.face_detector import FaceDetector
from lineament.models.face_detector import FaceDetectorNet, all_centers
from lineament.recipe.file import make_recipe
from lineament.training.batch import collate
from lineament.training.build import load_detector
from lineament.training.checkpoint import load_checkpoint
from lineament.training.detector.losses import detector_loss
from lineament.training.detector.targets import CellTargets, scene_targets
from lineament.training.detector.task import (
    DetectorTask,
    TrainingScenes,
    cell_targets,
)
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer

pytestmark = pytest.mark.torch
TINY = {"widths": (8, 8, 16, 16, 16), "depths": (0, 1, 1, 0), "pyramid": 16}


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
    detector = TINY | {"size": 128, "sampling_weights": SHARES, "validation_scenes": 6}
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


def test_training_scenes_are_reproducible(photos, tmp_path):
    images = ImageCache(tmp_path, photos)
    scenes = TrainingScenes(SceneMaker(photos, images, SHARES, size=128))
    batch = collate([scenes.make(0, position, 0, 0) for position in (3, 4)])
    again = collate([scenes.make(0, 4, 0, 0)])
    assert torch.equal(batch.crops[1:], again.crops)
    for a, b in zip(cell_targets(batch), cell_targets(again), strict=True):
        assert torch.allclose(
            a[1:].double(), b.double(), rtol=0, atol=0, equal_nan=True
        )
    # scenes continue over epochs
    other = TrainingScenes(SceneMaker(photos, images, SHARES, size=128, seed=1))
    assert not np.array_equal(
        scenes.make(1, 4, 0, 0)["crops"], scenes.make(0, 4, 0, 0)["crops"]
    )
    assert scenes.key() != other.key()


def test_runs_share_scenes_only_if_their_faces_and_false_positives_are_equal(
    photos, tmp_path
):
    images = ImageCache(tmp_path, photos)

    def key(photos, hard):
        maker = SceneMaker(photos, images, SHARES, size=128, hard=hard)
        return TrainingScenes(maker).key()

    empty = next(i for i, photo in enumerate(photos) if photo.has_no_face())
    first = key(photos, {empty: np.full((1, 3), 20.0)})
    assert first == key(list(photos), {empty: np.full((1, 3), 20.0)})
    assert first != key(photos, {empty: np.full((1, 3), 30.0)})
    labeled = [replace(photo, boxes=photo.boxes + 1) for photo in photos]
    assert first != key(labeled, {empty: np.full((1, 3), 20.0)})


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(root):
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


def test_a_checkpoint_of_another_recipe_is_rejected(root):
    run = trainer(recipe(), root)
    run.save()
    with pytest.raises(TrainError, match=r"another recipe \(train.lr differ"):
        trainer(recipe(**{"train.lr": 1e-3}), root, resume=True)
    with pytest.raises(TrainError, match=r"another recipe \(detector"):
        trainer(
            recipe(**{"detector.sampling_weights": {"landmarks": 1.0}}),
            root,
            resume=True,
        )


def test_a_training_starts_from_the_averaged_weights_of_another(root):
    checkpoint = trainer(recipe(**{"train.steps": 2}), root, "a").run()
    started = trainer(recipe(init_from=str(checkpoint)), root, "b")
    for name, value in load_checkpoint(checkpoint)["average"].items():
        assert torch.equal(started.model.state_dict()[name], value)
    with pytest.raises(ModelError, match=r"do not fit the recipe's \[detector\]"):
        trainer(recipe(init_from=str(checkpoint), **{"detector.pyramid": 8}), root, "c")


def test_a_detector_with_fewer_blocks_starts_from_the_first_ones_of_each_stage(root):
    checkpoint = trainer(recipe(**{"train.steps": 2}), root, "a").run()
    fewer = recipe(init_from=str(checkpoint), **{"detector.depths": (0, 1, 0, 0)})
    started = trainer(fewer, root, "b").model.state_dict()
    weights = load_checkpoint(checkpoint)["average"]
    left_out = weights.keys() - started.keys()
    assert {name[: len("stages.2.1")] for name in left_out} == {"stages.2.1"}
    for name, value in started.items():
        assert torch.equal(value, weights[name])


def test_a_recipe_with_a_wrong_key_or_without_a_detector_is_rejected():
    with pytest.raises(
        RecipeError, match=r"unknown key 'detector.widhts'; did you mean 'widths'"
    ):
        recipe(**{"detector.widhts": (8, 8)})
    landmarks = make_recipe(
        {"name": "x", "data": [{"reader": "300w"}], "train": {"steps": 1}}
    )
    with pytest.raises(RecipeError, match=r"'x' has no \[detector\]; add it"):
        DetectorTask(landmarks)


def test_a_tiny_network_learns_one_image_and_onnx_finds_the_same_faces(tmp_path):
    """The image has two drawn faces, one upright and one rotated by 90 degrees."""
    image = np.full((128, 128, 3), 80, np.uint8)
    draw_face(image, (36, 36), 40, 0.0)
    draw_face(image, (90, 84), 40, 90.0)
    boxes = [[16.0, 16, 56, 56], [70, 64, 110, 104]]
    torch.manual_seed(0)
    net = FaceDetectorNet(**TINY).train()
    five = [five_points((36, 36), 40), five_points((90, 84), 40, 90.0)]
    each = scene_targets(scene_of(boxes, five), *all_centers(128, 128))
    targets = CellTargets(*(values[None] for values in each))
    cells = (targets.face >= 0).sum()
    count = torch.stack([cells, 5 * cells]).float()
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    batch = torch.from_numpy(image)[None]
    for _ in range(120):
        loss = detector_loss(net(batch), targets, count)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # batch statistics of one image equal those in training
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
        assert found.landmarks[order] == pytest.approx(np.array(five), abs=near)
        assert found.roll_deg[order] == pytest.approx([0, 90], abs=15)


def test_a_short_training_exports_a_file_and_card_that_load(root, photos, monkeypatch):
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
    assert 0.15 <= card["proposal_threshold"] <= card["threshold"] <= 1
    assert len(detector(np.full((120, 140, 3), 80, np.uint8)).boxes) == 0
    monkeypatch.setattr(export_module, "MAX_DIFFERENCE", -1.0)
    with pytest.raises(ExportError, match="ONNX differs from torch by"):
        export_trained(checkpoint, root / "none", "tiny", False, root, root / "cache")
    assert not (root / "none").exists()
