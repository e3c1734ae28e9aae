"""YOLO pose: names and mirror of the points from data.yaml, broken lines, missing images."""

import numpy as np
import pytest

from lineament.data.label_files import write_label_files
from lineament.data.readers.find_annotations import find_annotations
from lineament.data.readers.own_data import OwnData, UnknownPointsError
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.labeling.own_scheme import read_own_faces
from lineament.schemes import check_scheme, scheme
from tiny_sets import picture, shape, text

NAMES = ["left_ear", "right_ear", "nose_tip"]
POINTS = np.array([[12.0, 4], [4, 4], [8, 9]])


def line(points=POINTS, category=0):
    """Return the label of a face in an image of 16 x 12 pixels."""
    cells = [str(category), *[".5"] * 4]
    for x, y in points:
        cells += [f"{x / 16:.6f}", f"{y / 12:.6f}", "2"]
    return " ".join(cells) + "\n"


def data_set(folder, *entries, shape_entry="kpt_shape: [3, 3]"):
    """Write a face and its description; return the folder."""
    picture(folder / "images/a.jpg")
    text(folder / "labels/a.txt", line())
    text(folder / "data.yaml", "\n".join(["path: .", shape_entry, *entries]) + "\n")
    return folder


@pytest.fixture
def ears(tmp_path):
    """Return the name of a scheme of the same points in another order."""
    lines = 'points = ["nose_tip", "right_ear", "left_ear"]\nname = "ears-of-yolo"\n'
    return check_scheme(str(text(tmp_path / "ears.toml", lines)))


@pytest.mark.parametrize(
    "entry",
    [
        'kpt_names: {0: ["left_ear", "right_ear", "nose_tip"]}',
        "kpt_names:\n  0:\n    - left_ear # first\n    - 'right_ear'\n    - nose_tip",
        "kpt_names:\n- left_ear\n- right_ear\n# the last\n- nose_tip\nnc: 1",
        "kpt_names: [left ear,\n  right ear, nose tip]",
        "kpt_names: {0: left_ear, 1: right_ear, 2: nose_tip}",
    ],
)
def test_names_put_points_in_the_order_of_the_scheme(entry, tmp_path, ears):
    folder = data_set(tmp_path / "set", "flip_idx: [1, 0, 2]", entry)
    (face,) = read_data("yolo", folder, "all", OwnData(ears))
    assert np.allclose(face.landmarks, POINTS[[2, 1, 0]], atol=1e-4)


def test_names_become_those_of_a_new_scheme(tmp_path):
    entry = 'kpt_names: {0: ["left_ear", "right_ear", "nose_tip"]}'
    folder = data_set(tmp_path, entry)
    with pytest.raises(UnknownPointsError, match="names of the 3 points fit no known"):
        read_data("yolo", folder, "all")
    (found,) = find_annotations(folder)
    (face,), made = read_own_faces(found, "ears-of-names")
    assert list(made.points) == NAMES
    assert made.mirror.tolist() == [1, 0, 2]
    assert np.allclose(face.landmarks, POINTS, atol=1e-4)


def test_the_mirror_of_unnamed_points_is_read(tmp_path):
    # a mirror that the position of the points would not give
    folder = data_set(tmp_path, "flip_idx:\n- 2\n- 1\n- 0")
    (found,) = find_annotations(folder)
    _, made = read_own_faces(found, "ears-of-flip")
    assert list(made.points) == ["p0", "p1", "p2"]
    assert made.mirror.tolist() == [2, 1, 0]


def test_a_mirror_that_contradicts_the_scheme_is_rejected(tmp_path, ears):
    entry = 'kpt_names: {0: ["left_ear", "right_ear", "nose_tip"]}'
    folder = data_set(tmp_path / "set", "flip_idx: [0, 2, 1]", entry)
    message = (
        "flip_idx swaps 'left_ear' with 'left_ear', but the scheme ears-of-yolo swaps it "
        "with 'right_ear'; correct or remove flip_idx"
    )
    with pytest.raises(DataError, match=message):
        read_data("yolo", folder, "all", OwnData(ears))
    (found,) = find_annotations(folder)
    with pytest.raises(DataError, match="'left_ear' to 'left_ear', but the names pair"):
        read_own_faces(found, "ears-of-contradiction")


def test_a_mirror_may_pair_points_whose_names_have_no_side(tmp_path):
    picture(tmp_path / "images/a.jpg")
    text(tmp_path / "labels/a.txt", line([*POINTS, (8, 9)]))
    names = "kpt_names: [left_ear, right_ear, lip_1, lip_2]"
    shape_entry = "kpt_shape: [4, 3]\nflip_idx: [1, 0, 3, 2]"
    text(tmp_path / "data.yaml", f"path: .\n{shape_entry}\n{names}\n")
    (found,) = find_annotations(tmp_path)
    _, made = read_own_faces(found, "ears-and-lips")
    assert made.mirror.tolist() == [1, 0, 3, 2]


