"""Initial weights: from a checkpoint or a .safetensors file, all or parts, or with a new head."""

import pytest

pytest.importorskip("torch")

import torch

from lineament.errors import ModelError, RecipeError, TrainError
from lineament.training import build, checkpoint
from lineament.training.build import build_model, load_initial_weights, load_trained
from lineament.training.checkpoint import load_checkpoint, read_weights, save_weights
from tiny import small, trained, trainer

pytestmark = [
    pytest.mark.torch,
    pytest.mark.usefixtures("tiny"),
    # TensorBoard's own imports
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def test_a_training_starts_from_a_checkpoint_with_a_new_head_for_another_scheme(
    faces, tmp_path
):
    state = trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    start = str(tmp_path / "first/checkpoint.pt")
    same = trainer(small(faces, init_from=start), tmp_path / "same")
    assert torch.equal(same.model.head.out.weight, state["average"]["head.out.weight"])
    other = trainer(small(faces, init_from=start, scheme="five"), tmp_path / "five")
    assert other.model.head.out.weight.shape[0] == 5
    assert torch.equal(other.model.top[0].weight, state["average"]["top.0.weight"])


@pytest.mark.parametrize(
    "other",
    [{"model.head": "gaussian2d", "losses": {"mse": 1.0}}, {"scheme": "fgnet68"}],
    ids=["kind", "scheme"],
)
def test_a_head_of_another_kind_or_scheme_keeps_its_random_weights(
    other, faces, tmp_path
):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    recipe = small(faces, init_from=str(tmp_path / "first/checkpoint.pt"), **other)
    model, drawn = build_model(recipe), build_model(recipe)
    before = torch.load(tmp_path / "first/checkpoint.pt", weights_only=True)["average"]
    load_initial_weights(model, recipe)
    assert torch.equal(model.head.out.weight, drawn.head.out.weight)
    assert torch.equal(model.top[0].weight, before["top.0.weight"])
    assert not torch.equal(model.top[0].weight, drawn.top[0].weight)


@pytest.mark.parametrize(
    ("name", "points"), [("ibug68", slice(0, 68)), ("helen194", slice(68, 262))]
)
def test_a_head_of_two_joined_schemes_initializes_either_scheme(
    name, points, faces, tmp_path
):
    joined = small(faces, scheme="ibug68_helen194", **{"train.steps": 1})
    before = trained(joined, tmp_path / "first")["average"]
    recipe = small(faces, init_from=str(tmp_path / "first/checkpoint.pt"), scheme=name)
    model = build_model(recipe)
    load_initial_weights(model, recipe)
    assert torch.equal(model.head.out.weight, before["head.out.weight"][points])
    assert torch.equal(model.head.out.bias, before["head.out.bias"][points])
    assert torch.equal(model.top[0].weight, before["top.0.weight"])


def test_a_head_of_two_joined_schemes_is_initialized_from_one(faces, tmp_path):
    before = trained(small(faces, **{"train.steps": 1}), tmp_path / "first")["average"]
    start = str(tmp_path / "first/checkpoint.pt")
    recipe = small(faces, init_from=start, scheme="ibug68_helen194")
    model, drawn = build_model(recipe), build_model(recipe)
    load_initial_weights(model, recipe)
    assert torch.equal(model.head.out.weight[:68], before["head.out.weight"])
    assert torch.equal(model.head.out.bias[:68], before["head.out.bias"])
    assert torch.equal(model.head.out.weight[68:], drawn.head.out.weight[68:])
    assert torch.equal(model.top[0].weight, before["top.0.weight"])


def test_a_training_starts_from_safetensors(faces, tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    save_file(
        {key: value.contiguous() for key, value in state["average"].items()},
        tmp_path / "start.safetensors",
    )
    model = build_model(small(faces))
    load_initial_weights(
        model, small(faces, init_from=str(tmp_path / "start.safetensors"))
    )
    assert all(
        torch.equal(value, state["average"][key])
        for key, value in model.state_dict().items()
    )
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    with pytest.raises(
        ModelError,
        match=r"broken.safetensors: not a safetensors file \(.*\); give one that contains weights",
    ):
        load_initial_weights(
            model, small(faces, init_from=str(tmp_path / "broken.safetensors"))
        )


def test_weights_of_another_network_are_rejected(faces, tmp_path):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    wider = small(
        faces,
        **{"model.channels": 24, "init_from": str(tmp_path / "first/checkpoint.pt")},
    )
    with pytest.raises(
        ModelError,
        match=r"top.0.weight is \(16, 16, 1, 1\), the recipe's model has \(24, 16, 1, 1\)",
    ):
        load_initial_weights(build_model(wider), wider)


def test_parts_are_initialized_from_separate_checkpoints(faces, tmp_path):
    states = {}
    for seed in (1, 2):
        run = small(faces, **{"train.steps": 1, "train.seed": seed})
        states[seed] = trained(run, tmp_path / str(seed))["average"]
    first, second = (str(tmp_path / f"{seed}/checkpoint.pt") for seed in (1, 2))
    recipe = small(
        faces, init_from=first, init_parts={"head": second}, **{"train.steps": 2}
    )
    run = trainer(recipe, tmp_path / "run")
    for key, value in run.model.state_dict().items():
        assert torch.equal(value, states[2 if key.startswith("head.") else 1][key]), key
    run.run()
    (tmp_path / "2/checkpoint.pt").write_bytes(
        (tmp_path / "1/checkpoint.pt").read_bytes()
    )
    with pytest.raises(TrainError, match=r"2/checkpoint\.pt is not the file that"):
        trainer(recipe, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            "haed",
            "init_parts names 'haed', which the network does not have; did you mean 'head'",
        ),
        (
            "pyramid.0",
            r"pyramid\.0\.lateral\.weight is \(16, .*has \(24, .* give the recipe the pyramid\.0",
        ),
    ],
)
def test_the_error_names_a_part_that_does_not_fit(part, message, faces, tmp_path):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    parts = {part: str(tmp_path / "first/checkpoint.pt")}
    recipe = small(faces, init_parts=parts, **{"model.channels": 24})
    with pytest.raises((RecipeError, ModelError), match=message):
        trainer(recipe, tmp_path / "run")


