"""Faults of label files that would silently move, exchange or drop points are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lineament.data.readers.coco_scheme import scheme_of_coco
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
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


def test_two_images_of_one_id_are_refused(tmp_path):
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


def test_two_categories_of_one_name_or_id_are_refused(tmp_path):
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
    assert scheme_of_coco(path, "x", "face").mirror.tolist() == [3, 2, 1, 0]


def test_two_parts_of_one_name_are_refused(tmp_path):
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


def test_two_points_of_one_name_in_a_skeleton_are_refused(tmp_path):
    points = "".join(f"<points label='{n}' points='1,2'/>" for n in "123455")
    skeleton = f"<skeleton label='face'>{points}</skeleton>"
    path = text(
        tmp_path / "a.xml",
        f"<annotations><image name='a.jpg'>{skeleton}</image></annotations>",
    )
    with pytest.raises(DataError, match="two points '5' in a skeleton"):
        read_data("cvat", path, "all")


@pytest.mark.parametrize("more", [{"to_name": "second"}, {"item_index": 1}])
def test_points_on_several_images_of_a_task_are_refused(more, tmp_path):
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
