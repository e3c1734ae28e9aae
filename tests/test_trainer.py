"""Training: resumed equals uninterrupted, two processes equal one, a few faces are overfitted."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from faces import write_faces
from lineament.data.crop_cache import plain_landmarks
from lineament.data.mixture import exclude_faces, read_mixture
from lineament.data.sample import Sample
from lineament.errors import DataError, RecipeError, TrainError
from lineament.schemes import convert
from lineament.training.build import build_model
from lineament.training.checkpoint import load_checkpoint, save_checkpoint
from lineament.training.curves import draw_curves, read_log
from lineament.training.loader import make_loader
from lineament.training.log import TrainLog
from lineament.training.optimizer import make_optimizer
from lineament.training.parallel import (
    ProcessGroup,
    SyncBatchNorm1d,
    SyncBatchNorm2d,
    convert_sync_batchnorm,
)
from lineament.training.validate import interocular_nme, predict_plain, validate
from tiny import killed, small, trained, trainer

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def mixed(faces):
    """Two folders: faces of 68 points, and twelve of five."""
    write_faces(
        faces.parent / "five",
        12,
        lambda landmarks: convert(landmarks, "ibug68", "five").points,
    )
    return faces, faces.parent / "five"


def test_a_gpu_that_is_not_there_is_rejected_with_its_name(
    faces, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        RecipeError,
        match="is 'cuda', but torch finds no GPU; set it to 'auto' or 'cpu'",
    ):
        trained(small(faces, **{"train.device": "cuda"}), tmp_path / "run")


def assert_same(state, other):
    for part in ("model", "average"):
        for key, value in state[part].items():
            assert torch.equal(value, other[part][key]), f"{part}: {key}"
    for number, values in state["optimizer"]["state"].items():
        for key, value in values.items():
            assert torch.equal(value, other["optimizer"]["state"][number][key])


def test_a_killed_and_resumed_training_equals_an_uninterrupted_one_exactly(
    faces, tmp_path
):
    # 27 training faces, batches of 4: step 5 is in the first epoch, step 8 in the second
    recipe = small(faces)
    whole = trained(recipe, tmp_path / "whole")
    killed(trainer(recipe, tmp_path / "killed"), saved=5, dies=7)
    assert load_checkpoint(tmp_path / "killed/checkpoint.pt")["step"] == 5
    # the killed run logged step 6, which the resumed one must log again
    assert [row["step"] for row in rows(tmp_path / "killed")] == ["2", "4", "6"]
    assert_same(trained(recipe, tmp_path / "killed", resume=True), whole)
    assert [row["step"] for row in rows(tmp_path / "killed")] == [
        "2",
        "4",
        "6",
        "8",
        "10",
    ]
    for whole_row, row in zip(
        rows(tmp_path / "whole"), rows(tmp_path / "killed"), strict=True
    ):
        assert (row["validation"], row["lr"]) == (
            whole_row["validation"],
            whole_row["lr"],
        )
        # the loss at 6 is the mean of steps 5 and 6 in one run, but only of step 6 in the other
        assert row["loss_total"] == whole_row["loss_total"] or row["step"] == "6"


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_loader_process_gives_the_same_result_despite_opencv_threads(faces, tmp_path):
    alone = trained(small(faces, **{"train.steps": 3}), tmp_path / "alone")
    cv2.setNumThreads(2)
    cv2.GaussianBlur(
        np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3
    )  # OpenCV now has threads, which a fork does not inherit
    assert_same(
        trained(
            small(faces, **{"train.steps": 3, "train.num_workers": 1}),
            tmp_path / "worker",
        ),
        alone,
    )
    assert cv2.getNumThreads() == 1


def test_another_seed_gives_another_model(faces, tmp_path):
    states = [
        trained(small(faces, **{"train.steps": 1, "train.seed": s}), tmp_path / str(s))
        for s in (1, 2)
    ]
    assert not torch.equal(*(state["model"]["head.out.weight"] for state in states))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "losses"),
    [
        ("heatmap2d", {"cross_entropy": 1.0, "smooth_l1": 1.0}),
        ("coordinates", {"wing": 0.25, "gaussian_nll": 0.1}),
    ],
)
def test_a_few_faces_are_overfitted(head, losses, tmp_path):
    write_faces(tmp_path / "faces", 6)  # two of them for validation
    still = {
        "flip": 0,
        "rotation_deg": 0,
        "large_rotation": 0,
        "scale": 0,
        "shift": 0,
        "color": 0,
        "gray": 0,
        "blur": 0,
    }
    still |= {"low_resolution": 0, "jpeg": 0, "noise": 0, "dark": 0, "occlusion": 0}
    recipe = small(
        tmp_path / "faces",
        augment=still,
        losses=losses,
        **{
            "model.head": head,
            "train.steps": 250,
            "train.lr": 1e-2,
            "train.ema": 0.9,
            "train.validate_every": 250,
        },
    )
    run = trainer(recipe, tmp_path / "run")
    faces = {"train": run.task.sources[0].cache}
    before = validate(run.model, faces, recipe.scheme, recipe.model.padding)["train"]
    run.run()
    run.model.load_state_dict(run.average.state)
    after = validate(run.model, faces, recipe.scheme, recipe.model.padding)["train"]
    # an untrained network predicts the crop center; after overfitting, errors are below a cell
    assert before > 0.3
    assert after < 0.04


@pytest.mark.parametrize("accumulate", [2, 3])
def test_accumulated_batches_add_up_to_the_gradient_of_the_full_batch(
    mixed, tmp_path, accumulate, monkeypatch
):
    # norms with fixed statistics: those of a batch do depend on how it is split
    monkeypatch.setattr(
        torch.nn.BatchNorm2d,
        "train",
        lambda self, mode=True: torch.nn.Module.train(self, False),
    )
    gradients = []
    for parts in (1, accumulate):
        recipe = small(
            mixed,
            **{"train.batch": 7, "train.accumulate": parts, "train.max_grad_norm": 1e9},
        )
        run = trainer(recipe, tmp_path / str(parts))
        run.model.train()
        run.update(iter(make_loader(run.samples, recipe.train, 0, run.processes)))
        gradients.append(torch.cat([p.grad.flatten() for p in run.model.parameters()]))
    assert torch.allclose(
        *gradients, rtol=1e-3, atol=1e-5 * gradients[0].abs().max().item()
    )


TWO = """
import json, sys
from pathlib import Path
from lineament.recipe.file import make_recipe
sys.path.insert(0, sys.argv[4])
import tiny
tiny.register()
tiny.trainer(make_recipe(json.loads(sys.argv[1])), Path(sys.argv[2]), kind=sys.argv[3]).run()
"""


def trained_by_two(recipe, folder, kind="train"):
    """Return the last checkpoint of a run in two processes."""
    script = folder.parent / "two.py"
    script.write_text(TWO)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
    ]
    arguments = [
        recipe.model_dump_json(),
        str(folder),
        kind,
        str(Path(__file__).parent),
    ]
    for _attempt in range(3):
        done = subprocess.run(
            [*launch, str(script), *arguments],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        # torch sometimes aborts while a finished process shuts down
        if "terminate called without an active exception" not in done.stderr:
            break
        if done.returncode == 0:
            break
        shutil.rmtree(folder, ignore_errors=True)
    assert done.returncode == 0, (_attempt, done.stderr[-3000:])
    return load_checkpoint(folder / "checkpoint.pt")


def assert_close(state, other):
    """Assert that the weights differ only by rounding."""
    for key, value in state["model"].items():
        assert torch.allclose(value, other["model"][key], rtol=1e-4, atol=1e-5), key


# Adam divides a gradient by its size, so at a usual rate the rounding of a gradient near 0 could
# change a first step completely
SLOW = {"train.steps": 4, "train.batch": 5, "train.warmup": 0, "train.lr": 1e-5}


@pytest.mark.slow
def test_two_processes_equal_one_on_the_same_global_batch(mixed, tmp_path):
    # 5 faces per step are split into 3 and 2, and some have 5 points, so all counts differ
    recipe = small(mixed, **SLOW)
    alone = trained(recipe, tmp_path / "alone")
    two = trained_by_two(recipe, tmp_path / "two")
    assert_close(two, alone)
    # the order of summation changes gradients by about 1e-6, wrong norms or counts by over 0.1
    names = [name for group in parameter_names(recipe) for name in group]
    for number, name in enumerate(names):
        ours, theirs = (
            state["optimizer"]["state"][number]["exp_avg"] for state in (two, alone)
        )
        # softmax is invariant to the bias of a heatmap, so its gradient is only rounding
        assert (
            name == "head.out.bias" or (ours - theirs).norm() < 1e-3 * theirs.norm()
        ), name
    for row, other in zip(
        rows(tmp_path / "two"), rows(tmp_path / "alone"), strict=True
    ):
        assert float(row["loss_total"]) == pytest.approx(
            float(other["loss_total"]), rel=1e-4
        )
        assert row["validation"][:12] == other["validation"][:12]


@pytest.mark.slow
def test_two_processes_distill_and_freeze_as_one_does(mixed, tmp_path):
    trained(
        small(mixed[0], **{"train.steps": 1, "train.seed": 2}), tmp_path / "teacher"
    )
    teacher = str(tmp_path / "teacher/checkpoint.pt")
    distill = {"teacher": teacher, "cached": True, "landmarks": 1.0, "mask_prob": 0.5}
    recipe = small(mixed, distill=distill, **SLOW, **{"train.freeze": ["backbone"]})
    two = trained_by_two(recipe, tmp_path / "two", "distill")
    assert_close(two, trained(recipe, tmp_path / "alone", kind="distill"))


def parameter_names(recipe):
    """Return the names of the parameters in the order of the optimizer's state."""
    model = build_model(recipe)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        [names[id(p)] for p in group["params"]]
        for group in make_optimizer(model, recipe.train).param_groups
    ]


