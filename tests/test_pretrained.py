"""Saved predictors are restored from local folders and from the Hub."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from lineament import Predictor
from lineament.classic.mean_shape import MeanShape
from lineament.errors import ExtraError, ModelError
from lineament.inference.registry import load_model
from lineament.schemes import scheme
from scenes import scene

IMAGE = scene(("astronaut", 110, 90, 120), ("grace_hopper", 110, 230, 120))


def test_a_saved_predictor_is_restored_with_its_model_settings_and_results(tmp_path):
    options = {"min_presence": 0.3, "min_landmark_score": 0.2, "min_face": "30px"}
    made = Predictor("fast", scheme="five", flip=True, recrop=None, **options)
    made.save_pretrained(tmp_path / "own")
    names = {path.name for path in (tmp_path / "own").iterdir()}
    assert names == {"config.json", "model.onnx", "model.json", "README.md"}
    back = Predictor.from_pretrained(tmp_path / "own", threads=1)
    assert back.threads == 1
    for name in ("scheme", "flip", "recrop", "min_face", *options):
        assert getattr(back, name) == getattr(made, name)
    np.testing.assert_array_equal(back(IMAGE).landmarks, made(IMAGE).landmarks)


def test_options_replace_those_of_the_folder(tmp_path):
    Predictor("fast").save_pretrained(tmp_path)
    back = Predictor.from_pretrained(tmp_path, scheme="five", min_presence=0.5)
    assert (back.scheme, back.min_presence) == ("five", 0.5)
    assert back.recrop == Predictor("fast").recrop


def test_a_folder_can_be_saved_again_from_what_it_loaded(tmp_path):
    Predictor("fast").save_pretrained(tmp_path / "a")
    Predictor.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "b")
    for name in ("config.json", "model.onnx", "model.json", "README.md"):
        first, second = ((tmp_path / folder / name).read_bytes() for folder in "ab")
        assert first == second


def test_the_readme_is_a_model_card_of_the_hub(tmp_path):
    Predictor("fast").save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: lineament\n")
    assert "license: other\n" in text
    card = load_model("fast").card
    for key in ("license", "limits", "data"):
        assert card[key] in text


def test_a_model_without_a_network_and_a_users_scheme_are_saved_too(tmp_path):
    file = tmp_path / "two.toml"
    file.write_text(
        'points = ["right_eye", "left_eye"]\nmirror = [["right_eye", "left_eye"]]\n'
        "[from.ibug68]\nexact = [36, 45]\n"
    )
    model = MeanShape.from_scheme("mean", "ibug68")
    model.save(tmp_path / "mean.safetensors")
    made = Predictor(tmp_path / "mean.safetensors", scheme=str(file))
    made.save_pretrained(tmp_path / "own")
    assert (tmp_path / "own/model.safetensors").is_file()
    config = json.loads((tmp_path / "own/config.json").read_text())
    assert config["own_scheme"]["points"] == ["right_eye", "left_eye"]
    assert Predictor.from_pretrained(tmp_path / "own").scheme == made.scheme
    assert scheme(made.scheme).points == ("right_eye", "left_eye")


def test_a_predictor_without_a_model_is_saved(tmp_path):
    Predictor(model=None).save_pretrained(tmp_path)
    assert Predictor.from_pretrained(tmp_path).scheme == "five"


def test_predictors_that_cannot_be_saved_are_rejected(tmp_path):
    with pytest.raises(ModelError, match=r"from_pretrained\(folder, detector="):
        Predictor("fast", detector=lambda image: []).save_pretrained(tmp_path)

    class Own:
        name, scheme, size, padding, points = "own", "five", 64, 1.3, 5
        predict = None

    with pytest.raises(ModelError, match="'own' has no file; write one"):
        Predictor(Own()).save_pretrained(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "../model.onnx"}, "expected a file of the folder"),
        ({"model": "model.pt"}, "expected a file of the folder"),
        ({"library_name": "transformers"}, "cannot be used"),
        (
            {"recrop": {"angle": 3}},
            "expected a folder written by Predictor.save_pretrained",
        ),
        ({"hidden_size": 768}, "cannot be used"),
    ],
)
def test_a_foreign_or_hostile_folder_raises_a_clear_error(tmp_path, change, message):
    Predictor("fast").save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        Predictor.from_pretrained(tmp_path)


def test_a_path_that_is_not_a_folder_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="no folder"):
        Predictor.from_pretrained(tmp_path / "absent")
    with pytest.raises(ModelError, match="cannot be used"):
        Predictor.from_pretrained(tmp_path)


def test_a_name_of_the_hub_is_downloaded_by_its_own_library(tmp_path, monkeypatch):
    Predictor("fast", min_presence=0.4).save_pretrained(tmp_path)
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(tmp_path)

    hub = ModuleType("huggingface_hub")
    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    made = Predictor.from_pretrained("someone/faces", revision="v1")
    assert made.min_presence == 0.4
    assert asked == [("someone/faces", "v1", ["config.json", "model.*"])]

    def fails(*args, **options):
        raise OSError("offline")

    hub.snapshot_download = fails
    with pytest.raises(ModelError, match=r"no download from the Hub \(offline\)"):
        Predictor.from_pretrained("someone/faces")


def test_a_name_of_the_hub_needs_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ExtraError, match=r"lineament\[hub\]"):
        Predictor.from_pretrained("someone/faces")


def test_a_folder_of_links_is_loaded_as_in_the_cache_of_the_hub(tmp_path):
    Predictor("tiny").save_pretrained(tmp_path / "saved")
    snapshot, blobs = tmp_path / "snapshots/main", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted((tmp_path / "saved").iterdir())):
        file.rename(blobs / f"{number}")
        (snapshot / file.name).symlink_to(blobs / f"{number}")
    loaded = Predictor.from_pretrained(snapshot)
    assert loaded.model.name == "tiny"
    assert loaded.model.card == load_model("tiny").card
