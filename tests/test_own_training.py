"""User-defined points, from a recipe to a self-contained model file."""

import json
import subprocess
import sys

import numpy as np
import pytest

from commands import call
from faces import write_faces
from lineament.errors import DataError
from lineament.recipe.file import make_recipe
from lineament.schemes import scheme
from tiny_sets import text

pytest.importorskip("torch")
CHOSEN = [36, 39, 42, 45, 30, 48, 54, 8]
NAMES = [
    *("reye_outer", "reye_inner", "leye_inner", "leye_outer"),
    *("nose", "rmouth", "lmouth", "chin"),
]
SHOW = """
import sys
import numpy as np
from lineament import Predictor, align, draw_faces, faces_to_json, scheme
predict = Predictor(sys.argv[1], lambda image: np.zeros((0, 4)))
image = np.full((120, 120, 3), 90, np.uint8)
faces = predict(image, [[20, 20, 100, 100]])
draw_faces(image, faces)
align(image, faces[0], {"reye_outer": (10, 10), "leye_outer": (50, 10)}, 64)
print(faces.scheme, scheme(faces.scheme).points[7], faces[0].scores[7], faces[0].visible[7])
print("own_scheme" in faces_to_json(faces))
"""


def unannotated_chin(landmarks):
    points = landmarks[CHOSEN].copy()
    points[7] = -2  # -1 in a file that counts from 1
    return points


def recipe(folder, **train):
    steps = {"steps": 2, "batch": 4, "warmup": 1, "bf16": False, "threads": 1}
    return {
        "name": "own",
        "scheme": str(folder / "own8.toml"),
        "data": [{"reader": "folder", "folder": str(folder / "faces")}],
        "model": {"backbone": "tiny", "imagenet": False, "channels": 16, "size": 64},
        "train": steps | {"num_workers": 0} | train,
    }


def test_a_model_of_own_points_carries_its_scheme(tmp_path, tiny):
    from lineament.export.registry import export_trained
    from tiny import trainer

    write_faces(tmp_path / "faces", 24, unannotated_chin)
    text(tmp_path / "own8.toml", f"points = {json.dumps(NAMES)}")
    lines = []
    run = trainer(make_recipe(recipe(tmp_path)), tmp_path / "run", note=lines.append)
    assert any("no training face has point 7 (chin)" in line for line in lines)
    assert any("21 faces to train on, 3 for validation" in line for line in lines)
    checkpoint = run.run()
    (tmp_path / "own8.toml").unlink()
    export_trained(checkpoint, tmp_path, "own", False, tmp_path, tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", SHOW, str(tmp_path / "own.onnx")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["own8", "chin", "0.0", "0.0", "True"], done.stderr
    resumed = trainer(
        make_recipe(json.loads(run.recipe.model_dump_json())), tmp_path / "run", True
    )
    assert resumed.task.never_learned == (7,)


def test_data_are_checked_for_an_export_without_a_model(tmp_path, tiny):
    from lineament.export.check_data import check_data

    write_faces(tmp_path / "faces", 2)
    own = make_recipe(recipe(tmp_path) | {"scheme": "ibug68"})
    found = check_data(own, tmp_path, tmp_path / "cache", lambda line: None)
    assert found == {"folder": 1}
    write_faces(tmp_path / "faces", 1)
    (tmp_path / "faces/face1.png").unlink()
    (tmp_path / "faces/face1.pts").unlink()
    with pytest.raises(DataError, match="0 validation faces are too few to calibrate"):
        check_data(own, tmp_path, tmp_path / "cache", lambda line: None)


def test_an_export_without_the_points_of_the_norm_is_refused_with_their_names():
    from types import SimpleNamespace

    from lineament.training.validate import export_error_message

    landmarks = np.ones((3, 68, 2))
    landmarks[:, 36] = np.nan
    faces = {"folder": SimpleNamespace(landmarks=landmarks)}
    fault = export_error_message(faces, "ibug68")
    assert "interocular norm (right_eye_outer, left_eye_outer), which" in fault
    landmarks[0, 36] = 1
    assert export_error_message(faces, "ibug68") == ""


def test_the_command_checks_the_data_of_a_recipe(tmp_path):
    write_faces(tmp_path / "faces", 3)
    path = text(
        tmp_path / "a.toml",
        'name = "a"\n[[data]]\nreader = "folder"\nfolder = "faces"\n'
        "[train]\nsteps = 1\nbatch = 1\n",
    )
    given = ("--check-data", "--data", tmp_path, "--cache", tmp_path / "cache")
    code, shown, noted = call("export", path, *given)
    assert code == 0
    assert shown == "folder: 2 validation faces, enough to export\n"
    assert "1 faces to train on, 2 for validation" in noted


def test_errors_of_points_without_eyes_are_over_the_side_of_the_box(tmp_path):
    from lineament.training.validate import has_norm_points, interocular_nme, point_norm

    names = 'points = ["l_mouth", "r_mouth", "chin"]\nname = "eyeless3"'
    name = scheme(str(text(tmp_path / "eyeless3.toml", names))).name
    truth = np.array([[[0.0, 0], [40, 0], [20, 30]], [[np.nan] * 2] * 3])
    assert point_norm(name)[0] == "side"
    assert has_norm_points(truth, name).tolist() == [True, False]
    moved = truth + np.array([0, 4])  # 4 pixels of a box of 40 x 30
    assert interocular_nme(np.nan_to_num(moved), truth, name) == pytest.approx(0.1)
