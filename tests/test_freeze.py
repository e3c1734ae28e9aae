"""Frozen parts, norms included, are bit-equal after training; runs resume exactly."""

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import RecipeError
from lineament.training.freeze import freeze, in_part
from tiny import Tiny, killed, small, trained, trainer

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

PARTS = ["backbone", "head.out"]


STUDENTS = {"distill": {"students": 2, "peer_kl": 1.0, "mask_prob": 0.5}}


@pytest.mark.parametrize(
    ("kind", "prefix", "frozen_prefixes", "more"),
    [
        ("train", "", [""], {}),
        # named as in train, parts are frozen in every student
        ("distill", "", ["students.0.", "students.1."], STUDENTS),
        ("distill", "students.1.", ["students.1."], STUDENTS),
    ],
)
def test_frozen_parts_do_not_change_and_others_do(
    kind, prefix, frozen_prefixes, more, faces, tmp_path
):
    parts = [prefix + part for part in PARTS]
    names = [first + part for first in frozen_prefixes for part in PARTS]
    recipe = small(faces, **more, **{"train.freeze": parts, "train.steps": 4})
    run = trainer(recipe, tmp_path / "run", kind=kind)
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    run.run()  # includes validations, after which frozen norms must remain in evaluation mode
    for state in (run.model.state_dict(), run.average.state):
        for key, value in state.items():
            frozen = any(in_part(key, name) for name in names)
            constant = key.endswith((".mean", ".std")) or key in ("mean", "std")
            # softmax is invariant to the bias of a heatmap, so its gradient is only rounding
            if frozen or constant:
                assert torch.equal(value, before[key]), key
            elif not key.endswith("head.out.bias"):
                assert not torch.equal(value, before[key]), key


def test_training_with_frozen_parts_resumes_exactly(faces, tmp_path):
    recipe = small(faces, **{"train.freeze": PARTS, "train.steps": 6})
    whole = trained(recipe, tmp_path / "whole")
    killed(trainer(recipe, tmp_path / "killed"), saved=3, dies=4)
    resumed = trained(recipe, tmp_path / "killed", resume=True)
    for part in ("model", "average"):
        for key, value in whole[part].items():
            assert torch.equal(value, resumed[part][key]), key


def test_a_part_is_a_complete_dotted_name():
    model = Tiny()
    norms = freeze(model, ["levels.1"])
    frozen = [
        name for name, weight in model.named_parameters() if not weight.requires_grad
    ]
    assert {name.rpartition(".")[0] for name in frozen} == {"levels.1.0", "levels.1.1"}
    assert norms == [model.levels[1][1]]


def test_a_frozen_part_is_deterministic_in_training():
    model = torch.nn.ModuleDict(
        {
            name: torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
            for name in ("first", "second")
        }
    )
    evaluated = freeze(model, ["first"])
    model.train()
    for module in evaluated:
        module.eval()
    x = torch.ones(8, 4)
    assert torch.equal(model["first"](x), model["first"](x))
    assert not torch.equal(model["second"](x), model["second"](x))


@pytest.mark.parametrize(
    ("kind", "part", "nearest"),
    [
        ("train", "head.uot", "head.out"),
        ("train", "backbon", "backbone"),
        ("train", "head.ou", "head.out"),
        ("distill", "head.ou", "head.out"),
        ("distill", "students.0.heads", "students.0.head"),
    ],
)
def test_an_unknown_part_is_rejected_with_the_nearest_name(
    kind, part, nearest, faces, tmp_path
):
    message = (
        rf"train\.freeze names '{part}', which the network does not have; "
        f"did you mean '{nearest}'"
    )
    more = STUDENTS if kind == "distill" else {}
    recipe = small(faces, **more, **{"train.freeze": [part]})
    with pytest.raises(RecipeError, match=message):
        trainer(recipe, tmp_path / "run", kind=kind)
