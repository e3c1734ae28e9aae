"""Frozen parts stay bit-equal, norms included; the rest moves, and runs resume exactly."""

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


@pytest.mark.parametrize(
    ("kind", "prefix", "more"),
    [
        ("train", "", {}),
        (
            "distill",
            "students.0.",
            {"distill": {"students": 2, "peer_kl": 1.0, "mask_prob": 0.5}},
        ),
    ],
)
def test_frozen_parts_stay_and_the_rest_moves(kind, prefix, more, faces, tmp_path):
    parts = [prefix + part for part in PARTS]
    recipe = small(faces, **more, **{"train.freeze": parts, "train.steps": 4})
    run = trainer(recipe, tmp_path / "run", kind=kind)
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    run.run()  # with validations in between, after which norms must not be set to train again
    for state in (run.model.state_dict(), run.average.state):
        for key, value in state.items():
            frozen = any(in_part(key, part) for part in parts)
            constant = key.endswith((".mean", ".std")) or key in ("mean", "std")
            # a softmax does not see the bias of a heatmap, whose gradient is rounding alone
            if frozen or constant:
                assert torch.equal(value, before[key]), key
            elif not key.endswith("head.out.bias"):
                assert not torch.equal(value, before[key]), key


def test_a_frozen_training_resumes_exactly(faces, tmp_path):
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


def test_a_frozen_part_predicts_the_same_twice_in_training():
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
    ("part", "nearest"),
    [("head.uot", "head.out"), ("backbon", "backbone"), ("head.ou", "head.out")],
)
def test_a_part_that_is_not_there_is_refused_by_name(part, nearest, faces, tmp_path):
    message = (
        rf"train\.freeze names '{part}', which the network does not have; "
        f"did you mean '{nearest}'"
    )
    with pytest.raises(RecipeError, match=message):
        trainer(small(faces, **{"train.freeze": [part]}), tmp_path / "run")
