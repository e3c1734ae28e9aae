"""Exported presence and visibility: calibrated, equal to torch, refused if they change."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from faces import write_faces
from lineament.data.crop_cache import plain_crops
from lineament.data.mixture import read_mixture
from lineament.errors import ExportError
from lineament.export import gate, occluded, presence
from lineament.export.calibrate import (
    COVERAGE,
    LogitScale,
    SigmaScale,
    StateScales,
    near_exponent,
)
from lineament.export.export import read_state_gate
from lineament.export.graph import LandmarkGraph, write_onnx
from lineament.export.registry import export_trained
from lineament.inference.onnx_model import Model, open_session
from lineament.models.backbones.registry import BACKBONES
from lineament.models.landmark_net import LandmarkNet
from lineament.models.refinement import RefinedNet
from lineament.training.build import load_any
from lineament.training.presence_rates import StateLogits
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer
from no_face import write_detection
from tiny import Tiny, small

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    # TensorBoard's and the quantizer's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
LOSSES = {"cross_entropy": 1.0, "smooth_l1": 1.0, "presence": 1.0, "visible": 0.5}


@pytest.fixture(scope="module", autouse=True)
def _known_backbone():
    BACKBONES["tiny"] = Tiny
    yield
    del BACKBONES["tiny"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a checkpoint of a tiny network with presence, its recipe, and the data root."""
    root = tmp_path_factory.mktemp("export")
    write_detection(root)
    write_faces(root / "faces", 60)
    recipe = small(
        root / "faces",
        losses=LOSSES,
        presence={"photos": ["objects", "pets"], "negative_fraction": 0.3},
        **{
            "model.presence": True,
            "train.steps": 40,
            "train.batch": 8,
            "train.ema": 0.5,
            "train.validate_every": 40,
        },
    )
    path = Trainer(task_for(recipe), root / "run", root, root / "cache").run()
    return path, recipe, root


def state_gate(run):
    path, recipe, root = run
    model = load_any(path)[0]
    cache = root / "cache"
    faces = read_mixture(recipe.data, recipe.scheme, root, cache, crop=(64, 1.3))[1]
    return read_state_gate(model, recipe, faces, root, cache)


@pytest.fixture(scope="module", params=[False, True], ids=["fp32", "int8"])
def exported(request, run):
    path, _, root = run
    out = root / ("int8" if request.param else "fp32")
    # limits do not matter for a barely trained network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "NME_CHANGE", 0.2)
        patch.setattr(gate, "MOVE_INT8", 3.0)
        patch.setattr(presence, "MEAN_INT8", 0.2)
        export_trained(path, out, "small", request.param, root, root / "cache")
    return Model(out / "small.onnx", 1), json.loads((out / "small.json").read_text())


def test_the_file_gives_the_calibrated_probabilities_of_torch(run, exported):
    model, card = exported
    states = state_gate(run)
    scales = states.fit(states.logits)
    faces, seen = presence.states_of(model, states.crops)
    changes = np.abs(faces - scales.presence.probability(states.logits.presence))
    more = np.abs(seen - scales.visible.probability(states.logits.visible))
    if card["precision"] == "fp32":
        assert max(changes.max(), more.max()) < 1e-3
    assert max(changes.mean(), more.mean()) < 0.2
    assert ((faces >= 0) & (faces <= 1)).all()


def gate_faces(run):
    _, recipe, root = run
    sources = read_mixture(
        recipe.data, recipe.scheme, root, root / "cache", crop=(64, 1.3)
    )
    return gate.choose_gate_faces(recipe, 64, *sources)


def occluded_faces(run):
    faces = gate_faces(run)
    return occluded.occluded_crops(faces.faces, faces.truth, 64, faces.padding)


def test_occluders_cover_the_points_they_are_said_to_cover(run):
    faces = gate_faces(run)
    crops = occluded_faces(run)
    assert np.array_equal(crops.crops, occluded_faces(run).crops)
    plain = np.concatenate([c for c, _ in plain_crops(faces.faces, 64, 1.3, 8)])
    assert len(crops.crops) == 2 * len(plain)
    pairs = crops.crops.reshape(-1, 2, *plain.shape[1:])
    changed = (pairs != plain[:, None]).any(-1)
    truth = crops.truth.reshape(len(plain), 2, -1, 2)
    np.testing.assert_array_equal(truth[:, 0], truth[:, 1])
    covered = crops.covered.reshape(truth.shape[:-1])
    assert 0.35 < covered[:, 1].mean() < 0.65
    assert 0.02 < covered[:, 0].mean() < 0.4
    cells = np.clip(truth.round().astype(int), 0, 63)
    at = np.take_along_axis(
        changed.reshape(len(plain), 2, -1), cells[..., 1] * 64 + cells[..., 0], 2
    )
    # an occluder may have the color of the pixel below it
    assert (at & covered).sum() > 0.9 * covered.sum()
    assert not (at & ~covered).any()


