"""DPM-CNN as a face detector: star model, training with negative windows, file, search."""

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import load_model
from lineament.errors import (
    ExportError,
    InputError,
    ModelError,
    RecipeError,
    ShapeError,
)
from lineament.geometry import iou, landmark_box
from lineament.inference.detections import Detections
from lineament.inference.open_detector import detector_of_file
from lineament.recipe.file import make_recipe
from no_face import write_detection

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from lineament.export import dpm_cnn
from lineament.export.dpm_cnn import Windows, check_windows
from lineament.export.registry import export_trained
from lineament.inference.dpm_cnn_detector import DpmCnnDetector, window_boxes
from lineament.models.dpm_detector import DpmDetector
from lineament.training.build import load_any
from lineament.training.presence_rates import presence_rates
from lineament.training.registry import make_trainer
from lineament.training.scheduler import Run, train_together

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def recipe_of(folder, steps, **values):
    return make_recipe(
        {
            "name": "dpm",
            "model": {"kind": "dpm-cnn", "width": 0.1},
            "data": [{"reader": "folder", "folder": str(folder)}],
            "augment": {"large_rotation": 0.0, "scale": 0.14, "shift": 0.1},
            "losses": {"presence": 1.0},
            "presence": {"negative_fraction": 0.5, "photos": ["objects", "pets"]},
            "train": {
                "steps": steps, "batch": 16, "num_workers": 0, "bf16": False,
                "warmup": 0, "ema": 0.0, "lr": 2e-3, "threads": 1, "checkpoint_minutes": 0.0,
            },
            **values,
        },
        "test",
    )  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dpm")
    write_faces(folder / "faces", 40)
    write_detection(folder)
    return folder


@pytest.fixture(scope="module")
def run(root):
    """Return the checkpoint of a short training."""
    recipe = recipe_of(root / "faces", 60)
    return make_trainer(recipe, root / "run", root, root / "cache").run()


def test_the_star_model_is_fitted_to_the_training_faces(run):
    net, _ = load_any(run)
    star = net.star
    # mirrored parts have opposite offsets
    right, left = star.mean[0], star.mean[3]
    assert float(right[0]) < 0 < float(left[0])
    assert float((right[1] - left[1]).abs()) < 0.15
    assert float(star.precision[:, 0, 0].min()) > 1
    points = net.start[2:][None]
    box = torch.cat([net.start[0], net.start[1]])[None]
    assert float(star(points, box)) < 3


def test_windows_are_scored_by_appearance_and_shape(run):
    net, _ = load_any(run)
    log = run.with_name("log.csv").read_text()
    assert "presence_auc=" in log
    assert "nme_folder:face_box=" in log
    crops = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)
    with torch.no_grad():
        before = float(net(crops).presence_logits)
        net.star.mean += 1  # now every shape is deformed
        after = float(net(crops).presence_logits)
        net.star.mean -= 1
    assert after < before - 1


def test_the_star_is_fitted_in_a_study_too(run, root, tmp_path):
    recipe, places = recipe_of(root / "faces", 1), (root, root / "cache")

    def make(read):
        return make_trainer(recipe, tmp_path / "run", *places, read=read)

    assert train_together([Run("dpm", make)]) == ["dpm"]
    star, own = load_any(run)[0].star, load_any(tmp_path / "run" / "checkpoint.pt")[0]
    for name, value in star.state_dict().items():
        torch.testing.assert_close(own.star.state_dict()[name], value)


def test_the_score_is_also_measured_without_the_star(run):
    net, _ = load_any(run)
    assert "presence_auc_without_star=" in run.with_name("log.csv").read_text()
    crops = torch.zeros(1, 112, 112, 3, dtype=torch.uint8)
    with torch.no_grad():
        output, plain = net.run_with_face_logits(crops)
        assert torch.equal(net(crops).presence_logits, output.presence_logits)
        assert float(plain) > float(output.presence_logits)
        net.star.mean += 1
        assert torch.equal(net.run_with_face_logits(crops)[1], plain)
        net.log_weight.fill_(-torch.inf)  # a cost of 0
        assert torch.equal(net(crops).presence_logits, plain)


def test_a_validation_runs_the_network_once_per_presence_crop(root, tmp_path):
    recipe, places = recipe_of(root / "faces", 1), (root, root / "cache")
    trainer = make_trainer(recipe, tmp_path / "run", *places)
    task, model = trainer.task, trainer.model
    crops, counts = task.validation_presence, []
    hook = model.score.register_forward_hook(lambda *args: counts.append(len(args[2])))
    model.eval()
    results = task.presence_results(model, crops)
    hook.remove()
    assert sum(counts) == len(crops.presence())
    # the same rates as of presence alone, with the cost and with a cost of 0
    padding = recipe.model.padding
    with_cost = presence_rates(model, crops, padding)
    with torch.no_grad():
        model.log_weight.fill_(-torch.inf)
    without_cost = presence_rates(model, crops, padding)["presence_auc"]
    assert results == with_cost | {"presence_auc_without_star": without_cost}


