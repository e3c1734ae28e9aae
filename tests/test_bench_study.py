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

from lineament.classic.mean_shape import MeanShape

pytestmark = pytest.mark.torch


def write_results(folder, rows):
    values = {}
    for name, errors in rows.items():
        values[name] = {"300w-common": errors} if errors else {"ms": [1.0]}
    path = folder / "small.json"
    path.write_text(json.dumps({"command": "x", "rows": values}))
    return path


def test_the_error_of_a_row_is_the_mean_over_its_seeds(tmp_path):
    rows = {"a": [0.04, 0.06], "five points": [None], "no column": None}
    found = error_time.study_errors(write_results(tmp_path, rows))
    assert found == {"a": pytest.approx(0.05), "five points": None, "no column": None}


def test_rows_without_error_or_file_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(error_time, "ROOT", tmp_path)
    monkeypatch.setattr(error_time, "RESULTS", tmp_path)
    assert error_time.study_points("small", tmp_path) == ([], ["small: no small.json"])
    studies = tmp_path / "studies"
    studies.mkdir()
    recipe = 'name = "a"\nmodel.kind = "mean-shape"\ntrain.steps = 1\n'
    recipe += 'data = [{ reader = "300w", part = "train" }]\n'
    (studies / "a.toml").write_text(recipe)
    study = 'name = "small"\ntitle = "Small"\nrecipe = "a.toml"\n'
    study += "".join(f'[[rows]]\nname = "{name}"\n' for name in ("a", "b", "c"))
    (studies / "small.toml").write_text(study)
    write_results(tmp_path, {"a": [0.05], "b": [None], "c": [0.06]})
    runs = tmp_path / "runs"
    home = runs / "small" / "row0-seed1"
    home.mkdir(parents=True)
    MeanShape.of_scheme("a", "ibug68", size=32).save(home / "final.safetensors")
    points, left_out = error_time.study_points("small", runs)
    name, ms, error = points[0]
    assert (name, error, len(points)) == ("a", pytest.approx(5.0), 1)
    assert ms > 0
    assert left_out == [
        "small, b: no error on 300w-common",
        f"small, c: no exported file below {runs}",
    ]


def test_peers_of_another_machine_are_refused(tmp_path):
    path = tmp_path / "peers.json"
    peer = {"name": "dlib", "ms_model": 2.0, "nme_shared": 0.04, "other": 1}
    path.write_text(json.dumps({"machine": {"cpu": "here"}, "peers": [peer]}))
    assert error_time.peer_points(path, "here") == [("dlib", 2.0, pytest.approx(4.0))]
    with pytest.raises(SystemExit, match="measured on here, and this is there"):
        error_time.peer_points(path, "there")


def test_error_and_time_are_drawn(tmp_path):
    groups = {"study": [("a", 1.0, 4.0), ("b", 3.0, 3.0)], "peers": [("c", 2.0, 5.0)]}
    error_time.draw(groups, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


class TwoClusters:
    """Chooses the cluster of a face by the sign of its first feature."""

    clusters = 2

    def cluster(self, features):
        return (features[:, 0] > 0).long()


def test_the_mean_face_of_a_cluster_is_that_of_its_faces(monkeypatch):
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
    # the middle of each place, clear of the number
    middles = image[60::120, 60::120, 0]
    assert middles.tolist() == [[20, 50, 30], [40, 10, 255]]
    many = cluster_faces.grid(np.zeros((64, 120, 120, 3)), np.arange(64))
    assert many.shape == (8 * 120, 8 * 120, 3)
