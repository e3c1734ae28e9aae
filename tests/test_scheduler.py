"""Several training runs: each gives the result of the single run; data are shared."""

import random

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import TrainError
from lineament.models.backbones.registry import BACKBONES
from lineament.training import process_state
from lineament.training import scheduler as together
from lineament.training.checkpoint import load_checkpoint
from lineament.training.process_state import ProcessState
from lineament.training.registry import task_for
from lineament.training.scheduler import Run, train_together
from lineament.training.trainer import Trainer
from tiny import Tiny, killed, small, trained, trainer

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def plan(recipe, folder, kind="train", resume=False, **more):
    root = folder.parent.parent

    def make(read):
        places = folder, root, root / "cache"
        return Trainer(task_for(recipe, kind), *places, resume, read=read)

    return Run(folder.name, make, **more)


def test_each_run_gives_the_same_result_as_alone(faces, tmp_path):
    recipes = {
        "plain": small(faces, **{"train.steps": 4}),
        "faster": small(faces, **{"train.steps": 4, "train.lr": 1e-2}),
        "longer": small(faces, **{"train.steps": 6}),
    }
    alone = {
        name: trained(recipe, tmp_path / "alone" / name)
        for name, recipe in recipes.items()
    }
    done = train_together(
        [plan(recipe, tmp_path / "together" / name) for name, recipe in recipes.items()]
    )
    assert done == ["plain", "faster", "longer"]
    for name, state in alone.items():
        together_state = load_checkpoint(tmp_path / "together" / name / "checkpoint.pt")
        assert all(
            torch.equal(value, together_state["average"][key])
            for key, value in state["average"].items()
        ), name


class Dropout(Tiny):
    def forward(self, x):
        return super().forward(torch.nn.functional.dropout(x, 0.3, self.training))


class Noisy(Dropout):
    """Also draws from the global generators of Python and NumPy."""

    def forward(self, x):
        if self.training:
            x = x + 0.1 * random.random() + 0.1 * np.random.normal()  # noqa: NPY002
        return super().forward(x)


@pytest.fixture
def random_backbones(monkeypatch):
    monkeypatch.setitem(BACKBONES, "noisy", Noisy)
    monkeypatch.setitem(BACKBONES, "dropout", Dropout)


def seed_all():
    random.seed(5)
    np.random.seed(6)  # noqa: NPY002
    torch.manual_seed(7)


def draws():
    """Return numbers of all global generators."""
    numbers = np.random.normal(size=3)  # noqa: NPY002
    return [random.random(), *numbers.tolist(), *torch.rand(3).tolist()]


def assert_same_checkpoint(one, other):
    for part in ("model", "average"):
        for key, value in one[part].items():
            assert torch.equal(value, other[part][key]), f"{part}: {key}"
    for number, values in one["optimizer"]["state"].items():
        for key, value in values.items():
            assert torch.equal(value, other["optimizer"]["state"][number][key]), key
    assert torch.equal(one["rng"], other["rng"])


@pytest.mark.usefixtures("random_backbones")
def test_random_draws_of_other_runs_do_not_change_a_run(faces, tmp_path):
    noisy = {"model.backbone": "noisy"}
    recipes = {
        "first": small(faces, **noisy, **{"train.steps": 5}),
        "second": small(faces, **noisy, **{"train.steps": 3, "train.seed": 2}),
        # is built, and seeds torch, between two steps of the first
        "third": small(faces, **noisy, **{"train.steps": 2, "train.seed": 3}),
    }
    alone = {}
    for name, recipe in recipes.items():
        seed_all()
        alone[name] = trained(recipe, tmp_path / "alone" / name)
    seed_all()
    expected = draws()
    seed_all()
    runs = tmp_path / "together"
    done = train_together(
        [
            plan(recipes["first"], runs / "first"),
            plan(recipes["second"], runs / "second"),
            plan(recipes["third"], runs / "third", needs=("second",)),
        ]
    )
    assert sorted(done) == ["first", "second", "third"]
    for name, state in alone.items():
        assert_same_checkpoint(state, load_checkpoint(runs / name / "checkpoint.pt"))
    # the states of the process are unchanged, too
    assert draws() == expected


@pytest.mark.usefixtures("random_backbones")
def test_a_run_with_dropout_that_is_resumed_next_to_another_equals_an_unbroken_one(
    faces, tmp_path
):
    dropout = {"model.backbone": "dropout"}
    recipe = small(faces, **dropout, **{"train.steps": 6})
    other = small(faces, **dropout, **{"train.steps": 6, "train.seed": 2})
    unbroken = trained(recipe, tmp_path / "unbroken")
    broken = tmp_path / "runs" / "broken"
    killed(trainer(recipe, broken), saved=3, dies=4)
    resumed = plan(recipe, broken, resume=True)
    train_together([plan(other, tmp_path / "runs" / "other"), resumed])
    assert_same_checkpoint(unbroken, load_checkpoint(broken / "checkpoint.pt"))


