"""Entry points: another distribution adds models, readers, detectors and schemes by name."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from commands import call
from lineament import Predictor, list_models, load_model
from lineament.cli.options import with_digest
from lineament.data.readers.registry import data_set, read_data
from lineament.errors import DataError, ExtraError, ModelError, SchemeError
from lineament.plugins.entry_points import MODELS, plugin_names
from lineament.schemes import scheme

MODULE = """
    from pathlib import Path

    from lineament.data.readers.registry import ANY, DataSet
    from lineament.data.sample import Sample

    HERE = Path(__file__).parent


    def tiny():
        return HERE / "tiny.onnx"


    def text():
        return HERE / "fake_faces.py"


    def two():
        return HERE / "fake-two.toml"


    def corner():
        return lambda image: [[0, 0, 20, 20, 0.9]]


    def read(folder, part):
        return [Sample(folder / "a.png", [[1.0, 2.0], [3.0, 4.0]], "fake-two", "a")]


    frames = DataSet("Frames", "two points", read, ANY)
    number = 7
"""
ENTRY_POINTS = """
    [lineament.models]
    fake-tiny = fake_faces:tiny
    fake-text = fake_faces:text
    fake-number = fake_faces:corner
    fake-absent = fake_faces:nothing

    [lineament.schemes]
    fake-two = fake_faces:two

    [lineament.detectors]
    fake-corner = fake_faces:corner

    [lineament.readers]
    fake-frames = fake_faces:frames
    fake-seven = fake_faces:number
"""
SCHEME = """
    points = ["right_eye", "left_eye"]
    mirror = [["right_eye", "left_eye"]]
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a distribution `fake-faces`, as pip would install it, and put it on the path."""
    metadata = "Metadata-Version: 2.1\nName: fake-faces\nVersion: 1.0\n"
    texts = {
        "fake_faces.py": MODULE,
        "fake-two.toml": SCHEME,
        "fake_faces-1.0.dist-info/METADATA": metadata,
        "fake_faces-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("fake_faces", None)


def test_without_plugins_there_are_no_additional_names():
    assert plugin_names(MODELS) == []


def test_a_model_of_another_package_is_accepted_by_name_everywhere(package):
    pytest.importorskip("onnx")
    from tiny_onnx import write_model

    path = write_model(package / "tiny.onnx")
    assert load_model("fake-tiny") is load_model(path)
    assert with_digest("fake-tiny").startswith("fake-tiny ")
    faces = Predictor("fake-tiny")(np.full((40, 40, 3), 255, np.uint8), [[0, 0, 9, 9]])
    assert faces.scheme == "five"


def test_models_of_other_packages_are_listed(package, monkeypatch):
    file = package / "fake_faces-1.0.dist-info/entry_points.txt"
    file.write_text("[lineament.models]\nfake-tiny = fake_faces:tiny\n")
    (package / "tiny.onnx").write_bytes(b"")
    (package / "tiny.json").write_text('{"points": 5, "scheme": "five"}')
    card = list_models()[-1]
    assert card == {"name": "fake-tiny", "points": 5, "scheme": "five"}
    code, out, _ = call("models")
    assert code == 0
    assert "fake-tiny" in out


def test_a_scheme_of_another_package_has_its_name(package):
    assert scheme("fake-two").points == ("right_eye", "left_eye")


def test_a_detector_of_another_package_is_chosen_by_name(package, tmp_path):
    from PIL import Image

    path = tmp_path / "gray.png"
    Image.fromarray(np.full((40, 40, 3), 128, np.uint8)).save(path)
    words = ("detect", path, "--detector", "fake-corner", "--min-presence", 0)
    code, out, err = call(*words)
    assert (code, err) == (0, "")
    assert '"box": [0.0, 0.0, 20.0, 20.0], "score": 0.9' in out
    code, _, err = call(*words, "--min-face", "40px")
    assert code == 2
    assert "omit it for fake-corner" in " ".join(err.split())


def test_a_reader_of_another_package_is_chosen_by_name(package):
    (face,) = read_data("fake-frames", Path("/faces"), "all")
    assert face.image == Path("/faces/a.png")
    assert data_set("fake-frames").title == "Frames"


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: load_model("fake-tyni"), ModelError, "did you mean 'fake-tiny'"),
        (lambda: load_model("fake-text"), ModelError, r"expected \.onnx or"),
        (lambda: load_model("fake-number"), ExtraError, "not the path of a file"),
        (lambda: load_model("fake-absent"), ExtraError, "update or uninstall fake-fac"),
        (
            lambda: data_set("fake-seven"),
            DataError,
            "is of type int; expected a lineament",
        ),
        (lambda: data_set("fake-frame"), DataError, "did you mean 'fake-frames'"),
        (lambda: scheme("fake-tow"), SchemeError, "did you mean 'fake-two'"),
    ],
)
def test_a_wrong_name_or_entry_point_raises_a_clear_error(package, use, error, message):
    with pytest.raises(error, match=message):
        use()
