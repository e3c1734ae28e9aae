"""Labels survive the round trip between all formats, to a hundredth of a pixel."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from lineament.cli.annotations import LabelFormat
from lineament.data.label_files import FORMATS, write_label_files
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.io.label_studio import label_studio_config
from lineament.io.pixel_origin import FIRST_PIXEL
from lineament.schemes import check_scheme, scheme
from tiny_sets import picture, text

SIZE = (641, 479)
READER = {"pts": "review", "dlib-whole": "dlib", "cvat-points": "cvat"}
"""Readers whose names are not those of the formats."""
KEEPS_OCCLUSION = {"coco", "cvat", "label-studio", "yolo", "csv", "pts"}


@pytest.fixture
def own(tmp_path):
    """Return the name of a scheme of three points."""
    lines = 'points = ["left_eye", "right_eye", "mouth"]\nname = "files3"'
    return check_scheme(str(text(tmp_path / "own.toml", lines)))


def samples(folder: Path, name: str, missing: bool = True) -> list[Sample]:
    """Two faces of one image and one of another, a point occluded and one missing."""
    rng = np.random.default_rng(0)
    count = len(scheme(name))
    made = []
    for image, label in (("a.jpg", "a"), ("b/c.jpg", "c"), ("b/c.jpg", "c#2")):
        path = folder / image
        if not path.is_file():
            picture(path, size=SIZE[::-1])
        landmarks = rng.uniform(1, 470, (count, 2))
        visible = np.ones(count, np.bool_)
        visible[1] = False
        # a point that one face has and another lacks
        if missing and label == "c":
            landmarks[2], visible[2] = np.nan, False
        face = Sample(path, landmarks, name, label, np.array([1.5, 2.25, 300, 400]))
        made.append(replace(face, visible=visible))
    return made


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["ibug68", "files3"])
def test_labels_survive_the_round_trip(kind, name, tmp_path, own):
    given = samples(tmp_path / "photos", name)
    out = tmp_path / "labels"
    write_label_files(given, kind, out)
    reader = READER.get(kind, kind)
    stated = "" if reader == "review" else str(name)
    data = OwnData(scheme=stated, pictures=tmp_path / "photos", needs_images=True)
    back = read_data(reader, out, "all", data)
    assert [str(face.scheme) for face in back] == [name] * 3
    far = 0.5001 if kind == "dlib-whole" else 0.01
    for face, sample in zip(given, back, strict=True):
        assert sample.image.resolve() == face.image.resolve()
        assert np.nanmax(np.abs(face.landmarks - sample.landmarks)) < far
        missing = np.isnan(face.landmarks)
        assert np.array_equal(np.isnan(sample.landmarks), missing)
        if kind in KEEPS_OCCLUSION:
            known = ~missing.any(1)
            assert np.array_equal(sample.visible[known], face.visible[known])
        if sample.box is not None:  # CVAT has none, dlib's are whole pixels
            assert np.abs(sample.box - face.box).max() < 1.01


@pytest.mark.parametrize("source", FIRST_PIXEL)
def test_the_first_pixel_has_the_documented_coordinate(source, tmp_path):
    """The center of the first pixel, (0, 0) in memory, has the stated coordinate in a file."""
    five = samples(tmp_path / "photos", "five", missing=False)[:1]
    landmarks = five[0].landmarks.copy()
    landmarks[0] = 0.0, 0.0
    write_label_files([replace(five[0], landmarks=landmarks)], source, tmp_path / "o")
    first = FIRST_PIXEL[source]
    content = "".join(
        path.read_text() for path in (tmp_path / "o").rglob("*") if path.is_file()
    )
    written = {
        "pts": f"{first:.3f} {first:.3f}",
        "coco": f'"keypoints": [{first}, {first}, 2',
        "cvat": f'points="{first:.4f},{first:.4f}"',
        "label-studio": f'"x": {100 * first / SIZE[0]}, "y": {100 * first / SIZE[1]}',
        "yolo": f" {first:.8f} {first:.8f} 2",
        "dlib": f'x="{first:.4f}" y="{first:.4f}"',
        "csv": f",{first:.4f},{first:.4f},1",
    }
    assert written[source] in content


def test_the_docs_list_the_first_pixel_of_every_format():
    page = (Path(__file__).parents[1] / "docs/review.md").read_text()
    table = page.partition("| format | center of the first pixel |")[2]
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", table, re.MULTILINE)
    assert {name: float(value) for name, value in rows} == FIRST_PIXEL


def test_a_file_with_another_origin_is_read_with_the_stated_one(tmp_path):
    five = samples(tmp_path / "photos", "five", missing=False)
    write_label_files(five, "coco", tmp_path / "coco")
    stated = OwnData(first_pixel=0.5, pictures=tmp_path / "photos")
    back = read_data("coco", tmp_path / "coco", "all", stated)
    # such as CVAT's export to COCO, which keeps CVAT's coordinates
    assert np.allclose(back[0].landmarks, five[0].landmarks - 0.5)
    with pytest.raises(DataError, match="defines its own first_pixel"):
        read_data("300w", tmp_path, "train", OwnData(first_pixel=1.0))


def test_names_of_images_are_relative(tmp_path):
    five = samples(tmp_path / "photos", "five", missing=False)
    write_label_files(five, "cvat", tmp_path / "x/labels")
    root = ElementTree.parse(tmp_path / "x/labels/annotations.xml").getroot()
    assert [image.get("name") for image in root.iter("image")] == ["a.jpg", "b/c.jpg"]
    write_label_files(five, "dlib", tmp_path / "x/labels")
    root = ElementTree.parse(tmp_path / "x/labels/faces.dlib.xml").getroot()
    # dlib opens images from the folder of the file
    names = [image.get("file") for image in root.iter("image")]
    assert names == ["../../photos/a.jpg", "../../photos/b/c.jpg"]
    write_label_files(five, "pts", tmp_path / "x/pts")
    record = json.loads((tmp_path / "x/pts/b/c_2.face.json").read_text())
    assert record["image"] == "../../../photos/b/c.jpg"


def test_labels_of_label_studio_are_numbered_in_the_order_of_the_scheme():
    root = ElementTree.fromstring(label_studio_config("five"))
    points = root.find("KeyPointLabels")
    stated = [(label.get("value"), label.get("model_index")) for label in points]
    names = scheme("five").points
    assert stated == [(point, str(index)) for index, point in enumerate(names)]


def test_an_unwritable_file_gives_a_one_line_error(tmp_path):
    five = samples(tmp_path, "five", missing=False)
    other = samples(tmp_path, "ibug68", missing=False)
    with pytest.raises(DataError, match="no faces to write"):
        write_label_files([], "coco", tmp_path / "o")
    with pytest.raises(
        DataError, match=r"several schemes .five, ibug68.; write one file"
    ):
        write_label_files([*five, *other], "coco", tmp_path / "o")
    with pytest.raises(DataError, match="is a frame of"):
        write_label_files([replace(five[0], frame=3)], "coco", tmp_path / "o")
    with pytest.raises(DataError, match="unknown format 'coko'; did you mean"):
        write_label_files(five, "coko", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_label_studios_sdk_accepts_tasks_and_interface(tmp_path):
    """Needs an environment with the SDK, which pins many packages."""
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    five = samples(tmp_path / "photos", "five")
    write_label_files(five, "label-studio", tmp_path)
    interface = interfaces.LabelInterface(
        (tmp_path / "config.label-studio.txt").read_text()
    )
    interface.validate()
    tasks = json.loads((tmp_path / "tasks.label-studio.json").read_text())
    for task in tasks:
        assert interface.validate_prediction(task["predictions"][0])


def test_the_command_offers_every_format():
    assert {str(name) for name in LabelFormat} == set(FORMATS)
