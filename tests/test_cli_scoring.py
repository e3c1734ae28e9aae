"""models, doctor, evaluate, score, compare, audit, train and export on the command line."""

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lineament.inference.model_files
import lineament.inference.predictor
from commands import FakePredictor, call, chosen, run
from lineament.data.detection.photos import Photo
from lineament.doctor import Check
from lineament.evaluation.detection import DETECTION_PROTOCOLS
from lineament.inference.detections import empty_detections


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(lineament.inference.predictor, "Predictor", FakePredictor)


def find_nothing(image):
    return empty_detections()


def test_models_lists_the_cards(monkeypatch):
    card = {
        "name": "fast",
        "kind": "landmarks",
        "points": 68,
        "scheme": "ibug68",
        "size": 128,
        "bytes": 2_400_000,
        "license": "Research only: the faces allow no other use.",
        "figures": {"300w-common, truth boxes": {"nme": 0.03288}},
    }
    bare = {"name": "own", "kind": "face detector"}
    listed = [card, bare]
    monkeypatch.setattr(lineament.inference.model_files, "list_models", lambda: listed)
    code, out, _ = call("models")
    assert code == 0
    rows = [re.split("  +", line) for line in out.splitlines()]
    assert rows[0][-2:] == ["300W common NME %", "license"]
    sizes = ["68 ibug68", "128", "-", "2.4"]
    assert rows[1] == ["fast", "landmarks", *sizes, "3.29", "Research only"]
    assert rows[2] == ["own", "face detector", *["-"] * 6]
    assert json.loads(call("models", "--json")[1]) == listed


def test_models_prints_a_note_if_no_model_is_installed(monkeypatch):
    monkeypatch.setattr(lineament.inference.model_files, "list_models", list)
    assert "contains no model" in call("models")[2]


def test_models_are_timed_alone_and_in_batches(monkeypatch):
    class Still:
        size = 8

        def predict(self, crops):
            assert crops.shape[1:] == (8, 8, 3)
            time.sleep(0.002)

    card = {
        "name": "fast",
        "kind": "landmarks",
        "parameters": 1_234_000,
        "multiply_adds": 567_000_000,
    }
    monkeypatch.setattr(lineament.inference.model_files, "list_models", lambda: [card])
    monkeypatch.setattr(
        "lineament.inference.speed.load_model", lambda name, threads: Still()
    )
    monkeypatch.setitem(
        sys.modules, "torch", None
    )  # packaged models are measured without it
    monkeypatch.delitem(sys.modules, "lineament.models.profile", raising=False)
    code, out, err = call("models", "--profile")
    assert code == 0
    assert "pip install 'lineament[train]'" in err
    _, size, head, *rows = out.splitlines()
    assert size.split() == ["fast", "1.234", "0.567", "1.134"]
    assert head.split()[:2] == ["model", "per"]
    assert [row.removeprefix("fast   ")[:6] for row in rows] == [
        "1 crop",
        "16 cro",
        "64 cro",
    ]
    # 2 ms a call at least
    assert all(float(row.split()[-3]) >= 2 for row in rows)


def test_the_parameters_of_trainable_networks_are_listed(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(lineament.inference.model_files, "list_models", lambda: [])
    from lineament.models.backbones.registry import BACKBONES

    monkeypatch.setattr(
        "lineament.models.profile.BACKBONES",
        {"light-resnet50": BACKBONES["light-resnet50"]},
    )
    code, out, _ = call("models", "--profile")
    assert code == 0
    (row,) = (
        line.split() for line in out.splitlines() if line.startswith("light-resnet50")
    )
    assert row[1] == "2.808"  # million parameters, as published
    assert float(row[3]) == pytest.approx(2 * float(row[2]), abs=2e-3)


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("absent", 0), ("failed", 1)])
def test_doctor_prints_every_check_and_fails_if_one_does(monkeypatch, status, code):
    checks = [
        Check("packages", "numpy", "ok", "2.4.6"),
        Check("weights", "fast", status, "as it is", "type: this"),
    ]
    monkeypatch.setattr("lineament.doctor.diagnose", lambda speed: checks)
    found, out, err = call("doctor", "--no-speed")
    assert found == code
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["packages", "numpy", "ok"],
        ["weights", "fast", status],
    ]
    assert err == "fast: type: this\n"
    assert json.loads(call("doctor", "--json")[1])[0]["found"] == "2.4.6"


