"""The command line: what it prints where, and the exit code of every ending."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import lineament.predict
import lineament.runtime
from lineament import __version__
from lineament.cli import app
from lineament.doctor import Check
from lineament.errors import ModelError, ShapeError
from lineament.face import Face, Faces
from lineament.schemes import scheme as scheme_called

chosen = {}  # what the last FakePredictor was made with


class FakePredictor:
    """Stands for the models: one face in every picture brighter than black, at the given boxes if there are any."""

    def __init__(self, model="accurate", detector="default", scheme=None, threads=0, flip=False):
        chosen.update(detector=detector, flip=flip)
        if model == "broken":
            raise ModelError("no model is called 'broken'; choose one of accurate,\nfast")
        self.scheme = scheme or "ibug68"

    def __call__(self, images, boxes=None):
        if not isinstance(images, list):
            return self([images], None if boxes is None else [boxes])[0]
        return [self.find(image, None if boxes is None else boxes[i]) for i, image in enumerate(images)]

    def find(self, image, boxes):
        count = len(scheme_called(self.scheme))
        if boxes is None:
            boxes = [[10, 10, 40, 40]] if image.any() else []
        made = []
        for box in np.asarray(boxes, dtype=float).reshape(-1, 4):
            points = np.column_stack([np.linspace(box[0], box[2], count), np.linspace(box[1], box[3], count)])
            made.append(Face(points, np.full(count, 0.9), np.full(count, 1.5), box, 0.75, self.scheme))
        return Faces(tuple(made), self.scheme, count, (image.shape[1], image.shape[0]))


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(lineament.predict, "Predictor", FakePredictor)


@pytest.fixture
def pictures(tmp_path):
    """Two pictures with a face, one without, one broken."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name, value in (("a.png", 200), ("black.png", 0), ("more/b.jpg", 90)):
        Image.fromarray(np.full((60, 80, 3), value, np.uint8)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff half a picture")
    return folder


def call(*words):
    """Exit code, standard output, standard error of `lineament words...`, in this process."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def run(*words, **options):
    """The finished process of `lineament words...`."""
    command = [sys.executable, "-m", "lineament", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_detect_prints_one_json_document_a_picture(pictures):
    code, out, err = call("detect", pictures / "a.png", pictures / "black.png")
    first, second = (json.loads(line) for line in out.splitlines())
    assert (code, err) == (0, "")
    assert first["image"] == str(pictures / "a.png")
    assert {"box", "score", "landmarks", "scores", "sigma_px"} <= first["faces"][0].keys()
    assert np.array(first["faces"][0]["landmarks"]).shape == (68, 2)
    assert second["faces"] == []


def test_detect_goes_on_after_a_broken_picture_lists_it_at_the_end_and_fails(pictures):
    code, out, err = call("detect", pictures, pictures / "absent.png")
    assert code == 1
    assert [Path(json.loads(line)["image"]).name for line in out.splitlines()] == ["a.png", "black.png", "b.jpg"]
    lines = err.splitlines()
    assert all(line.startswith("lineament: ") for line in lines)
    assert "absent.png: no such file or folder" in lines[0]
    assert "broken.jpg: broken or truncated" in lines[1]
    assert lines[2] == "lineament: 2 of 5 failed; they are listed above"


def test_a_single_bad_input_is_one_line(tmp_path):
    code, out, err = call("detect", tmp_path / "absent.jpg")
    assert (code, out) == (1, "")
    assert err == f"lineament: {tmp_path}/absent.jpg: no such file or folder; check the path\n"


def test_detect_prints_csv_and_a_table(pictures):
    code, out, _ = call("detect", pictures / "a.png", "--format", "csv")
    assert code == 0
    assert [len(line.split(",")) for line in out.splitlines()] == [9 + 4 * 68] * 2
    code, out, _ = call("detect", pictures / "a.png", pictures / "black.png", "--format", "table")
    head, face, none = out.splitlines()
    assert head.split()[:3] == ["picture", "face", "score"]
    assert "0.750  10.0, 10.0, 40.0, 40.0  68 ibug68  0.900       1.50" in face
    assert none.endswith("no face")


def test_detect_writes_a_folder_that_a_second_run_keeps(pictures, tmp_path, monkeypatch):
    words = ("detect", pictures / "a.png", pictures / "more", "--out", tmp_path / "out", "--draw")
    code, out, err = call(*words)
    assert (code, out) == (0, "")
    assert f"2 of 2 pictures (0 kept from an earlier run) -> {tmp_path}/out" in err
    names = {"a.json", "a.drawn.jpg", "b.json", "b.drawn.jpg", "lineament.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    monkeypatch.setattr(FakePredictor, "find", lambda *_: pytest.fail("predicted again"))
    assert "(2 kept from an earlier run)" in call(*words)[2]


def test_detect_with_again_or_other_settings_does_not_keep(pictures, tmp_path):
    words = ("detect", pictures / "a.png", "--out", tmp_path / "out")
    call(*words)
    assert "(0 kept" in call(*words, "--again")[2]
    code, _, err = call(*words, "--model", "fast")
    assert code == 1
    assert "holds results of model accurate" in err


@pytest.mark.parametrize(("kind", "file"), [("csv", "faces.csv"), ("coco", "faces.coco.json"), ("pts", "a.pts")])
def test_detect_writes_other_formats(pictures, tmp_path, kind, file):
    assert call("detect", pictures / "a.png", "--out", tmp_path, "--format", kind)[0] == 0
    assert (tmp_path / file).stat().st_size > 200


def test_detect_hands_on_the_detector_and_flip(pictures, monkeypatch):
    preset = object()
    monkeypatch.setattr("lineament.detect_presets.mediapipe", lambda: preset)
    assert call("detect", pictures / "a.png", "--detector", "mediapipe", "--flip")[0] == 0
    assert (chosen["detector"], chosen["flip"]) == (preset, True)
    code, _, err = call("detect", pictures / "a.png", "--detector", "nobody")
    assert code == 2
    assert "wanted default, mediapipe" in err


def test_detect_converts_to_the_scheme_asked_for(pictures):
    _, out, _ = call("detect", pictures / "a.png", "--scheme", "five")
    assert len(json.loads(out)["faces"][0]["landmarks"]) == 5


def test_boxes_are_numbers_for_one_picture_or_a_file_for_many(pictures, tmp_path):
    _, out, _ = call("detect", pictures / "a.png", "--boxes", "1,2,30,40", "--boxes", "5,6,50,60.5")
    assert [face["box"] for face in json.loads(out)["faces"]] == [[1, 2, 30, 40], [5, 6, 50, 60.5]]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"a.png": [[1, 2, 30, 40]], "b.jpg": [[3, 1, 2, 4]]}))
    code, out, err = call("detect", pictures / "a.png", pictures / "more", "--boxes", file)
    assert code == 1
    assert json.loads(out)["faces"][0]["box"] == [1, 2, 30, 40]
    assert "b.jpg: box 0 is [3.0, 1.0, 2.0, 4.0]; wanted finite x0 < x1" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["detect"], "Missing argument"),
        (["detect", "a.jpg", "--draw"], "--draw needs --out"),
        (["detect", "a.jpg", "--format", "coco"], "--format coco needs --out"),
        (["detect", "a.jpg", "--format", "table", "--out", "x"], "--format table is printed only"),
        (["detect", "a.jpg", "--format", "xml"], "xml"),
        (["detect", "{p}/a.png", "{p}/black.png", "--boxes", "1,2,3,4"], "for one picture, not 2"),
        (["detect", "{p}/a.png", "--boxes", "1,2,x"], "wanted x0,y0,x1,y1"),
        (["draw", "{p}", "--out", "x.png"], "one file for 4 pictures"),
        (["nonsense"], "No such command"),
        (["detect", "a.jpg", "--nonsense"], "No such option"),
    ],
)
def test_wrong_usage_is_said_and_ends_with_two(pictures, words, message):
    code, out, err = call(*(word.replace("{p}", str(pictures)) for word in words))
    assert code == 2
    assert out == ""
    assert message in " ".join(err.split())


def test_an_error_of_the_package_is_one_line_without_a_traceback(pictures):
    code, out, err = call("detect", pictures / "a.png", "--model", "broken")
    assert (code, out) == (1, "")
    assert err == "lineament: no model is called 'broken'; choose one of accurate, fast\n"


def test_an_error_in_the_middle_of_a_batch_ends_in_one_line(pictures, monkeypatch):
    def fail(*_):
        raise ShapeError("crops are odd")

    monkeypatch.setattr(FakePredictor, "find", fail)
    code, _, err = call("detect", pictures / "a.png")
    assert (code, err) == (1, "lineament: crops are odd\n")


def test_a_place_that_cannot_be_written_is_one_line(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    for words in (("draw", pictures / "a.png", "--out"), ("detect", pictures / "a.png", "--draw", "--out")):
        code, _, err = call(*words, tmp_path / "file" / "below")
        assert code == 1
        assert err.count("\n") == 1
        assert err.startswith("lineament: ")


def test_ctrl_c_ends_with_130(pictures, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakePredictor, "find", stop)
    code, _, err = call("detect", pictures / "a.png")
    assert (code, err) == (130, "")


def test_draw_writes_a_file_or_a_folder(pictures, tmp_path):
    code, out, _ = call("draw", pictures / "a.png", "--out", tmp_path / "deep" / "one.png", "--sigmas")
    assert code == 0
    assert out == f"{pictures}/a.png: 1 face -> {tmp_path}/deep/one.png\n"
    with Image.open(tmp_path / "deep" / "one.png") as drawn:
        assert drawn.size == (80, 60)
        assert np.ptp(np.asarray(drawn)) > 0
    code, out, err = call("draw", pictures, "--out", tmp_path / "drawn", "--no-labels")
    assert code == 1
    assert {path.name for path in (tmp_path / "drawn").rglob("*.jpg")} == {"a.jpg", "black.jpg", "b.jpg"}
    assert "broken.jpg" in err


def test_align_writes_one_crop_a_face(pictures, tmp_path):
    words = ("align", pictures / "a.png", "--out", tmp_path, "--boxes", "1,2,30,40", "--boxes", "5,6,50,60.5")
    code, out, _ = call(*words)
    assert code == 0
    assert out.splitlines()[1] == f"{pictures}/a.png: face 2 -> {tmp_path}/a_2.png"
    with Image.open(tmp_path / "a_1.png") as crop:
        assert crop.size == (112, 112)
    template = tmp_path / "mine.json"
    template.write_text('{"size": 64, "points": {"right_eye_center": [20, 20], "left_eye_center": [44, 20]}}')
    code, out, _ = call("align", pictures, "--out", tmp_path, "--template", template, "--size", 32)
    assert code == 1
    assert f"{pictures}/black.png: no face" in out
    with Image.open(tmp_path / "more" / "b.png") as crop:
        assert crop.size == (32, 32)


def test_align_refuses_a_template_that_is_none(pictures, tmp_path):
    code, _, err = call("align", pictures / "a.png", "--template", "arcface")
    assert code == 1
    assert "did you mean 'arcface112'" in err
    (tmp_path / "bad.json").write_text('{"size": 64}')
    code, _, err = call("align", pictures / "a.png", "--template", tmp_path / "bad.json")
    assert code == 1
    assert "bad.json: not a template" in err


def test_models_lists_the_cards(monkeypatch):
    card = {"name": "fast", "kind": "landmarks", "points": 68, "scheme": "ibug68", "size": 128, "bytes": 2_400_000}
    monkeypatch.setattr(lineament.runtime, "list_models", lambda: [card])
    code, out, _ = call("models")
    assert code == 0
    assert out.splitlines()[1].split() == ["fast", "landmarks", "68", "ibug68", "128", "-", "2.4"]
    assert json.loads(call("models", "--json")[1]) == [card]


def test_models_says_where_none_is_installed(monkeypatch):
    monkeypatch.setattr(lineament.runtime, "list_models", list)
    assert "no model is installed" in call("models")[2]


def test_models_are_timed_alone_and_in_batches(monkeypatch):
    class Still:
        size = 8

        def heads(self, crops):
            assert crops.shape[1:] == (8, 8, 3)
            time.sleep(0.002)

    card = {"name": "fast", "kind": "landmarks", "parameters": 1_234_000, "multiply_adds": 567_000_000}
    monkeypatch.setattr(lineament.runtime, "list_models", lambda: [card])
    monkeypatch.setattr("lineament.speed.load_model", lambda name, threads: Still())
    code, out, _ = call("models", "--profile")
    assert code == 0
    _, size, head, *rows = out.splitlines()
    assert size.split() == ["fast", "1.234", "0.567", "1.134"]
    assert head.split()[:2] == ["model", "a"]
    assert [row.removeprefix("fast   ")[:6] for row in rows] == ["1 crop", "16 cro", "64 cro"]
    # 2 ms a call at least
    assert all(float(row.split()[-3]) >= 2 for row in rows)


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("absent", 0), ("failed", 1)])
def test_doctor_prints_every_check_and_fails_where_one_does(monkeypatch, status, code):
    checks = [Check("packages", "numpy", "ok", "2.4.6"), Check("weights", "fast", status, "as it is", "type: this")]
    monkeypatch.setattr("lineament.doctor.diagnose", lambda speed: checks)
    found, out, err = call("doctor", "--no-speed")
    assert found == code
    assert [line.split()[:3] for line in out.splitlines()] == [["packages", "numpy", "ok"], ["weights", "fast", status]]
    assert err == "fast: type: this\n"
    assert json.loads(call("doctor", "--json")[1])[0]["found"] == "2.4.6"


def write_points(folder):
    """A picture whose truth lies on the diagonal of (10, 10, 40, 40), where the fake finds it; .pts counts from 1."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(folder / "face.png")
    points = "\n".join(f"{v + 1:.6f} {v + 1:.6f}" for v in np.linspace(10, 40, 68))
    (folder / "face.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    return folder


def test_evaluate_prints_a_table_or_json_and_compare_puts_reports_beside(tmp_path):
    data = write_points(tmp_path / "data")
    words = ("evaluate", "--protocol", "folder", "--data", data)
    code, out, _ = call(*words, "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["nme"] == pytest.approx(0, abs=1e-6)
    required = {"protocol", "images", "missed", "nme", "failure_rate", "auc", "per_part", "ms_per_face"}
    assert required <= report.keys()
    assert report["boxes"] == "truth"
    for name in ("a", "b"):
        pytest.importorskip("matplotlib")
        code, out, _ = call(*words, "--boxes", "detected", "--report", tmp_path / name)
        assert code == 0
        assert "NME %" in out
        assert {path.suffix for path in (tmp_path / name).iterdir()} == {".json", ".html", ".png"}
    code, out, _ = call("compare", tmp_path / "a", tmp_path / "b" / "report.json")
    assert code == 0
    assert out.count("detected") == 2


def test_score_takes_the_predictions_of_another_system(tmp_path):
    data = write_points(tmp_path / "data")
    points = [[v, v] for v in np.linspace(10, 40, 68)]
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps([{"image": "face.png", "pred": points}]))
    code, out, _ = call("score", "--protocol", "folder", file, "--data", data, "--format", "json")
    assert code == 0
    assert json.loads(out)["nme"] == pytest.approx(0, abs=1e-6)
    code, _, err = call("score", "--protocol", "folder", tmp_path / "absent.json", "--data", data)
    assert code == 1
    assert "absent.json: cannot be read as JSON" in err


def test_the_protocol_folder_has_to_be_given_one():
    code, _, err = call("evaluate", "--protocol", "folder")
    assert code == 1
    assert "give a folder of images with --data" in err


def test_audit_prints_what_it_found_and_writes_a_sheet(tmp_path):
    data = write_points(tmp_path / "data")
    (data / "face.pts").write_text((data / "face.pts").read_text().replace("11.000000 11.000000", "-30.0 11.0"))
    sheet = tmp_path / "deep" / "sheet.html"
    code, out, err = call("audit", data, "--reader", "folder", "--out", sheet)
    assert out.splitlines()[0].split() == ["severity", "kind", "file", "finding"]
    assert "face.png" in out
    assert "1 faces on 1 pictures" in out
    assert sheet.read_text().lower().startswith("<!doctype html")
    assert f"sheet -> {sheet}" in err
    code, out, _ = call("audit", data, "--out", sheet, "--json", "--model", "fast")
    kinds = {finding["severity"] for finding in json.loads(out)["findings"]}
    assert code == int("error" in kinds)
    code, _, err = call("audit", tmp_path / "absent")
    assert code == 1
    assert "no such folder" in err


def test_a_name_that_is_no_text_is_printed_as_json_escape(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.jpg"
    Path(os.fsdecode(path)).write_bytes(b"no picture")
    done = run("detect", os.fsdecode(path), "--model", "absent.onnx")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_an_unknown_protocol_is_answered_with_the_nearest():
    code, _, err = call("evaluate", "--protocol", "300w-comon")
    assert code == 1
    assert "did you mean '300w-common'" in err


def test_train_without_torch_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setattr("lineament.cli.making.find_spec", lambda name: None)
    for words in (["train", tmp_path / "recipe.toml"], ["export", tmp_path / "checkpoint.pt"]):
        code, _, err = call(*words)
        assert code == 1
        assert err == "lineament: torch is not installed; type: pip install 'lineament[train]'\n"


@pytest.mark.torch
def test_train_answers_an_unknown_key_with_the_nearest(tmp_path):
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
    from lineament.models.backbones import BACKBONES
    from tiny import Tiny

    monkeypatch.setitem(BACKBONES, "tiny", Tiny)
    write_faces(tmp_path / "faces", 30)
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        'name = "small"\n[[data]]\nreader = "folder"\nfolder = "faces"\n'
        '[model]\nbackbone = "tiny"\nimagenet = false\nchannels = 16\nsize = 64\n'
        "[train]\nsteps = 4\nbatch = 4\nbf16 = false\nthreads = 1\nloader = 0\n"
    )
    run_folder, places = tmp_path / "run", ("--data", tmp_path, "--cache", tmp_path / "cache")
    code, out, err = call("train", recipe, "--out", run_folder, "--set", "train.validate_every=2", *places)
    assert code == 0, err
    assert out == f"{run_folder}/checkpoint.pt\n"
    assert "step 4/4" in err
    assert "validation NME: folder" in err
    code, _, err = call("train", recipe, "--out", run_folder, *places)
    assert code == 1
    assert "--resume" in err
    assert call("train", recipe, "--out", run_folder, "--resume", *places)[0] == 0
    code, out, err = call("export", run_folder / "checkpoint.pt", "--out", tmp_path, *places)
    assert code == 0, err
    assert out.startswith(f"{tmp_path}/small.onnx")
    model = lineament.runtime.load_model(tmp_path / "small.onnx")
    assert model.heads(np.zeros((1, 64, 64, 3), np.uint8)).landmarks_crop.shape == (1, 68, 2)


def test_version_is_the_packages():
    assert call("version")[1] == f"lineament {__version__}\n"


def test_help_comes_in_half_a_second():
    # of the processor's time: another program may be using the machine
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert "detect" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_help_of_every_command_needs_no_heavy_library():
    script = (
        "import sys; from typer.testing import CliRunner; from lineament.cli import app\n"
        "names = [c.name or c.callback.__name__ for c in app.registered_commands]\n"
        "codes = [CliRunner().invoke(app, [name, '--help']).exit_code for name in names]\n"
        "heavy = {'torch', 'cv2', 'onnxruntime', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{codes} {heavy}' if any(codes) or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_quiet():
    process = subprocess.Popen(
        [sys.executable, "-m", "lineament", "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) in (0, 1)


@pytest.mark.skipif(os.name == "nt", reason="signals differ")
def test_an_interrupted_process_ends_with_130_and_no_traceback():
    script = (
        "import time\n"
        "from lineament.cli import main\n"
        "import lineament.runtime\n"
        "lineament.runtime.list_models = lambda: (print('ready', flush=True), time.sleep(30))\n"
        "import sys; sys.argv = ['lineament', 'models']; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("words", "package"),
    [
        (["detect", "P", "--out", "O", "--format", "parquet"], "pyarrow"),
        (["evaluate", "--protocol", "300w-common", "--report", "O"], "matplotlib"),
        (["score", "F", "--protocol", "300w-common", "--report", "O"], "matplotlib"),
        (["compare", "F", "F", "--out", "O"], "matplotlib"),
    ],
    ids=["parquet", "evaluate", "score", "compare"],
)
def test_a_missing_extra_is_said_before_the_work(words, package, pictures, tmp_path, monkeypatch):
    # the package's `app` is the application: the module of that name is found by its full name alone
    monkeypatch.setattr(sys.modules["lineament.cli.app"], "find_spec", lambda name: None)
    given = {"P": pictures, "O": tmp_path / "out", "F": tmp_path / "absent.json"}
    result = CliRunner().invoke(app, [str(given.get(word, word)) for word in words])
    assert result.exit_code == 1
    assert f"{package} is not installed; type: pip install 'lineament[report]'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_version_is_an_option_too():
    assert CliRunner().invoke(app, ["--version"]).stdout == CliRunner().invoke(app, ["version"]).stdout


def test_doctor_says_what_an_extra_lacks_in_one_line(monkeypatch):
    advice = "type: pip install 'lineament[train]'"
    checks = [
        Check("extras", f"train: {name}", "absent", "not installed", advice) for name in ("torch", "onnx", "scipy")
    ]
    monkeypatch.setattr("lineament.doctor.diagnose", lambda speed: checks)
    code, _, err = call("doctor")
    assert (code, err) == (0, f"train: torch and 2 more: {advice}\n")


def test_printed_csv_has_as_many_digits_as_written(pictures):
    _, out, _ = call("detect", pictures / "a.png", "--format", "csv")
    numbers = [cell for cell in out.splitlines()[1].split(",") if "." in cell and cell.replace(".", "").isdigit()]
    assert numbers
    assert max(len(number.partition(".")[2]) for number in numbers) <= 4
