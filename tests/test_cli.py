"""detect, draw and align on the command line: output, errors and exit codes."""

import csv
import json
import os
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import lineament.inference.model_files
import lineament.inference.predictor
from commands import FakePredictor, call, chosen
from lineament.cli import app, main
from lineament.errors import ShapeError


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(lineament.inference.predictor, "Predictor", FakePredictor)


@pytest.fixture
def pictures(tmp_path):
    """Write two images with a face, one without, one broken."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for name, value in (("a.png", 200), ("black.png", 0), ("more/b.jpg", 90)):
        Image.fromarray(np.full((60, 80, 3), value, np.uint8)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff half a picture")
    return folder


def test_detect_prints_one_json_document_per_image(pictures):
    code, out, err = call("detect", pictures / "a.png", pictures / "black.png")
    first, second = (json.loads(line) for line in out.splitlines())
    assert (code, err) == (0, "")
    assert first["image"] == str(pictures / "a.png")
    assert {"box", "score", "landmarks", "scores", "sigma_px"} <= first["faces"][
        0
    ].keys()
    assert np.array(first["faces"][0]["landmarks"]).shape == (68, 2)
    assert second["faces"] == []


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_printed_json_does_not_depend_on_the_encoding(pictures, monkeypatch, encoding):
    path = pictures / "é 猫 \N{GRINNING FACE}.png"
    path.write_bytes((pictures / "a.png").read_bytes())
    stdout = TextIOWrapper(BytesIO(), encoding=encoding, newline="\r\n")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", StringIO())
    monkeypatch.setattr(sys, "argv", ["lineament", "detect", str(path)])
    with pytest.raises(SystemExit):
        main()
    stdout.flush()
    printed = stdout.buffer.getvalue()
    assert printed.isascii()
    assert printed.count(b"\n") == 1
    assert b"\r" not in printed
    assert json.loads(printed)["image"] == str(path)


def test_detect_skips_a_broken_image_lists_it_at_the_end_and_fails(pictures):
    code, out, err = call("detect", pictures, pictures / "absent.png")
    assert code == 1
    assert [Path(json.loads(line)["image"]).name for line in out.splitlines()] == [
        "a.png",
        "black.png",
        "b.jpg",
    ]
    lines = err.splitlines()
    assert all(line.startswith("lineament: ") for line in lines)
    assert "absent.png: no such file or folder" in lines[0]
    assert "broken.jpg: broken or truncated" in lines[1]
    assert lines[2] == "lineament: 2 of 5 failed, as listed above"


def test_a_single_bad_input_gives_a_one_line_error(tmp_path):
    code, out, err = call("detect", tmp_path / "absent.jpg")
    assert (code, out) == (1, "")
    assert (
        err
        == f"lineament: {tmp_path}/absent.jpg: no such file or folder; check the path\n"
    )


def test_detect_prints_csv_and_a_table(pictures):
    code, out, _ = call("detect", pictures / "a.png", "--format", "csv")
    assert code == 0
    assert [len(line.split(",")) for line in out.splitlines()] == [10 + 5 * 68] * 2
    code, out, _ = call(
        "detect", pictures / "a.png", pictures / "black.png", "--format", "table"
    )
    head, face, none = out.splitlines()
    assert head.split()[:3] == ["image", "face", "score"]
    assert "0.750  10.0, 10.0, 40.0, 40.0  68 ibug68  0.900       1.50" in face
    assert none.endswith("no face")


def test_detect_writes_results_that_a_second_run_reuses(
    pictures, tmp_path, monkeypatch
):
    words = (
        "detect",
        pictures / "a.png",
        pictures / "more",
        "--out",
        tmp_path / "out",
        "--draw",
    )
    code, out, err = call(*words)
    assert (code, out) == (0, "")
    assert f"2 of 2 images -> {tmp_path}/out" in err
    names = {"a.json", "a.drawn.jpg", "b.json", "b.drawn.jpg", "lineament.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    monkeypatch.setattr(
        FakePredictor, "find", lambda *_: pytest.fail("predicted again")
    )
    assert "(2 kept from an earlier run)" in call(*words)[2]


def test_detect_with_overwrite_or_other_settings_recomputes_all_results(
    pictures, tmp_path
):
    words = ("detect", pictures / "a.png", "--out", tmp_path / "out")
    call(*words)
    assert "1 of 1 images -> " in call(*words, "--overwrite")[2]
    code, _, err = call(*words, "--model", "fast")
    assert code == 1
    assert "contains results with model accurate " in err


def test_detect_reuses_results_if_only_timestamps_changed(
    pictures, tmp_path, monkeypatch
):
    words = ("detect", pictures / "a.png", pictures / "more", "--out", tmp_path / "out")
    call(*words)
    with monkeypatch.context() as patch:
        patch.setattr(FakePredictor, "find", lambda *_: pytest.fail("predicted again"))
        for path in (tmp_path / "out").rglob("*"):
            os.utime(path, (2**32, 2**32) if path.name == "lineament.json" else (1, 1))
        assert "(2 kept from an earlier run)" in call(*words)[2]
    assert "2 of 2 images -> " in call(*words, "--flip", "--overwrite")[2]
    assert "(2 kept from an earlier run)" in call(*words, "--flip")[2]


@pytest.mark.parametrize(
    ("kind", "file"),
    [("csv", "faces.csv"), ("coco", "faces.coco.json"), ("pts", "a.pts")],
)
def test_detect_writes_other_formats(pictures, tmp_path, kind, file):
    assert (
        call("detect", pictures / "a.png", "--out", tmp_path, "--format", kind)[0] == 0
    )
    assert (tmp_path / file).stat().st_size > 200


def test_detect_passes_the_detector_and_flip_to_the_predictor(pictures, monkeypatch):
    preset = object()
    monkeypatch.setattr(
        "lineament.inference.detector_adapters.mediapipe", lambda: preset
    )
    assert (
        call("detect", pictures / "a.png", "--detector", "mediapipe", "--flip")[0] == 0
    )
    assert (chosen["detector"], chosen["flip"]) == (preset, True)
    code, _, err = call("detect", pictures / "a.png", "--detector", "nobody")
    assert code == 2
    assert "expected default, mediapipe" in err


def test_detect_passes_min_presence_only_if_it_is_given(pictures, tmp_path):
    words = ("detect", pictures / "a.png", "--out", tmp_path / "out")
    assert call(*words)[0] == 0
    assert "min_presence" not in chosen
    code, _, err = call(*words, "--min-presence", "0.8")
    assert chosen["min_presence"] == 0.8
    assert (code, "min_presence not set (this run: 0.8)" in err) == (
        1,
        True,
    )  # different results
    code, _, err = call("detect", pictures / "a.png", "--min-presence", "1.5")
    assert (code, "--min-presence" in err) == (2, True)


def test_label_passes_min_presence_to_the_predictor(pictures, tmp_path):
    words = ("label", pictures / "black.png", "--out", tmp_path / "out")
    assert call(*words, "--min-presence", "0.9")[0] == 0
    assert chosen["min_presence"] == 0.9


def test_detect_can_omit_occluded_landmarks_from_the_drawing(
    pictures, tmp_path, monkeypatch
):
    drawn = []

    def draw_faces(pixels, faces, **options):
        drawn.append(options["occluded"])
        return pixels

    monkeypatch.setattr("lineament.analysis.draw.draw_faces", draw_faces)
    words = ("detect", pictures / "a.png", "--draw", "--out")
    assert call(*words, tmp_path / "all")[0] == 0
    assert call(*words, tmp_path / "some", "--no-occluded")[0] == 0
    words = ("draw", pictures / "a.png", "--out", tmp_path / "b.jpg")
    assert call(*words, "--no-occluded")[0] == 0
    assert drawn == [True, False, False]
    code, _, err = call("detect", pictures / "a.png", "--no-occluded")
    assert (code, "--no-occluded has an effect only with --draw" in err) == (2, True)


def test_detect_passes_the_smallest_face_to_the_predictor(
    pictures, tmp_path, monkeypatch
):
    assert call("detect", pictures / "a.png", "--min-face", "40px")[0] == 0
    assert (chosen["detector"], chosen["min_face"]) == ("default", "40px")
    monkeypatch.setattr(
        "lineament.inference.open_detector.detector_of_file",
        lambda path, min_face: (path, min_face),
    )
    own = ("--detector", "own.onnx", "--min-face", "0.1")
    assert call("detect", pictures / "a.png", *own)[0] == 0
    assert chosen["detector"] == ("own.onnx", "0.1")
    # this detector has no scale to set
    other = ("--detector", "mediapipe", "--min-face", "0.1")
    code, _, err = call("detect", pictures / "a.png", *other)
    assert code == 2
    assert "omit it for mediapipe" in err
    # results of other sizes are other results
    assert call("detect", pictures / "a.png", "--out", tmp_path / "out")[0] == 0
    again = ("--out", tmp_path / "out", "--min-face", "40px")
    assert call("detect", pictures / "a.png", *again)[0] == 1


@pytest.mark.parametrize("command", ["draw", "align"])
def test_draw_and_align_use_the_same_options_as_detect(
    command, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "lineament.inference.open_detector.detector_of_file",
        lambda path, min_face: (path, min_face),
    )
    words = ("--min-face", "40px", "--min-presence", "0.5", "--flip")
    call(command, pictures / "a.png", "--out", tmp_path, *words)
    assert chosen == {
        "detector": "default",
        "flip": True,
        "min_face": "40px",
        "min_presence": 0.5,
    }
    call(command, pictures / "a.png", "--out", tmp_path, "--detector", "own.onnx")
    assert chosen == {"detector": ("own.onnx", None), "flip": False}


def test_detect_converts_to_the_requested_scheme(pictures):
    _, out, _ = call("detect", pictures / "a.png", "--scheme", "five")
    assert len(json.loads(out)["faces"][0]["landmarks"]) == 5


def test_boxes_are_numbers_for_one_image_or_a_file_for_many(pictures, tmp_path):
    _, out, _ = call(
        "detect", pictures / "a.png", "--boxes", "1,2,30,40", "--boxes", "5,6,50,60.5"
    )
    assert [face["box"] for face in json.loads(out)["faces"]] == [
        [1, 2, 30, 40],
        [5, 6, 50, 60.5],
    ]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"a.png": [[1, 2, 30, 40]], "b.jpg": [[3, 1, 2, 4]]}))
    code, out, err = call(
        "detect", pictures / "a.png", pictures / "more", "--boxes", file
    )
    assert code == 1
    assert json.loads(out)["faces"][0]["box"] == [1, 2, 30, 40]
    assert "b.jpg: box 0 is [3.0, 1.0, 2.0, 4.0]; expected finite x0 < x1" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["detect"], "Missing argument"),
        (["detect", "a.jpg", "--draw"], "--draw needs --out"),
        (["detect", "a.jpg", "--format", "coco"], "--format coco needs --out"),
        (
            ["detect", "a.jpg", "--format", "table", "--out", "x"],
            "--format table can only be printed",
        ),
        (["detect", "a.jpg", "--format", "xml"], "xml"),
        (
            ["detect", "{p}/a.png", "{p}/black.png", "--boxes", "1,2,3,4"],
            "for one image, not 2",
        ),
        (["detect", "{p}/a.png", "--boxes", "1,2,x"], "expected x0,y0,x1,y1"),
        (["draw", "{p}", "--out", "x.png"], "one file for 4 images"),
        (["nonsense"], "No such command 'nonsense'; choose one of"),
        (["predict", "a.jpg"], "No such command 'predict'; did you mean 'detect'?"),
        (["val", "--data", "x"], "did you mean 'evaluate'?"),
        (["trian", "own.toml"], "did you mean 'train'"),
        (["detect", "a.jpg", "--nonsense"], "No such option"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(pictures, words, message):
    code, out, err = call(*(word.replace("{p}", str(pictures)) for word in words))
    assert code == 2
    assert out == ""
    assert message in " ".join(err.split())


def test_a_package_error_is_printed_in_one_line_without_traceback(pictures):
    code, out, err = call("detect", pictures / "a.png", "--model", "broken")
    assert (code, out) == (1, "")
    assert err == "lineament: unknown model 'broken'; choose one of accurate, fast\n"


def test_an_error_within_a_batch_is_printed_in_one_line(pictures, monkeypatch):
    def fail(self, image, boxes):
        if image[0, 0, 0] == 200:
            raise ShapeError("crops are odd")
        return found(self, image, boxes)

    found = FakePredictor.find
    monkeypatch.setattr(FakePredictor, "find", fail)
    code, out, err = call("detect", pictures / "a.png", pictures / "black.png")
    assert code == 1
    assert err.splitlines()[0] == f"lineament: {pictures / 'a.png'}: crops are odd"
    assert json.loads(out)["image"].endswith("black.png")


def test_input_images_are_never_overwritten(pictures, tmp_path):
    wanted = (pictures / "more" / "b.jpg").read_bytes()
    for out in (pictures / "more", pictures / "more" / "b.jpg"):
        code, _, err = call("draw", pictures / "more" / "b.jpg", "--out", out)
        assert code == 1
        assert "is an input image and would be overwritten; choose another --out" in err
    code, _, err = call("align", pictures / "a.png", "--out", pictures)
    assert code == 1
    assert "is an input image" in err
    assert (pictures / "more" / "b.jpg").read_bytes() == wanted


@pytest.mark.parametrize("command", ["detect", "align", "label"])
def test_a_folder_for_results_cannot_have_the_name_of_a_file(
    pictures, tmp_path, command
):
    out = tmp_path / "faces.csv"
    code, _, err = call(command, pictures / "a.png", "--out", out)
    assert code == 2
    assert "the name of a file; expected a folder" in " ".join(err.split())
    assert not out.exists()
    out.mkdir()
    assert call(command, pictures / "a.png", "--out", out)[0] == 0


def test_an_image_that_cannot_be_written_is_listed_as_a_failure(pictures, tmp_path):
    Image.fromarray(np.full((9, 66_000, 3), 200, np.uint8)).save(pictures / "wide.png")
    code, _, err = call(
        "detect",
        pictures / "a.png",
        pictures / "wide.png",
        "--draw",
        "--out",
        tmp_path / "out",
    )
    assert code == 1
    assert "wide.png" in err.splitlines()[-2]
    assert (tmp_path / "out" / "a.drawn.jpg").exists()
    code, _, err = call("draw", pictures / "wide.png", "--out", tmp_path / "w.webp")
    assert code == 1
    assert "cannot be written" in err
    long = pictures / f"{'n' * 246}.png"
    long.write_bytes((pictures / "a.png").read_bytes())
    assert call("detect", long, "--out", tmp_path / "long")[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_file_names_that_are_not_valid_unicode_are_written_in_every_format(
    pictures, tmp_path
):
    odd = pictures / os.fsdecode(b"caf\xe9.png")
    odd.write_bytes((pictures / "a.png").read_bytes())
    for kind in ("json", "csv", "parquet", "coco"):
        code, _, err = call("detect", odd, "--out", tmp_path / "out", "--format", kind)
        assert (code, "Traceback" in err) == (0, False)
    assert "caf\\udce9.png" in (tmp_path / "out" / "faces.csv").read_text()


def test_an_unwritable_path_gives_a_one_line_error(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    for words in (
        ("draw", pictures / "a.png", "--out"),
        ("detect", pictures / "a.png", "--draw", "--out"),
    ):
        code, _, err = call(*words, tmp_path / "file" / "below")
        assert code == 1
        assert err.count("\n") == 1
        assert err.startswith("lineament: ")


def test_ctrl_c_exits_with_130(pictures, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakePredictor, "find", stop)
    code, _, err = call("detect", pictures / "a.png")
    assert (code, err) == (130, "")


def test_draw_writes_a_file_or_a_folder(pictures, tmp_path):
    code, out, _ = call(
        "draw", pictures / "a.png", "--out", tmp_path / "deep" / "one.png", "--sigmas"
    )
    assert code == 0
    assert out == f"{pictures}/a.png: 1 face -> {tmp_path}/deep/one.png\n"
    with Image.open(tmp_path / "deep" / "one.png") as drawn:
        assert drawn.size == (80, 60)
        assert np.ptp(np.asarray(drawn)) > 0
    code, out, err = call("draw", pictures, "--out", tmp_path / "drawn", "--no-labels")
    assert code == 1
    assert {path.name for path in (tmp_path / "drawn").rglob("*.jpg")} == {
        "a.jpg",
        "black.jpg",
        "b.jpg",
    }
    assert "broken.jpg" in err


def test_align_writes_one_crop_per_face(pictures, tmp_path):
    words = (
        "align",
        pictures / "a.png",
        "--out",
        tmp_path,
        "--boxes",
        "1,2,30,40",
        "--boxes",
        "5,6,50,60.5",
    )
    code, out, _ = call(*words)
    assert code == 0
    assert out.splitlines()[1] == f"{pictures}/a.png: face 2 -> {tmp_path}/a_2.png"
    with Image.open(tmp_path / "a_1.png") as crop:
        assert crop.size == (112, 112)
    template = tmp_path / "mine.json"
    template.write_text(
        '{"size": 64, "points": {"right_eye_center": [20, 20], "left_eye_center": [44, 20]}}'
    )
    code, out, _ = call(
        "align", pictures, "--out", tmp_path, "--template", template, "--size", 32
    )
    assert code == 1
    assert f"{pictures}/black.png: no face" in out
    with Image.open(tmp_path / "more" / "b.png") as crop:
        assert crop.size == (32, 32)


def test_align_rejects_an_unknown_template(pictures, tmp_path):
    code, _, err = call("align", pictures / "a.png", "--template", "arcface")
    assert code == 1
    assert "did you mean 'arcface112'" in err
    (tmp_path / "bad.json").write_text('{"size": 64}')
    code, _, err = call(
        "align", pictures / "a.png", "--template", tmp_path / "bad.json"
    )
    assert code == 1
    assert "bad.json: not a template" in err


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
def test_a_missing_extra_is_reported_before_any_work(
    words, package, pictures, tmp_path, monkeypatch
):
    # `lineament.cli.app` is the application; its module is found in sys.modules
    monkeypatch.setattr(
        sys.modules["lineament.cli.app"], "find_spec", lambda name: None
    )
    given = {"P": pictures, "O": tmp_path / "out", "F": tmp_path / "absent.json"}
    result = CliRunner().invoke(app, [str(given.get(word, word)) for word in words])
    assert result.exit_code == 1
    assert (
        f"{package} is not installed; type: pip install 'lineament[report]'"
        in result.stderr
    )
    assert not (tmp_path / "out").exists()


def test_printed_and_written_csv_have_the_same_precision(pictures):
    _, out, _ = call("detect", pictures / "a.png", "--format", "csv")
    numbers = [
        cell
        for cell in out.splitlines()[1].split(",")
        if "." in cell and cell.replace(".", "").isdigit()
    ]
    assert numbers
    assert max(len(number.partition(".")[2]) for number in numbers) <= 4


@pytest.mark.parametrize("to_folder", [False, True])
def test_empty_rows_list_images_without_a_face_in_csv(pictures, tmp_path, to_folder):
    words = ["detect", pictures / "a.png", pictures / "black.png", "--format", "csv"]
    words += ["--out", tmp_path / "out"] if to_folder else []

    def rows(*more):
        code, out, _ = call(*words, *more)
        assert code == 0
        text = (tmp_path / "out/faces.csv").read_text() if to_folder else out
        return list(csv.DictReader(text.splitlines()))

    assert [Path(row["image"]).name for row in rows()] == ["a.png"]
    face, empty = rows("--empty-rows")
    assert Path(empty["image"]).name == "black.png"
    assert {key: value for key, value in empty.items() if value} == {
        "image": empty["image"],
        "scheme": "ibug68",
    }
    assert face.keys() == empty.keys()
    assert None not in empty  # as many cells as columns


def test_empty_rows_of_parquet_are_null(pictures, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    code, _, _ = call(
        *("detect", pictures / "a.png", pictures / "black.png", "--empty-rows"),
        *("--format", "parquet", "--out", tmp_path / "out"),
    )
    face, empty = parquet.read_table(tmp_path / "out/faces.parquet").to_pylist()
    assert code == 0
    assert face["face"] == 0
    assert Path(empty.pop("image")).name == "black.png"
    assert empty.pop("scheme") == "ibug68"
    assert set(empty.values()) == {None}


def test_empty_rows_apply_only_to_tables(pictures, tmp_path):
    code, _, err = call("detect", pictures / "a.png", "--empty-rows")
    assert code == 2
    assert "--empty-rows needs --format csv or parquet" in err
    code, _, err = call(
        "track", pictures, "--out", tmp_path / "a.jsonl", "--empty-rows"
    )
    assert code == 2
    assert "has every frame" in err


def test_a_missing_image_is_reported_although_boxes_are_given(tmp_path):
    words = ("--boxes", "1,2,3,4", "--out", tmp_path)
    code, _, err = call("draw", tmp_path / "none.jpg", *words)
    assert code == 1
    assert "no such file" in err
