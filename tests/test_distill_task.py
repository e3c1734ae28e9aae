"""Distillation: resumed equals uninterrupted, and incompatible models are refused early."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from lineament.data.crop_cache import plain_crops
from lineament.errors import RecipeError, TrainError
from lineament.export.registry import export_trained
from lineament.models.heads.output import HeadOutput
from lineament.recipe import Augmentation
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme
from lineament.training.batch import Batch
from lineament.training.build import load_trained
from lineament.training.checkpoint import load_checkpoint, load_weights
from lineament.training.distill.comparison import pixel_loss
from lineament.training.distill.masks import apply_masks, draw_masks
from lineament.training.distill.teacher import (
    TeacherOutput,
    resize_crops,
    resize_peaks,
    run_network,
    scale_landmarks,
)
from lineament.training.registry import task_for
from lineament.training.resume import changed_keys
from lineament.training.targets import gaussian_2d
from lineament.training.trainer import Trainer
from tiny import killed

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def small(faces, distill=None, steps=4, model=None, **train):
    values = {
        "name": "small",
        "data": [{"reader": "folder", "folder": str(faces)}],
        "model": {"backbone": "tiny", "imagenet": False, "channels": 16, "size": 64}
        | (model or {}),
        "train": {
            "steps": steps,
            "batch": 4,
            "warmup": 2,
            "bf16": False,
            "threads": 1,
            "num_workers": 0,
        }
        | train,
    }
    return make_recipe(values | ({} if distill is None else {"distill": distill}))


def trainer(recipe, folder, kind="distill", resume=False, **more):
    task = task_for(recipe, kind)
    return Trainer(task, folder, folder, folder.parent / "cache", resume, **more)


def run(kind, recipe, folder, resume=False):
    return trainer(recipe, folder, kind, resume).run()


@pytest.fixture
def teacher(faces, tmp_path):
    """Return a checkpoint of the same network, trained with another seed."""
    return run("train", small(faces, seed=5), tmp_path / "teacher")


def test_without_a_teacher_distillation_equals_training(faces, tmp_path):
    plain = load_weights(run("train", small(faces), tmp_path / "plain"))
    alone = load_weights(run("distill", small(faces, {}), tmp_path / "alone"))
    assert plain.keys() == alone.keys()
    assert all(torch.equal(plain[key], alone[key]) for key in plain)


def test_maps_of_height_1_cannot_teach_distributions(faces, tmp_path):
    recipe = small(faces, steps=1, model={"head": "gaussian2d"}).model_copy(
        update={"losses": {"mse": 1.0}}
    )
    spotted = run("train", recipe, tmp_path / "teacher")
    with pytest.raises(
        RecipeError,
        match=r"have peaks of 1, but the student's are distributions; set model\.head = 'gaussi",
    ):
        trainer(
            small(faces, {"teacher": str(spotted), "pixel_wise": 1.0}), tmp_path / "run"
        )


@pytest.mark.parametrize("size", [64, 96])
def test_distributions_teach_maps_of_height_1(faces, tmp_path, size):
    """Maps of a perfect teacher convert to the student's targets, at any size."""
    path = run(
        "train", small(faces, steps=1, model={"size": size}), tmp_path / "teacher"
    )
    recipe = small(
        faces, {"teacher": str(path), "pixel_wise": 1.0}, model={"head": "gaussian2d"}
    )
    recipe = recipe.model_copy(update={"losses": {"mse": 1.0}, "sigma": 1.5})
    comparison = trainer(recipe, tmp_path / "run").task.comparison
    landmarks = torch.tensor([[[30.0, 25.0], [22.4, 40.8]]])
    there = ((landmarks + 0.5) * size / 64 - 0.5).repeat(1, 34, 1)
    target = gaussian_2d(there, size // 4, size // 4, 4.0, 1.2)
    taught = comparison.to_student_form(
        TeacherOutput(HeadOutput(there, torch.ones(1, 68), (target + 1e-12).log()), {})
    )
    own = gaussian_2d(landmarks.repeat(1, 34, 1), 16, 16, 4.0, 1.5)
    own = own * (2 * np.pi * 1.5**2)
    found = resize_peaks(taught.raw.heatmaps, own)
    assert found.shape == own.shape
    assert (
        (found - own).abs().max() < 0.03
    )  # error due to the different cell size and the peak's discretization
    assert (
        pixel_loss(
            TeacherOutput(HeadOutput(landmarks, torch.ones(1, 68), own, own), {}),
            taught,
        ).max()
        < 0.02
    )


def random_batch():
    crops = torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8)
    return Batch(crops, torch.rand(4, 68, 2) * 60)