@pytest.mark.parametrize(
    ("norm", "made", "shape"),
    [
        (torch.nn.BatchNorm2d, SyncBatchNorm2d, (3, 5, 4, 2)),
        (torch.nn.BatchNorm1d, SyncBatchNorm1d, (3, 5, 4)),
        (torch.nn.BatchNorm1d, SyncBatchNorm1d, (6, 5)),
    ],
)
def test_the_global_norm_of_one_process_is_the_plain_norm(
    norm, made, shape, monkeypatch
):
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)
    torch.manual_seed(0)
    plain, ours = norm(5).double(), norm(5).double()
    convert_sync_batchnorm(ours)
    assert type(ours) is made
    x = torch.randn(shape) * 3 + 1
    outputs = []
    for norm in (plain.float(), ours.float()):
        leaf = x.clone().requires_grad_()
        y = norm(leaf)
        (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
        outputs.append(
            (
                y,
                leaf.grad,
                norm.weight.grad,
                norm.bias.grad,
                norm.running_mean,
                norm.running_var,
            )
        )
        assert int(norm.num_batches_tracked) == 1
        outputs[-1] += (norm.eval()(x),)
    for a, b in zip(*outputs, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_process_that_writes_no_log_continues_when_a_loss_ends(
    faces, tmp_path, monkeypatch
):
    second = ProcessGroup(rank=1, world_size=1)
    monkeypatch.setattr("lineament.training.trainer.init_process_group", lambda: second)
    run = trainer(small(faces, **{"train.steps": 4}), tmp_path / "run")
    for step in run.steps():
        if step == 2:  # after a validation, which may stop a task
            fewer = {"losses": {"smooth_l1": 1.0}}
            run.task.recipe = run.task.recipe.model_copy(update=fewer)
    assert run.ended
    assert run.loss_names == ("smooth_l1", "total")
    assert not (tmp_path / "run" / "log.csv").exists()


def test_a_batch_smaller_than_its_parts_is_rejected(faces, tmp_path):
    with pytest.raises(
        RecipeError,
        match=r"train.batch is 4, less than 1 processes x 5 accumulated batches; expected",
    ):
        trainer(small(faces, **{"train.accumulate": 5}), tmp_path / "run")


def test_a_run_is_not_overwritten_and_not_resumed_without_a_checkpoint(faces, tmp_path):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "run")
    with pytest.raises(
        TrainError,
        match="run already contains a run; give --resume to continue it, or another --out",
    ):
        trained(small(faces, **{"train.steps": 1}), tmp_path / "run")
    with pytest.raises(
        TrainError,
        match="other contains no checkpoint to resume from; start without --resume",
    ):
        trained(small(faces), tmp_path / "other", resume=True)


def test_a_run_is_resumed_only_with_its_own_recipe_except_for_free_settings(
    faces, tmp_path
):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "run")
    with pytest.raises(
        TrainError,
        match=r"with another recipe \(sigma, train.lr differ\); resume with that recipe, or",
    ):
        trained(
            small(faces, sigma=2.0, **{"train.steps": 1, "train.lr": 1.0}),
            tmp_path / "run",
            resume=True,
        )
    free = {"train.checkpoint_minutes": 9, "train.validate_every": 7}
    assert (
        trained(
            small(faces, **{"train.steps": 1}, **free), tmp_path / "run", resume=True
        )["step"]
        == 1
    )


