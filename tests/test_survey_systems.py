"""Survey systems and the cascade with parts: overfitting, resuming, batching."""

import numpy as np
import pytest

from faces import write_faces
from lineament.data.mixture import read_mixture
from lineament.data.sample import in_validation
from lineament.recipe.file import make_recipe
from mtfl_faces import write_mtfl

torch = pytest.importorskip("torch")
from lineament.data.crop_cache import plain_crops, plain_landmarks
from lineament.inference.registry import load_numpy_model
from lineament.training.build import load_any
from lineament.training.classic.predict import predict_plain_faces
from lineament.training.registry import make_trainer
from lineament.training.validate import interocular_nmes, predict_plain

pytestmark = pytest.mark.torch

PROBABLE = ("flip", "large_rotation", "color", "gray", "blur", "low_resolution", "jpeg")
STILL = dict.fromkeys(
    (*PROBABLE, "noise", "dark", "occlusion", "rotation_deg", "scale", "shift"), 0.0
)
NETWORKS = {
    "DCNN": {"kind": "conv-cascade", "size": 64, "levels": 2},
    "Face++": {"kind": "coarse-to-fine", "size": 64, "levels": 2},
    "TCDCN": {"kind": "shared-features", "size": 40},
    "DAN": {
        "kind": "deep-alignment",
        "size": 48,
        "stages": 2,
        "width": 0.13,
        "dropout": 0.0,
    },
    "parts": {"kind": "part-cascade", "size": 96, "width": 0.2, "contour_width": 0.2},
}
TRAIN = {
    "DCNN": {"steps": 1000},
    "Face++": {"steps": 350},
    "TCDCN": {"steps": 200},
    # a norm over few faces estimates other statistics in training than in use
    "DAN": {"steps": 300, "batch": 24},
    "parts": {"steps": 300, "lr": 1e-3},
}
CASCADES = {
    "CPR": {"regressor": "ferns", "trees": 60, "pixels": 60, "fern_prior": 10.0},
    "ERT": {"regressor": "trees", "trees": 60, "pixels": 60, "learning_rate": 0.2},
    "SDM": {"regressor": "ridge", "ridge": 1e-4},
}
CLASSICS = {
    "ASM": {"kind": "active-shape", "size": 128, "levels": 2, "cell": 3},
    "AAM": {"kind": "active-appearance", "size": 96, "levels": 2},
}
REACHED = {"ASM": 0.007, "CPR": 0.015, "ERT": 0.015}
"""Largest errors of saved models that do not reach 0.005. An active shape model searches among
pixels. Ferns and trees reach it on the images that they are trained on, but not on plain crops."""
THREE = [seed for seed in range(9) if not in_validation(f"face{seed}")][:3]


def recipe_of(folder, model, steps, more=None, **train):
    scheme = "five" if model["kind"] == "conv-cascade" else "ibug68"
    values = {
        "name": "three",
        "scheme": scheme,
        "model": {"size": 64, "padding": 1.3, **model},
        "data": [{"reader": "folder", "folder": str(folder), "repeat": 8}],
        "augment": STILL,
        "losses": {"smooth_l1": 1.0},
        "train": {
            "steps": steps, "batch": 3, "num_workers": 0, "lr": 2e-3, "bf16": False,
            "warmup": 10, "ema": 0.9, "weight_decay": 0.0, "validate_every": 10_000, **train,
        },
    }  # fmt: skip
    return make_recipe(values | (more or {}), "test")


def error_of(checkpoint, recipe, folder, cache):
    """Return the mean error of the training faces over the interocular distance."""
    m = recipe.model
    crop = m.size, m.padding
    sources, _ = read_mixture(recipe.data, recipe.scheme, folder, cache, crop=crop)
    faces = sources[0].cache
    if checkpoint.suffix == ".safetensors":
        found, _, _ = predict_plain_faces(load_numpy_model(checkpoint), faces)
    else:
        found, _ = predict_plain(load_any(checkpoint)[0], faces, m.padding)
    truth = plain_landmarks(faces, m.size, m.padding)
    return float(interocular_nmes(found, truth, recipe.scheme).mean())


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    write_faces(folder, max(THREE) + 1)
    for path in folder.iterdir():
        if int(path.stem.removeprefix("face")) not in THREE:
            path.unlink()
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_overfits_three_faces(name, three, tmp_path):
    recipe = recipe_of(three, NETWORKS[name], **TRAIN[name])
    run = make_trainer(recipe, tmp_path / "run", three, tmp_path / "cache").run()
    assert error_of(run, recipe, three, tmp_path / "cache") < 0.005