def test_each_run_has_its_own_number_of_threads(faces, tmp_path, monkeypatch):
    threads, update = [], Trainer.update

    def counted(self, batches):
        threads.append((self.recipe.train.threads, torch.get_num_threads()))
        return update(self, batches)

    monkeypatch.setattr(Trainer, "update", counted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        recipes = [
            small(faces, **{"train.steps": 2, "train.threads": n}) for n in (1, 3, 0)
        ]
        runs = tmp_path / "runs"
        train_together([plan(r, runs / str(k)) for k, r in enumerate(recipes)])
        assert threads == [(1, 1), (3, 3), (0, 2)] * 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class Generator:
    """Stands for a GPU's global generator, whose state can be exchanged."""

    def __init__(self, state):
        self.state = state

    def clone_state(self):
        return Generator(list(self.state))

    def graphsafe_get_state(self):
        return Generator(self.state)

    def graphsafe_set_state(self, other):
        self.state = other.state


def test_each_run_has_its_own_state_of_a_gpu_generator(monkeypatch):
    gpu = Generator([1])
    monkeypatch.setattr(process_state, "gpu_generators", lambda: (gpu,))
    outside, state = gpu.state, ProcessState()
    for value in (2, 3):
        with state.active():
            own = gpu.state
            own.append(value)
    assert (own, gpu.state) == ([1, 2, 3], [1])
    assert gpu.state is outside  # exchanged, not copied
    with pytest.raises(TrainError), state.active():
        raise TrainError("after an error, too")
    assert gpu.state is outside


def test_a_student_starts_when_its_teacher_has_finished(faces, tmp_path):
    teacher = tmp_path / "runs" / "teacher"
    recipe = small(
        faces,
        distill={"teacher": str(teacher / "checkpoint.pt"), "pixel_wise": 1.0},
        **{"train.steps": 2},
    )
    steps, ended = [], []
    done = train_together(
        [
            plan(
                small(faces, **{"train.steps": 4, "train.seed": 2}),
                teacher,
                after=lambda t: ended.append(t.step),
            ),
            plan(recipe, tmp_path / "runs" / "student", "distill", needs=("teacher",)),
        ],
        lambda name, progress: steps.append((name, progress.step)),
    )
    assert (done, ended) == (["teacher", "student"], [4])
    assert [name for name, _ in steps] == ["teacher", "teacher", "student"]


def test_runs_that_need_a_failed_one_are_left_out_and_the_others_continue(
    faces, tmp_path
):
    failures = []
    broken = small(
        faces, **{"train.lr": 1e30, "train.warmup": 0, "train.max_grad_norm": 1e30}
    )
    done = train_together(
        [
            plan(broken, tmp_path / "runs" / "broken"),
            plan(small(faces), tmp_path / "runs" / "behind", needs=("broken",)),
            plan(small(faces, **{"train.steps": 2}), tmp_path / "runs" / "other"),
        ],
        failed=lambda name, error: failures.append((name, str(error))),
    )
    assert done == ["other"]
    ((name, message),) = failures
    assert name == "broken"
    assert "lower train.lr" in message
    with pytest.raises(TrainError, match=r"lower train\.lr"):
        train_together([plan(broken, tmp_path / "runs" / "again")])


def test_runs_with_the_same_crops_share_them(faces, tmp_path, monkeypatch):
    made, read = [], []
    monkeypatch.setattr(
        Trainer, "batches", lambda self: made.append(self.step) or original(self)
    )
    monkeypatch.setattr(
        together, "read_mixture", lambda *a, **k: read.append(a) or mixture(*a, **k)
    )
    recipes = [
        small(faces, **{"train.steps": 2, "train.lr": lr, "train.seed": s})
        for lr, s in ((1, 1), (2, 1), (1, 2))
    ]
    train_together(
        [plan(recipe, tmp_path / "runs" / str(k)) for k, recipe in enumerate(recipes)]
    )
    assert len(made) == 2  # of seed 1 for two of them, of seed 2 for one
    assert len(read) == 1


original, mixture = Trainer.batches, together.read_mixture


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((("a", ()), ("a", ())), "'a' is listed twice"),
        ((("a", ("b",)), ("b", ())), "'a' needs 'b', which is not listed be"),
    ],
)
def test_a_cyclic_plan_is_rejected(names, message):
    with pytest.raises(TrainError, match=message):
        train_together([Run(name, lambda read: None, needs) for name, needs in names])