def test_points_with_another_mirror_are_not_a_known_scheme_of_their_number(tmp_path):
    picture(tmp_path / "images/a.jpg")
    text(tmp_path / "labels/a.txt", line(shape(5) / 3))
    text(tmp_path / "data.yaml", "kpt_shape: [5, 3]\nflip_idx: [4, 3, 2, 1, 0]\n")
    with pytest.raises(UnknownPointsError, match="but the scheme five swaps it with"):
        read_data("yolo", tmp_path, "all")
    (found,) = find_annotations(tmp_path)
    _, made = read_own_faces(found, "five-of-yolo")
    assert made.mirror.tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("flip_idx: [1, 0]", "flip_idx does not swap the 3 points of kpt_shape"),
        ("flip_idx: [1, 2, 0]", "flip_idx does not swap the 3 points of kpt_shape"),
        ("flip_idx: [1, 0, x]", "flip_idx contains '1, 0, x'; expected a list of int"),
        ("kpt_names: [a, b]", "kpt_names lists 2 points, but kpt_shape has 3"),
        ("kpt_names: : a", "kpt_names lists 1 points, but kpt_shape has 3"),
        (
            "kpt_names: {0: [a, b, c], 1: [b, a, c]}",
            "kpt_names of classes 0 and 1 differ; keep the labels of one class",
        ),
    ],
)
def test_a_broken_description_gives_a_one_line_error(entry, message, tmp_path):
    folder = data_set(tmp_path, entry)
    text(folder / "labels/a.txt", line() + line(category=1))
    with pytest.raises(DataError, match=rf"data\.yaml: {message}"):
        read_data("yolo", folder, "all")


@pytest.mark.parametrize("entry", ["flip_idx: null", "kpt_names: ~", "flip_idx:"])
def test_an_empty_entry_counts_as_absent(entry, tmp_path, ears):
    folder = data_set(tmp_path / "set", entry)
    (face,) = read_data("yolo", folder, "all", OwnData(ears))
    assert np.allclose(face.landmarks, POINTS, atol=1e-4)


def test_a_commented_shape_is_not_read(tmp_path, ears):
    commented = "# kpt_shape: [17, 3]\nkpt_shape:  # points, values\n- 3\n- 3"
    folder = data_set(tmp_path / "set", shape_entry=commented)
    (face,) = read_data("yolo", folder, "all", OwnData(ears))
    assert np.allclose(face.landmarks, POINTS, atol=1e-4)


@pytest.mark.parametrize("name", ["five", "ibug68", "wflw98"])
def test_written_labels_need_no_scheme(name, tmp_path):
    points = shape(len(scheme(name)))
    image = picture(tmp_path / "photos/a.jpg", size=(250, 250))
    given = Sample(image, points, name, "a.jpg", visible=np.ones(len(points), np.bool_))
    write_label_files([given], "yolo", tmp_path / "out", tmp_path / "photos")
    notes: list[str] = []
    own = OwnData(pictures=tmp_path / "photos", note=notes.append)
    (back,) = read_data("yolo", tmp_path / "out", "all", own)
    assert back.scheme == name
    assert np.allclose(back.landmarks, points, atol=1e-4)
    assert notes == []


def test_the_first_face_of_a_file_with_a_byte_order_mark_is_read(tmp_path, ears):
    folder = data_set(tmp_path / "set")
    text(folder / "labels/a.txt", "\ufeff" + line() + line())
    assert len(read_data("yolo", folder, "all", OwnData(ears))) == 2


def test_a_broken_number_does_not_drop_its_face(tmp_path, ears):
    folder = data_set(tmp_path / "set")
    text(folder / "labels/a.txt", line() + line().replace("0.250000", "0,25"))
    text(folder / "README.txt", "3 faces are in each of the images\n")
    with pytest.raises(DataError, match=r"a\.txt:2: '0,25' is not a number; expected"):
        read_data("yolo", folder, "all", OwnData(ears))


@pytest.mark.parametrize(
    ("missing", "present"),
    [
        ("labels/train/1.txt", "labels/val/1.txt"),
        ("train/labels/1.txt", "val/labels/1.txt"),
    ],
)
def test_a_missing_image_is_not_replaced_by_that_of_another_folder(
    missing, present, tmp_path, ears
):
    for name in (missing, present):
        text(tmp_path / "set" / name, line())
    image = present.replace("labels", "images").replace(".txt", ".jpg")
    picture(tmp_path / "set" / image)
    with pytest.raises(
        DataError, match=r"1\.txt: its image is missing, and .* is that"
    ):
        read_data("yolo", tmp_path / "set", "all", OwnData(ears))


def test_labels_without_an_image_are_noted_if_images_are_not_needed(tmp_path, ears):
    folder, lines = data_set(tmp_path), []
    text(folder / "labels/b.txt", line())
    own = OwnData(ears, note=lines.append)
    assert len(read_data("yolo", folder, "all", own)) == 1
    assert any(
        "of 1 label files were not found, e.g. 'b.jpg'" in each for each in lines
    )
