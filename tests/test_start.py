"""What a training starts from: another run's checkpoint or a .safetensors file, with the head or a new one."""

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import ModelError
from lineament.training.build import build_model, start_from
from lineament.training.trainer import Trainer
from tiny import small, trained

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_a_training_starts_from_a_checkpoint_with_a_new_head_for_other_points(faces, tmp_path):
    state = trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    start = str(tmp_path / "first/checkpoint.pt")
    same = Trainer(small(faces, init_from=start), tmp_path / "same", tmp_path, tmp_path / "cache")
    assert torch.equal(same.model.head.out.weight, state["average"]["head.out.weight"])
    other = Trainer(
        small(faces, init_from=start, scheme="five"),
        tmp_path / "five",
        tmp_path,
        tmp_path / "cache",
    )
    assert other.model.head.out.weight.shape[0] == 5
    assert torch.equal(other.model.top[0].weight, state["average"]["top.0.weight"])


@pytest.mark.parametrize(
    "other",
    [{"model.head": "gaussian2d", "losses": {"mse": 1.0}}, {"scheme": "fgnet68"}],
    ids=["kind", "scheme"],
)
def test_a_head_of_another_kind_or_scheme_is_drawn_anew(other, faces, tmp_path):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    recipe = small(faces, init_from=str(tmp_path / "first/checkpoint.pt"), **other)
    model, drawn = build_model(recipe), build_model(recipe)
    before = torch.load(tmp_path / "first/checkpoint.pt", weights_only=True)["average"]
    start_from(model, recipe)
    assert torch.equal(model.head.out.weight, drawn.head.out.weight)
    assert torch.equal(model.top[0].weight, before["top.0.weight"])
    assert not torch.equal(model.top[0].weight, drawn.top[0].weight)


@pytest.mark.parametrize(
    ("name", "points"), [("ibug68", slice(0, 68)), ("helen194", slice(68, 262))]
)
def test_a_head_of_two_joined_schemes_gives_the_points_of_either(name, points, faces, tmp_path):
    joined = small(faces, scheme="ibug68_helen194", **{"train.steps": 1})
    before = trained(joined, tmp_path / "first")["average"]
    recipe = small(faces, init_from=str(tmp_path / "first/checkpoint.pt"), scheme=name)
    model = build_model(recipe)
    start_from(model, recipe)
    assert torch.equal(model.head.out.weight, before["head.out.weight"][points])
    assert torch.equal(model.head.out.bias, before["head.out.bias"][points])
    assert torch.equal(model.top[0].weight, before["top.0.weight"])


def test_a_training_starts_from_safetensors(faces, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    save_file(
        {key: value.contiguous() for key, value in state["average"].items()},
        tmp_path / "start.safetensors",
    )
    model = build_model(small(faces))
    start_from(model, small(faces, init_from=str(tmp_path / "start.safetensors")))
    assert all(
        torch.equal(value, state["average"][key]) for key, value in model.state_dict().items()
    )
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(
        ModelError, match=r"broken.safetensors: no safetensors file \(.*\); give one with weights"
    ):
        start_from(model, small(faces, init_from=str(tmp_path / "broken.safetensors")))


def test_weights_of_another_network_are_refused(faces, tmp_path):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    wider = small(
        faces, **{"model.channels": 24, "init_from": str(tmp_path / "first/checkpoint.pt")}
    )
    with pytest.raises(
        ModelError,
        match=r"top.0.weight is \(16, 16, 1, 1\), the recipe's model has \(24, 16, 1, 1\)",
    ):
        start_from(build_model(wider), wider)
