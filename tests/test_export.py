"""export.py: an exported file predicts what torch predicts, or is not written."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from commands import call
from faces import write_faces
from lineament.data.crop_cache import plain_crops
from lineament.data.mixture import read_mixture
from lineament.errors import ExportError, InputError, ModelError
from lineament.estimator import ValidationLimits
from lineament.export import gate, web_gate
from lineament.export.calibrate import SigmaScale
from lineament.export.card import write_model
from lineament.export.gate import Gate
from lineament.export.graph import LandmarkGraph, write_onnx
from lineament.export.registry import export_trained
from lineament.geometry import box_error, landmark_box
from lineament.inference.onnx_model import Model, open_session
from lineament.models.backbones.registry import BACKBONES
from lineament.models.export_form import even_normalization
from lineament.models.landmark_net import LandmarkNet
from lineament.recipe.file import make_recipe
from lineament.training.build import load_trained
from lineament.training.checkpoint import load_checkpoint, save_weights
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer
from lineament.training.validate import predict_plain
from tiny import Tiny

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    # TensorBoard's and the quantizer's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class TinyWithChannelStatistics(Tiny):
    """A tiny backbone with a different normalization per channel, like ImageNet's."""

    mean = (0.45, 0.5, 0.4)
    std = (0.25, 0.2, 0.3)


