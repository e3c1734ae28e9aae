"""web.py: an int8 file rewritten for browsers gives the same predictions."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

onnx = pytest.importorskip("onnx")

from free_images import free_images
from lineament import Predictor
from lineament.cli import app
from lineament.errors import ExportError
from lineament.export.web import PRECISION, export_web_file, write_web
from lineament.inference.face_detector import FaceDetector
from lineament.inference.model_files import find_model
from lineament.inference.onnx_model import Model, session_metadata
from tiny_onnx import write_model


@pytest.fixture(scope="module", params=["fast", "accurate"])
def files(request, tmp_path_factory):
    """Return a shipped file and its conversion for browsers."""
    folder = tmp_path_factory.mktemp("web")
    source = find_model(request.param)
    export_web_file(source, folder, request.param)
    return source, folder / f"{request.param}.onnx"


def first_face():
    image = free_images()[0]
    return image, Predictor("fast")(image).boxes


def kinds(path):
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_only_the_input_is_dequantized(files):
    assert "QuantizeLinear" not in kinds(files[1])
    assert kinds(files[1]).count("DequantizeLinear") == 1
    assert kinds(files[1]).count("Conv") == kinds(files[0]).count("Conv")


def test_weights_stay_int8_in_the_file(files):
    graph = onnx.load(str(files[1])).graph
    dtypes = [tensor.data_type for tensor in graph.initializer]
    convolutions = kinds(files[1]).count("Conv")
    linear = sum(tensor.name.endswith("_bytes") for tensor in graph.initializer)
    assert dtypes.count(onnx.TensorProto.INT8) == convolutions + linear
    assert files[1].stat().st_size < files[0].stat().st_size


def test_without_the_clips_landmarks_would_leave_the_face(files, tmp_path):
    """The quantizer folded the ReLUs into its ranges."""
    model = onnx.load(str(files[1]))
    for node in model.graph.node:
        if node.output[0].endswith("_clipped"):
            node.op_type = "Identity"
            del node.input[1:]
    onnx.save(model, str(tmp_path / "unclipped.onnx"))
    (image, box), size = first_face(), Model(files[1], 1).size
    web, unclipped = (
        Predictor(path, recrop=None)(image, box).landmarks
        for path in (files[1], tmp_path / "unclipped.onnx")
    )
    pixel = 1.3 * (box[0, 2] - box[0, 0]) / size
    moves = np.linalg.norm(web - unclipped, axis=2) / pixel
    assert np.median(moves) > 10


def test_landmarks_move_less_than_int8_allows(files):
    """20 free images: the median point at most half a pixel of the crop, as in export/gate.py."""
    images = free_images()
    shipped, web = (Predictor(path, recrop=None) for path in files)
    assert len(images) == 20
    moves = []
    for image in images[::2]:
        box = shipped(image).boxes[:1]
        pixel = shipped.model.padding * (box[0, 2] - box[0, 0]) / shipped.model.size
        moved = shipped(image, box).landmarks - web(image, box).landmarks
        moves.append(np.linalg.norm(moved, axis=2) / pixel)
    assert np.median(moves) <= 0.5


def test_metadata_and_card_state_the_precision(files):
    shipped, web = (Model(path, 1) for path in files)
    assert session_metadata(web.session) == (
        session_metadata(shipped.session) | {"precision": PRECISION}
    )
    assert web.card["precision"] == PRECISION
    assert web.card["made_from"] == shipped.card["sha256"]
    assert web.card["bytes"] == files[1].stat().st_size
    # measured with the other file
    assert "figures" not in web.card
    assert web.card["license"] == shipped.card["license"]


def test_the_detector_finds_the_same_faces(tmp_path):
    export_web_file(find_model("detector"), tmp_path, "detector")
    shipped, web = FaceDetector(), FaceDetector(tmp_path / "detector.onnx")
    assert web.threshold == shipped.threshold
    for image in free_images()[:4]:
        found, other = shipped(image), web(image)
        assert len(found) == len(other) > 0
        side = (found.boxes[:, 2:] - found.boxes[:, :2]).max()
        assert np.abs(found.boxes - other.boxes).max() < 0.05 * side
        np.testing.assert_allclose(found.scores, other.scores, atol=0.05)


def test_a_float_file_is_rejected(tmp_path):
    path = write_model(tmp_path / "tiny.onnx")
    with pytest.raises(ExportError, match="not quantized; expected an int8 file"):
        write_web(path, tmp_path / "web.onnx")
    assert not (tmp_path / "web.onnx").exists()


def test_the_command_accepts_a_name_or_a_file(tmp_path):
    given = ["export", "fast", "--to", "web", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'fast.onnx'}  1.7 MB  {PRECISION}" in done.output
    assert json.loads((tmp_path / "fast.json").read_text())["name"] == "fast"
    same = CliRunner().invoke(app, [*given, "--name", "fast"])
    assert same.exit_code == 0
    again = ["export", str(tmp_path / "fast.onnx"), "--to", "web"]
    replaced = CliRunner().invoke(app, [*again, "--out", str(tmp_path)])
    assert replaced.exit_code == 1
    assert "give another --out or --name" in replaced.output
    again += ["--name", "x"]
    failed = CliRunner().invoke(app, [*again, "--out", str(tmp_path)])
    assert failed.exit_code == 1
    assert "fast.onnx is not quantized" in failed.output
