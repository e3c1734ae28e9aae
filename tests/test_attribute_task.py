"""Attributes as further tasks, their early stopping, and outputs per cluster of features."""

import math

import cv2
import numpy as np
import pytest

from faces import draw_face
from lineament.errors import RecipeError
from lineament.recipe import TaskSettings
from lineament.recipe.file import make_recipe
from lineament.schemes import convert

torch = pytest.importorskip("torch")
from lineament.models.heads.output import HeadOutput
from lineament.models.registry import build_network
from lineament.training.attributes import (
    stop_criterion,
    task_errors,
    task_losses,
)
from lineament.training.build import load_any
from lineament.training.clusters import gaussian_mixture, k_means
from lineament.training.registry import make_trainer

TASKS = TaskSettings(groups={"smiling": ("smiling",), "pose": ("left", "right")})


def write_mtfl(root, count):
    """Write `count` drawn faces in MTFL's layout; every second one smiles, by a bright mouth."""
    lines = []
    for seed in range(count):
        image, landmarks = draw_face(seed, 80)
        if seed % 2:
            mouth = landmarks[48:].mean(0).round().astype(int)
            cv2.circle(image, mouth.tolist(), 9, (255, 255, 255), -1)
        cv2.imwrite(str(root / f"{seed}.png"), image[..., ::-1])
        five = convert(landmarks, "ibug68", "five").points.T.ravel()
        numbers = " ".join(f"{value:.2f}" for value in five)
        # gender, smile, glasses, pose
        lines.append(f"{seed}.png {numbers} 1 {1 if seed % 2 else 2} 2 3")
    (root / "training.txt").write_text("\n".join(lines))
    (root / "testing.txt").write_text("")


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
        made["tasks"] = {"groups": {"smiling": ["smiling"]}, "strip": 2}
    for key, value in values.items():
        made[key] = made.get(key, {}) | value if isinstance(value, dict) else value
    return make_recipe(made, "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mtfl")
    write_mtfl(path, 60)
    return path


def test_a_task_of_one_attribute_is_binary_and_one_of_several_picks_one():
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
    # the second face does not state whether it smiles
    assert losses["smiling"].item() == pytest.approx(math.log(2))
    # -log of e / (e + 1) and of 1 / 2
    expected = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert losses["pose"].item() == pytest.approx(expected)
    errors = task_errors(logits, attributes, TASKS)
    assert errors == {"smiling": 1.0, "pose": 0.5}


def test_an_attribute_that_nothing_states_is_refused():
    nothing = torch.zeros(2, 0)
    raw = HeadOutput(nothing, nothing, class_logits=torch.zeros(2, 3))
    with pytest.raises(
        RecipeError, match="wants the attribute 'smiling', which no data"
    ):
        task_losses(raw, {}, TASKS)


def test_weights_are_of_tasks():
    assert TASKS.weight("pose") == 0.1
    with pytest.raises(
        ValueError, match="weights names 'smile'; wanted one of smiling, pose"
    ):
        TaskSettings(groups=TASKS.groups, weights={"smile": 1.0})


def test_the_criterion_of_stopping_is_that_of_the_paper():
    # 3 * 3 / (4 + 3 + 3 - 9) * (3.5 - 3) / (0.5 * 3)
    found = stop_criterion([9.0, 4, 3, 3], [9.0, 5, 4, 3.5], 0.5, 3)
    assert found == pytest.approx(9 * 0.5 / 1.5)
    # twice as important: half the criterion
    assert stop_criterion([9.0, 4, 3, 3], [9.0, 5, 4, 3.5], 1.0, 3) == pytest.approx(
        found / 2
    )
    assert stop_criterion([9.0, 4], [9.0, 5], 0.5, 3) == float("-inf")
    # an error that no longer falls at all
    assert stop_criterion([2.0, 2, 2], [3.0, 3, 3], 0.5, 3) == float("inf")


@pytest.mark.parametrize("validation", [0.3, 0.5, 0.9])
@pytest.mark.parametrize(
    "training",
    [
        [1.0, 0.99, 0.98, 0.97, 0.5],  # fastest at the end
        [1.0, 0.9, 0.8, 0.7, 0.6],  # evenly
        [0.9, 0.9, 0.9, 0.9, 0.5],  # at the end alone
    ],
)
def test_an_error_that_falls_as_fast_as_ever_stops_no_task(training, validation):
    assert stop_criterion(training, [validation] * 5, 0.1, 5) <= 0