def test_a_recipe_stored_before_a_setting_existed_gets_its_default(faces, tmp_path):
    recipe = small(faces, **{"train.steps": 1})
    state = trained(recipe, tmp_path / "run")
    stored = json.loads(state["recipe"])
    del stored["train"]["max_grad_norm"]
    save_checkpoint(
        tmp_path / "run/checkpoint.pt", state | {"recipe": json.dumps(stored)}
    )
    assert trained(recipe, tmp_path / "run", resume=True)["step"] == 1
    stored["forgotten"] = 1
    save_checkpoint(
        tmp_path / "run/checkpoint.pt", state | {"recipe": json.dumps(stored)}
    )
    with pytest.raises(TrainError, match=r"another recipe \(unknown keys differ\)"):
        trained(recipe, tmp_path / "run", resume=True)


def test_training_cannot_resume_from_weights_without_optimizer_state(faces, tmp_path):
    recipe = small(faces, **{"train.steps": 1})
    state = trained(recipe, tmp_path / "run")
    kept = {key: state[key] for key in ("average", "step", "scheme", "recipe")}
    save_checkpoint(tmp_path / "run/checkpoint.pt", kept)
    with pytest.raises(
        TrainError,
        match="contains only weights, which cannot be resumed; start over with another --out",
    ):
        trained(recipe, tmp_path / "run", resume=True)


