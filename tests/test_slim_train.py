"""Slimming end to end: weights and factors move in turn, cuts are smaller, and a cut goes on learning by its recipe."""

import csv

import pytest

torch = pytest.importorskip("torch")

from faces import write_faces
from lineament.errors import RecipeError
from lineament.learn.build import build_model, load_trained
from lineament.learn.checkpoint import load_checkpoint, start_from
from lineament.learn.recipe import make_recipe
from lineament.learn.slim_sweep import sweep
from lineament.learn.slim_train import Slimmer
from lineament.learn.train import Trainer
from lineament.models import backbones
from lineament.models.hr_supernet import FusionBlock, HRSuperNet, format_layout, parse_layout
from lineament.runtime import Model

pytestmark = [
    pytest.mark.torch,
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# three stages of two resolutions: small enough for tests
LAYOUT = "0:0 1:0 | 0:0,1 1:0,1 | 0:0,1 1:0,1"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "faces"
    write_faces(folder, 16)
    return folder


def small(faces, steps=4, slim=True, **changes):
    values = {
        "name": "small",
        "data": [{"reader": "folder", "folder": str(faces)}],
        "model": {"backbone": "hr-supernet", "layout": LAYOUT, "imagenet": False, "size": 64},
        "train": {"steps": steps, "batch": 4, "warmup": 0, "bf16": False, "threads": 1, "loader": 0},
    }
    if slim:
        values["slim"] = {"sparsity": 0.01, "factor_lr": 0.1, "every": 2}
    return make_recipe(values | changes)


def slimmer(faces, folder, **more):
    return Slimmer(small(faces, **more), folder, folder, folder.parent / "cache")


def moved(trainer, step):
    """Which parts of the network differ after one step with that number."""
    trainer.step = step
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    crops, landmarks = torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8), torch.rand(4, 68, 2) * 64
    trainer._update(iter([[crops, landmarks]]))
    changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    return {"factors" if name.endswith(".factors") else "weights" for name in changed}


def test_weights_and_factors_move_in_turn(faces, tmp_path):
    trainer = slimmer(faces, tmp_path / "run")
    assert moved(trainer, 0) == {"weights"}
    assert moved(trainer, 1) == {"factors"}
    assert moved(trainer, 2) == {"weights"}


def test_the_penalty_is_the_sum_of_the_factors_times_its_weight(faces, tmp_path):
    trainer = slimmer(faces, tmp_path / "run")
    crops, landmarks = torch.zeros(4, 64, 64, 3, dtype=torch.uint8), torch.rand(4, 68, 2) * 64
    losses = trainer.losses(crops, landmarks, 4 * 68)
    # ten transforms, each of factor 1, at 0.01
    assert losses["sparsity"].item() == pytest.approx(0.1)
    # half of the batch carries half of it
    assert trainer.losses(crops[:2], landmarks[:2], 4 * 68)["sparsity"].item() == pytest.approx(0.05)


def test_a_resumed_slimming_is_the_unbroken_one(faces, tmp_path):
    whole = load_checkpoint(slimmer(faces, tmp_path / "whole").run())

    class Stops(Slimmer):
        def _update(self, batches):
            if self.step == 3:
                self.save()
                raise KeyboardInterrupt
            return super()._update(batches)

    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        Stops(small(faces), folder, folder, tmp_path / "cache").run()
    resumed = load_checkpoint(Slimmer(small(faces), folder, folder, tmp_path / "cache", True).run())
    assert all(torch.equal(whole["average"][key], resumed["average"][key]) for key in whole["average"])


def test_a_sweep_writes_smaller_networks_that_go_on_learning(faces, tmp_path):
    trainer = slimmer(faces, tmp_path / "run", steps=2)
    with torch.no_grad():
        for module in trainer.model.modules():
            if isinstance(module, FusionBlock) and len(module.factors) == 2:
                module.factors.copy_(torch.tensor([0.9, 0.05]))
    trainer.average.state = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer.save()
    lines = []
    cuts = sweep(trainer.path, tmp_path / "run", (0.1, 5.0), tmp_path, tmp_path / "cache", lines.append)
    assert [cut.threshold for cut in cuts] == [0.0, 0.1]
    assert lines == ["with a threshold of 5.0 stage 2 has no block left; lower it"]
    assert cuts[0].transforms == 10
    # blocks of resolution 1 take from resolution 0 alone, and nothing takes from them but the head
    assert cuts[1].transforms == 4
    assert cuts[1].parameters < cuts[0].parameters
    assert cuts[1].multiply_adds < cuts[0].multiply_adds
    with (tmp_path / "run" / "pareto.csv").open() as file:
        assert [row["threshold"] for row in csv.DictReader(file)] == ["0.0", "0.1"]
    for name in ("pareto.png", "threshold-0.1/architecture.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")
    assert Model(tmp_path / "run" / "threshold-0.1" / "small.onnx").points == 68
    net, recipe = load_trained(tmp_path / "run" / "threshold-0.1" / "checkpoint.pt")
    assert recipe.model.layout == "0:0 | 0:0 | 0:0 1:0"
    again = recipe.model_copy(update={"start": cuts[1].checkpoint})
    fresh = build_model(again)
    start_from(fresh, tmp_path / "run" / "threshold-0.1" / "checkpoint.pt")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), fresh.parameters(), strict=True))
    Trainer(again, tmp_path / "more", tmp_path, tmp_path / "cache").run()


def test_a_sweep_of_another_network_is_refused(faces, tmp_path, monkeypatch):
    from tiny import Tiny

    monkeypatch.setitem(backbones.BACKBONES, "tiny", Tiny)
    model = {"backbone": "tiny", "imagenet": False, "channels": 16, "size": 64}
    checkpoint = Trainer(small(faces, steps=1, slim=False, model=model), tmp_path, tmp_path, tmp_path / "cache").run()
    with pytest.raises(RecipeError, match="a tiny, which has no importance factors; wanted a supernet"):
        sweep(checkpoint, tmp_path, (0.1,), tmp_path, tmp_path / "cache")
    with pytest.raises(RecipeError, match="'tiny' has no importance factors; set model"):
        slimmer(faces, tmp_path / "run", model=model)


def test_a_recipe_without_slim_is_refused(faces, tmp_path):
    with pytest.raises(RecipeError, match=r"has no \[slim\]; add it, or use lineament train"):
        slimmer(faces, tmp_path / "run", slim=False)


def test_a_layout_is_read_back_as_it_was_written():
    layout = [{0: [0], 1: [0]}, {0: [0, 1]}]
    assert parse_layout(format_layout(layout)) == layout
    assert parse_layout(format_layout(HRSuperNet().layout)) == HRSuperNet().layout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:0 | 1:1", "'1:1' in stage 3; wanted resolution:sources"),
        ("7:0", "'7:0' in stage 2"),
        ("0:", "'0:' in stage 2"),
        ("0:0 | ", "stage 3 has no block; wanted at least one"),
    ],
)
def test_a_broken_layout_is_one_clear_line(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_layout(text)


def test_a_layout_for_another_backbone_is_refused():
    with pytest.raises(RecipeError, match="the backbone is 'mobilenetv2'; leave it out"):
        backbones.make_backbone("mobilenetv2", False, LAYOUT)