def test_sigma_of_occluded_points_in_the_file_is_fitted_on_occluded_crops(
    run, exported
):
    model, card = exported
    crops = occluded_faces(run)
    found = model.predict(crops.crops)
    errors = np.linalg.norm(found.landmarks_crop - crops.truth, axis=-1)
    scale = SigmaScale(**card["sigma"])
    if card["precision"] == "fp32":
        with torch.no_grad():
            raw = load_any(run[0])[0](torch.from_numpy(crops.crops))
        wanted = scale.sigma_px(raw.variance.numpy(), found.visible)
        np.testing.assert_allclose(found.sigma_px, wanted, rtol=2e-3)
        # scores are those of visible points
        plain = scale.sigma_px(raw.variance.numpy())
        scores = 1 - np.exp(-near_exponent(64, 1.3) / plain**2)
        np.testing.assert_allclose(found.scores, scores, atol=2e-3)
    under = (errors <= 2 * found.sigma_px)[crops.covered].mean()
    assert under >= COVERAGE - 0.005
    # no larger than it must be
    assert scale.occluded < 0.01 or under <= COVERAGE + 0.02


def test_outputs_follow_sigma_by_name_even_for_an_empty_batch(exported):
    model, _ = exported
    names = [output.name for output in model.session.get_outputs()]
    assert names == ["landmarks_crop", "scores", "sigma_px", "presence", "visible"]
    found = model.predict(np.zeros((3, 64, 64, 3), np.uint8))
    assert found.presence.shape == (3,)
    assert found.visible.shape == (3, 68)
    assert found.presence.dtype == found.visible.dtype == np.float32
    assert found.memory is None
    empty = model.predict(np.zeros((0, 64, 64, 3), np.uint8))
    assert empty.presence.shape == (0,)
    assert empty.visible.shape == (0, 68)


def test_the_card_states_the_rates_of_the_file(run, exported):
    model, card = exported
    states = state_gate(run)
    faces, _ = presence.states_of(model, states.crops)
    counted = states.crops.presence()
    entry = card["presence"]
    assert entry["validation_faces"] == counted.sum()
    assert entry["validation_negatives"] == (~counted).sum()
    missed = (faces[counted] < 0.5).mean()
    assert entry["presence_missed"] == pytest.approx(missed, abs=1e-5)
    assert 0 <= entry["presence_auc"] <= 1
    assert {"presence_slope", "visible_offset"} <= entry.keys()


def test_a_file_whose_probabilities_change_is_rejected(run, exported):
    model, _ = exported
    states = state_gate(run)
    scales = states.fit(states.logits)
    moved = StateLogits(states.logits.presence + 3, states.logits.visible)
    wrong = presence.StateGate(states.crops, moved)
    for int8, kind in ((False, "largest"), (True, "mean")):
        with pytest.raises(
            ExportError,
            match=f"presence: its {kind} change in ONNX is .*: nothing was written",
        ):
            wrong.check(model, scales, scales, int8)
    broken = StateLogits(states.logits.presence * np.nan, states.logits.visible)
    with pytest.raises(ExportError, match="nan"):
        presence.StateGate(states.crops, broken).check(model, scales, scales, True)


def test_a_file_without_presence_has_none(run, tmp_path):
    _, _, root = run
    plain = small(root / "faces", **{"train.steps": 1})
    path = Trainer(task_for(plain), tmp_path / "run", root, root / "cache").run()
    card = export_trained(path, tmp_path, "plain", False, root, root / "cache")
    found = Model(tmp_path / "plain.onnx", 1).predict(
        np.zeros((2, 64, 64, 3), np.uint8)
    )
    assert found.presence is None
    assert found.visible is None
    assert "presence" not in card


def test_outputs_of_a_recurrent_model_have_presence_before_the_state(tmp_path):
    torch.manual_seed(0)
    net = LandmarkNet("tiny", 5, "attentive1d", 64, 16, False, presence=True)
    tracker = RefinedNet(net, 5, 0.3).eval()
    scales = StateScales(LogitScale(2.0, 0.5), LogitScale(1.5, -0.5))
    graph = LandmarkGraph(tracker.for_export(), SigmaScale(1.0, 1.0), 1.3, scales)
    write_onnx(graph, tmp_path / "tracker.onnx")
    session = open_session(tmp_path / "tracker.onnx")
    names = [output.name for output in session.get_outputs()]
    assert names[3:] == ["presence", "visible", "memory_after"]
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        wanted, memory = tracker.follow(crops, None)
    given = {"crops": crops.numpy(), "memory": np.zeros_like(memory)}
    found = dict(zip(names, session.run(None, given), strict=True))
    presence_wanted = scales.presence.probability(wanted.presence_logits)
    visible_wanted = scales.visible.probability(wanted.visible_logits)
    np.testing.assert_allclose(found["presence"], presence_wanted, atol=1e-4)
    np.testing.assert_allclose(found["visible"], visible_wanted, atol=1e-4)
    np.testing.assert_allclose(found["memory_after"], memory, atol=1e-3)


def test_predictions_of_torch_follow_the_order_of_the_crops(run):
    path, _, _ = run
    states = state_gate(run)
    model = load_any(path)[0]
    first = states.crops.negatives[0]
    crops = np.concatenate([c for c, _ in plain_crops(first, 64, 1.3, 8)])
    with torch.no_grad():
        wanted = model(torch.from_numpy(crops)).presence_logits.numpy()
    start = int(states.crops.presence().sum())
    found = states.logits.presence[start : start + len(first)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
