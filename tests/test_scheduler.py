"""Several training runs: each gives the result of the single run; data are shared."""

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import TrainError
from lineament.training import scheduler as together
from lineament.training.checkpoint import load_checkpoint
from lineament.training.registry import task_for
from lineament.training.scheduler import Run, train_together
from lineament.training.trainer import Trainer
from tiny import small, trained

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def plan(recipe, folder, kind="train", **more):
    root = folder.parent.parent

    def make(read):
        return Trainer(task_for(recipe, kind), folder, root, root / "cache", read=read)

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
def test_a_cyclic_plan_is_refused(names, message):
    with pytest.raises(TrainError, match=message):
        train_together([Run(name, lambda read: None, needs) for name, needs in names])
