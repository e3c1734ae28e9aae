"""Faces survive a round trip through COCO, CVAT and Label Studio to 0.01 pixels."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.errors import DataError, SchemeError
from lineament.face import Face, Faces
from lineament.io.coco import faces_to_coco
from lineament.io.cvat import faces_to_cvat
from lineament.io.label_studio import faces_to_label_studio
from lineament.io.yolo import faces_to_yolo
from lineament.schemes import check_scheme
from tiny_sets import picture, text

SIZE = (641, 479)
WRITERS = {
    "coco": ("a.json", lambda *given: json.dumps(faces_to_coco(*given))),
    "cvat": ("a.xml", faces_to_cvat),
    "label-studio": (
        "a.json",
        lambda *given: json.dumps(faces_to_label_studio(*given)),
    ),
}


def faces(name, count, number=2):
    rng = np.random.default_rng(0)
    made = []
    for _ in range(number):
        points = rng.uniform(0, 479, (count, 2))
        visible = np.ones(count)
        visible[1] = 0.2
        ones = np.ones(count)
        box = np.array([1.5, 2.25, 300, 400])
        made.append(Face(points, ones, ones, box, 1.0, name, visible=visible))
    return Faces(tuple(made), name, count, SIZE)


@pytest.mark.parametrize("tool", WRITERS)
@pytest.mark.parametrize("name", ["ibug68", "own"])
def test_landmarks_survive_the_round_trip(tool, name, tmp_path):
    count = 68
    if name == "own":
        count = 3
        points = 'points = ["left_eye", "right_eye", "mouth"]\nname = "tools3"'
        name = check_scheme(str(text(tmp_path / "own.toml", points)))
    file, write = WRITERS[tool]
    found = faces(name, count)
    picture(tmp_path / "photos/b.jpg")
    nobody = Faces((), name, count, SIZE)
    results = [("photos/a.jpg", nobody), ("photos/b.jpg", found)]
    text(tmp_path / file, write(results, name))
    lines = []
    own = OwnData(wanted=name, note=lines.append, needs_images=True)
    back = read_data(tool, tmp_path, "all", own)
    assert [sample.scheme for sample in back] == [name, name]
    for face, sample in zip(found, back, strict=True):
        assert np.abs(face.landmarks - sample.landmarks).max() < 0.01
        assert np.array_equal(sample.visible, ~face.occluded)
        assert sample.image == tmp_path / "photos/b.jpg"
        assert sample.stated_size == SIZE
    assert not any("number alone" in line for line in lines)


def test_cvat_declares_the_points_of_its_skeleton():
    root = ElementTree.fromstring(faces_to_cvat([], "five").partition("\n")[2])
    names = [label.findtext("name") for label in root.iter("label")]
    assert names[0] == "face"
    assert names[1] == "right_eye_center"
    assert {label.findtext("parent") for label in root.iter("label")} == {None, "face"}


def test_label_studio_needs_the_size_of_an_image():
    found = faces("five", 5)
    unknown = Faces(found.faces, "five", 5)
    with pytest.raises(DataError, match=r"the size of 'a\.jpg' is unknown"):
        faces_to_label_studio([("a.jpg", unknown)], "five")


@pytest.mark.parametrize("write", [faces_to_cvat, faces_to_label_studio])
def test_faces_of_another_scheme_are_rejected(write):
    with pytest.raises(SchemeError, match="are five, not ibug68"):
        write([("a.jpg", faces("five", 5))], "ibug68")


def test_any_file_name_survives_label_studio(tmp_path):
    name = "a b#1&2+3%41é?.jpg"
    picture(tmp_path / name)
    tasks = faces_to_label_studio([(name, faces("ibug68", 68, 1))], "ibug68")
    place = tasks[0]["data"]["image"]
    assert place == "/data/local-files/?d=a%20b%231%262%2B3%2541%C3%A9%3F.jpg"
    text(tmp_path / "a.json", json.dumps(tasks))
    own = OwnData(wanted="ibug68", needs_images=True, note=lambda line: None)
    (sample,) = read_data("label-studio", tmp_path, "all", own)
    assert sample.image == tmp_path / name
    assert sample.name.startswith("a b#1&2+3%41é?.jpg")


def test_yolo_labels_stay_in_their_folder():
    with pytest.raises(DataError, match="outside the folder of images"):
        faces_to_yolo([("../../x.jpg", Faces((), "five", 5, SIZE))], "five")