def test_clusters_overfit_three_faces(three, tmp_path):
    cache = tmp_path / "cache"
    plain = recipe_of(three, NETWORKS["TCDCN"], 200)
    start = make_trainer(plain, tmp_path / "plain", three, cache).run()
    model = NETWORKS["TCDCN"] | {"clusters": 2, "partner_prob": 0.5}
    more = {"init_from": str(start)}
    recipe = recipe_of(three, model, 60, more, freeze=["features", "shared"], lr=5e-4)
    run = make_trainer(recipe, tmp_path / "run", three, cache).run()
    assert error_of(run, recipe, three, cache) < 0.005


def test_a_network_overfits_three_faces_and_their_smiles(tmp_path):
    folder, cache = tmp_path / "mtfl", tmp_path / "cache"
    folder.mkdir()
    seeds = [seed for seed in range(20) if not in_validation(str(seed))][:3]
    seeds += [seed for seed in range(40) if in_validation(str(seed))][:1]
    write_mtfl(folder, seeds)
    more = {
        "scheme": "five",
        "data": [{"reader": "mtfl", "folder": str(folder), "repeat": 8}],
        "tasks": {"groups": {"smiling": ["smiling"]}},
    }
    recipe = recipe_of(folder, NETWORKS["DAN"], 200, more, batch=12)
    trainer = make_trainer(recipe, tmp_path / "run", folder, cache)
    run = trainer.run()
    assert error_of(run, recipe, folder, cache) < 0.005
    faces = trainer.task.sources[0].cache
    crops = np.concatenate([part for part, _ in plain_crops(faces, 48, 1.3, 8)])
    with torch.no_grad():
        logits = load_any(run)[0](torch.from_numpy(crops)).class_logits[:, 0]
    np.testing.assert_array_equal(logits > 0, faces.attributes["smiling"] > 0)


@pytest.mark.parametrize("name", CLASSICS)
def test_a_shape_model_overfits_three_faces(name, three, tmp_path):
    recipe = recipe_of(three, CLASSICS[name], CLASSICS[name]["levels"])
    cache = tmp_path / "cache"
    run = make_trainer(recipe, tmp_path / "run", three, cache).run()
    assert error_of(run, recipe, three, cache) < REACHED.get(name, 0.005)


@pytest.mark.parametrize("name", CASCADES)
def test_a_cascade_overfits_three_faces(name, three, tmp_path):
    # initial shapes must differ, or the stages learn no updates in between
    model = {
        "kind": "cascade",
        "initial_shapes_per_face": 40,
        "initial_shapes": 1,
        **CASCADES[name],
    }
    recipe = recipe_of(three, model, 6)
    noise = {"rotation_deg": 5.0, "scale": 0.05, "shift": 0.03}
    augment = recipe.augment.model_copy(update=noise)
    recipe = recipe.model_copy(update={"augment": augment})
    trainer = make_trainer(recipe, tmp_path / "run", three, tmp_path / "cache")
    run = trainer.run()
    assert error_of(run, recipe, three, tmp_path / "cache") < REACHED.get(name, 0.005)
    # of a box, whose side is at most 2.4 interocular distances here
    assert 2.4 * trainer.fit.training_error() < 0.005


@pytest.mark.parametrize("name", NETWORKS)
def test_a_resumed_network_equals_an_uninterrupted_one(name, three, tmp_path):
    recipe = recipe_of(three, NETWORKS[name], 4, checkpoint_minutes=0.0)
    places = three, tmp_path / "cache"
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


@pytest.mark.parametrize("name", NETWORKS)
def test_batched_prediction_equals_single_prediction(name, three):
    from lineament.models.registry import build_network

    recipe = recipe_of(three, NETWORKS[name], 1)
    torch.manual_seed(0)
    net = build_network(recipe).eval()
    for parameter in net.parameters():
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    size = recipe.model.size
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.integers(0, 256, (4, size, size, 3), dtype=np.uint8))
    with torch.no_grad():
        together = net(crops).landmarks
        alone = torch.cat([net(crop[None]).landmarks for crop in crops])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)
