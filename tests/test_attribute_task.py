"""Attributes as auxiliary tasks, their early stopping, and outputs per feature cluster."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament import Predictor, load_model
from lineament.data.mixture import read_mixture
from lineament.errors import RecipeError
from lineament.geometry import landmark_box
from lineament.io.formats import faces_from_json, faces_to_json
from lineament.recipe import TaskSettings
from lineament.recipe.data import DataPart
from lineament.recipe.file import make_recipe, read_values
from mtfl_faces import write_mtfl

torch = pytest.importorskip("torch")
from lineament.export.registry import export_trained
from lineament.models.heads.output import HeadOutput
from lineament.models.registry import build_network
from lineament.study.task_accuracy import task_accuracy
from lineament.training.attributes import (
    stop_criterion,
    task_errors,
    task_losses,
)
from lineament.training.build import load_any, load_initial_weights
from lineament.training.clusters import gaussian_mixture, k_means
from lineament.training.parallel import ProcessGroup
from lineament.training.registry import make_trainer, task_for
from lineament.training.resume import changed_keys

ROOT = Path(__file__).parents[1]
TASKS = TaskSettings(groups={"smiling": ("smiling",), "pose": ("left", "right")})


def recipe_of(folder, steps=4, has_tasks=True, **values):
    made = {
        "name": "small",
        "scheme": "five",
        "model": {"kind": "shared-features", "width": 0.25},
        "data": [{"reader": "mtfl", "folder": str(folder)}],
        "losses": {"smooth_l1": 1.0, "gaussian_nll": 0.1},
        "train": {"steps": steps, "batch": 8, "num_workers": 0, "validate_every": 2},
    }
    if has_tasks:
        made["tasks"] = {"groups": {"smiling": ["smiling"]}, "stop_window": 2}
    for key, value in values.items():
        made[key] = made.get(key, {}) | value if isinstance(value, dict) else value
    return make_recipe(made, "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mtfl")
    write_mtfl(path, range(60))
    return path


def test_a_task_of_one_attribute_is_binary_and_of_several_is_multiclass():
    logits = torch.tensor([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    attributes = {
        "smiling": torch.tensor([1.0, float("nan")]),
        "left": torch.tensor([1.0, 0.0]),
        "right": torch.tensor([0.0, 1.0]),
    }
    nothing = torch.zeros(2, 0)
    losses = task_losses(
        HeadOutput(nothing, nothing, class_logits=logits), attributes, TASKS
    )
    # the attribute of the second face is unknown
    assert losses["smiling"].item() == pytest.approx(math.log(2))
    # -log of e / (e + 1) and of 1 / 2
    expected = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert losses["pose"].item() == pytest.approx(expected)
    errors = task_errors(logits, attributes, TASKS)
    assert errors == {"smiling": 1.0, "pose": 0.5}


def test_an_attribute_that_no_data_set_has_is_rejected():
    nothing = torch.zeros(2, 0)
    raw = HeadOutput(nothing, nothing, class_logits=torch.zeros(2, 3))
    with pytest.raises(
        RecipeError, match="needs the attribute 'smiling', which no data"
    ):
        task_losses(raw, {}, TASKS)


def test_tasks_for_a_network_without_them_are_rejected(tmp_path):
    recipe = recipe_of(tmp_path)
    values = recipe.model_dump() | {"model": {"kind": "conv-cascade"}}
    with pytest.raises(
        RecipeError, match="a conv-cascade this way does not support them"
    ):
        task_for(make_recipe(values))


def test_weights_must_name_tasks():
    assert TASKS.weight("pose") == 1.0
    with pytest.raises(
        ValueError, match="weights names 'smile'; expected one of smiling, pose"
    ):
        TaskSettings(groups=TASKS.groups, weights={"smile": 1.0})


def test_the_stopping_criterion_matches_the_paper():
    # 3 * 3 / (4 + 3 + 3 - 9) * (3.5 - 3) / (0.5 * 3)
    found = stop_criterion([9.0, 4, 3, 3], [9.0, 5, 4, 3.5], 0.5, 3)
    assert found == pytest.approx(9 * 0.5 / 1.5)
    # twice as important: half the criterion
    assert stop_criterion([9.0, 4, 3, 3], [9.0, 5, 4, 3.5], 1.0, 3) == pytest.approx(
        found / 2
    )
    assert stop_criterion([9.0, 4], [9.0, 5], 0.5, 3) == float("-inf")
    # an error that has stopped falling
    assert stop_criterion([2.0, 2, 2], [3.0, 3, 3], 0.5, 3) == float("inf")


@pytest.mark.parametrize("validation", [0.3, 0.5, 0.9])
@pytest.mark.parametrize(
    "training",
    [
        [1.0, 0.99, 0.98, 0.97, 0.5],  # fastest at the end
        [1.0, 0.9, 0.8, 0.7, 0.6],  # evenly
        [0.9, 0.9, 0.9, 0.9, 0.5],  # only at the end
    ],
)
def test_a_steadily_falling_error_stops_no_task(training, validation):
    assert stop_criterion(training, [validation] * 5, 0.1, 5) <= 0


def test_clustering_recovers_the_clusters_of_the_samples():
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0], [10, 0], [0, 10]])
    truth = rng.integers(0, 3, 300)
    rows = centers[truth] + rng.normal(size=(300, 2)) * np.array([0.5, 1.0])
    for found in (k_means(rows, 3, rng), gaussian_mixture(rows, k_means(rows, 3, rng))):
        own = found.assign(rows)
        for cluster in range(3):
            # each true cluster maps to one fitted cluster
            assert len(np.unique(own[truth == cluster])) == 1
        assert len(np.unique(own)) == 3
    # the mixture, fitted last, recovers the standard deviations 0.5 and 1
    np.testing.assert_allclose(found.precisions, [[4, 1]] * 3, rtol=0.35)


def test_the_network_assigns_clusters_like_the_fit(folder):
    rng = np.random.default_rng(0)
    recipe = recipe_of(folder, has_tasks=False, model={"clusters": 4})
    net = build_network(recipe).eval()
    rows = rng.normal(size=(50, net.centers.shape[1]))
    found = gaussian_mixture(rows, k_means(rows, 4, rng))
    net.set_clusters(found.centers, found.precisions, found.offsets)
    own = net.cluster(torch.from_numpy(rows))
    np.testing.assert_array_equal(own, found.assign(rows))


def test_the_losses_of_two_parts_add_up_to_those_of_the_batch(folder, tmp_path):
    trainer = make_trainer(recipe_of(folder), tmp_path / "run", folder, tmp_path / "c")
    task, net = trainer.task, trainer.model.eval()
    batch = next(iter(trainer.batches()))
    known = torch.tensor([1.0, 0, float("nan"), 1, float("nan"), float("nan"), 0, 1])
    batch = replace(batch, attributes=batch.attributes | {"smiling": known})
    parts = [part_of(batch, slice(0, 3)), part_of(batch, slice(3, 8))]
    count = sum(task.count(part) for part in parts)
    entire = task.losses(net, batch, task.count(batch))
    found = [task.losses(net, part, count) for part in parts]
    for name in ("smiling", "total"):
        torch.testing.assert_close(sum(part[name] for part in found), entire[name])


def part_of(batch, rows):
    """Return some faces of a batch."""
    attributes = {name: values[rows] for name, values in batch.attributes.items()}
    crops, landmarks = batch.crops[rows], batch.landmarks[rows]
    return replace(batch, crops=crops, landmarks=landmarks, attributes=attributes)


def unbroken_and_resumed(recipe, folder, tmp_path):
    """Return the trainers of an unbroken run, and of one that was killed after three steps."""
    places = folder, tmp_path / "cache"
    unbroken = make_trainer(recipe, tmp_path / "unbroken", *places)
    unbroken.run()
    part = make_trainer(recipe, tmp_path / "part", *places)
    steps = part.steps()
    for _ in range(3):
        next(steps)
    part.save()
    del part, steps
    resumed = make_trainer(recipe, tmp_path / "part", *places, resume=True)
    resumed.run()
    own = resumed.model.state_dict()
    for name, value in unbroken.model.state_dict().items():
        torch.testing.assert_close(own[name], value, rtol=0, atol=0)
    return unbroken, resumed


def test_a_resumed_training_with_tasks_equals_an_uninterrupted_one(folder, tmp_path):
    unbroken, resumed = unbroken_and_resumed(recipe_of(folder), folder, tmp_path)
    assert resumed.task.training_errors == unbroken.task.training_errors
    assert len(resumed.task.validation_errors["smiling"]) == 2


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory):
    """Return the checkpoint of a network without clusters."""
    out = tmp_path_factory.mktemp("plain")
    recipe = recipe_of(folder, has_tasks=False)
    return make_trainer(recipe, out / "run", folder, out / "cache").run()


def test_another_scheme_starts_from_the_features_and_its_own_mean_shape(folder, plain):
    recipe = recipe_of(folder, has_tasks=False, scheme="ibug68", init_from=str(plain))
    model = build_network(recipe)
    mean_shape = model.mean_shape.clone()
    load_initial_weights(model, recipe)
    torch.testing.assert_close(model.mean_shape, mean_shape)
    given = load_any(plain)[0].state_dict()
    torch.testing.assert_close(model.shared.weight, given["shared.weight"])


def clustered(folder, plain, **values):
    """Return the recipe of a network of three clusters with frozen features."""
    made = recipe_of(
        folder,
        has_tasks=False,
        model={"clusters": 3, "partner_prob": 0.5},
        init_from=str(plain),
        **values,
    )
    train = made.train.model_copy(update={"freeze": ("features", "shared")})
    return made.model_copy(update={"train": train})


def test_a_resumed_training_of_clusters_equals_an_uninterrupted_one(
    folder, plain, tmp_path
):
    recipe = clustered(folder, plain)
    unbroken, resumed = unbroken_and_resumed(recipe, folder, tmp_path)
    assert unbroken.model.centers.abs().sum() > 0
    np.testing.assert_array_equal(resumed.task.clusters, unbroken.task.clusters)
    # faces are only swapped within their cluster
    partners = unbroken.samples.partners
    for number, members in partners.members.items():
        assert (unbroken.task.clusters[members[:, 1]] == number).all()


def test_clusters_are_found_before_the_first_step_of_a_study(folder, plain, tmp_path):
    """A study interleaves the steps of several runs and does not call `run`."""
    recipe = clustered(folder, plain)
    trainer = make_trainer(recipe, tmp_path / "run", folder, tmp_path / "cache")
    next(trainer.steps())
    assert len(torch.unique(trainer.model.centers, dim=0)) == 3
    assert trainer.average.state["centers"].abs().sum() > 0


@pytest.mark.parametrize("kind", ["tasks", "clusters"])
def test_an_exported_file_equals_torch_for_batches_and_single_crops(
    kind, folder, plain, tmp_path
):
    groups = {"groups": {"smiling": ["smiling"], "pose": ["left", "frontal", "right"]}}
    recipe = recipe_of(folder, steps=2, tasks=groups)
    if kind == "clusters":
        recipe = clustered(folder, plain)
    cache = tmp_path / "cache"
    checkpoint = make_trainer(recipe, tmp_path / "run", folder, cache).run()
    card = export_trained(checkpoint, tmp_path, "small", False, folder, cache)
    crops = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)
    model, net = load_model(tmp_path / "small.onnx"), load_any(checkpoint)[0]
    with torch.no_grad():
        wanted = net(torch.from_numpy(crops))
    found = model.predict(crops)
    np.testing.assert_allclose(found.landmarks_crop, wanted.landmarks, atol=1e-3)
    alone = [model.predict(crop[None]) for crop in crops]
    joined = np.concatenate([each.landmarks_crop for each in alone])
    np.testing.assert_allclose(joined, found.landmarks_crop, atol=1e-3)
    image, landmarks = draw_face(3)
    faces = Predictor(model)(image, landmark_box(landmarks))
    if kind == "clusters":
        assert "attributes" not in card
        assert faces[0].attributes == {}
        return
    names = ["smiling", "left", "frontal", "right"]
    assert card["attributes"] == list(found.attributes) == names
    logits = wanted.class_logits
    np.testing.assert_allclose(
        found.attributes["smiling"], logits[:, 0].sigmoid(), atol=1e-5
    )
    poses = np.stack([found.attributes[name] for name in names[1:]], axis=1)
    np.testing.assert_allclose(poses, logits[:, 1:].softmax(1), atol=1e-5)
    assert list(faces[0].attributes) == names
    written = faces_from_json(faces_to_json(faces))[1]
    assert written[0].attributes == faces[0].attributes
    assert model.predict(crops[:0]).attributes.keys() == found.attributes.keys()


def test_a_visible_attribute_is_learned_with_the_settings_of_the_recipe(
    folder, tmp_path
):
    values = read_values(ROOT / "recipes/survey/tcdcn.toml")
    values["data"] = [{"reader": "mtfl", "folder": str(folder)}]
    values["tasks"]["groups"] = {"smiling": ["smiling"]}
    values["tasks"]["weights"] = {"smiling": 0.1}
    values["train"] |= {"steps": 600, "batch": 16, "num_workers": 0}
    values["train"]["validate_every"] = 600
    recipe = make_recipe(values, "test")
    cache = tmp_path / "cache"
    checkpoint = make_trainer(recipe, tmp_path / "run", folder, cache).run()
    others = tmp_path / "others"
    others.mkdir()
    write_mtfl(others, range(100, 140))
    part = DataPart.model_validate({"reader": "mtfl", "folder": str(others)})
    sources, validation = read_mixture([part], "five", others, cache, crop=(40, 1.0))
    faces = [source.cache for source in sources] + list(validation.values())
    assert sum(map(len, faces)) == 40
    # every second face smiles
    assert task_accuracy(*load_any(checkpoint), faces, "smiling") > 0.9


def test_a_task_above_the_threshold_stops_and_landmarks_are_still_learned(
    folder, tmp_path
):
    recipe = recipe_of(folder, steps=6, tasks={"stop_threshold": 1e-9})
    trainer = make_trainer(recipe, tmp_path / "run", folder, tmp_path / "cache")
    # a validation error far above the training error, which no longer falls
    trainer.task.training_errors["smiling"] = [0.1, 0.1, 0.1]
    trainer.task.validation_errors["smiling"] = [9.0, 9.0, 9.0]
    trainer.run()
    assert trainer.task.running == []


def test_a_task_of_weight_zero_has_no_gradient_and_never_stops(folder, tmp_path):
    tasks = {"stop_threshold": 1e-9, "weights": {"smiling": 0.0}}
    recipe = recipe_of(folder, steps=4, tasks=tasks)
    trainer = make_trainer(recipe, tmp_path / "run", folder, tmp_path / "cache")
    before = trainer.model.attributes.weight.clone()
    trainer.run()
    assert trainer.task.running == ["smiling"]
    # only weight decay of 0.01 at a rate of at most 1.5e-3
    torch.testing.assert_close(
        trainer.model.attributes.weight, before, rtol=1e-4, atol=0
    )


def test_clusters_start_from_a_network_without_them_and_equal_it_at_first(
    folder, plain, tmp_path
):
    recipe = recipe_of(
        folder, has_tasks=False, model={"clusters": 3}, init_from=str(plain)
    )
    notes = []
    places = tmp_path / "three", folder, tmp_path / "cache"
    trainer = make_trainer(recipe, *places, note=notes.append)
    assert [note for note in notes if note.startswith("3 clusters of ")]
    crops = torch.randint(0, 256, (5, 40, 40, 3), dtype=torch.uint8)
    before = load_any(plain)[0](crops).landmarks
    torch.testing.assert_close(trainer.model.eval()(crops).landmarks, before)
    alone = recipe_of(folder, has_tasks=False, model={"clusters": 3})
    with pytest.raises(RecipeError, match="clusters is 3 without init_from"):
        make_trainer(alone, tmp_path / "alone", folder, tmp_path / "cache")


def test_tasks_without_validation_faces_are_rejected_before_training(folder, tmp_path):
    write_mtfl(tmp_path, range(60, 70))
    recipe = recipe_of(folder)
    data = [
        recipe.data[0].model_copy(update={"validation": False}),
        recipe.data[0].model_copy(
            update={"reader": "folder", "folder": "faces", "validation": True}
        ),
    ]
    write_faces(tmp_path / "faces", 2)
    recipe = recipe.model_copy(update={"data": tuple(data)})
    with pytest.raises(
        RecipeError,
        match=r"no validation face has the attribute 'smiling' of \[tasks\]",
    ):
        make_trainer(recipe, tmp_path / "run", tmp_path, tmp_path / "cache")


class SecondOfTwo(ProcessGroup):
    """The second of two processes; the first one runs no task any more."""

    def all_reduce(self, value):
        return value.mul_(2)

    def broadcast(self, value):
        return []


def test_tasks_stop_in_all_processes(folder):
    task = task_for(recipe_of(folder))
    task.sums += 3
    processes = SecondOfTwo(1, 2)
    task.before_validation(processes)
    assert task.sums.tolist() == [6, 6]
    task.after_validation(processes)
    assert task.running == []
    assert task.sums.tolist() == [0, 0]


def test_runs_with_early_stopping_resume_only_with_their_validation_steps(folder):
    other = {"validate_every": 3}
    stops = {"stop_threshold": 1.0}
    for tasks, changed in ((stops, ["train.validate_every"]), ({}, [])):
        stored = recipe_of(folder, tasks=tasks).model_dump(mode="json")
        assert (
            changed_keys(stored, recipe_of(folder, tasks=tasks, train=other)) == changed
        )