def test_a_resumed_detector_equals_an_uninterrupted_one(root, tmp_path):
    recipe, places = recipe_of(root / "faces", 4), (root, root / "cache")
    whole = make_trainer(recipe, tmp_path / "whole", *places).run()
    broken = make_trainer(recipe, tmp_path / "broken", *places)
    steps = broken.steps()
    while next(steps) < 2:
        pass
    steps.close()
    resumed = make_trainer(recipe, tmp_path / "broken", *places, resume=True).run()
    own = load_any(resumed)[0].state_dict()
    for key, value in load_any(whole)[0].state_dict().items():
        torch.testing.assert_close(own[key], value, rtol=0, atol=0)


def test_a_recipe_without_negative_windows_is_rejected(root, tmp_path):
    recipe = recipe_of(root / "faces", 1).model_copy(update={"presence": None})
    with pytest.raises(RecipeError, match="a dpm-cnn needs"):
        make_trainer(recipe, tmp_path / "run", root, root / "cache")


@pytest.fixture(scope="module")
def exported(run, root):
    """Return the card and the file of the training, and its network."""
    card = export_trained(run, root / "out", "dpm", False, root, root / "cache")
    return card, root / "out" / "dpm.onnx", load_any(run)[0]


def test_the_file_predicts_like_torch(exported, root):
    card, path, net = exported
    assert card["gate"]["max_difference"] <= 0.05
    assert card["padding"] == 1.6
    assert card["star_weight"] == pytest.approx(
        float(net.log_weight.detach().exp()), abs=1e-4
    )
    other = DpmDetector(net.mean_shape + 3, 0.1).eval()
    with pytest.raises(ExportError, match="ONNX differs from torch by"):
        check_windows(Windows(other), path)
    with pytest.raises(InputError, match="omit --int8 and --scheme"):
        export_trained(root / "run" / "checkpoint.pt", root, "x", True, root, root)
    with pytest.raises(ModelError, match="a dpm-cnn model; expected a landmarks model"):
        load_model(path)


def test_the_threshold_is_below_1_even_if_all_scores_are_close_to_1(
    run, root, monkeypatch, exported
):
    _, path, _ = exported
    scores = 1 - 1e-5 * np.arange(1, 11)

    def detect(image):
        boxes = np.tile([0.0, 0, 9, 9], (10, 1))
        return Detections(boxes, scores, np.zeros(10))

    monkeypatch.setattr(dpm_cnn, "DpmCnnDetector", lambda path: detect)
    threshold = dpm_cnn._threshold(path, load_any(run)[1], root)
    assert 0.9999 < threshold < 1
    # a face with a better score than any false positive is still found
    assert threshold <= scores.max()


def test_windows_cover_an_image_at_every_size():
    boxes = window_boxes((90, 120), 30)
    sides = boxes[:, 2] - boxes[:, 0]
    expected = [*(30 * 1.4 ** np.arange(4)), 90]
    np.testing.assert_allclose(np.unique(sides.round(6)), expected)
    assert boxes.min() == -0.5
    assert boxes[:, 2].max() == pytest.approx(119.5)
    assert boxes[:, 3].max() == pytest.approx(89.5)
    # every face of a window's size is close to some window
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), (89, 59), (50, 2))
    faces = np.concatenate([corners, corners + 30], 1)
    assert iou(faces, boxes).max(1).min() > 0.5
    assert window_boxes((20, 20), 30).shape == (0, 4)
    assert window_boxes((30, 30), 30).tolist() == [[-0.5, -0.5, 29.5, 29.5]]


def test_the_file_is_a_detector(exported):
    card, path, _ = exported
    detector = detector_of_file(path)
    assert isinstance(detector, DpmCnnDetector)
    assert detector.threshold == card["threshold"]
    image, landmarks = draw_face(3)
    found = DpmCnnDetector(path, threshold=0.0, min_face=40)(image)
    assert found.scheme == "ibug68"
    assert found.landmarks.shape == (len(found), 68, 2)
    assert (np.diff(found.scores) <= 0).all()
    assert len(detector(np.zeros((0, 9, 3), np.uint8))) == 0
    with pytest.raises(ShapeError, match="expected uint8"):
        detector(np.zeros((9, 9), np.uint8))

    def propose(image):
        box = landmark_box(landmarks) + 4
        return Detections(box[None], np.ones(1), np.zeros(1))

    # a tenth of the longer side is more than the shorter one
    assert len(detector.candidates(np.zeros((9, 120, 3), np.uint8)))
    refined = DpmCnnDetector(path, proposals=propose, threshold=0.0)
    assert refined.candidates(image).shape == (1, 4)
    assert len(refined.score_windows(image, refined.candidates(image))) == 1
