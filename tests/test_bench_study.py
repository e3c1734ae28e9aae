"""Parts of bench/ that read studies: error against time, and mean faces of clusters."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import cluster_faces, error_time

from lineament.training.curves import new_figure

pytestmark = pytest.mark.torch


def test_study_points_are_errors_and_times_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(error_time, "RESULTS", tmp_path)
    assert error_time.study_points("small", {}) == ({}, ["small: no small.json"])
    rows = {
        "a": {"300w-common": [0.04, 0.06], "ms": [1.0, 2.0]},
        "b": {"300w-common": [0.03], "ms": [4.0]},
        "five points": {"300w-common": [None], "ms": [1.0]},
        "no time": {"300w-common": [0.05]},
        "no machine": {"300w-common": [0.05], "ms": [1.0]},
    }
    origins = {row: {"recipe": "0", "machine": "one"} for row in list(rows)[:4]}
    origins["b"]["machine"] = "two"
    content = {"command": "x", "rows": rows, "origins": origins}
    (tmp_path / "small.json").write_text(json.dumps(content))
    groups, left_out = error_time.study_points("small", {})
    assert groups == {
        "published systems (one)": [("a", 1.5, pytest.approx(5.0))],
        "published systems (two)": [("b", 4.0, pytest.approx(3.0))],
    }
    assert left_out == [
        "small, five points: no 300w-common",
        "small, no time: no ms",
        "small, no machine: no machine",
    ]
    chosen, left_out = error_time.study_points("small", {"b": "system b"})
    assert chosen == {
        "published systems (two)": [("system b", 4.0, pytest.approx(3.0))]
    }
    assert left_out == []


def test_peer_points_name_their_machine(tmp_path):
    path = tmp_path / "peers.json"
    peer = {"name": "dlib", "ms_model": 2.0, "nme_shared": 0.04, "other": 1}
    path.write_text(json.dumps({"machine": {"cpu": "here"}, "peers": [peer]}))
    ((label, points),) = error_time.peer_points(path).items()
    assert label.endswith("(here)")
    assert points == [("dlib", 2.0, pytest.approx(4.0))]


def test_error_and_time_are_drawn(tmp_path):
    groups = {"study": [("a", 1.0, 4.0), ("b", 3.0, 3.0)], "peers": [("c", 2.0, 5.0)]}
    error_time.draw(groups, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_labels_cover_neither_points_nor_each_other():
    axes = new_figure(4, 3).subplots()
    axes.set(xlim=(0, 2), ylim=(0, 2))
    axes.plot([1, 1.02, 1], [1, 1, 1.02], "o")
    axes.figure.canvas.draw()
    taken = []
    for place in ((1, 1), (1.02, 1), (1, 1.02)):
        box = error_time.label_point(axes, "some system", place, taken)
        assert not any(box.overlaps(other) for other in taken)
        taken.append(box)


class TwoClusters:
    """A model that assigns clusters by the sign of the first feature."""

    clusters = 2

    def cluster(self, features):
        return (features[:, 0] > 0).long()


def test_the_mean_face_of_a_cluster_averages_its_faces(monkeypatch):
    dark, light = (
        np.full((2, 8, 8, 3), 40, np.uint8),
        np.full((1, 8, 8, 3), 200, np.uint8),
    )
    crops = np.concatenate([dark, light, dark])
    features = np.array([[-1.0], [-2.0], [3.0], [-1.0], [-1.0]])
    monkeypatch.setattr(cluster_faces, "SIDE", 8)
    monkeypatch.setattr(cluster_faces, "features_of", lambda *_: features)
    monkeypatch.setattr(
        cluster_faces,
        "plain_crops",
        lambda *_: iter([(crops[:2], None), (crops[2:], None)]),
    )
    source = SimpleNamespace(cache=None)
    faces, counts = cluster_faces.mean_faces(TwoClusters(), [source], 1.3)
    assert counts.tolist() == [4, 1]
    assert faces[0] == pytest.approx(40)
    assert faces[1] == pytest.approx(200)


def test_the_largest_cluster_comes_first_in_a_square_of_faces():
    faces = (
        np.zeros((5, 120, 120, 3)) + np.array([10, 20, 30, 40, 50])[:, None, None, None]
    )
    image = cluster_faces.grid(faces, np.array([1, 9, 3, 2, 4]))
    # five faces need three columns and two rows
    assert image.shape == (2 * 120, 3 * 120, 3)
    # the center of each tile, away from its label
    middles = image[60::120, 60::120, 0]
    assert middles.tolist() == [[20, 50, 30], [40, 10, 255]]
    many = cluster_faces.grid(np.zeros((64, 120, 120, 3)), np.arange(64))
    assert many.shape == (8 * 120, 8 * 120, 3)