def test_a_loss_that_is_not_finite_ends_the_training(faces, tmp_path):
    run = trainer(small(faces), tmp_path / "run")
    with torch.no_grad():
        run.model.head.out.weight.fill_(float("nan"))
    with pytest.raises(
        TrainError,
        match=r"the loss is nan at step 0; lower train.lr or train.max_grad_norm",
    ):
        run.run()
    assert not (tmp_path / "run/checkpoint.pt").exists()


def test_norms_and_biases_do_not_decay_and_the_backbone_has_its_own_rate(faces):
    recipe = small(faces, **{"train.backbone_lr": 0.1, "train.weight_decay": 0.5})
    model = build_model(recipe)
    groups = make_optimizer(model, recipe.train).param_groups
    found = {
        id(p): (group["factor"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    assert len(found) == len(list(model.parameters()))
    assert found[id(model.backbone.levels[0][0].weight)] == (0.1, 0.5)
    assert found[id(model.backbone.levels[0][1].weight)] == (0.1, 0)
    assert found[id(model.head.out.weight)] == (1, 0.5)
    assert found[id(model.head.out.bias)] == (1, 0)


def test_progress_has_the_remaining_time_and_the_validation_error(faces, tmp_path):
    seen = []
    trainer(small(faces, **{"train.steps": 5}), tmp_path / "run").run(seen.append)
    assert [p.step for p in seen] == [2, 4, 5]
    assert {p.steps for p in seen} == {5}
    assert seen[-1].seconds_left == 0
    assert all(
        p.faces_per_second > 0 and list(p.validation) == ["folder"] for p in seen
    )


def test_the_curves_are_drawn_from_the_log(faces, tmp_path):
    pytest.importorskip("matplotlib")
    trained(small(faces, **{"train.steps": 4}), tmp_path / "run")
    assert (tmp_path / "run/curves.png").read_bytes().startswith(b"\x89PNG")
    losses, errors = read_log(tmp_path / "run/log.csv")
    assert [step for step, _ in losses] == [2, 4]
    assert [step for step, _ in errors["folder"]] == [2, 4]
    with pytest.raises(
        TrainError, match=r"no log at .*log.csv; expected the log.csv of a training"
    ):
        draw_curves(tmp_path)


def test_a_log_broken_by_a_kill_loses_only_its_last_row(tmp_path):
    log = TrainLog(tmp_path, 0)
    for step in (1, 2, 3):
        log.write(step, {"total": float(step)}, 1e-3, 10.0, {"a": 0.05})
    log.close()
    text = (tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(text[:-9])
    TrainLog(tmp_path, 3).close()
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2"]


def test_rows_wait_while_another_program_has_the_log_open(tmp_path, monkeypatch):
    log = TrainLog(tmp_path, 0)
    write, is_open = log._write, [False]

    def refuse(path, waiting, mode):
        if is_open[0]:
            raise PermissionError
        write(path, waiting, mode)

    monkeypatch.setattr(log, "_write", refuse)
    for step, is_open[0] in ((1, False), (2, True), (3, True)):
        log.write(step, {"total": float(step)}, 1e-3, 10.0, None)
    assert [row["step"] for row in rows(tmp_path)] == ["1"]
    is_open[0] = False
    log.close()
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3"]


def test_a_failed_training_writes_the_last_rows_of_its_log(
    mixed, tmp_path, monkeypatch
):
    run, closed = trainer(small(mixed), tmp_path / "run"), []
    close = TrainLog.close
    monkeypatch.setattr(TrainLog, "close", lambda log: closed.append(close(log)))

    def diverge(model, batch, count):
        total = sum(p.sum() for p in model.parameters()) * float("nan")
        return {"total": total}

    monkeypatch.setattr(run.task, "losses", diverge)
    with pytest.raises(TrainError, match="the loss is nan at step 0"):
        run.run()
    assert len(closed) == 1


def test_a_mixture_keeps_a_tenth_for_validation_and_unknown_points_as_nan(
    mixed, tmp_path
):
    recipe = small(mixed)
    notes = []
    sources, validation_faces = read_mixture(
        recipe.data, recipe.scheme, tmp_path, tmp_path / "cache", notes.append
    )
    # face1, face2 and face18 are in the validation tenth
    assert [len(s.cache) for s in sources] == [27, 10]
    assert {name: len(cache) for name, cache in validation_faces.items()} == {
        "folder-faces": 3,
        "folder-five": 2,
    }
    assert np.isfinite(sources[1].cache.landmarks).all(2).sum(1).tolist() == [3] * 10
    schemes = [line for line in notes if "because of their number" in line]
    splits = [line for line in notes if "faces to train on" in line]
    assert len(schemes) == len(splits) == 2
    assert len(notes) == 4
    assert "5 points without names, assumed to be five" in schemes[1]
    listed = "face1.png, face2.png, face18.png"
    assert sorted(splits[0].rpartition(": ")[2].split(", ")) == sorted(
        listed.split(", ")
    )


def test_five_points_are_validated_by_the_distance_of_the_pupils(mixed, tmp_path):
    trainer(small(mixed, scheme="five", train={"steps": 2}), tmp_path / "run").run()
    assert all(
        0 < nme < 10
        for _, found in read_log(tmp_path / "run" / "log.csv")[1].items()
        for _, nme in found
    )


def test_two_folders_with_the_same_name_both_have_validation_faces(tmp_path):
    for site in "ab":
        write_faces(tmp_path / site / "train", 30)
    recipe = small((tmp_path / "a" / "train", tmp_path / "b" / "train"))
    _, validation_faces = read_mixture(
        recipe.data, recipe.scheme, tmp_path, tmp_path / "cache"
    )
    assert {name: len(cache) for name, cache in validation_faces.items()} == {
        "folder-train": 3,
        "folder-train-2": 3,
    }


def test_validation_measures_faces_whose_eyes_are_known(mixed, tmp_path):
    run = trainer(small(mixed), tmp_path / "run")
    found = run.task.validate(run.model)
    # the corners of the eyes are not among the five points
    assert list(found) == ["folder-faces", "folder-five:box"]
    run.model.eval()
    size, padding = run.recipe.model.size, run.recipe.model.padding
    cache = run.task.validation_faces["folder-five"]
    predicted, _ = predict_plain(run.model, cache, padding)
    truth = plain_landmarks(cache, size, padding)
    lengths = np.hypot(*(predicted - truth).transpose(2, 0, 1))
    # the crop's side is `padding` sides of the box
    wanted = np.nanmean(lengths, 1).mean() / (size / padding)
    assert found["folder-five:box"] == pytest.approx(wanted)


def test_validation_counts_each_of_two_joined_schemes_by_itself(tmp_path):
    def both(landmarks):
        """Return the 68 points and 194 more, which all coincide except for the eye corners."""
        more = np.tile(landmarks[30], (194, 1))
        more[[144, 124]] = landmarks[[36, 45]]
        return np.concatenate([landmarks, more])

    write_faces(tmp_path / "first", 30)
    write_faces(tmp_path / "both", 30, both)
    recipe = small((tmp_path / "first", tmp_path / "both"), scheme="ibug68_helen194")
    run = trainer(recipe, tmp_path / "run")
    found = run.task.validate(run.model)
    assert list(found) == ["folder-first", "folder-both", "folder-both:helen194"]
    run.model.eval()
    cache = run.task.validation_faces["folder-both"]
    predicted, _ = predict_plain(run.model, cache, recipe.model.padding)
    truth = plain_landmarks(cache, recipe.model.size, recipe.model.padding)
    assert found["folder-both"] == interocular_nme(
        predicted[:, :68], truth[:, :68], "ibug68"
    )
    assert found["folder-both:helen194"] == interocular_nme(
        predicted[:, 68:], truth[:, 68:], "helen194"
    )
    # the same faces, of which one folder lacks the 194
    assert found["folder-first"] == pytest.approx(found["folder-both"], rel=1e-6)


def test_data_sets_that_all_end_before_the_training_are_rejected(faces, tmp_path):
    data = [{"reader": "folder", "folder": str(faces), "use_until": 0.5}]
    with pytest.raises(
        RecipeError,
        match=r"every data set ends at use_until = 0.5; remove use_until from one",
    ):
        read_mixture(
            small(faces, data=data).data, "ibug68", tmp_path, tmp_path / "cache"
        )


def test_faces_that_are_all_of_the_validation_tenth_are_rejected(tmp_path):
    write_faces(tmp_path / "faces", 3)
    for name in ("face0.pts", "face0.png"):
        (tmp_path / "faces" / name).unlink()
    with pytest.raises(
        DataError,
        match="folder: all 2 faces are for validation; expected at least one for training",
    ):
        read_mixture(
            small(tmp_path / "faces").data, "ibug68", tmp_path, tmp_path / "cache"
        )


def test_faces_can_be_left_out_by_name(tmp_path):
    sample = Sample(tmp_path / "a.jpg", np.zeros((68, 2)), "ibug68", "set/a.jpg")
    other = Sample(tmp_path / "b.jpg", np.zeros((68, 2)), "ibug68", "set/b.jpg")
    assert exclude_faces([sample, other], ["set/a.jpg"]) == [other]
    assert exclude_faces([sample, other], ["set/a.png"]) == [
        other
    ]  # as the official download has it
    with pytest.raises(
        RecipeError,
        match=r"exclude names 'set/c\.jpg', but no face has that name; give names such as 'set/a",
    ):
        exclude_faces([sample, other], ["set/c.jpg"])