@pytest.fixture(scope="module", autouse=True)
def _known_backbone():
    BACKBONES["tiny"] = TinyWithChannelStatistics
    yield
    del BACKBONES["tiny"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return checkpoint, recipe and data root of a tiny network trained on drawn faces."""
    root = tmp_path_factory.mktemp("export")
    write_faces(root / "faces", 60)
    recipe = make_recipe(
        {
            "name": "small",
            "data": [{"reader": "folder", "folder": str(root / "faces")}],
            "model": {
                "backbone": "tiny",
                "imagenet": False,
                "channels": 16,
                "size": 64,
            },
            "train": {
                "steps": 30,
                "batch": 8,
                "warmup": 2,
                "bf16": False,
                "threads": 1,
                "num_workers": 0,
            },
        }
    )
    return (
        Trainer(task_for(recipe), root / "run", root, root / "cache").run(),
        recipe,
        root,
    )


@pytest.fixture(scope="module", params=[False, True], ids=["fp32", "int8"])
def exported(request, run):
    checkpoint, _, root = run
    out = root / ("int8" if request.param else "fp32")
    # limits do not matter for a barely trained network; they are tested below
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "NME_CHANGE", 0.2)
        patch.setattr(gate, "MOVE_INT8", 3.0)
        card = export_trained(
            checkpoint,
            out,
            "small",
            request.param,
            root,
            root / "cache",
            {"license": "none"},
        )
    return Model(out / "small.onnx", 1), card, out


def test_the_file_predicts_what_torch_predicts(run, exported):
    checkpoint, recipe, root = run
    model, card, _ = exported
    _, validation_faces = read_mixture(recipe.data, recipe.scheme, root, root / "cache")
    faces = next(iter(validation_faces.values()))
    found = gate.run_plain(model, faces)
    assert model.validation_limits == ValidationLimits.read(card)
    assert card["low_score"] == pytest.approx(
        np.quantile(found.scores.mean(1), 0.05), abs=2e-4
    )
    middle, half = 31.5, 32 / recipe.model.padding
    box = np.array([middle - half] * 2 + [middle + half] * 2)
    errors = [box_error(box, landmark_box(face)) for face in found.landmarks_crop]
    assert card["box_error"] == pytest.approx(np.quantile(errors, 0.95), abs=2e-4)
    wanted, _ = predict_plain(load_trained(checkpoint)[0], faces, recipe.model.padding)
    crops = np.concatenate(
        [c for c, _ in plain_crops(faces, 64, recipe.model.padding, 8)]
    )
    moves = np.linalg.norm(model.predict(crops).landmarks_crop - wanted, axis=-1)
    if card["precision"] == "fp32":
        assert moves.max() < 0.01
    assert card["gate"]["median_move_px"] == pytest.approx(np.median(moves), abs=2e-3)


def test_averaged_weights_are_exported_like_their_checkpoint(run, tmp_path):
    checkpoint, recipe, root = run
    kept = tmp_path / "kept.safetensors"
    save_weights(kept, load_checkpoint(checkpoint))
    places = ("--data", root, "--cache", root / "cache")
    code, _, err = call("export", kept, "--out", tmp_path, *places)
    assert (code, err) == (0, "")
    model = Model(tmp_path / f"{recipe.name}.onnx", 1)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    expected = load_trained(kept)[0](torch.from_numpy(crops)).landmarks
    found = model.predict(crops).landmarks_crop
    np.testing.assert_allclose(found, expected.detach(), atol=0.01)


@pytest.mark.parametrize(
    "backbone",
    ["light-resnet50", "simple-baseline", "hrnet-w18", "hr-supernet", "hourglass"],
)
def test_the_networks_of_the_papers_pass_the_gate(backbone, run, tmp_path):
    _, recipe, root = run
    model = recipe.model.model_copy(update={"backbone": backbone})
    train = recipe.train.model_copy(update={"steps": 1})
    changed = recipe.model_copy(update={"model": model, "train": train})
    checkpoint = Trainer(
        task_for(changed), tmp_path / "run", root, root / "cache"
    ).run()
    card = export_trained(
        checkpoint, tmp_path, "small", False, root, root / "cache", {"license": "none"}
    )
    assert card["gate"]["largest_move_px"] < 0.01
    if backbone == "light-resnet50":
        assert 10.2 < card["bytes"] / 2**20 < 10.8  # MB in the paper


def test_the_file_contains_no_source_paths_of_the_exporting_machine(exported):
    model, _, _ = exported
    assert b'.py", line' not in model.path.read_bytes()


def test_the_batch_size_is_dynamic(exported):
    model, _, _ = exported
    for count in (1, 3, 17):
        assert model.predict(
            np.zeros((count, 64, 64, 3), np.uint8)
        ).landmarks_crop.shape == (
            count,
            68,
            2,
        )


def test_the_card_describes_the_exported_files(run, exported):
    model, card, out = exported
    assert card == json.loads((out / "small.json").read_text()) == model.card
    assert card["bytes"] == (out / "small.onnx").stat().st_size
    assert card["license"] == "none"
    assert card["recipe"]["train"]["steps"] == card["steps_done"] == 30
    assert sorted(p.name for p in out.iterdir()) == ["small.json", "small.onnx"]


def test_scores_fall_as_sigma_rises(exported):
    model, _, _ = exported
    rng = np.random.default_rng(0)
    heads = model.predict(rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8))
    order = np.argsort(heads.sigma_px.ravel())
    assert (np.diff(heads.scores.ravel()[order]) <= 1e-6).all()
    assert (heads.sigma_px > 0).all()


def test_a_common_normalization_changes_only_the_border(run):
    checkpoint, _, _ = run
    crops = torch.randint(
        0,
        255,
        (2, 64, 64, 3),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        plain, _ = load_trained(checkpoint)
        first = plain.backbone.levels[0](plain.normalize(crops))
        even = load_trained(checkpoint)[0]
        even_normalization(even.mean, even.std, even.backbone)
        second = even.backbone.levels[0](even.normalize(crops))
    assert len(set(even.mean.flatten().tolist())) == 1
    torch.testing.assert_close(
        first[..., 1:-1, 1:-1], second[..., 1:-1, 1:-1], atol=1e-4, rtol=1e-4
    )


def test_one_scheme_of_a_joined_model_is_exported_alone(run, tmp_path):
    _, recipe, root = run
    joined = recipe.model_copy(update={"scheme": "ibug68_helen194"})
    checkpoint = Trainer(task_for(joined), tmp_path / "run", root, root / "cache").run()
    out, cache = tmp_path / "out", root / "cache"
    given = (checkpoint, out, "part", False, root, cache)
    card = export_trained(*given, scheme_name="ibug68")
    assert (card["scheme"], card["points"]) == ("ibug68", 68)
    _, faces = read_mixture(recipe.data, "ibug68", root, cache)
    crops = next(iter(plain_crops(next(iter(faces.values())), 64, 1.3, 8)))[0]
    net = load_trained(checkpoint)[0]
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops)).landmarks[:, :68].numpy()
    found = Model(out / "part.onnx", 1).predict(crops).landmarks_crop
    assert found == pytest.approx(wanted, abs=0.02)
    with pytest.raises(InputError, match="predicts ibug68_helen194, not wflw98"):
        export_trained(*given, scheme_name="wflw98")


def test_nan_fails_the_gate():
    for measured in (Gate(np.nan, np.nan, 0.04, 0.04), Gate(0.0, 0.0, 0.04, np.nan)):
        for int8 in (False, True):
            with pytest.raises(ExportError, match="nan"):
                measured.check(int8)


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "", ".hidden"])
def test_a_name_with_a_path_is_rejected(run, name, tmp_path):
    checkpoint, _, root = run
    with pytest.raises(InputError, match="expected letters, digits, dots"):
        export_trained(checkpoint, tmp_path / "out", name, False, root, root / "cache")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_if_points_move(run, tmp_path, monkeypatch):
    checkpoint, _, root = run
    monkeypatch.setattr(gate, "MOVE_FP32", -1.0)
    with pytest.raises(
        ExportError,
        match=r"the worst landmark differs by 0\.000 px of the crop in ONNX; expected",
    ):
        export_trained(
            checkpoint, tmp_path / "out", "small", False, root, root / "cache"
        )
    assert not (tmp_path / "out").exists()


def test_the_gate_rejects_a_larger_error_and_accepts_a_smaller_one():
    Gate(0.01, 0.001, 0.04, 0.0403).check(int8=False)
    Gate(2.0, 0.1, 0.04, 0.0390).check(int8=True)
    with pytest.raises(
        ExportError,
        match=r"the validation NME changes from 0\.04000 to 0\.04050 \(\+1\.25%\)",
    ):
        Gate(0.01, 0.001, 0.04, 0.0405).check(int8=True)
    with pytest.raises(
        ExportError,
        match=r"median landmark differs by 0\.700 px of the crop in ONNX; expected at most 0\.5",
    ):
        Gate(2.0, 0.7, 0.04, 0.04).check(int8=True)


def test_constant_maps_give_finite_outputs_in_the_file(tmp_path):
    net = LandmarkNet("tiny", 5, "gaussian2d", 32, 8, imagenet=False).eval()
    with torch.no_grad():
        net.head.out.weight.zero_()
        net.head.out.bias.fill_(-1.0)
    write_onnx(
        LandmarkGraph(net.for_export(), SigmaScale(1.0, 1.0), 1.3),
        tmp_path / "flat.onnx",
    )
    session = open_session(tmp_path / "flat.onnx")
    landmarks, scores, sigma_px = session.run(
        None, {"crops": np.zeros((1, 32, 32, 3), np.uint8)}
    )
    # no position has evidence, so the result is the mean of all: the center of the crop
    assert np.allclose(landmarks, 15.5, atol=1e-3)
    assert np.isfinite(scores).all()
    assert np.isfinite(sigma_px).all()


def test_a_checkpoint_is_exported_for_browsers(run, tmp_path):
    checkpoint, _, root = run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "NME_CHANGE", 0.2)
        patch.setattr(gate, "MOVE_INT8", 3.0)
        card = web_gate.export_web(checkpoint, tmp_path, "small", root, root / "cache")
    model = Model(tmp_path / "small.onnx", 1)
    assert model.card == card
    assert card["precision"] == "int8 weights"
    # the same weights; only the activations are no longer rounded
    assert 0 < card["gate"]["median_move_px"] < 1
    change = card["gate"]["validation_nme_onnx"] / card["gate"]["validation_nme_int8"]
    assert abs(change - 1) < 0.1


def test_a_file_for_browsers_that_moves_landmarks_is_not_written(run, tmp_path):
    checkpoint, _, root = run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "NME_CHANGE", 0.2)
        patch.setattr(gate, "MOVE_INT8", 3.0)
        patch.setitem(web_gate.GATES, "landmarks", refuse)
        with pytest.raises(ExportError, match="moved"):
            web_gate.export_web(checkpoint, tmp_path, "small", root, root / "cache")
    assert list(tmp_path.iterdir()) == []


def refuse(*given):
    raise ExportError("moved")


def test_a_folder_that_cannot_be_made_is_rejected(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"cannot be written .*choose another folder"):
        write_model(tmp_path / "file" / "models", "tiny", b"", {})