@pytest.mark.parametrize(
    "loss", ["pixel_wise", "pair_wise", "heatmap_kl", "mimicry", "landmarks"]
)
def test_a_student_equal_to_its_teacher_has_no_loss_towards_it(
    loss, faces, teacher, tmp_path
):
    recipe = small(faces, {"teacher": str(teacher), loss: 2.0}, steps=1)
    distiller = trainer(recipe, tmp_path / "run")
    model, task = distiller.model.eval(), distiller.task
    batch = random_batch()
    away = task.losses(model, batch, task.count(batch))[loss].item()
    model.students[0].load_state_dict(load_trained(teacher)[0].state_dict())
    assert task.losses(model, batch, task.count(batch))[loss].item() == pytest.approx(
        0, abs=1e-8
    )
    assert away > 1e-6


def test_a_resumed_distillation_equals_an_uninterrupted_one(faces, teacher, tmp_path):
    distill = {
        "teacher": str(teacher),
        "heatmap_kl": 1.0,
        "peer_kl": 2.0,
        "students": 2,
        "mask_prob": 0.7,
    }
    whole = load_checkpoint(
        run("distill", small(faces, distill, steps=6), tmp_path / "whole")
    )
    killed(
        trainer(small(faces, distill, steps=6), tmp_path / "killed"), saved=3, dies=3
    )
    resumed = load_checkpoint(
        run("distill", small(faces, distill, steps=6), tmp_path / "killed", resume=True)
    )
    assert whole["step"] == resumed["step"] == 6
    for part in ("model", "average"):
        assert all(
            torch.equal(whole[part][key], resumed[part][key]) for key in whole[part]
        )


def test_unannotated_faces_are_trained_by_the_teacher_only(faces, teacher, tmp_path):
    data = [{"reader": "folder", "folder": str(faces), "annotated": False}]
    recipe = make_recipe(
        small(faces, {"teacher": str(teacher), "heatmap_kl": 1.0}).model_dump()
        | {"data": data}
    )
    distiller = trainer(recipe, tmp_path / "run")
    assert (
        distiller.task.validation_faces == {}
    )  # no annotations, so no validation faces
    batch = next(iter(distiller.batches()))
    count = distiller.task.count(batch)
    assert count.tolist() == [0, 0, 0, len(batch)]
    losses = distiller.task.losses(distiller.model, batch, count)
    assert losses["cross_entropy"] == losses["smooth_l1"] == 0
    assert losses["total"] == losses["heatmap_kl"] > 0
    with pytest.raises(
        RecipeError,
        match=r"data\.0 \(folder\) is not annotated, but there is no teacher",
    ):
        task_for(make_recipe(small(faces).model_dump() | {"data": data}))
    with pytest.raises(RecipeError, match=r"name one in .* and use lineament distill"):
        task_for(recipe, "train")


def test_a_run_resumes_only_with_the_teacher_it_started_with(faces, teacher, tmp_path):
    recipe = small(faces, {"teacher": str(teacher), "heatmap_kl": 1.0}, steps=1)
    run("distill", recipe, tmp_path / "run")
    run("distill", recipe, tmp_path / "run", resume=True)
    other = run("train", small(faces, seed=6, steps=1), tmp_path / "other")
    teacher.write_bytes(other.read_bytes())
    with pytest.raises(
        TrainError,
        match=r"teacher/checkpoint\.pt is not the file that .*run was started with; restore",
    ):
        run("distill", recipe, tmp_path / "run", resume=True)


