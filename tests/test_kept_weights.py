"""Kept weights are found by name from a recipe's folder upwards; a wrong name lists the others."""

import re
from pathlib import Path

import pytest

from lineament.errors import RecipeError
from lineament.recipe.file import read_recipe

RECIPES = Path(__file__).parents[1] / "recipes"
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


def test_a_path_below_the_current_directory_does_not_name_what_is_above(
    home, monkeypatch
):
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
def test_paths_stay_as_they_are(given, home):
    path = written(home, f'init_from = "{given}"\n')
    assert read_recipe(path).init_from == given


def test_an_unknown_name_lists_where_it_was_looked_for_and_what_there_is(
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


def test_a_name_that_is_no_text_is_left_to_the_check_of_the_recipe(home):
    with pytest.raises(RecipeError, match=r"init_from \(given 3\)"):
        read_recipe(written(home, "init_from = 3\n"))


def test_the_weights_of_this_repository_are_found_by_name():
    recipe = read_recipe(
        RECIPES / "cpu/teacher-lite2-256.toml", ["init_from=lite2-128"]
    )
    assert Path(recipe.init_from).samefile(
        RECIPES.parent / "teachers/lite2-128.safetensors"
    )