def test_kept_weights_work_as_init_and_teacher_like_their_checkpoint(faces, tmp_path):
    joined = small(faces, scheme="ibug68_helen194", **{"train.steps": 1})
    trained(joined, tmp_path / "first")
    checkpoint = tmp_path / "first/checkpoint.pt"
    kept = tmp_path / "kept.safetensors"
    save_weights(kept, load_checkpoint(checkpoint))
    # tables of numbers are kept at half precision: 11 bits of mantissa
    net, recipe = load_trained(kept)
    whole, whole_recipe = load_trained(checkpoint)
    assert recipe == whole_recipe
    for key, value in whole.state_dict().items():
        assert torch.allclose(net.state_dict()[key], value, rtol=2**-11, atol=1e-7), key
    # with two joined schemes, the head provides either one, as from a checkpoint
    models = {}
    for path in (kept, checkpoint):
        start = small(faces, init_from=str(path), scheme="ibug68")
        models[path] = build_model(start)
        load_initial_weights(models[path], start)
    heads = [model.head.out.weight for model in models.values()]
    assert heads[0].shape[0] == 68
    assert torch.allclose(*heads, rtol=2**-11, atol=1e-7)


def test_a_weights_file_is_read_once_for_initialization(faces, tmp_path, monkeypatch):
    trained(small(faces, **{"train.steps": 1}), tmp_path / "first")
    kept = tmp_path / "kept.safetensors"
    save_weights(kept, load_checkpoint(tmp_path / "first/checkpoint.pt"))
    reads = []

    def counted(path):
        reads.append(path)
        return read_weights(path)

    monkeypatch.setattr(build, "read_weights", counted)
    monkeypatch.setattr(checkpoint, "read_weights", counted)
    start = small(faces, init_from=str(kept))
    load_initial_weights(build_model(start), start)
    assert reads == [kept]


def test_weights_without_a_recipe_are_rejected_as_checkpoint(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(ModelError, match="weights without a recipe"):
        load_trained(tmp_path / "bare.safetensors")


def test_pruned_weights_in_safetensors_give_their_channels(faces, tmp_path):
    pruned = small(faces, **{"model.pruned_from": "runs/slim/ratio-0.5/checkpoint.pt"})
    weights = {"a": torch.zeros(2)}
    for name, recipe in (("pruned", pruned), ("plain", small(faces))):
        state = {"average": weights, "recipe": recipe.model_dump_json(), "step": 1}
        save_weights(tmp_path / f"{name}.safetensors", state)
    start = str(tmp_path / "pruned.safetensors")
    adopted = build.adopt_architecture(small(faces, init_from=start))
    assert adopted.model.pruned_from == start
    recipe = small(faces, init_from=str(tmp_path / "plain.safetensors"))
    assert build.adopt_architecture(recipe) is recipe