def test_settings_without_effect_do_not_prevent_resuming(faces):
    bare, other = (
        {"peer_kl": 1.0, "students": 2, "mask_size": sides}
        for sides in ((0.2, 0.4), (0.3, 0.8))
    )
    assert (
        changed_keys(small(faces, bare).model_dump(mode="json"), small(faces, other))
        == []
    )
    masked = small(faces, bare | {"mask_prob": 0.5}).model_dump(mode="json")
    assert changed_keys(masked, small(faces, other | {"mask_prob": 0.5})) == ["distill"]
    assert changed_keys(masked, small(faces, other)) == ["distill"]
    alone = {"mask_prob": 0.5, "random_init_peers": True}
    assert (
        changed_keys(
            small(faces, alone).model_dump(mode="json"),
            small(faces, {"mask_prob": 0.5}),
        )
        == []
    )


def test_peers_differ_and_the_first_one_is_exported(faces, tmp_path):
    recipe = small(faces, {"peer_kl": 1.0, "students": 2, "mask_prob": 0.5})
    checkpoint = run("distill", recipe, tmp_path / "run")
    state = load_checkpoint(checkpoint)["average"]
    first, second = (state[f"students.{k}.head.out.weight"] for k in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(load_trained(checkpoint)[0].head.out.weight, first)


def test_teacher_and_student_may_differ_in_size(faces, tmp_path):
    model = {"size": 96, "channels": 24}
    teacher = run("train", small(faces, model=model, steps=1), tmp_path / "teacher")
    distill = {
        "teacher": str(teacher),
        "pixel_wise": 1,
        "pair_wise": 1,
        "heatmap_kl": 1,
        "mimicry": 1,
        "landmarks": 1,
    }
    checkpoint = run("distill", small(faces, distill, steps=2), tmp_path / "run")
    assert load_trained(checkpoint)[0].size == 64


def test_an_onnx_teacher_gives_the_landmarks_of_its_checkpoint(
    faces, teacher, tmp_path
):
    export_trained(teacher, tmp_path, "exported", False, tmp_path, tmp_path / "cache")
    onnx, torch_one = (
        trainer(
            small(faces, {"teacher": str(path), "landmarks": 1.0}),
            tmp_path / path.suffix,
        )
        for path in (tmp_path / "exported.onnx", teacher)
    )
    crops = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    a, b = (
        d.task.comparison.teacher(crops).raw.landmarks.numpy()
        for d in (onnx, torch_one)
    )
    assert np.abs(a - b).max() < 0.01


@pytest.mark.parametrize(
    ("name", "points"), [("ibug68", slice(0, 68)), ("helen194", slice(68, 262))]
)
def test_a_teacher_of_joined_schemes_can_teach_either_scheme(
    name, points, faces, tmp_path
):
    joined = small(faces, steps=1).model_copy(update={"scheme": "ibug68_helen194"})
    path = run("train", joined, tmp_path / "teacher")
    distill = {"teacher": str(path), "heatmap_kl": 1.0, "landmarks": 1.0}
    recipe = small(faces, distill).model_copy(update={"scheme": name})
    comparison = trainer(recipe, tmp_path / "run").task.comparison
    crops = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    net, _ = load_trained(path)
    with torch.no_grad():
        wanted = net(crops)
    taught = comparison.teacher(crops)
    for field in ("landmarks", "variance", "heatmap_logits"):
        every, chosen = getattr(wanted, field), getattr(taught.raw, field)
        assert torch.allclose(chosen, every[:, points], atol=1e-5), field
    # its features are those of the joined network
    levels = net.with_levels(crops)[1]
    assert torch.allclose(taught.levels[4], levels[0], atol=1e-5)


def test_a_student_learns_from_a_teacher_of_joined_schemes(faces, tmp_path):
    joined = small(faces, steps=1).model_copy(update={"scheme": "ibug68_helen194"})
    path = run("train", joined, tmp_path / "teacher")
    for more in ({"heatmap_kl": 1.0, "mimicry": 1.0}, {"cached": True}):
        distill = {"teacher": str(path), "landmarks": 1.0} | more
        recipe = small(faces, distill, steps=2)
        checkpoint = run("distill", recipe, tmp_path / "-".join(more))
        assert load_trained(checkpoint)[0].head.out.weight.shape[0] == 68
    # the reverse is impossible
    few = run("train", small(faces, steps=1), tmp_path / "few")
    more = small(faces, {"teacher": str(few), "landmarks": 1.0}).model_copy(
        update={"scheme": "ibug68_helen194"}
    )
    with pytest.raises(
        RecipeError, match="predicts ibug68, but the student predicts ibug68_helen"
    ):
        trainer(more, tmp_path / "reverse")


def test_an_onnx_teacher_of_joined_schemes_gives_the_points_of_the_student(
    faces, tmp_path
):
    joined = small(faces, steps=1).model_copy(update={"scheme": "ibug68_helen194"})
    path = run("train", joined, tmp_path / "teacher")
    export_trained(path, tmp_path, "exported", False, tmp_path, tmp_path / "cache")
    distill = {"teacher": str(tmp_path / "exported.onnx"), "landmarks": 1.0}
    comparison = trainer(small(faces, distill), tmp_path / "run").task.comparison
    crops = torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        wanted = load_trained(path)[0](crops).landmarks[:, :68]
    assert torch.allclose(comparison.teacher(crops).raw.landmarks, wanted, atol=0.01)


# every probability and every width is 0
STILL = dict.fromkeys(Augmentation.model_fields, 0.0)


@pytest.mark.parametrize(
    "augment", [STILL, STILL | {"flip": 1.0}], ids=["still", "mirrored"]
)
def test_cached_teacher_landmarks_move_with_the_crop(augment, faces, teacher, tmp_path):
    distill = {"teacher": str(teacher), "landmarks": 1.0}
    recipe = small(faces, distill | {"cached": True}).model_copy(
        update={"augment": Augmentation.model_validate(augment)}
    )
    cached = trainer(recipe, tmp_path / "cached")
    made = cached.samples.make(0, 0, 0, 3)
    assert made["landmarks"].shape == made["teacher_landmarks"].shape == (68, 2)
    plain, _ = next(plain_crops(cached.task.sources[0].cache, 64, 1.3, 20))
    said_now = (
        load_trained(teacher)[0](torch.from_numpy(plain[3:4]))
        .landmarks[0]
        .detach()
        .numpy()
    )
    if augment["flip"]:
        # x' = 63 - x, and point i is its mirror's
        said_now = said_now[scheme("ibug68").mirror] * [-1, 1] + [63, 0]
    assert np.abs(made["teacher_landmarks"] - said_now).max() < 1e-3
    assert list(tmp_path.joinpath("cache").glob("teacher-*.npy"))
    run("distill", recipe, tmp_path / "run")


def test_a_cached_teacher_gives_landmarks_only(faces, teacher, tmp_path):
    recipe = small(faces, {"teacher": str(teacher), "heatmap_kl": 1.0, "cached": True})
    with pytest.raises(RecipeError, match="cached, which stores only landmarks"):
        task_for(recipe)


def test_landmarks_follow_their_pixels_when_the_crop_is_resized():
    crops = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    crops[0, 30:33, 60:63] = 255  # its center is (61, 31)
    small_crop = resize_crops(crops, 32)[0, :, :, 0].float()
    rows, columns = torch.meshgrid(
        torch.arange(32.0), torch.arange(32.0), indexing="ij"
    )
    centre = (
        torch.stack([(small_crop * columns).sum(), (small_crop * rows).sum()])
        / small_crop.sum()
    )
    # (61 + 0.5) / 3 - 0.5 and (31 + 0.5) / 3 - 0.5
    assert scale_landmarks(
        torch.tensor([[[61.0, 31.0]]]), 1 / 3
    ).flatten().tolist() == pytest.approx([20, 10])
    assert centre.tolist() == pytest.approx([20, 10], abs=0.02)


@pytest.mark.parametrize("head", ["heatmap2d", "gaussian2d"])
def test_losses_of_parts_add_up_to_those_of_the_batch(head, faces, tmp_path):
    losses = {"losses": {"mse": 1.0}} if head == "gaussian2d" else {}
    model = {"head": head}
    recipe = small(faces, model=model, steps=1).model_copy(update=losses)
    teacher = run("train", recipe, tmp_path / "teacher")
    distill = {
        "teacher": str(teacher),
        "pixel_wise": 1,
        "pair_wise": 1,
        "heatmap_kl": 1,
        "mimicry": 1,
        "landmarks": 1,
    }
    more = small(
        faces, distill | {"peer_kl": 1.0, "students": 2, "mask_prob": 0.8}, model=model
    )
    distiller = trainer(more.model_copy(update=losses), tmp_path / "run")
    model, task = distiller.model.eval(), distiller.task
    batch = random_batch()

    def part_losses(part):
        prepared = task.prepare(batch.map(lambda tensor: tensor[part]))
        return task.losses(model, prepared, task.count(batch))

    whole = part_losses(slice(0, 4))
    halves = [part_losses(slice(0, 2)), part_losses(slice(2, 4))]
    for name, value in whole.items():
        assert sum(half[name].item() for half in halves) == pytest.approx(
            value.item(), rel=1e-4
        ), name


def test_the_pixel_loss_works_across_map_sizes(faces, tmp_path):
    teacher = run(
        "train", small(faces, model={"size": 96}, steps=1), tmp_path / "teacher"
    )
    recipe = small(faces, {"teacher": str(teacher), "pixel_wise": 1.0})
    trainer(recipe, tmp_path / "run")
    flat = HeadOutput(
        torch.zeros(1, 68, 2), torch.ones(1, 68), torch.zeros(1, 68, 16, 16)
    )
    theirs = HeadOutput(
        torch.zeros(1, 68, 2), torch.ones(1, 68), torch.zeros(1, 68, 24, 24)
    )
    assert (
        pixel_loss(TeacherOutput(flat, {}), TeacherOutput(theirs, {})).abs().max()
        < 1e-9
    )


def test_the_error_of_the_teachers_heatmaps_is_printed_before_training(faces, tmp_path):
    lines = []
    spotted = {"model": {"head": "gaussian2d"}, "steps": 1}
    path = run(
        "train",
        small(faces, **spotted).model_copy(update={"losses": {"mse": 1.0}}),
        tmp_path / "teacher",
    )
    recipe = small(faces, {"teacher": str(path), "heatmap_kl": 1.0}, **spotted)
    recipe = recipe.model_copy(update={"losses": {"mse": 1.0}, "init_from": str(path)})
    trainer(recipe, tmp_path / "run", note=lines.append).run()
    (noted,) = [line for line in lines if "squared error of a map" in line]
    theirs, own = (float(word) for word in re.findall(r"\d+\.\d+", noted))
    assert theirs == own > 1  # for reference, maps of the truth have an error of 4.5
    trainer(recipe, tmp_path / "run", resume=True, note=lines.append).run()
    assert (
        sum("squared error of a map" in line for line in lines) == 1
    )  # a resumed run does not print it


def test_peers_from_one_checkpoint_have_different_heads(faces, teacher, tmp_path):
    recipe = small(faces, {"peer_kl": 1.0, "students": 2}).model_copy(
        update={"init_from": str(teacher)}
    )
    first, second = trainer(recipe, tmp_path / "run").model.students
    assert torch.equal(first.top[0].weight, second.top[0].weight)
    assert not torch.equal(first.head.out.weight, second.head.out.weight)
    recipe = recipe.model_copy(
        update={
            "distill": recipe.distill.model_copy(update={"random_init_peers": True})
        }
    )
    begun, fresh = trainer(recipe, tmp_path / "run").model.students
    assert torch.equal(begun.top[0].weight, first.top[0].weight)
    assert not torch.equal(fresh.top[0].weight, first.top[0].weight)


def test_each_peer_has_different_masks(faces, tmp_path):
    recipe = small(faces, {"students": 2, "peer_kl": 1.0, "mask_prob": 1.0})
    distiller = trainer(recipe, tmp_path / "run")
    first, second = distiller.task.prepare(
        next(iter(distiller.batches()))
    ).masks.unbind(1)
    assert (first[:, 2:4] > first[:, :2]).all()
    assert (first != second).any(1).all()


def test_the_pixel_loss_of_an_error_does_not_depend_on_map_size():
    landmarks = torch.tensor([[[30.0, 34.0]]])

    def loss(stride):
        mine, theirs = (
            gaussian_2d(
                landmarks + away, 64 // stride, 64 // stride, stride, 6 / stride
            )
            for away in (0, 2)
        )
        mine, theirs = mine / mine.amax(), theirs / theirs.amax()
        raw = HeadOutput(landmarks, landmarks[..., 0], heatmaps=mine, stride=stride)
        return pixel_loss(
            TeacherOutput(raw, {}), TeacherOutput(replace(raw, heatmaps=theirs), {})
        ).item()

    assert loss(2) == pytest.approx(
        loss(4), rel=0.1
    )  # finer cells hold the peak better; cells alone would give 4


def test_the_given_share_of_crops_has_one_rectangular_mask():
    crops = (
        torch.arange(64, dtype=torch.uint8)
        .view(1, 64, 1, 1)
        .expand(200, 64, 64, 3)
        .contiguous()
    )
    crops[:, 0, 0, 0] = torch.arange(200)  # all masks differ
    masked = apply_masks(crops, draw_masks(crops, 0.5, (0.15, 0.6), 64, (1, 0)))
    changed = (masked != crops).any(-1)
    # 200 draws of one half: four deviations are 28
    assert 72 <= changed.flatten(1).any(1).sum() <= 128
    for mask in changed[changed.flatten(1).any(1)]:
        rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
        # a rectangle, apart from crop pixels that happen to have the mask's color
        assert all(
            0.15 * 64 - 2 <= k[-1] - k[0] + 1 <= 0.6 * 64 for k in (rows, columns)
        )
        assert mask.sum() >= 0.9 * (rows[-1] - rows[0] + 1) * (
            columns[-1] - columns[0] + 1
        )
    assert torch.equal(
        apply_masks(crops, draw_masks(crops, 0.0, (0.15, 0.6), 64, (1, 0))), crops
    )


@pytest.mark.parametrize(
    ("distill", "model", "message"),
    [
        ({"heatmap_kl": 1.0}, {}, "and the teacher ''; give both or neither"),
        ({"teacher": "T"}, {}, "give both or neither"),
        ({"peer_kl": 1.0}, {}, "peer_kl, but only one student; set students = 2"),
        (
            {"teacher": "T", "pixel_wise": 1.0},
            {"head": "coordinates"},
            "without heatmaps; set model.head",
        ),
        (
            {"teacher": "T", "landmarks": 1.0},
            {"padding": 1.5},
            "set model.padding = 1.3",
        ),
    ],
    ids=["no teacher", "no loss", "one peer", "no heatmaps", "padding"],
)
def test_incompatible_models_are_rejected_before_training(
    distill, model, message, faces, teacher, tmp_path
):
    given = {
        key: str(teacher) if value == "T" else value for key, value in distill.items()
    }
    with pytest.raises(RecipeError, match=message):
        trainer(small(faces, given, model=model), tmp_path / "run")


def test_a_teacher_without_heatmaps_is_rejected(faces, tmp_path):
    coordinates = small(faces, model={"head": "coordinates"}, steps=1).model_copy(
        update={"losses": {"wing": 1.0}}
    )
    teacher = run("train", coordinates, tmp_path / "teacher")
    with pytest.raises(
        RecipeError, match="has no heatmaps; remove pixel_wise and heatmap_kl"
    ):
        trainer(
            small(faces, {"teacher": str(teacher), "pixel_wise": 1.0}), tmp_path / "run"
        )


def test_an_onnx_teacher_cannot_be_compared_by_heatmaps(faces, teacher, tmp_path):
    export_trained(teacher, tmp_path, "exported", False, tmp_path, tmp_path / "cache")
    given = {"teacher": str(tmp_path / "exported.onnx"), "heatmap_kl": 1.0}
    with pytest.raises(
        RecipeError,
        match="is an ONNX file, which provides only landmarks, not heatmap_kl",
    ):
        trainer(small(faces, given), tmp_path / "run")


def test_a_recipe_without_distill_is_rejected(faces, tmp_path):
    with pytest.raises(
        RecipeError, match=r"has no \[distill\]; add it, or use lineament train"
    ):
        task_for(small(faces), "distill")


def test_levels_are_named_by_stride(faces, teacher):
    net, _ = load_trained(teacher)
    answer = run_network(net, torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert {stride: level.shape[-1] for stride, level in answer.levels.items()} == {
        4: 16,
        8: 8,
        16: 4,
        32: 2,
    }
