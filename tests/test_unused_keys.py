"""Settings that a kind of training ignores are refused with their key."""

import pytest

pytest.importorskip("torch")

from lineament.errors import RecipeError
from lineament.recipe.file import make_recipe
from lineament.training.classic.trainer import check_unused
from lineament.training.detector.task import DetectorTask
from lineament.training.unused_keys import refuse_unused

pytestmark = pytest.mark.torch

TRAIN = {"name": "x", "train": {"steps": 1}}
CLASSIC = TRAIN | {"model": {"kind": "mean-shape"}}
FACES = {"reader": "folder", "folder": "faces"}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"init_from": "other.pt"}, "init_from"),
        ({"presence": {}}, r"\[presence\]"),
        ({"tasks": {}}, r"\[tasks\]"),
        ({"train": {"steps": 1, "freeze": ["head"]}}, r"train\.freeze"),
        (
            {"data": [FACES, FACES | {"annotated": False}]},
            r"data\.1\.annotated = false",
        ),
    ],
)
def test_a_model_without_a_network_rejects_settings_of_networks(values, key):
    check_unused(make_recipe(CLASSIC | {"data": [FACES]}))
    message = (
        f"the recipe 'x' has {key}, which a mean-shape model does not use, since it has no "
        "network; remove it"
    )
    with pytest.raises(RecipeError, match=message):
        check_unused(make_recipe(CLASSIC | {"data": [FACES]} | values))


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"init_parts": {"head": "other.pt"}}, "init_parts"),
        ({"presence": {}}, r"\[presence\]"),
        ({"tasks": {}}, r"\[tasks\]"),
    ],
)
def test_a_face_detector_rejects_settings_of_landmark_models(values, key):
    message = f"the recipe 'x' has {key}, which a face detector does not use; remove it"
    with pytest.raises(RecipeError, match=message):
        DetectorTask(make_recipe(TRAIN | {"detector": {}} | values))


def test_settings_that_are_not_set_are_accepted():
    recipe = make_recipe(CLASSIC | {"data": [FACES]})
    refuse_unused(recipe, {"a": "", "b": None, "c": (), "d": False}, "nothing")
