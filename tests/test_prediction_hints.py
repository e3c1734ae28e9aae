"""Hints at common mistakes in files of predictions, and names of images without their suffix."""

import json
from pathlib import Path

import numpy as np
import pytest

from lineament.data.sample import Sample
from lineament.errors import ProtocolError
from lineament.evaluation.prediction_hints import fraction_error_message, shift_warning
from lineament.evaluation.predictions import score_predictions
from lineament.evaluation.protocols import protocol
from lineament.schemes import scheme
from tiny_sets import text

FACE = 100 + 60 * scheme("ibug68").mean_shape


def faces(count=12, noise=0.3):
    rng = np.random.default_rng(3)
    truth = [FACE + rng.uniform(-20, 20, 2) for _ in range(count)]
    return [(t + rng.normal(0, noise, t.shape), t) for t in truth]


def test_fractions_are_a_fault_and_small_pixels_are_not():
    assert fraction_error_message(faces()) == ""
    fractions = [(pred / 640, truth) for pred, truth in faces()]
    assert "look like fractions" in fraction_error_message(fractions)
    # fractions were requested, so both have the same unit
    assert fraction_error_message([(p / 640, t / 640) for p, t in faces()]) == ""
    assert fraction_error_message([]) == ""


@pytest.mark.parametrize("shift", [1.0, -1.0, 0.5, -0.5])
def test_a_constant_shift_is_noted(shift):
    moved = [(pred + shift, truth) for pred, truth in faces()]
    assert f"close to {shift:+g} along both axes" in shift_warning(moved)


def test_other_shifts_are_not_noted():
    assert shift_warning(faces()) == ""
    aside = np.array([1, 0])
    assert shift_warning([(pred + aside, truth) for pred, truth in faces()]) == ""
    assert shift_warning([(pred + 1, truth) for pred, truth in faces(4)]) == ""
    rng = np.random.default_rng(5)
    spread = [(pred + 1 + rng.normal(0, 3, 2), truth) for pred, truth in faces(400)]
    assert shift_warning(spread[:12]) == ""


def predictions(path, pairs, suffix, truth=True):
    rows = []
    for number, (pred, true) in enumerate(pairs):
        row = {"image": f"photo{number}{suffix}", "pred": pred.tolist()}
        rows.append(row | ({"truth": true.tolist()} if truth else {}))
    return text(path, json.dumps(rows))


def test_scores_have_the_hints(tmp_path):
    pairs = faces()
    moved = [(pred + 1, truth) for pred, truth in pairs]
    path = predictions(tmp_path / "moved.json", moved, ".jpg")
    report = score_predictions("folder", path)
    assert any("close to +1 along both axes" in note for note in report.notes)
    fractions = [(pred / 640, truth) for pred, truth in pairs]
    path = predictions(tmp_path / "fractions.json", fractions, ".jpg")
    with pytest.raises(ProtocolError, match="multiply them by its width and height"):
        score_predictions("folder", path)


def test_images_are_matched_without_their_suffix(tmp_path):
    pairs = faces(3)
    samples = []
    for number, (_, truth) in enumerate(pairs):
        name = f"set/photo{number}.png"
        samples.append(Sample(Path(name), truth, "ibug68", name))
    path = predictions(tmp_path / "a.json", pairs, ".jpg", truth=False)
    report = score_predictions(protocol("folder"), path, samples)
    assert len(report.per_image) == 3
    # a.png and a.jpg are two images
    twin = Sample(Path("set/photo0.jpg"), pairs[0][1], "ibug68", "set/photo0.jpg")
    report = score_predictions(protocol("folder"), path, [*samples[1:], twin])
    assert len(report.per_image) == 3
    path = predictions(tmp_path / "b.json", pairs, ".bmp", truth=False)
    with pytest.raises(ProtocolError, match=r"photo0.bmp' is unknown"):
        score_predictions(protocol("folder"), path, [*samples, twin])
