"""Splits of YOLO labels are those of the .yaml file, and folders of labels only without them."""

import pytest

from lineament.data.readers.find_annotations import Annotations, find_annotations
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.errors import DataError
from tiny_sets import picture, text

LINE = "0 0.5 0.5 0.5 0.5 " + " ".join(f"0.{i} 0.5 2" for i in range(1, 6)) + "\n"


def write(folder, *names, yaml="", kpt_shape="[5, 3]"):
    """Write an image and labels for each name such as a/1, and a data.yaml."""
    for name in names:
        picture(folder / f"images/{name}.jpg")
        text(folder / f"labels/{name}.txt", LINE)
    return text(folder / "data.yaml", f"kpt_shape: {kpt_shape}\n{yaml}")


def splits(found):
    return [(each.location.name, each.split) for each in found]


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        (
            "train: images/a\nval: images/b\n",
            [("a", "train"), ("b", "validation")],
        ),
        (
            "path: .\ntrain: images/a\nval:\n  - images/b\n  - images/c\n",
            [("a", "train"), ("b", "validation"), ("c", "validation")],
        ),
        (
            "train: ../images/a\nval: [../images/b]\ntest: ../images/c\n",
            [("a", "train"), ("b", "validation"), ("c", "test")],
        ),
        # paths of another computer
        (
            "path: /home/ann/faces\ntrain: images/a\nval: images/c\n",
            [("a", "train"), ("c", "validation")],
        ),
    ],
)
def test_splits_are_those_of_the_description(yaml, expected, tmp_path):
    path = write(tmp_path, "a/1", "b/1", "c/1", yaml=yaml)
    assert splits(find_annotations(tmp_path)) == expected
    assert splits(find_annotations(path)) == expected


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images\nval: images\n",
        "train: images\nval: images/b\n",
        "train: images/a\nval: images/elsewhere\n",
        "val: images/b\n",
        "",
    ],
)
def test_a_description_without_splits_of_its_own_leaves_the_set_whole(yaml, tmp_path):
    write(tmp_path, "a/1", "b/1", yaml=yaml)
    assert find_annotations(tmp_path) == [Annotations("yolo", tmp_path)]


def test_folders_of_labels_may_have_the_names_of_cocos_and_lists_of_classes(tmp_path):
    write(tmp_path, "train2017/1", "val2017/1")
    text(tmp_path / "labels/classes.txt", "face\n")
    text(tmp_path / "labels/read me.txt", "all of the faces are from one day\n")
    expected = [("train2017", "train"), ("val2017", "validation")]
    assert splits(find_annotations(tmp_path)) == expected


def test_lists_of_images_are_splits(tmp_path):
    write(tmp_path, "1", "2", "3", yaml="train: train.txt\nval: val.txt\n")
    text(tmp_path / "train.txt", "./images/1.jpg\nC:\\faces\\images\\3.jpg\n\n")
    text(tmp_path / "val.txt", "/home/ann/faces/images/2.jpg\n")
    training, validation = find_annotations(tmp_path)
    assert (training.part, validation.part) == ("train.txt", "val.txt")
    own = OwnData("five", needs_images=True)
    faces = read_data("yolo", tmp_path, "train.txt", own)
    assert [face.image.name for face in faces] == ["1.jpg", "3.jpg"]
    (face,) = read_data("yolo", tmp_path, "val.txt", own)
    assert face.image == tmp_path / "images/2.jpg"
    assert find_annotations(tmp_path / "val.txt") == [validation]


def test_a_list_of_other_things_is_rejected(tmp_path):
    write(tmp_path, "1")
    text(tmp_path / "train.txt", "images/1.jpg\nimages\n")
    with pytest.raises(DataError, match="'images' is not an image; expected one image"):
        read_data("yolo", tmp_path, "train.txt", OwnData("five"))


def test_the_description_stands_for_its_folder(tmp_path):
    path = write(tmp_path, "1", "2")
    own = OwnData("five", needs_images=True)
    assert len(read_data("yolo", path, "all", own)) == 2


def test_confidences_of_predictions_are_not_taken_for_flags(tmp_path):
    write(tmp_path, "1", "2")
    numbers = LINE.split()
    numbers[7::3] = ["0", "0.2", "0.5", "0.9", "1"]
    text(tmp_path / "labels/1.txt", " ".join(numbers))
    notes = []
    faces = read_data("yolo", tmp_path, "all", OwnData("five", note=notes.append))
    assert faces[0].visible.tolist() == [False, False, True, True, True]
    assert faces[1].visible.all()
    assert "taken for confidences" in notes[0]