def test_clusters_are_those_that_the_rows_were_drawn_from():
    rng = np.random.default_rng(0)
    centers = np.array([[0.0, 0], [10, 0], [0, 10]])
    truth = rng.integers(0, 3, 300)
    rows = centers[truth] + rng.normal(size=(300, 2)) * np.array([0.5, 1.0])
    for found in (k_means(rows, 3, rng), gaussian_mixture(rows, k_means(rows, 3, rng))):
        own = found.assign(rows)
        for cluster in range(3):
            # each true cluster has one found number
            assert len(np.unique(own[truth == cluster])) == 1
        assert len(np.unique(own)) == 3
    # the last one, of the mixture, has found the deviations 0.5 and 1
    np.testing.assert_allclose(found.precisions, [[4, 1]] * 3, rtol=0.35)


def test_the_network_chooses_clusters_as_the_fit_does(folder):
    rng = np.random.default_rng(0)
    recipe = recipe_of(folder, has_tasks=False, model={"clusters": 4})
    net = build_network(recipe).eval()
    rows = rng.normal(size=(50, net.centers.shape[1]))
    found = gaussian_mixture(rows, k_means(rows, 4, rng))
    net.set_clusters(found.centers, found.precisions, found.offsets)
    own = net.cluster(torch.from_numpy(rows))
    np.testing.assert_array_equal(own, found.assign(rows))


def test_a_resumed_training_with_tasks_equals_an_unbroken_one(folder, tmp_path):
    recipe = recipe_of(folder)
    whole = make_trainer(recipe, tmp_path / "whole", folder, tmp_path / "cache")
    whole.run()
    part = make_trainer(recipe, tmp_path / "part", folder, tmp_path / "cache")
    steps = part.steps()
    for _ in range(3):
        next(steps)
    part.save()
    del part, steps
    rest = make_trainer(
        recipe, tmp_path / "part", folder, tmp_path / "cache", resume=True
    )
    rest.run()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(rest.model.state_dict()[name], value, rtol=0, atol=0)
    assert rest.task.training_errors == whole.task.training_errors
    assert len(rest.task.validation_errors["smiling"]) == 2


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


def test_a_task_without_weight_is_learned_by_nothing_and_never_stops(folder, tmp_path):
    tasks = {"stop_threshold": 1e-9, "weights": {"smiling": 0.0}}
    recipe = recipe_of(folder, steps=4, tasks=tasks)
    trainer = make_trainer(recipe, tmp_path / "run", folder, tmp_path / "cache")
    before = trainer.model.attributes.weight.clone()
    trainer.run()
    assert trainer.task.running == ["smiling"]
    # weight decay alone, 0.01 of a rate of at most 1.5e-3
    torch.testing.assert_close(
        trainer.model.attributes.weight, before, rtol=1e-4, atol=0
    )


def test_clusters_start_from_a_network_without_them_and_equal_it_at_first(
    folder, tmp_path
):
    plain = recipe_of(folder, has_tasks=False)
    checkpoint = make_trainer(
        plain, tmp_path / "plain", folder, tmp_path / "cache"
    ).run()
    recipe = recipe_of(
        folder, has_tasks=False, model={"clusters": 3}, init_from=str(checkpoint)
    )
    trainer = make_trainer(recipe, tmp_path / "three", folder, tmp_path / "cache")
    notes = []
    trainer.task.before_run(trainer.model, notes.append)
    assert notes[0].startswith("3 clusters of ")
    crops = torch.randint(0, 256, (5, 40, 40, 3), dtype=torch.uint8)
    before = load_any(checkpoint)[0](crops).landmarks
    torch.testing.assert_close(trainer.model.eval()(crops).landmarks, before)
    alone = recipe_of(folder, has_tasks=False, model={"clusters": 3})
    with pytest.raises(RecipeError, match="clusters is 3 without init_from"):
        make_trainer(alone, tmp_path / "alone", folder, tmp_path / "cache")
