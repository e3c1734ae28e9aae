"""Timings of models: the work per call, and items per second."""

import time

import pytest

from lineament.errors import ModelError
from lineament.inference.speed import Timing, time_model


class Slow:
    """A landmark model that takes 0.1 ms per crop and at least 1 ms per call."""

    size = 16

    def predict(self, crops):
        assert crops.shape[1:] == (16, 16, 3)
        time.sleep(max(0.001, 0.0001 * len(crops)))


def test_a_landmark_model_is_timed_alone_and_in_batches(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "lineament.inference.speed.load_model",
        lambda name, threads: asked.append((name, threads)) or Slow(),
    )
    timings = time_model({"name": "fast", "kind": "landmarks"}, seconds=0.02)
    assert asked == [("fast", 1), ("fast", 1), ("fast", 2)]
    assert [(t.threads, t.items, t.workload) for t in timings] == [
        (1, 1, "1 crop of 16 px"),
        (1, 16, "16 crops of 16 px"),
        (2, 64, "64 crops of 16 px"),
    ]
    # 1 ms, 1.6 ms and 6.4 ms a call at least
    assert [
        t.least_ms >= least for t, least in zip(timings, (1, 1.6, 6.4), strict=True)
    ] == [True] * 3
    assert all(t.least_ms <= t.median_ms for t in timings)


def test_a_detector_is_timed_on_one_image(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "lineament.inference.speed.FaceDetector",
        lambda threads: lambda picture: seen.append(picture.shape),
    )
    (timing,) = time_model({"name": "detector", "kind": "detector"}, seconds=0.0)
    assert (timing.threads, timing.items, timing.workload) == (
        1,
        1,
        "an image of 640 x 480",
    )
    # once to warm up, then at least three times
    assert seen == [(480, 640, 3)] * 4


def test_items_per_second_follow_from_the_median():
    # 64 crops in 32 ms are 2 per millisecond
    assert Timing("fast", "", 2, 64, 30.0, 32.0).per_second == 2000


def test_a_missing_model_cannot_be_timed():
    with pytest.raises(ModelError, match="unknown model 'absent'"):
        time_model({"name": "absent", "kind": "landmarks"})


def test_a_plug_in_without_a_card_is_not_timed_as_the_detector(monkeypatch):
    monkeypatch.setattr(
        "lineament.inference.speed.load_model", lambda name, threads: Slow()
    )
    timings = time_model({"name": "own"}, seconds=0.0)
    assert timings[0].workload == "1 crop of 16 px"
