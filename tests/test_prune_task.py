"""Slimming: weights and factors alternate; slimmed networks are smaller and trainable."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lineament.errors import ExportError, RecipeError
from lineament.inference.onnx_model import Model
from lineament.models.backbones import registry as backbones
from lineament.models.backbones.hr_supernet import (
    FusionBlock,
    HRSuperNet,
    format_layout,
    parse_layout,
)
from lineament.models.heads.registry import HEADS
from lineament.models.landmark_net import LandmarkNet
from lineament.models.profile import multiply_adds, parameters
from lineament.recipe import SlimSettings
from lineament.recipe.file import make_recipe
from lineament.study import prune_sweep as slim_sweep
from lineament.study.prune_sweep import sweep
from lineament.training.batch import Batch
from lineament.training.build import (
    adopt_architecture,
    build_model,
    load_initial_weights,
    load_trained,
)
from lineament.training.checkpoint import load_checkpoint
from lineament.training.landmark_task import LandmarkTask
from lineament.training.layer_shapes import fit_shapes
from lineament.training.prune.channels import slimmed_channels
from lineament.training.prune.task import PruneTask, prune_task
from lineament.training.registry import task_for
from lineament.training.trainer import Trainer
from tiny import killed

pytestmark = [
    pytest.mark.torch,
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# three stages of two resolutions: small enough for tests
LAYOUT = "0:0 1:0 | 0:0,1 1:0,1 | 0:0,1 1:0,1"


def small(faces, steps=4, slim=True, **changes):
    values = {
        "name": "small",
        "data": [{"reader": "folder", "folder": str(faces)}],
        "model": {
            "backbone": "hr-supernet",
            "architecture": LAYOUT,
            "imagenet": False,
            "size": 64,
        },
        "train": {
            "steps": steps,
            "batch": 4,
            "warmup": 0,
            "bf16": False,
            "threads": 1,
            "num_workers": 0,
        },
    }
    if slim:
        values["slim"] = {"sparsity": 0.01, "factor_lr": 0.1, "factor_interval": 2}
    return make_recipe(values | changes)


def slimmer(faces, folder, **more):
    return trainer(small(faces, **more), folder, "slim")


def trainer(recipe, folder, kind="train", resume=False):
    task = task_for(recipe, kind)
    return Trainer(task, folder, folder, folder.parent / "cache", resume)


def moved(run, step):
    """Return which parts of the network differ after one step with that number."""
    run.step = step
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    crops, landmarks = (
        torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8),
        torch.rand(4, 68, 2) * 64,
    )
    run.update(iter([Batch(crops, landmarks)]))
    changed = {
        name
        for name, p in run.model.named_parameters()
        if not torch.equal(p, before[name])
    }
    return {"factors" if name.endswith(".factors") else "weights" for name in changed}


def test_weights_and_factors_are_updated_alternately(faces, tmp_path):
    run = slimmer(faces, tmp_path / "run")
    assert moved(run, 0) == {"weights"}
    assert moved(run, 1) == {"factors"}
    assert moved(run, 2) == {"weights"}


def test_the_penalty_is_the_sum_of_the_factors_times_its_weight(faces, tmp_path):
    run = slimmer(faces, tmp_path / "run")
    batch = Batch(
        torch.zeros(4, 64, 64, 3, dtype=torch.uint8), torch.rand(4, 68, 2) * 64
    )
    count = run.task.count(batch)
    losses = run.task.losses(run.model, batch, count)
    # ten transforms, each of factor 1, at 0.01
    assert losses["sparsity"].item() == pytest.approx(0.1)
    # half of the batch carries half of it
    half = run.task.losses(run.model, batch.map(lambda tensor: tensor[:2]), count)
    assert half["sparsity"].item() == pytest.approx(0.05)


def test_a_resumed_slimming_equals_an_uninterrupted_one(faces, tmp_path):
    whole = load_checkpoint(slimmer(faces, tmp_path / "whole").run())

    killed(slimmer(faces, tmp_path / "killed"), saved=3, dies=3)
    resumed = load_checkpoint(
        trainer(small(faces), tmp_path / "killed", "slim", True).run()
    )
    assert all(
        torch.equal(whole["average"][key], resumed["average"][key])
        for key in whole["average"]
    )


def test_a_sweep_writes_smaller_networks_that_can_be_trained_on(faces, tmp_path):
    run = slimmer(faces, tmp_path / "run", steps=2)
    with torch.no_grad():
        for module in run.model.modules():
            if isinstance(module, FusionBlock) and len(module.factors) == 2:
                module.factors.copy_(torch.tensor([0.9, 0.05]))
    run.average.state = {
        key: value.clone() for key, value in run.model.state_dict().items()
    }
    run.save()
    lines = []
    slim = SlimSettings(thresholds=(0.1, 5.0))
    cuts = sweep(
        run.path, tmp_path / "run", slim, tmp_path, tmp_path / "cache", lines.append
    )
    assert [cut.amount for cut in cuts] == [0.0, 0.1]
    assert lines == [
        "with a threshold of 5.0 stage 2 has no block left; lower the threshold"
    ]
    assert cuts[0].kept == "6 blocks, 10 transforms"
    # blocks of resolution 1 have only resolution 0 as input, and only the head as output
    assert cuts[1].kept == "4 blocks, 4 transforms"
    for cut in cuts:  # the gate may refuse the int8 file of an untrained network
        assert Path(cut.checkpoint).with_name(
            "small-int8.onnx"
        ).exists() == np.isfinite(cut.nme_int8)
    assert cuts[1].parameters < cuts[0].parameters
    assert cuts[1].multiply_adds < cuts[0].multiply_adds
    with (tmp_path / "run" / "pareto.csv").open() as file:
        assert [row["amount"] for row in csv.DictReader(file)] == ["0.0", "0.1"]
    for name in ("pareto.png", "threshold-0.1/architecture.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")
    assert Model(tmp_path / "run" / "threshold-0.1" / "small.onnx").points == 68
    net, recipe = load_trained(tmp_path / "run" / "threshold-0.1" / "checkpoint.pt")
    assert recipe.model.architecture == "0:0 | 0:0 | 0:0 1:0"
    # a recipe with init_from alone takes the layout from there
    bare = small(
        faces,
        steps=1,
        slim=False,
        model={"backbone": "hr-supernet", "imagenet": False, "size": 64},
    )
    again = adopt_architecture(
        bare.model_copy(update={"init_from": cuts[1].checkpoint})
    )
    assert again.model.architecture == recipe.model.architecture
    fresh = build_model(again)
    load_initial_weights(
        fresh,
        again.model_copy(
            update={"init_from": str(tmp_path / "run/threshold-0.1/checkpoint.pt")}
        ),
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.parameters(), fresh.parameters(), strict=True)
    )
    begun = bare.model_copy(update={"init_from": cuts[1].checkpoint})
    trainer(begun, tmp_path / "more").run()
    Path(cuts[1].checkpoint).unlink()  # a resumed run reads its own checkpoint
    trainer(begun, tmp_path / "more", resume=True).run()


def test_a_pruned_network_that_the_gate_rejects_has_no_figures_and_ends_no_sweep(
    faces, tmp_path, monkeypatch
):
    def refuses(checkpoint, folder, name, *more):
        if folder.name == "threshold-0.1":
            raise ExportError("its points move")
        return {"gate": {slim_sweep.NME: 0.5}}

    monkeypatch.setattr(slim_sweep, "export_trained", refuses)
    monkeypatch.setattr(
        slim_sweep, "time_file", lambda path: SimpleNamespace(least_ms=1.0)
    )
    run = slimmer(faces, tmp_path / "run", steps=1)
    lines = []
    slim = SlimSettings(thresholds=(0.1,))
    whole, cut = sweep(
        run.run(), tmp_path / "run", slim, tmp_path, tmp_path / "cache", lines.append
    )
    assert (whole.nme, whole.nme_int8, whole.milliseconds) == (0.5, 0.5, 1.0)
    assert np.isnan(
        [cut.nme, cut.nme_int8, cut.milliseconds, cut.milliseconds_int8]
    ).all()
    assert lines == [
        f"threshold-0.1: no {name}.onnx: its points move"
        for name in ("small", "small-int8")
    ]
    assert (tmp_path / "run/pareto.csv").exists()


def test_another_network_is_no_supernet(faces, tmp_path):
    with pytest.raises(
        RecipeError, match="'mobilenetv2' has no importance factors; set model"
    ):
        PruneTask(
            small(
                faces, model={"backbone": "mobilenetv2", "imagenet": False, "size": 64}
            )
        )


def test_a_supernet_trains_its_factors_and_another_network_does_not(faces, tmp_path):
    assert isinstance(prune_task(small(faces)), PruneTask)
    model = {"backbone": "mobilenetv2", "imagenet": False, "size": 64}
    assert type(prune_task(small(faces, model=model))) is LandmarkTask
    with pytest.raises(
        RecipeError, match=r"has no \[slim\]; add it, or use lineament train"
    ):
        prune_task(small(faces, slim=False))


@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        *(
            (name, "heatmap2d")
            for name in (
                "efficientnet-lite0",
                "simple-baseline",
                "light-resnet50",
                "hourglass",
            )
        ),
        *(("mobilenetv2", head) for head in HEADS),
    ],
)
def test_channels_are_removed_and_the_given_network_is_unchanged(backbone, head):
    pytest.importorskip("torch_pruning")
    net = LandmarkNet(backbone, 5, head, 64, 32, imagenet=False).eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    cut = slimmed_channels(net, 0.4)
    crops = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    assert parameters(cut) < 0.8 * parameters(net)
    assert multiply_adds(cut, crops[:1]) < 0.8 * multiply_adds(net, crops[:1])
    with torch.no_grad():
        assert cut(crops).landmarks.shape == (2, 5, 2)
    assert all(
        torch.equal(value, before[key]) for key, value in net.state_dict().items()
    )
    again = LandmarkNet(backbone, 5, head, 64, 32, imagenet=False).eval()
    fit_shapes(again, cut.state_dict())
    again.load_state_dict(cut.state_dict())
    with torch.no_grad():
        assert torch.equal(again(crops).landmarks, cut(crops).landmarks)


def test_channels_without_weights_are_removed_first():
    pytest.importorskip("torch_pruning")
    net = LandmarkNet("mobilenetv2", 5, "heatmap2d", 64, 32, imagenet=False).eval()
    first = net.backbone.features[5].conv[0][0]  # 1x1, 32 -> 192
    with torch.no_grad():
        first.weight[::2] = 0
        net.backbone.features[5].conv[1][0].weight[::2] = (
            0  # the depthwise convolution after it
        )
        net.backbone.features[5].conv[2].weight[:, ::2] = (
            0  # and the 1x1 after that, 192 -> 32
        )
    cut = slimmed_channels(net, 0.5).backbone.features[5].conv[0][0]
    assert len(cut.weight) == 96
    assert (cut.weight.abs().amax((1, 2, 3)) > 0).all()


def test_a_network_of_fewer_channels_can_be_trained_on_by_its_recipe(faces, tmp_path):
    pytest.importorskip("torch_pruning")
    model = {"backbone": "mobilenetv2", "imagenet": False, "channels": 16, "size": 64}
    recipe = small(faces, steps=1, model=model)
    checkpoint = trainer(recipe, tmp_path / "run", "slim").run()
    cuts = sweep(
        checkpoint,
        tmp_path / "run",
        SlimSettings(pruning_ratios=(0.5,)),
        tmp_path,
        tmp_path / "cache",
    )
    assert [cut.kept for cut in cuts] == [
        "100 % of the channels",
        "50 % of the channels",
    ]
    assert cuts[1].parameters < 0.5 * cuts[0].parameters
    path = cuts[1].checkpoint
    more = small(faces, steps=1, slim=False, model=model, init_from=path)
    again = adopt_architecture(more)
    fresh = build_model(again)
    load_initial_weights(fresh, again)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            load_trained(Path(path))[0].parameters(), fresh.parameters(), strict=True
        )
    )
    ended = load_trained(trainer(more, tmp_path / "more").run())[0]
    assert parameters(ended) == cuts[1].parameters
    Path(path).unlink()  # a resumed run reads its own checkpoint
    resumed = trainer(more, tmp_path / "more", resume=True)
    assert parameters(resumed.model) == cuts[1].parameters


def test_pruning_without_weights_is_rejected(faces):
    model = {
        "backbone": "mobilenetv2",
        "imagenet": False,
        "size": 64,
        "pruned_from": "runs/some/checkpoint.pt",
    }
    with pytest.raises(
        RecipeError,
        match="without init_from, so the resized layers have no weights; set init_from as well",
    ):
        build_model(small(faces, slim=False, model=model))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_rejected(share):
    net = LandmarkNet("mobilenetv2", 5, "heatmap2d", 64, 32, imagenet=False)
    with pytest.raises(RecipeError, match=r"at least 0 and below 1"):
        slimmed_channels(net, share)


def test_a_supernet_does_not_lose_channels():
    net = LandmarkNet(
        "hr-supernet", 5, "heatmap2d", 64, 32, imagenet=False, layout=LAYOUT
    )
    with pytest.raises(
        RecipeError, match=r"slimmed by its importance factors; give slim\.thresholds"
    ):
        slimmed_channels(net, 0.5)


def test_a_recipe_without_slim_is_rejected(faces, tmp_path):
    with pytest.raises(
        RecipeError, match=r"has no \[slim\]; add it, or use lineament train"
    ):
        slimmer(faces, tmp_path / "run", slim=False)


def test_an_architecture_is_read_back_as_it_was_written():
    layout = [{0: [0], 1: [0]}, {0: [0, 1]}]
    assert parse_layout(format_layout(layout)) == layout
    assert parse_layout(format_layout(HRSuperNet().layout)) == HRSuperNet().layout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:0 | 1:1", "'1:1' in stage 3; expected resolution:sources"),
        ("7:0", "'7:0' in stage 2"),
        ("0:", "'0:' in stage 2"),
        ("x:0", "'x:0' in stage 2"),
        ("0:0 0:0", "'0:0' in stage 2"),
        ("0:0,0", "'0:0,0' in stage 2"),
        ("0:0 | ", "stage 3 has no block; expected at least one"),
    ],
)
def test_a_broken_architecture_is_rejected_with_its_name(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_layout(text)


def test_an_architecture_for_another_backbone_is_rejected():
    with pytest.raises(RecipeError, match="the backbone is 'mobilenetv2'; remove it"):
        backbones.make_backbone("mobilenetv2", False, LAYOUT)