def write_points(folder):
    """Write an image with landmarks on the diagonal of (10, 10, 40, 40), like FakePredictor's."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(folder / "face.png")
    points = "\n".join(f"{v + 1:.6f} {v + 1:.6f}" for v in np.linspace(10, 40, 68))
    (folder / "face.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    return folder


def test_evaluate_prints_a_table_or_json_and_compare_shows_reports_side_by_side(
    tmp_path,
):
    data = write_points(tmp_path / "data")
    words = ("evaluate", "--protocol", "folder", "--data", data)
    code, out, _ = call(*words, "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["nme"] == pytest.approx(0, abs=1e-6)
    required = {
        "protocol",
        "images",
        "misses",
        "nme",
        "failure_rate",
        "auc",
        "per_part",
        "ms_per_face",
    }
    assert required <= report.keys()
    assert report["boxes"] == "truth"
    for name in ("a", "b"):
        pytest.importorskip("matplotlib")
        code, out, _ = call(*words, "--boxes", "detected", "--report", tmp_path / name)
        assert code == 0
        assert "NME %" in out
        assert {path.suffix for path in (tmp_path / name).iterdir()} == {
            ".json",
            ".html",
            ".png",
        }
    code, out, _ = call("compare", tmp_path / "a", tmp_path / "b" / "report.json")
    assert code == 0
    assert out.count("detected") == 2


def test_evaluate_applies_face_limits_and_the_report_states_them(tmp_path):
    data = write_points(tmp_path / "data")
    words = ("evaluate", "--protocol", "folder", "--data", data, "--format", "json")
    limits = ("--min-face", "40px", "--min-presence", "0.47")
    for boxes, name in (
        ("detected", "accurate, min_presence 0.47, min_face 40px"),
        # given boxes are never dropped
        ("truth", "accurate"),
    ):
        report = json.loads(call(*words, *limits, "--boxes", boxes)[1])
        assert (chosen["min_face"], chosen["min_presence"]) == ("40px", 0.47)
        assert report["model"] == name


def test_detection_is_evaluated_with_face_limits(tmp_path, monkeypatch):
    photos = [Photo(tmp_path / "a.png", "wider", np.array([[10.0, 10, 40, 40]]), "a")]
    Image.fromarray(np.full((60, 80, 3), 90, np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setitem(DETECTION_PROTOCOLS, "detection-val", lambda root: photos)
    detector = staticmethod(find_nothing)
    monkeypatch.setattr(FakePredictor, "detector", detector, raising=False)
    words = ("evaluate", "--protocol", "detection-val", "--data", tmp_path)
    code, out, _ = call(*words, "--min-presence", "0.47")
    assert (code, chosen["min_presence"]) == (0, 0.47)
    alone, with_model = (line.split() for line in out.splitlines()[1:])
    assert alone[:5] == ["detector", "wider", "1", "1", "0"]
    assert with_model[:7] == ["detector", "and", "accurate", "wider", "1", "1", "1"]
    assert json.loads(call(*words, "--format", "json")[1])["detector"]["wider"] == {
        "photos": 1,
        "faces": 1,
        "found": 0,
        "false_positives": 0,
        "false_photos": 0,
        "roll_error_deg": None,
        "point_error": None,
        "recall": 0.0,
    }


def test_a_protocol_with_missing_images_needs_allow_missing(tmp_path):
    data = write_points(tmp_path / "data")
    (data / "other.pts").write_text((data / "face.pts").read_text())
    words = ("evaluate", "--protocol", "folder", "--data", data)
    code, out, err = call(*words)
    assert (code, out) == (1, "")
    assert (
        "1 of 2 faces have their image; missing: other.jpg; get them, or score the rest"
        in err
    )
    code, out, _ = call(*words, "--allow-missing", "--format", "json")
    assert code == 0
    report = json.loads(out)
    missing, scheme = report["notes"]
    assert (report["images"], missing) == (1, "missing: other.jpg")
    assert "assumed to be ibug68 because of their number" in scheme


def test_the_report_folder_of_a_refused_protocol_lists_all_missing_images(tmp_path):
    pytest.importorskip("matplotlib")
    data = write_points(tmp_path / "data")
    (data / "other.pts").write_text((data / "face.pts").read_text())
    words = (
        "evaluate",
        "--protocol",
        "folder",
        "--data",
        data,
        "--report",
        tmp_path / "out",
    )
    code, _, err = call(*words)
    assert code == 1
    assert f"the complete list: {tmp_path}/out/missing.txt" in err
    assert (tmp_path / "out" / "missing.txt").read_text() == "other.jpg\n"


def test_score_takes_the_predictions_of_another_system(tmp_path):
    data = write_points(tmp_path / "data")
    points = [[v, v] for v in np.linspace(10, 40, 68)]
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps([{"image": "face.png", "pred": points}]))
    code, out, _ = call(
        "score", "--protocol", "folder", file, "--data", data, "--format", "json"
    )
    assert code == 0
    assert json.loads(out)["nme"] == pytest.approx(0, abs=1e-6)
    code, _, err = call(
        "score", "--protocol", "folder", tmp_path / "absent.json", "--data", data
    )
    assert code == 1
    assert "absent.json: cannot be read as JSON" in err


def test_score_takes_points_of_any_scheme_without_data(tmp_path):
    points = np.linspace(10, 90, 196).reshape(98, 2).tolist()
    path = tmp_path / "w98.json"
    path.write_text(json.dumps([{"image": "a.jpg", "pred": points, "truth": points}]))
    code, out, err = call(
        "score", path, "--protocol", "folder", "--scheme", "wflw98", "--format", "json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["nme"] == 0


def test_the_folder_protocol_requires_a_folder():
    code, _, err = call("evaluate", "--protocol", "folder")
    assert code == 1
    assert "give a folder of images with --data" in err


def test_audit_prints_its_findings_and_writes_a_report(tmp_path):
    data = write_points(tmp_path / "data")
    (data / "face.pts").write_text(
        (data / "face.pts").read_text().replace("11.000000 11.000000", "-30.0 11.0")
    )
    sheet = tmp_path / "deep" / "sheet.html"
    code, out, err = call("audit", data, "--reader", "folder", "--out", sheet)
    assert out.splitlines()[0].split() == ["severity", "kind", "file", "finding"]
    assert "face.png" in out
    assert "1 faces on 1 images" in out
    assert sheet.read_text().lower().startswith("<!doctype html")
    assert f"page of findings -> {sheet}" in err
    code, out, _ = call("audit", data, "--out", sheet, "--json", "--model", "fast")
    kinds = {finding["severity"] for finding in json.loads(out)["findings"]}
    assert code == int("error" in kinds)
    code, _, err = call("audit", tmp_path / "absent")
    assert code == 1
    assert "no such folder" in err


def test_a_file_name_that_is_not_valid_unicode_is_printed_as_json_escape(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(path)).write_bytes(b"no picture")
    done = run("detect", os.fsdecode(path), "--model", "absent.onnx")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_protocol_is_rejected_with_the_nearest_name():
    code, _, err = call("evaluate", "--protocol", "300w-comon")
    assert code == 1
    assert "did you mean '300w-common'" in err


def test_train_without_torch_names_the_command_to_install_it(tmp_path, monkeypatch):
    # `lineament.cli.app` is the application; its module is found in sys.modules
    monkeypatch.setattr(
        sys.modules["lineament.cli.app"], "find_spec", lambda name: None
    )
    for words in (
        ["train", tmp_path / "recipe.toml"],
        ["export", tmp_path / "checkpoint.pt"],
    ):
        code, _, err = call(*words)
        assert code == 1
        assert (
            err
            == "lineament: torch is not installed; type: pip install 'lineament[train]'\n"
        )


@pytest.mark.torch
def test_train_rejects_an_unknown_key_with_the_nearest_name(tmp_path):
    pytest.importorskip("torch")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "x"\ndata = [{reader = "300w"}]\n[train]\nsteps = 2\n')
    code, _, err = call("train", recipe, "--set", "train.stesp=3", "--data", tmp_path)
    assert code == 1
    assert "unknown key 'train.stesp'" in err
    assert "'steps'" in err


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own imports
def test_train_resumes_and_export_writes_a_model_that_loads(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from faces import write_faces
    from lineament.models.backbones.registry import BACKBONES
    from tiny import Tiny

    monkeypatch.setitem(BACKBONES, "tiny", Tiny)
    write_faces(tmp_path / "faces", 30)
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'name = "small"\n[[data]]\nreader = "folder"\nfolder = "faces"\n'
        '[model]\nbackbone = "tiny"\nimagenet = false\nchannels = 16\nsize = 64\n'
        "[train]\nsteps = 4\nbatch = 4\nbf16 = false\nthreads = 1\nnum_workers = 0\n"
    )
    run_folder, places = (
        tmp_path / "run",
        ("--data", tmp_path, "--cache", tmp_path / "cache"),
    )
    code, out, err = call(
        "train", recipe, "--out", run_folder, "--set", "train.validate_every=2", *places
    )
    assert code == 0, err
    assert out == f"{run_folder}/checkpoint.pt\n"
    assert "step 4/4" in err
    assert "validation NME: folder" in err
    code, _, err = call("train", recipe, "--out", run_folder, *places)
    assert code == 1
    assert "--resume" in err
    assert call("train", recipe, "--out", run_folder, "--resume", *places)[0] == 0
    code, out, err = call(
        "export", run_folder / "checkpoint.pt", "--out", tmp_path, *places
    )
    assert code == 0, err
    assert out.startswith(f"{tmp_path}/small.onnx")
    model = lineament.inference.registry.load_model(tmp_path / "small.onnx")
    assert model.predict(np.zeros((1, 64, 64, 3), np.uint8)).landmarks_crop.shape == (
        1,
        68,
        2,
    )


def test_doctor_names_the_missing_packages_of_an_extra_in_one_line(monkeypatch):
    advice = "type: pip install 'lineament[train]'"
    checks = [
        Check("extras", f"train: {name}", "absent", "not installed", advice)
        for name in ("torch", "onnx", "scipy")
    ]
    monkeypatch.setattr("lineament.doctor.diagnose", lambda speed: checks)
    code, _, err = call("doctor")
    assert (code, err) == (0, f"train: torch and 2 more: {advice}\n")
