"""Recipes list only what differs, a wrong key offers its nearest, --set changes one value."""

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from lineament.errors import RecipeError
from lineament.recipe.file import make_recipe, read_recipe
from lineament.training.losses import check_losses
from lineament.training.schedule import learning_rate

RECIPES = Path(__file__).parents[1] / "recipes"
PLAIN = """
name = "small"
[[data]]
reader = "300w"
part = "train"
[[data]]
reader = "infanface"
use_until = 0.4
[train]
steps = 100
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(PLAIN)
    return path


def plain(**changes):
    return {"name": "x", "data": [{"reader": "300w"}], "train": {"steps": 10}} | changes


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", ""])
def test_a_name_that_points_outside_the_folder_is_rejected(name):
    with pytest.raises(RecipeError, match="name"):
        make_recipe(
            {"name": name, "data": [{"reader": "300w"}], "losses": {"mse": 1.0}}
        )


def test_a_recipe_lists_only_what_differs(path):
    recipe = read_recipe(path)
    assert recipe.train.steps == 100
    assert recipe.data[1].use_until == 0.4
    assert recipe.scheme == "ibug68"
    assert recipe.model.backbone == "mobilenetv2"


def test_former_names_of_keys_in_stored_recipes_are_read():
    old = plain(
        augment={"grey": 0.3, "wild_rotation": 0.4},
        presence={"share": 0.25, "boxed": ["wider"], "candidates": "a.json"},
        slim={"shares": [0.5], "every": 3},
        train={"steps": 10, "clip": 2.0},
        tasks={"groups": {"smiling": ["smiling"]}, "strip": 3},
    )
    recipe = make_recipe(old)
    assert recipe.tasks.stop_window == 3
    assert (recipe.augment.gray, recipe.augment.large_rotation) == (0.3, 0.4)
    assert recipe.presence.negative_fraction == 0.25
    assert recipe.presence.box_only == ("wider",)
    assert recipe.presence.hard_negatives == "a.json"
    assert recipe.slim.pruning_ratios == (0.5,)
    assert recipe.slim.factor_interval == 3
    assert recipe.train.max_grad_norm == 2
    assert old["augment"] == {"grey": 0.3, "wild_rotation": 0.4}
    model = {"kind": "active-appearance", "share": 0.9, "starts": 4}
    assert make_recipe(plain(model=model)).model.shape_variance == 0.9
    assert make_recipe(plain(model=model)).model.initial_shapes == 4
    # both names at once
    both = {"grey": 0.1, "gray": 0.2}
    with pytest.raises(RecipeError, match=r"unknown key 'augment.grey'"):
        make_recipe(plain(augment=both))


def test_a_recipe_survives_json(path):
    recipe = read_recipe(path)
    assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe


def test_overrides_change_numbers_texts_booleans_and_items_of_lists(path):
    recipe = read_recipe(
        path,
        [
            "train.steps=7",
            "name=other",
            "model.imagenet=false",
            "data.1.repeat=3",
            "losses.wing=0.5",
            "train.lr = 1e-4",
        ],
    )
    assert (
        recipe.train.steps,
        recipe.name,
        recipe.model.imagenet,
        recipe.data[1].repeat,
    ) == (
        7,
        "other",
        False,
        3,
    )
    assert recipe.losses == {"wing": 0.5}
    assert recipe.train.lr == 1e-4


@pytest.mark.parametrize(
    "override", ["data.9.repeat=1", "data.first.repeat=1", "name.x=1", "name.x.y=2"]
)
def test_an_override_of_an_unknown_key_is_rejected(path, override):
    with pytest.raises(
        RecipeError,
        match=re.escape(f"{override}: no such key in the recipe; expected one"),
    ):
        read_recipe(path, [override])


def test_an_override_without_a_value_is_rejected(path):
    with pytest.raises(
        RecipeError,
        match=r"--set 'train.steps'; expected key=value, e.g. train.steps=100",
    ):
        read_recipe(path, ["train.steps"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (plain(nam="y"), "unknown key 'nam'; did you mean 'name'?"),
        (
            plain(train={"steps": 1, "learning_rate": 1}),
            "unknown key 'train.learning_rate'; choose one of accumulate",
        ),
        (
            plain(train={"steps": 1, "warm_up": 1}),
            "unknown key 'train.warm_up'; did you mean 'warmup'?",
        ),
        (
            plain(model={"back_bone": "x"}),
            "unknown key 'model.back_bone'; did you mean 'backbone'?",
        ),
        (
            plain(augment={"rotation": 3}),
            "unknown key 'augment.rotation'; did you mean 'rotation_deg' or",
        ),
        (
            plain(data=[{"reader": "300w", "repeats": 2}]),
            "unknown key 'data.0.repeats'; did you mean 'repeat' or",
        ),
        (
            plain(train={"steps": 0}),
            "train.steps (given 0): Input should be greater than or equal to 1; correct that key",
        ),
        (
            plain(train={"steps": 1, "lr": float("inf")}),
            "train.lr (given inf): Input should be a finite number",
        ),
        (plain(train={}), "train.steps: Field required; correct that key"),
        (
            plain(distill={"mask_size": [0.6, 0.2]}),
            "the sides are [0.6, 0.2]; expected the shorter one first",
        ),
        (plain(data=[]), "data (given []): "),
        (
            plain(model={"head": "heat"}),
            "model.head (given heat): Input should be 'heatmap2d', 'gaussian2d', 'coordinates'",
        ),
        (
            plain(losses={"wing": "much"}),
            "losses.wing (given much): Input should be a valid number",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_in_the_error(values, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        make_recipe(values)


def test_a_file_that_is_no_toml_or_is_absent_is_rejected(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    for path in (broken, tmp_path / "absent.toml"):
        with pytest.raises(
            RecipeError, match=r"cannot be read as a recipe .*; expected a TOML file"
        ):
            read_recipe(path)


def test_a_recipe_may_be_written_by_notepad(tmp_path):
    path = tmp_path / "a.toml"
    lines = [
        'name = "a"',
        'data = [{reader = "300w"}]',
        "train = {steps = 1, batch = 1}",
    ]
    path.write_text("\r\n".join(lines), encoding="utf-8-sig", newline="")
    assert read_recipe(path).name == "a"
    for folder in (r"C:\data", r"C:\Users"):
        path.write_text(f'name = "a"\nfolder = "{folder}"\n')
        with pytest.raises(
            RecipeError, match=r"write paths with / or in single quotes$"
        ):
            read_recipe(path)


def test_a_folder_is_found_relative_to_the_recipe_if_not_to_the_current_directory(
    tmp_path,
):
    (tmp_path / "faces").mkdir()
    path = tmp_path / "own.toml"
    path.write_text(
        'name = "own"\n[[data]]\nreader = "folder"\nfolder = "faces"\n[train]\nsteps = 1\n'
    )
    assert read_recipe(path).data[0].folder == str(tmp_path / "faces")
    assert read_recipe(path, ["data.0.folder=elsewhere"]).data[0].folder == "elsewhere"


def settings(**changes):
    return make_recipe(
        plain(train={"steps": 1000, "warmup": 0, "lr": 1.0} | changes)
    ).train


def test_the_cosine_falls_from_the_highest_rate_to_nothing():
    rates = [learning_rate(settings(), step) for step in range(1001)]
    # half a cosine: 1 at 0, (1 + cos(pi / 4)) / 2 = 0.854 at a quarter, 0.5 in the middle, then 0
    assert [rates[0], rates[500], rates[1000]] == pytest.approx([1, 0.5, 0])
    assert rates[250] == pytest.approx(0.8536, abs=1e-4)
    assert np.all(np.diff(rates) < 0)


def test_the_warm_up_rises_in_equal_steps():
    train = settings(warmup=4, schedule="steps")
    assert [learning_rate(train, step) for step in range(5)] == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1]
    )


def test_steps_divide_the_rate_by_ten():
    train = settings(schedule="steps", milestones=[0.5, 0.9])
    assert [
        learning_rate(train, step) for step in (0, 499, 500, 899, 900)
    ] == pytest.approx([1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("part", ["distill", "slim"])
def test_an_unknown_key_of_a_part_that_may_be_absent_is_named_in_the_error(part):
    with pytest.raises(RecipeError, match=f"unknown key '{part}.hiden'"):
        make_recipe(
            {
                "name": "a",
                "data": [{"reader": "300w"}],
                "train": {"steps": 1},
                part: {"hiden": 1},
            }
        )


@pytest.mark.parametrize(
    "path",
    sorted(
        p
        for p in RECIPES.rglob("*.toml")
        if p.parent.name != "base"
        and p.stem != "cards"
        and not p.stem.startswith("detector")
    ),
    ids=lambda path: path.relative_to(RECIPES).as_posix(),
)
def test_every_recipe_of_the_repository_is_one(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    check_losses(recipe.losses)


def written(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_extends_files_relative_to_itself_and_the_later_one_wins(tmp_path):
    written(
        tmp_path, "base/deep.toml", "train.lr = 1.0\ntrain.batch = 5\nmodel.size = 96\n"
    )
    written(
        tmp_path,
        "base/first.toml",
        'extends = "deep.toml"\ntrain.lr = 0.5\nsigma = 2.0\n',
    )
    written(tmp_path, "base/second.toml", "train.steps = 7\nsigma = 3.0\n")
    text = (
        'extends = ["../base/first.toml", "../base/second.toml"]\nmodel.channels = 16\n'
    )
    recipe = read_recipe(
        written(tmp_path, "own/recipe.toml", text + PLAIN.replace("100", "9"))
    )
    assert (recipe.train.steps, recipe.train.lr, recipe.train.batch) == (9, 0.5, 5)
    assert (recipe.model.size, recipe.model.channels, recipe.sigma) == (96, 16, 3.0)


def test_data_and_losses_replace_those_of_the_file_extended(tmp_path):
    base = PLAIN + "[losses]\ncross_entropy = 1.0\nsmooth_l1 = 2.0\n"
    written(tmp_path, "base.toml", base)
    text = 'extends = "base.toml"\nlosses = { mse = 1.0 }\ndata = [{ reader = "infanface" }]\n'
    recipe = read_recipe(written(tmp_path, "recipe.toml", text))
    assert recipe.losses == {"mse": 1.0}
    assert [part.reader for part in recipe.data] == ["infanface"]
    assert recipe.train.steps == 100


def test_overrides_go_over_extended_files(tmp_path):
    written(tmp_path, "base.toml", PLAIN)
    path = written(tmp_path, "recipe.toml", 'extends = "base.toml"\n')
    assert read_recipe(path, ["train.steps=3", "data.1.repeat=4"]).data[1].repeat == 4


def test_files_that_extend_each_other_are_rejected(tmp_path):
    written(tmp_path, "a.toml", 'extends = "b.toml"\n')
    written(tmp_path, "b.toml", 'extends = "a.toml"\n')
    with pytest.raises(
        RecipeError, match=r"a.toml: extends itself \(a.toml -> b.toml -> a.toml\)"
    ):
        read_recipe(tmp_path / "a.toml")


def test_a_file_extended_twice_without_a_circle_is_not_an_error(tmp_path):
    written(tmp_path, "base.toml", PLAIN)
    written(tmp_path, "a.toml", 'extends = "base.toml"\n')
    path = written(tmp_path, "recipe.toml", 'extends = ["base.toml", "a.toml"]\n')
    assert read_recipe(path).train.steps == 100


@pytest.mark.parametrize("named", ["3", '["base.toml", 3]', "{ a = 1 }"])
def test_extends_names_files(tmp_path, named):
    path = written(tmp_path, "recipe.toml", f"extends = {named}\n")
    with pytest.raises(RecipeError, match="expected a path or a list of paths"):
        read_recipe(path)


def test_a_missing_file_to_extend_is_named_in_the_error(tmp_path):
    path = written(tmp_path, "recipe.toml", 'extends = "none.toml"\n')
    with pytest.raises(
        RecipeError,
        match=r"none.toml: cannot be read as a recipe \(No such file or directory\)",
    ):
        read_recipe(path)


def test_a_data_folder_is_found_from_the_file_that_names_it(tmp_path):
    (tmp_path / "base" / "faces").mkdir(parents=True)
    base = PLAIN.replace('reader = "300w"', 'reader = "folder"\nfolder = "faces"')
    written(tmp_path, "base/base.toml", base)
    path = written(tmp_path, "own/recipe.toml", 'extends = "../base/base.toml"\n')
    folder = Path(read_recipe(path).data[0].folder)
    assert folder.resolve() == (tmp_path / "base" / "faces").resolve()
