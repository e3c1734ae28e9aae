"""Kept weights are found by name from a recipe's folder upwards; a wrong name lists the others."""

import re
from pathlib import Path

import pytest

from lineament.errors import ModelError, RecipeError
from lineament.recipe.file import read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
WEIGHTS = sorted(RECIPES.with_name("teachers").glob("*.safetensors"))
PLAIN = 'name = "small"\ndata = [{ reader = "300w" }]\ntrain.steps = 1\n'


@pytest.fixture
def home(tmp_path):
    """A repository with recipes/own/small.toml and the weights "first" and "second"."""
    for name in ("first", "second"):
        path = tmp_path / "home" / "teachers" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "home"


def written(home, text):
    path = home / "recipes" / "own" / "small.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + PLAIN, encoding="utf-8")
    return path


def test_names_become_the_paths_of_weights_above_the_recipe(home):
    text = 'init_from = "first"\ninit_parts = { head = "second" }\n'
    recipe = read_recipe(written(home, text), ["distill.teacher=second"])
    assert Path(recipe.init_from) == home / "teachers/first.safetensors"
    second = home / "teachers/second.safetensors"
    assert Path(recipe.init_parts["head"]) == Path(recipe.distill.teacher) == second


def test_a_detector_recipe_may_name_the_detector_for_mining_false_positives(home):
    path = written(home, "")
    recipe = read_recipe(path, ["detector.mine_from=first"])
    assert Path(recipe.detector.mine_from) == home / "teachers/first.safetensors"


def test_a_path_below_the_current_directory_is_relative(home, monkeypatch):
    monkeypatch.chdir(home)
    path = written(home, 'init_from = "first"\n')
    assert read_recipe(path).init_from == str(Path("teachers/first.safetensors"))


def test_the_nearest_folder_wins_and_the_current_directory_comes_last(
    home, tmp_path, monkeypatch
):
    for place in (home / "recipes", tmp_path / "here"):
        (place / "teachers").mkdir(parents=True)
        (place / "teachers/first.safetensors").touch()
        (place / "teachers/third.safetensors").touch()
    monkeypatch.chdir(tmp_path / "here")
    path = written(home, "")
    nearest = home / "recipes/teachers/first.safetensors"
    assert Path(read_recipe(path, ["init_from=first"]).init_from) == nearest
    (home / "recipes/teachers/third.safetensors").unlink()
    third = read_recipe(path, ["init_from=third"]).init_from
    assert third == str(Path("teachers/third.safetensors"))


@pytest.mark.parametrize("given", ["first.safetensors", "runs/first", "./first", ""])
def test_paths_are_not_changed(given, home):
    path = written(home, f'init_from = "{given}"\n')
    assert read_recipe(path).init_from == given


def test_an_unknown_name_lists_the_searched_folders_and_available_names(
    home, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = written(home, 'init_from = "frist"\n')
    first, second = (home / f"teachers/{n}.safetensors" for n in ("first", "second"))
    message = (
        f"no teachers/frist.safetensors in {path.parent}, in a folder above it or in "
        f"{Path.cwd()}; did you mean 'first'? (found: {first}, {second}"
    )
    with pytest.raises(RecipeError, match=re.escape(message)):
        read_recipe(path)
    lone = tmp_path / "lone.toml"
    lone.write_text(PLAIN, encoding="utf-8")
    with pytest.raises(RecipeError, match="frist") as raised:
        read_recipe(lone, ["distill.teacher=frist"])
    assert "no teachers/frist.safetensors in" in str(raised.value)


def test_a_name_that_is_not_a_string_is_left_to_the_recipe_check(home):
    with pytest.raises(RecipeError, match=r"init_from \(given 3\)"):
        read_recipe(written(home, "init_from = 3\n"))


def test_the_weights_of_this_repository_are_found_by_name():
    recipe = read_recipe(
        RECIPES / "cpu/teacher-lite2-256.toml", ["init_from=lite2-128"]
    )
    assert Path(recipe.init_from).samefile(
        RECIPES.parent / "teachers/lite2-128.safetensors"
    )


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_weights_of_this_repository_fill_the_network_of_their_recipe(path):
    pytest.importorskip("torch")
    from lineament.training.build import load_any
    from lineament.training.checkpoint import load_weights

    model, _ = load_any(path)
    own, given = model.state_dict(), load_weights(path)
    assert own.keys() == given.keys()
    for key, value in given.items():
        assert own[key].equal(value.to(own[key].dtype)), key


def test_the_recipe_that_fine_tunes_fast_starts_from_all_its_weights_but_presence():
    pytest.importorskip("torch")
    from lineament.training.build import build_model, load_initial_weights
    from lineament.training.checkpoint import load_weights

    recipe = read_recipe(RECIPES / "fine-tune.toml", ["data.0.folder=/faces"])
    assert recipe.data[0].folder == "/faces"
    model = build_model(recipe)
    load_initial_weights(model, recipe)
    own, given = (
        model.state_dict(),
        load_weights(RECIPES.parent / "teachers/fast.safetensors"),
    )
    assert {key.split(".")[0] for key in given.keys() - own.keys()} == {"presence"}
    for key, value in own.items():
        assert value.equal(given[key].to(value.dtype)), key


def test_the_kept_detector_starts_a_recipe_that_states_its_depths(tmp_path):
    pytest.importorskip("torch")
    import torch

    from lineament.training.checkpoint import load_weights
    from lineament.training.detector.task import DetectorTask
    from lineament.training.task import Context

    def started(*changes):
        path = RECIPES / "detector.toml"
        recipe = read_recipe(path, ["init_from=detector", "detector.mimic=", *changes])
        context = Context(tmp_path, tmp_path, torch.device("cpu"), read=None)
        return DetectorTask(recipe).build(context).state_dict()

    own = started("detector.depths=[0, 1, 2, 2]")
    for key, value in load_weights(
        RECIPES.parent / "teachers/detector.safetensors"
    ).items():
        assert own[key].equal(value.to(own[key].dtype)), key
    with pytest.raises(ModelError, match="give the widths, depths and pyramid that"):
        started()
