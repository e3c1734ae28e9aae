"""Faults of label files that would silently move, exchange or drop points are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lineament.data.label_checks import check_labels
from lineament.data.mixture import read_part
from lineament.data.readers.coco_scheme import scheme_from_coco
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.io.pts import format_pts
from tiny_sets import picture, shape, text

NAMES = ("right", "left", "chin")
BOX = "<box top='0' left='0' width='9' height='9'>"


def coco(images, annotations, categories):
    """Return a COCO file of entries without ids, which are numbered from 1."""
    table = {"images": images, "annotations": annotations, "categories": categories}
    for entries in table.values():
        for number, entry in enumerate(entries, 1):
            entry.setdefault("id", number)
    return json.dumps(table)


def face(points, category=1, image=1):
    keypoints = [value for x, y in points for value in (float(x), float(y), 2)]
    return {"image_id": image, "category_id": category, "keypoints": keypoints}


def test_two_images_with_the_same_id_are_rejected(tmp_path):
    # as two COCO files merged by joining their lists
    images = [{"file_name": "a.jpg", "id": 1}, {"file_name": "b.jpg", "id": 1}]
    table = coco(images, [face(shape(5))], [{"name": "face"}])
    path = text(tmp_path / "a.json", table)
    with pytest.raises(
        DataError, match=r"'a\.jpg' and 'b.jpg' have the same id 1; give"
    ):
        read_data("coco", path, "all")
    text(path, table.replace("b.jpg", "a.jpg"))
    assert len(read_data("coco", path, "all")) == 1


def test_two_categories_with_the_same_name_or_id_are_rejected(tmp_path):
    categories = [
        {"name": "face", "keypoints": list(NAMES)},
        {"name": "face", "keypoints": list(NAMES[::-1])},
    ]
    faces = [face(shape(3), 1), face(shape(3), 2)]
    table = coco([{"file_name": "a.jpg"}], faces, categories)
    path = text(tmp_path / "a.json", table)
    with pytest.raises(DataError, match="two categories 'face' list different keypoi"):
        read_data("coco", path, "all")
    categories = [categories[0] | {"id": 1}, {"name": "cat", "id": 1}]
    text(path, coco([{"file_name": "a.jpg"}], faces[:1], categories))
    with pytest.raises(DataError, match="'face' and 'cat' have the same id 1"):
        read_data("coco", path, "all")


def test_a_mirror_is_inferred_from_the_faces_of_its_category_only(tmp_path):
    points = np.array([[-30.0, 0], [-10, 40], [10, 40], [30, 0]])
    others = points[[0, 3, 1, 2]]
    names = [str(number) for number in range(4)]
    categories = [{"name": each, "keypoints": names} for each in ("face", "cat")]
    faces = [face(others + 100, 2), face(others + 90, 2), face(points + 100, 1)]
    path = text(tmp_path / "a.json", coco([{"file_name": "a"}], faces, categories))
    assert scheme_from_coco(path, "x", "face").mirror.tolist() == [3, 2, 1, 0]


def test_the_size_that_imglab_writes_is_compared_with_the_image(tmp_path):
    parts = "".join(f"<part name='{n}' x='{n}' y='{n * n}'/>" for n in range(5))
    box = f"<box top='0' left='0' width='9' height='9'>{parts}</box>"
    image = f"<image file='a.png' width='32' height='24'>{box}</image>"
    path = text(tmp_path / "a.xml", f"<dataset><images>{image}</images></dataset>")
    picture(tmp_path / "a.png")
    (face,) = read_data("dlib", path, "all", OwnData(scheme="five"))
    assert face.stated_size == (32, 24)
    with pytest.raises(DataError, match="16 x 12 pixels instead of 32 x 24"):
        check_labels([face], "a.xml")


def test_two_parts_with_the_same_name_are_rejected(tmp_path):
    parts = "".join(
        f"<part name='{i}' x='{i}' y='{2 * i}'/>" for i in (0, 1, 2, 3, 4, 4)
    )
    path = text(
        tmp_path / "a.xml", f"<a><image file='a.jpg'>{BOX}{parts}</box></image></a>"
    )
    with pytest.raises(DataError, match=r"box 1 of 'a\.jpg': two parts '4'; expected"):
        read_data("dlib", path, "all")


def test_faces_of_an_image_that_is_listed_twice_have_different_names(tmp_path):
    parts = "".join(f"<part name='{i}' x='{i}' y='{2 * i}'/>" for i in range(5))
    image = f"<image file='a.jpg'>{BOX}{parts}</box></image>"
    path = text(tmp_path / "a.xml", f"<dataset><images>{image * 2}</images></dataset>")
    faces = read_data("dlib", path, "all", OwnData("five"))
    assert [each.name for each in faces] == ["a.jpg", "a.jpg#2"]


def test_two_points_with_the_same_name_in_a_skeleton_are_rejected(tmp_path):
    points = "".join(f"<points label='{n}' points='1,2'/>" for n in "123455")
    skeleton = f"<skeleton label='face'>{points}</skeleton>"
    path = text(
        tmp_path / "a.xml",
        f"<annotations><image name='a.jpg'>{skeleton}</image></annotations>",
    )
    with pytest.raises(DataError, match="two points '5' in a skeleton"):
        read_data("cvat", path, "all")


@pytest.mark.parametrize("more", [{"to_name": "second"}, {"item_index": 1}])
def test_points_on_several_images_of_a_task_are_rejected(more, tmp_path):
    results = []
    for number in range(5):
        value = {"x": 10.0 * number, "y": 5.0, "keypointlabels": [str(number)]}
        size = {"original_width": 200, "original_height": 100, "to_name": "first"}
        results.append({"type": "keypointlabels", "value": value, **size})
    task = {"id": 3, "data": {"one": "a.jpg", "two": "b.jpg"}}
    task["annotations"] = [{"result": results}]
    path = text(tmp_path / "a.json", json.dumps([task]))
    assert len(read_data("label-studio", path, "all", OwnData("five"))) == 1
    results[4] |= more
    text(path, json.dumps([task]))
    with pytest.raises(DataError, match="task 3: points on several images; give each"):
        read_data("label-studio", path, "all", OwnData("five"))


def test_a_point_after_a_brace_is_read(tmp_path):
    picture(tmp_path / "a.jpg")
    lines = format_pts(shape(6)).replace("{\n", "{ ").splitlines()
    text(tmp_path / "a.pts", "\n".join(line for line in lines if "n_" not in line))
    with pytest.raises(DataError, match="6 points"):
        read_data("folder", tmp_path, "all", OwnData("five"))
    text(tmp_path / "a.pts", format_pts(shape(5)).replace("{\n", "{ "))
    (read,) = read_data("folder", tmp_path, "all", OwnData("five"))
    assert np.array_equal(read.landmarks, shape(5))


def test_points_are_not_given_the_image_of_another_folder(tmp_path):
    for name in "ab":
        text(tmp_path / f"labels/{name}/1.pts", format_pts(shape(5)))
    picture(tmp_path / "photos/a/1.jpg")
    own = OwnData("five", pictures=tmp_path / "photos")
    with pytest.raises(
        DataError, match=r"b/1\.pts: its image is missing, and .*a/1\.jpg"
    ):
        read_data("folder", tmp_path / "labels", "all", own)
    # two people may label the same photos
    picture(tmp_path / "flat/1.jpg")
    flat = replace(own, pictures=tmp_path / "flat")
    found = read_data("folder", tmp_path / "labels", "all", flat)
    assert [each.image for each in found] == [tmp_path / "flat/1.jpg"] * 2


def labeled(folder, **changes):
    """Return three faces in images of 60 x 40 pixels, the second one changed."""
    faces = []
    for number in range(3):
        path = picture(folder / f"{number}.png", size=(40, 60))
        points = shape(5) + number
        faces.append(Sample(path, points, "five", path.name, stated_size=(60, 40)))
    faces[1] = replace(faces[1], **changes)
    return faces


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stated_size": (120, 80)},
            "1 of 3 faces are in images of another size than stated in the labels, e.g. 1.png: "
            "60 x 40 pixels instead of 120 x 80; use the images that were annotated",
        ),
        ({"stated_size": (40, 60)}, "width and height are exchanged, as without the EXIF"),
        (
            {"landmarks": shape(5) * [1000, 1]},
            "1 of 3 faces have points far outside their images, e.g. 1.png: x from 10000 to 14000 "
            "and y from 5 to 13 in 60 x 40 pixels",
        ),
        # all of them, but not far
        ({"landmarks": shape(5) + 50}, "points far outside their images, e.g. 1.png"),
        ({"landmarks": shape(5) / 60}, "1 of 3 faces have coordinates of at most 1.5"),
    ],
)  # fmt: skip
def test_points_that_cannot_be_right_are_rejected(changes, message, tmp_path):
    with pytest.raises(DataError) as error:
        check_labels(labeled(tmp_path, **changes), "here")
    assert str(error.value).startswith("here: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_points_that_may_be_right_are_kept(tmp_path):
    # faces that are partly outside, by less than the longer side of the image
    for points in (shape(5) - 12, shape(5) * 5):
        faces = labeled(tmp_path, landmarks=points)
        assert check_labels(faces, "here") == faces
    missing = labeled(tmp_path, image=tmp_path / "absent.png", stated_size=(9, 9))
    assert check_labels(missing, "here") == missing


def test_faces_without_points_are_skipped_and_counted(tmp_path):
    nothing = np.full((5, 2), np.nan)
    notes = []
    faces = labeled(tmp_path, landmarks=nothing)
    kept = check_labels(faces, "here", notes.append)
    assert [face.name for face in kept] == ["0.png", "2.png"]
    assert notes == [
        "here: 1 of 3 faces have no annotated point, e.g. 1.png; they are skipped"
    ]
    bare = [replace(face, landmarks=nothing) for face in faces]
    with pytest.raises(DataError, match="none of 3 faces has an annotated point"):
        check_labels(bare, "here")


def test_training_counts_faces_of_too_few_points(tmp_path):
    rows = ["image,x_0,y_0,x_1,y_1,x_2,y_2,x_3,y_3,x_4,y_4"]
    for number in range(3):
        picture(tmp_path / f"{number}.png", size=(40, 60))
        cells = ["11", "12"] + [""] * 8 if number else shape(5).ravel().tolist()
        rows.append(",".join(map(str, [f"{number}.png", *cells])))
    text(tmp_path / "a.csv", "\n".join(rows))
    notes = []
    own = OwnData("five", needs_images=True)
    faces = read_part("csv", tmp_path, "", "five", str(tmp_path), notes.append, own)
    assert len(faces) == 1
    assert "2 of 3 faces have fewer than two annotated points, e.g. 1.png" in notes[-1]


def test_infinite_coordinates_are_not_annotated(tmp_path):
    points = [[float(x), float(y)] for x, y in shape(5)]
    points[2][0] = float("inf")
    table = coco([{"file_name": "a.jpg"}], [face(points)], [{"name": "face"}])
    (read,) = read_data(
        "coco", text(tmp_path / "a.json", table), "all", OwnData("five")
    )
    assert np.isnan(read.landmarks).all(1).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a["keypoints"].pop(), "14 numbers in keypoints; expected 15, x, y, v"),
        (
            lambda a: a.update(keypoints=[0.0 if i % 3 == 2 else 5.0 for i in range(15)]),
            "all keypoints of 1 annotations have v = 0",
        ),
    ],
)  # fmt: skip
def test_broken_keypoints_of_coco_give_a_one_line_error(change, message, tmp_path):
    annotation = face(shape(5))
    change(annotation)
    names = {"name": "face", "keypoints": [f"k{i}" for i in range(5)]}
    table = coco([{"file_name": "a.jpg"}], [annotation], [names])
    with pytest.raises(DataError, match=message):
        read_data("coco", text(tmp_path / "a.json", table), "all", OwnData("five"))


def test_keypoints_may_be_a_list_per_point(tmp_path):
    annotation = face(shape(5))
    numbers = annotation["keypoints"]
    annotation["keypoints"] = [numbers[i : i + 3] for i in range(0, 15, 3)]
    table = coco([{"file_name": "a.jpg"}], [annotation], [{"name": "face"}])
    (read,) = read_data(
        "coco", text(tmp_path / "a.json", table), "all", OwnData("five")
    )
    assert np.array_equal(read.landmarks, shape(5))


def test_a_pts_file_with_another_number_of_points_is_named_in_the_error(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.jpg")
        text(tmp_path / f"{number}.pts", format_pts(shape(67 if number == 2 else 68)))
    message = r"2\.pts: 67 points, but 3 of 4 files have 68; correct or remove it"
    with pytest.raises(DataError, match=message):
        read_data("folder", tmp_path, "all")
