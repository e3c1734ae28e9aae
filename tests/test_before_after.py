"""Fine-tuning is judged by paired errors per face, so a worse model is not called better."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("torch")

from commands import call
from lineament.training.before_after import changes
from tiny_sets import text


def noisy(mean, count, seed):
    return np.random.default_rng(seed).normal(mean, 0.01, count)


def test_a_change_counts_if_it_is_larger_than_two_standard_errors():
    before = noisy(0.05, 400, 0)
    steps = noisy(0.0, 400, 1)
    # the standard error of the mean change is 0.01 / 20; changes of 4 and of 0.4 of them
    for shift, verdict in (
        (-0.002, "better"),
        (0.002, "worse"),
        (0.0002, "no clear difference"),
    ):
        after = before + steps - steps.mean() + shift
        (change,) = changes({"a": before.tolist()}, {"a": after.tolist()})
        assert change.verdict == verdict
        assert change.after - change.before == pytest.approx(shift)
        assert change.margin == pytest.approx(0.001, rel=0.1)


def test_too_few_faces_give_no_verdict():
    (change,) = changes({"a": [0.05] * 4}, {"a": [0.01] * 4})
    assert change.verdict == "too few faces to tell"
    (change,) = changes({"a": [0.05]}, {"a": [0.01]})
    assert change.verdict == "too few faces to tell"


def test_sets_without_a_measured_face_are_left_out():
    assert changes({"a": []}, {"a": []}) == []


def recipe_file(folder, faces, start, steps):
    lines = [
        'name = "small"',
        f'init_from = "{start}"' if start else "",
        f'data = [{{ reader = "folder", folder = "{faces}" }}]',
        'model = { backbone = "tiny", imagenet = false, channels = 16, size = 64 }',
        f"train = {{ steps = {steps}, batch = 4, warmup = 1, bf16 = false, threads = 1, "
        "num_workers = 0, validate_every = 1 }",
    ]
    return text(folder / "small.toml", "\n".join(lines))


@pytest.mark.usefixtures("tiny")
# TensorBoard's own imports
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fine_tuning_prints_both_errors_and_a_new_training_none(faces, tmp_path):
    places = ("--data", tmp_path, "--cache", tmp_path / "cache")
    first = recipe_file(tmp_path, faces, "", 2)
    code, shown, _ = call("train", first, "--out", tmp_path / "a", *places)
    assert code == 0
    assert "before %" not in shown
    start = tmp_path / "a/checkpoint.pt"
    second = recipe_file(tmp_path, faces, start, 2)
    code, shown, _ = call("train", second, "--out", tmp_path / "b", *places)
    assert code == 0
    head, row = shown.splitlines()[:2]
    assert head.split()[:6] == ["validation", "faces", "before", "%", "after", "%"]
    name, count, before, _ = row.split()[:4]
    kept = json.loads((tmp_path / "b/before.json").read_text())
    assert (name, int(count)) == ("folder", len(kept["folder"]))
    # the errors before are those of the weights that it started from
    log = (tmp_path / "a/log.csv").read_text().splitlines()[-1]
    validated = float(re.search(r"nme_folder=([\d.]+)", log)[1])
    assert float(before) == pytest.approx(100 * validated, abs=1e-3)
