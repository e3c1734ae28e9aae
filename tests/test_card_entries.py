"""Entries of the card of an exported model: shortened paths, and the commit of the package."""

import json
import subprocess

import pytest

pytest.importorskip("torch")

from lineament.export import card
from lineament.export.card import recipe_entry
from lineament.recipe.file import make_recipe

pytestmark = pytest.mark.torch


def test_a_card_states_no_full_path_of_the_user():
    home = "/home/ann/work"
    recipe = make_recipe(
        {
            "name": "own",
            "init_parts": {"head": f"{home}/runs/other/checkpoint.pt"},
            "data": [
                {
                    "reader": "folder",
                    "folder": f"{home}/a/b",
                    "pictures": f"{home}/c/d",
                }
            ],
            "detector": {
                "teacher": f"{home}/teachers/yunet.onnx",
                "mine_from": f"{home}/runs/detector/checkpoint.pt",
            },
            "train": {"steps": 1},
        }
    )
    entry = recipe_entry(recipe)
    assert entry["data"][0]["pictures"] == "c/d"
    assert home not in json.dumps(entry)


def test_a_card_states_the_commit_of_the_package_only(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(card, "CHECKOUT", tmp_path / "lib")
    file = tmp_path / "model"
    file.write_bytes(b"")
    assert card.file_entries(file, 1)["commit"] == ""
