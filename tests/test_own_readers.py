"""User data in the layouts of many tools: images, order of points, explicit settings."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from commands import call
from lineament.data.mixture import read_part, read_recipe_part
from lineament.data.readers.image_finder import ImageFinder, image_size
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import (
    detect_label_format,
    detect_table_format,
    read_data,
)
from lineament.errors import DataError
from lineament.io.image import ORIENTATION_TAG, read_image
from lineament.io.pts import format_pts
from lineament.recipe import DataPart
from lineament.schemes import check_scheme
from tiny_sets import picture, shape, text

NAMES = ["right_eye_outer", "left_eye_outer", "nose_tip", "chin"]
POINTS = np.array([[2.0, 3], [9, 3], [5, 6], [5, 11]])
SIZE = (16, 12)
"""Width and height of the images."""


@pytest.fixture
def four(tmp_path):
    """Return the name of a scheme of four points."""
    lines = f'points = {json.dumps(NAMES)}\nname = "four-of-readers"\n'
    path = text(tmp_path / "schemes/four.toml", lines)
    return check_scheme(str(path))


def coco(points=POINTS, names=None, file="a.jpg", category="face", **more):
    """Return a COCO table of one face."""
    keypoints = [v for x, y in points for v in (float(x), float(y), 2)]
    annotation = {"id": 1, "image_id": 7, "category_id": 1, "keypoints": keypoints}
    return {
        "images": [{"id": 7, "file_name": file, "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [annotation | more],
        "categories": [{"id": 1, "name": category, "keypoints": names or NAMES}],
    }


def write_json(path: Path, table: object) -> Path:
    return text(path, json.dumps(table))


def notes_of(read, *given, **stated):
    """Return the result of a reader and its notes."""
    lines: list[str] = []
    return read(*given, OwnData(**stated, note=lines.append)), lines


# images


@pytest.mark.parametrize(
    ("table", "name", "image"),
    [
        ("a.json", "a.jpg", "a.jpg"),
        ("annotations/person_keypoints_default.json", "a.jpg", "images/default/a.jpg"),
        ("annotations/person_keypoints_train2017.json", "a.jpg", "train2017/a.jpg"),
        ("annotations/instances_train.json", "x/a.jpg", "images/train/x/a.jpg"),
        ("labels.json", "a.jpg", "data/a.jpg"),
        ("result.json", "images\\a.jpg", "images/a.jpg"),
        ("train/_annotations.coco.json", "a.jpg", "train/a.jpg"),
        ("a.json", "C:\\Users\\me\\images\\a.jpg", "images/a.jpg"),
        ("a.json", "/home/me/set/photos/a.jpg", "photos/a.jpg"),
        ("a.json", "/data/upload/3/0a1b2c3d-my%20a.jpg", "pictures/my a.jpg"),
        ("a.json", "/data/local-files/?d=faces/a.jpg", "faces/a.jpg"),
        ("a.json", "https://example.com/x/a.jpg", "x/a.jpg"),
        ("a.json", "https://example.com/x/a.jpg?token=1&v=2", "x/a.jpg"),
        ("a.json", "IMAGES/A.JPG", "images/a.jpg"),
    ],
)
def test_the_image_of_a_table_is_found(table, name, image, tmp_path):
    picture(tmp_path / image)
    table_path = text(tmp_path / table, "")
    finder = ImageFinder(table_path, needed=True)
    assert finder.find(name) == tmp_path / image
    finder.check()


def test_an_absolute_path_is_used_unchanged(tmp_path):
    image = picture(tmp_path / "far/a.jpg")
    finder = ImageFinder(text(tmp_path / "near/a.json", ""))
    assert finder.find(str(image)) == image


def test_a_name_that_looks_escaped_is_tried_as_it_is(tmp_path):
    image = picture(tmp_path / "photo%201.jpg")
    finder = ImageFinder(text(tmp_path / "a.json", ""), needed=True)
    assert finder.find("photo%201.jpg") == image


def test_the_given_folder_is_searched_before_the_folder_of_the_table(tmp_path):
    picture(tmp_path / "set/photo%201.jpg")
    image = picture(tmp_path / "given/photo%201.jpg")
    table = text(tmp_path / "set/a.json", "")
    assert ImageFinder(table, tmp_path / "given").find("photo%201.jpg") == image


def test_hidden_files_of_other_systems_are_not_read(tmp_path, four):
    picture(tmp_path / "images/a.jpg")
    text(tmp_path / "labels/a.txt", yolo_line() + "\n")
    for name in ("labels/._a.txt", "__MACOSX/labels/a.txt", ".trash/labels/a.txt"):
        text(tmp_path / name, "\0\1 not a label")
    (face,) = read_data("yolo", tmp_path, "all", OwnData(scheme=four))
    assert face.image == tmp_path / "images/a.jpg"
    text(tmp_path / "labels/._a.pts", "")
    assert detect_label_format(tmp_path) == "yolo"


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_the_size_of_an_image_is_that_of_its_pixels_turned_upright(tmp_path, suffix):
    exif = PIL.Image.Exif()
    exif[ORIENTATION_TAG] = 6
    path = tmp_path / f"a.{suffix}"
    PIL.Image.new("RGB", (60, 40)).save(path, exif=exif)
    height, width, _ = read_image(path).shape
    assert (width, height) == (40, 60)
    assert image_size(path) == (40, 60)


def test_images_of_the_same_name_are_distinguished_by_path(tmp_path):
    for folder in ("one/x", "two/y"):
        picture(tmp_path / folder / "a.jpg")
    finder = ImageFinder(text(tmp_path / "a.json", ""))
    assert finder.find("/else/y/a.jpg") == tmp_path / "two/y/a.jpg"
    assert finder.find("/else/z/a.jpg") == tmp_path / "else/z/a.jpg"  # absent
    assert finder.missing == ["/else/z/a.jpg"]


def test_missing_images_are_an_error_that_lists_the_searched_folders(tmp_path, four):
    path = write_json(tmp_path / "set/a.json", coco())
    with pytest.raises(DataError) as error:
        read_part("coco", tmp_path, "", four, str(path), own=needing(four))
    message = str(error.value)
    assert "1 of 1 images were not found, e.g. 'a.jpg'" in message
    assert f"below {tmp_path / 'set'}, and in {tmp_path} and its" in message
    assert "images, data, img" in message
    assert "--pictures" in message
    picture(tmp_path / "elsewhere/a.jpg")
    own = needing(four, pictures=tmp_path / "elsewhere")
    (face,) = read_part("coco", tmp_path, "", four, str(path), own=own)
    assert face.image == tmp_path / "elsewhere/a.jpg"


def needing(name, **stated):
    return OwnData(scheme=name, needs_images=True, **stated)


def test_a_folder_with_a_table_below_annotations_is_enough(tmp_path, four):
    picture(tmp_path / "images/train/a.jpg")
    write_json(tmp_path / "annotations/person_keypoints_train.json", coco())
    (face,) = read_data("coco", tmp_path, "all", OwnData(scheme=four))
    assert face.image == tmp_path / "images/train/a.jpg"


# schemes of points


def test_names_of_a_category_are_put_in_the_order_of_the_scheme(tmp_path, four):
    order = [2, 0, 3, 1]
    names = [NAMES[i] for i in order]
    path = write_json(tmp_path / "a.json", coco(POINTS[order], names))
    (face,), lines = notes_of(read_data, "coco", path, "all", wanted=four)
    assert face.scheme == four
    assert np.array_equal(face.landmarks, POINTS)
    assert lines == []  # names are unambiguous, so there is no note


def test_names_that_match_no_scheme_are_rejected(tmp_path):
    names = [f"{side}_{i}" for side in ("left", "right") for i in range(10)] + ["tip"]
    table = coco(shape(21), names)
    path = write_json(tmp_path / "a.json", table)
    with pytest.raises(DataError, match=r"names of the 21 points fit no known scheme"):
        read_data("coco", path, "all")
    with pytest.raises(
        DataError, match=r"category 'face': aflw21 has no points left_0, "
    ):
        read_data("coco", path, "all", OwnData(scheme="aflw21"))


def test_a_subset_of_points_is_accepted_only_if_the_scheme_is_known(tmp_path):
    path = write_json(tmp_path / "a.json", coco(POINTS[:1], ["nose_tip"]))
    with pytest.raises(DataError, match="names of the 1 points fit no known scheme"):
        read_data("coco", path, "all")
    (face,) = read_data("coco", path, "all", OwnData(wanted="five"))
    assert np.isfinite(face.landmarks).all(1).tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_attributes_of_a_coco_annotation_may_be_a_list(tmp_path, four):
    path = write_json(tmp_path / "a.json", coco(attributes=["blurred"]))
    (face,) = read_data("coco", path, "all", OwnData(wanted=four))
    np.testing.assert_array_equal(face.landmarks, POINTS)


def test_a_scheme_inferred_from_the_number_of_points_is_noted(tmp_path):
    names = [str(i) for i in range(21)]
    path = write_json(tmp_path / "a.json", coco(shape(21), names))
    (face,), lines = notes_of(read_data, "coco", path, "all")
    assert face.scheme == "aflw21"
    assert len(lines) == 1
    assert "21 points without names, assumed to be aflw21" in lines[0]
    _, lines = notes_of(read_data, "coco", path, "all", scheme="aflw21")
    assert lines == []


def test_the_scheme_of_the_model_is_preferred_to_others_of_equal_size(tmp_path):
    path = tmp_path / "own21.toml"
    names = [f"{s}_p{i}" for s in ("left", "right") for i in range(10)] + ["tip"]
    own = check_scheme(
        str(text(path, f'points = {json.dumps(names)}\nname = "own21-first"'))
    )
    picture(tmp_path / "faces/a.png")
    (tmp_path / "faces/a.pts").write_text(format_pts(shape(21)))
    (face,) = read_data("folder", tmp_path / "faces", "all", OwnData(wanted=own))
    assert face.scheme == own


def test_a_stated_scheme_must_have_that_number_of_points(tmp_path, four):
    picture(tmp_path / "a.png")
    (tmp_path / "a.pts").write_text(format_pts(shape(5)))
    with pytest.raises(DataError, match=r"5 points, but four-of-readers has 4; give"):
        read_data("folder", tmp_path, "all", OwnData(scheme=four))


def test_a_known_data_set_states_its_own_scheme(tmp_path):
    with pytest.raises(DataError, match="WFLW defines its own scheme; remove scheme"):
        read_data("wflw", tmp_path, "train", OwnData(scheme="ibug68"))


def test_two_points_with_the_same_name_are_rejected(tmp_path, four):
    names = [*NAMES[:3], NAMES[2]]
    path = write_json(tmp_path / "a.json", coco(names=names))
    with pytest.raises(DataError, match=r"2 points are called '.*'; rename one"):
        read_data("coco", path, "all", OwnData(wanted=four))


def test_a_face_whose_points_coincide_is_rejected(tmp_path, four):
    picture(tmp_path / "a.jpg")
    path = write_json(tmp_path / "a.json", coco(np.full((4, 2), 5.0)))
    with pytest.raises(DataError, match=r"all points of a\.jpg.* coincide"):
        read_part("coco", tmp_path, "", four, str(path), own=needing(four))


def test_columns_of_a_box_are_not_points(tmp_path, four):
    header = ["image", "x_min", "y_min", "x_max", "y_max", "bbox_x", "bbox_y"]
    header += [f"{name}_{axis}" for name in NAMES for axis in "xy"]
    cells = ["a.jpg", *"123456", *(str(v) for v in POINTS.ravel())]
    text(tmp_path / "a.csv", f"{','.join(header)}\n{','.join(cells)}\n")
    (face,) = read_data("csv", tmp_path, "all", OwnData(wanted=four))
    assert np.array_equal(face.landmarks, POINTS)


# categories


def two_categories(other_points=17):
    table = coco(shape(5), [str(i) for i in range(5)])
    names = [f"p{i}" for i in range(other_points)]
    table["categories"].append({"id": 2, "name": "body", "keypoints": names})
    keypoints = [5.0, 5.0, 2] * other_points
    other = {"id": 2, "image_id": 7, "category_id": 2, "keypoints": keypoints}
    table["annotations"].insert(0, other)
    return table


def test_the_matching_category_of_several_is_read(tmp_path):
    path = write_json(tmp_path / "a.json", two_categories())
    (face,), lines = notes_of(read_data, "coco", path, "all", wanted="five")
    assert face.scheme == "five"
    assert "categories " in lines[0]
    assert "; reading 'face'" in lines[0]


def test_if_no_category_matches_one_must_be_named(tmp_path):
    path = write_json(tmp_path / "a.json", two_categories())
    with pytest.raises(DataError, match=r"categories .*body \(17 points\).*category ="):
        read_data("coco", path, "all", OwnData(wanted="ibug68"))
    (face,) = read_data("coco", path, "all", OwnData(category="Face"))
    assert len(face.landmarks) == 5
    with pytest.raises(DataError, match="no category 'hand' with points; choose one"):
        read_data("coco", path, "all", OwnData(category="hand"))


@pytest.mark.parametrize("reader", ["csv", "folder", "yolo", "dlib"])
def test_a_category_of_a_format_without_categories_is_refused(reader, tmp_path):
    with pytest.raises(DataError, match="is read without categories; remove category"):
        read_data(reader, tmp_path, "all", OwnData(category="face"))


def test_crowds_are_left_out_and_counted(tmp_path):
    table = coco(shape(5), [str(i) for i in range(5)])
    table["annotations"].append(table["annotations"][0] | {"iscrowd": 1, "id": 2})
    faces, lines = notes_of(
        read_data, "coco", write_json(tmp_path / "a.json", table), "all", scheme="five"
    )
    assert len(faces) == 1
    assert lines == [f"{tmp_path / 'a.json'}: 1 crowd annotations are skipped"]


def test_ids_may_be_numbers_or_text(tmp_path, four):
    table = coco(names=NAMES[::-1], points=POINTS[::-1], image_id="7", category_id=1.0)
    table["categories"][0]["id"] = "1"
    path = write_json(tmp_path / "a.json", table)
    (face,) = read_data("coco", path, "all", OwnData(wanted=four))
    assert face.scheme == four
    assert face.landmarks.tolist() == POINTS.tolist()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"image_id": 8}, "annotation 1: no image has the id 8"),
        ({"category_id": 8}, "annotation 1: no category has the id 8"),
    ],
)
def test_an_id_that_is_not_listed_is_named(ids, message, tmp_path):
    path = write_json(tmp_path / "a.json", coco(**ids))
    with pytest.raises(DataError, match=message):
        read_data("coco", path, "all")


def test_an_annotation_without_category_id_is_of_the_only_category(tmp_path, four):
    table = coco(names=NAMES[::-1], points=POINTS[::-1], category="portrait")
    del table["annotations"][0]["category_id"]
    path = write_json(tmp_path / "a.json", table)
    (face,) = read_data("coco", path, "all", OwnData(wanted=four))
    assert face.landmarks.tolist() == POINTS.tolist()


def test_flags_of_which_none_means_visible_say_nothing_about_visibility(tmp_path, four):
    table = coco(keypoints=[v for x, y in POINTS for v in (x, y, 1)])
    path = write_json(tmp_path / "a.json", table)
    (face,), lines = notes_of(read_data, "coco", path, "all", wanted=four)
    assert not face.visible.any()  # a single face may be covered
    assert lines == []
    table["annotations"] *= 2
    write_json(path, table)
    faces, lines = notes_of(read_data, "coco", path, "all", wanted=four)
    assert [face.visible for face in faces] == [None, None]
    assert "no point has v = 2, which means visible" in lines[0]
    picture(tmp_path / "a.jpg")
    line = yolo_line(flags=(1, 1, 0, 1))
    text(tmp_path / "a.txt", f"{line}\n{line}\n")
    faces, lines = notes_of(read_data, "yolo", tmp_path, "all", wanted=four)
    assert [face.visible for face in faces] == [None, None]
    assert any("no point has v = 2" in line for line in lines)


def test_the_folder_of_images_must_be_a_folder(tmp_path):
    path = write_json(tmp_path / "a.json", coco())
    for given, message in ((path, "is a file"), (tmp_path / "b", "does not exist")):
        command = ("audit", path, "--pictures", given, "--out", tmp_path / "a.html")
        code, _, noted = call(*command)
        assert code == 2
        assert message in " ".join(noted.split())
    part = DataPart(reader="coco", folder=str(path), pictures=str(path))
    with pytest.raises(DataError, match="is a file; give the folder of the images"):
        read_recipe_part(part, tmp_path, "ibug68")


def test_dlib_boxes_to_ignore_are_left_out_and_counted(tmp_path):
    parts = "".join(f"<part name='{i}' x='{i}' y='{2 * i}'/>" for i in range(5))
    box = "<box top='0' left='0' width='9' height='9'"
    text(
        tmp_path / "a.xml",
        f"<dataset><images><image file='a.jpg'>{box}>{parts}</box>"
        f"{box} ignore='1'>{parts}</box></image></images></dataset>",
    )
    faces, lines = notes_of(read_data, "dlib", tmp_path, "all", scheme="five")
    assert len(faces) == 1
    assert "1 boxes marked as ignored are skipped" in lines[0]


# placeholders of unannotated points


@pytest.mark.parametrize(("mark", "shown"), [("-1", "(-1, -1)"), ("0", "(0, 0)")])
def test_placeholders_of_missing_points_are_recognized_and_noted(mark, shown, tmp_path):
    cells = ["a.jpg", *(str(v) for v in shape(5).ravel())]
    cells[3:5] = [mark, mark]
    header = ["image", *(f"{a}_{i}" for i in range(5) for a in "xy")]
    text(tmp_path / "a.csv", f"{','.join(header)}\n{','.join(cells)}\n")
    (face,), lines = notes_of(read_data, "csv", tmp_path, "all", scheme="five")
    assert np.flatnonzero(np.isnan(face.landmarks[:, 0])).tolist() == [1]
    assert f"1 points of 1 faces are at {shown}, which marks" in lines[0]


def test_placeholders_in_pts_files_are_recognized_before_the_shift(tmp_path):
    picture(tmp_path / "a.png")
    rows = ["5 6", "-1 -1", "0 0", "7 8", "9 9"]
    text(tmp_path / "a.pts", "\n".join(rows))
    (face,), lines = notes_of(read_data, "folder", tmp_path, "all", scheme="five")
    assert np.flatnonzero(np.isnan(face.landmarks[:, 0])).tolist() == [1, 2]
    assert len(lines) == 2


# CVAT


def cvat(inner: str, meta: str = "") -> str:
    return (
        f"<annotations><version>1.1</version><meta>{meta}</meta>"
        f'<image id="0" name="a.jpg" width="16" height="12">{inner}</image></annotations>'
    )


def cvat_points(names=NAMES, points=POINTS, more=""):
    listed = ""
    for name, (x, y) in zip(names, points, strict=True):
        # CVAT counts from the corner of the first pixel
        at = f"{x + 0.5},{y + 0.5}"
        listed += f'<points label="{name}" points="{at}" {more}></points>'
    return listed


def test_a_skeleton_of_cvat_is_a_face(tmp_path, four):
    inner = cvat_points(NAMES[:2], POINTS[:2], 'occluded="1" outside="0"')
    inner += cvat_points(NAMES[2:3], POINTS[2:3], 'occluded="0" outside="1"')
    inner += cvat_points(NAMES[3:], POINTS[3:])
    attribute = '<attribute name="person">ann</attribute>'
    path = text(
        tmp_path / "annotations.xml",
        cvat(f'<skeleton label="face">{inner}{attribute}</skeleton>'),
    )
    picture(tmp_path / "images/a.jpg")
    assert detect_table_format(path) == "cvat"
    (face,) = read_data("cvat", path, "all", OwnData(wanted=four, group="person"))
    assert face.scheme == four
    assert np.array_equal(face.landmarks[[0, 1, 3]], POINTS[[0, 1, 3]])
    assert np.isnan(face.landmarks[2]).all()
    # nothing is known of the point that was not annotated
    assert np.array_equal(face.visible, [0, 0, np.nan, 1], equal_nan=True)
    assert face.image == tmp_path / "images/a.jpg"
    assert face.group == "ann"
    assert face.stated_size == SIZE


def test_a_shape_of_several_points_is_a_face_in_their_order(tmp_path):
    listed = ";".join(f"{x + 0.5},{y + 0.5}" for x, y in shape(5))
    path = text(tmp_path / "a.xml", cvat(f'<points label="face" points="{listed}"/>'))
    (face,), lines = notes_of(read_data, "cvat", path, "all")
    assert face.scheme == "five"
    assert np.array_equal(face.landmarks, shape(5))
    assert "because of their number" in lines[0]


def test_shapes_of_different_numbers_of_points_are_rejected(tmp_path):
    shapes = ""
    for count in (5, 4):
        listed = ";".join(f"{x + 0.5},{y + 0.5}" for x, y in shape(5)[-count:])
        shapes += f'<points label="face" points="{listed}"/>'
    path = text(tmp_path / "a.xml", cvat(shapes))
    with pytest.raises(DataError, match="has 4 points, others have 5, so their order"):
        read_data("cvat", path, "all", OwnData(wanted="five"))


def test_single_points_are_grouped_to_faces(tmp_path, four):
    inner = cvat_points(more='group_id="1"')
    inner += cvat_points(points=POINTS + 1, more='group_id="2"')
    path = text(tmp_path / "a.xml", cvat(inner))
    one, two = read_data("cvat", path, "all", OwnData(wanted=four))
    assert np.array_equal(two.landmarks, one.landmarks + 1)
    assert two.name == "a.jpg#2"
    text(path, cvat(cvat_points() + cvat_points()))
    with pytest.raises(DataError, match="two points 'right_eye_outer' in one face"):
        read_data("cvat", path, "all", OwnData(wanted=four))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotations/>", "no skeleton and no points"),
        (cvat('<points label="a" points="1"/>'), "expected points as x,y;x,y"),
        ("<annotations>", "broken XML"),
    ],
)
def test_a_broken_cvat_file_gives_a_one_line_error(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_data("cvat", text(tmp_path / "a.xml", content), "all")


# Label Studio


def label_studio(points=POINTS, names=NAMES, parent="box1", **more):
    common = {"original_width": 200, "original_height": 100}
    results = []
    box = {"x": 1.0, "y": 2.0, "width": 10.0, "height": 20.0}
    if parent:
        results.append(
            {"id": parent, "type": "rectanglelabels", **common, "value": box}
        )
    for name, (x, y) in zip(names, points, strict=True):
        # percent of 200 x 100, from the corner of the first pixel
        value = {"x": (x + 0.5) / 2, "y": y + 0.5, "keypointlabels": [name]}
        region = {"type": "keypointlabels", **common, "value": value}
        results.append(region | ({"parentID": parent} if parent else {}))
    task = {"id": 3, "data": {"image": "/data/upload/1/00aabb11-a.jpg", "who": "ann"}}
    return task | {"annotations": [{"result": results}]} | more


def test_percent_of_label_studio_are_pixels(tmp_path, four):
    picture(tmp_path / "images/a.jpg")
    path = write_json(tmp_path / "export.json", [label_studio()])
    assert detect_table_format(path) == "label-studio"
    own = OwnData(wanted=four, group="who")
    (face,) = read_data("label-studio", path, "all", own)
    assert np.allclose(face.landmarks, POINTS, atol=1e-9)
    # percent of 200 x 100, minus half a pixel
    assert face.box.tolist() == [1.5, 1.5, 21.5, 21.5]
    assert face.image == tmp_path / "images/a.jpg"
    assert face.group == "ann"


def labeled_region(label, names):
    """Return the results of points in a region with a label."""
    results = label_studio(POINTS, names, parent=label)["annotations"][0]["result"]
    results[0]["value"]["rectanglelabels"] = [label]
    return results


def test_regions_of_label_studio_without_common_points_have_categories(tmp_path, four):
    face, hand = (
        labeled_region("face", NAMES),
        labeled_region("hand", ["thumb", "palm", "wrist", "ring"]),
    )
    task = label_studio() | {"annotations": [{"result": [*hand, *face]}]}
    path = write_json(tmp_path / "export.json", [task])
    own = OwnData(wanted=four)
    (found,) = read_data("label-studio", path, "all", own)
    assert np.allclose(found.landmarks, POINTS, atol=1e-9)
    with pytest.raises(DataError, match="no category 'foot' with points"):
        read_data("label-studio", path, "all", OwnData(wanted=four, category="foot"))
    # labels of the same points are attributes of faces
    task["annotations"] = [{"result": [*labeled_region("young", NAMES), *face]}]
    write_json(path, [task])
    assert len(read_data("label-studio", path, "all", own)) == 2
    young = OwnData(wanted=four, category="young")
    assert len(read_data("label-studio", path, "all", young)) == 1


def test_the_last_annotation_counts_and_predictions_only_without_one(tmp_path, four):
    cancelled = {"was_cancelled": True, "result": []}
    first, second = label_studio(POINTS), label_studio(POINTS + 1)
    task = first | {
        "annotations": [*first["annotations"], *second["annotations"], cancelled]
    }
    path = write_json(tmp_path / "a.json", [task])
    (face,) = read_data("label-studio", path, "all", OwnData(wanted=four))
    assert np.allclose(face.landmarks, POINTS + 1)
    task = first | {"annotations": [], "predictions": first["annotations"]}
    write_json(path, [task])
    (face,), lines = notes_of(read_data, "label-studio", path, "all", wanted=four)
    assert np.allclose(face.landmarks, POINTS)
    assert "for 1 tasks without annotations, the predictions are read" in lines[0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "no keypoints; expected results"),
        ([{"id": 1}], "not an export of Label Studio"),
        ([label_studio(np.tile(POINTS, (2, 1)), NAMES * 2)], "task 3: two points"),
    ],
)
def test_a_broken_label_studio_file_gives_a_one_line_error(table, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_data("label-studio", write_json(tmp_path / "a.json", table), "all")


def test_a_fault_of_one_task_is_not_a_fault_of_the_format(tmp_path):
    table = [label_studio(np.tile(POINTS, (2, 1)), NAMES * 2)]
    path = write_json(tmp_path / "a.json", table)
    with pytest.raises(DataError, match=r"make its points children of it$"):
        read_data("label-studio", path, "all")


# YOLO


def yolo_line(points=POINTS, flags=(2, 2, 2, 2)):
    cells = ["0", "0.5", "0.5", "0.5", "0.5"]
    for (x, y), flag in zip(points, flags, strict=True):
        cells += [f"{x / SIZE[0]:.6f}", f"{y / SIZE[1]:.6f}"]
        cells += [] if flag is None else [str(flag)]
    return " ".join(cells)


def test_yolo_labels_are_fractions_of_their_image(tmp_path, four):
    picture(tmp_path / "images/train/a.jpg")
    text(tmp_path / "labels/train/a.txt", yolo_line(flags=(2, 1, 0, 2)) + "\n")
    text(tmp_path / "data.yaml", "kpt_shape: [4, 3]\nnames: [face]\n")
    text(tmp_path / "train.txt", "images/train/a.jpg\n")
    (face,) = read_data("yolo", tmp_path, "all", OwnData(scheme=four))
    assert np.allclose(face.landmarks[[0, 1, 3]], POINTS[[0, 1, 3]], atol=1e-4)
    assert np.isnan(face.landmarks[2]).all()
    assert face.visible.tolist() == [True, False, False, True]
    assert face.box.tolist() == [4, 3, 12, 9]
    assert face.image == tmp_path / "images/train/a.jpg"


def test_yolo_labels_of_two_numbers_per_point_mark_absent_ones_by_0(tmp_path, four):
    picture(tmp_path / "a.jpg")
    points = POINTS.copy()
    points[1] = 0
    text(tmp_path / "a.txt", yolo_line(points, (None,) * 4))
    (face,), lines = notes_of(read_data, "yolo", tmp_path, "all", scheme=four)
    assert np.isnan(face.landmarks[1]).all()
    assert "4 points of 2 numbers" in lines[0]


@pytest.mark.parametrize("style", ["kpt_shape: [4, 3]", "kpt_shape:\n  - 4\n  - 3"])
def test_yolo_images_may_be_in_another_folder_with_any_suffix(style, tmp_path, four):
    picture(tmp_path / "photos/deep/A.png")
    text(tmp_path / "set/data.yaml", f"{style}\n")
    text(tmp_path / "set/labels/train/a.txt", yolo_line() + "\n")
    own = OwnData(scheme=four, pictures=tmp_path / "photos")
    (face,) = read_data("yolo", tmp_path / "set/labels/train", "all", own)
    assert face.image == tmp_path / "photos/deep/A.png"
    assert np.allclose(face.landmarks, POINTS, atol=1e-4)


def test_broken_yolo_labels_give_a_one_line_error(tmp_path, four):
    with pytest.raises(DataError, match="no labels; expected"):
        read_data("yolo", tmp_path, "all")
    picture(tmp_path / "a.jpg")
    text(tmp_path / "data.yaml", "kpt_shape: [4, 3]")
    text(tmp_path / "a.txt", "0 0.5 0.5 1 1 0.1 0.1 2")
    with pytest.raises(DataError, match=r"a\.txt:1: 8 numbers; expected 17: class"):
        read_data("yolo", tmp_path, "all", OwnData(scheme=four))


# CSV


def test_kaggles_table_of_pixels_and_names_is_read(tmp_path):
    points = ["left_eye_center", "right_eye_center", "nose_tip", "mouth_x"]
    names = json.dumps(points[:3])
    own = check_scheme(
        str(text(tmp_path / "kaggle3.toml", f'points = {names}\nname = "kaggle3"'))
    )
    header = [f"{p}_{a}" for p in points[:3] for a in "xy"] + ["Image"]
    pixels = " ".join(str(i % 256) for i in range(96 * 96))
    text(
        tmp_path / "training.csv",
        f"{','.join(header).upper()}\n66,39,30,36,44,57,{pixels}\n"
        f"66,39,,NaN,44,57,{pixels}\n",
    )
    one, two = read_data("csv", tmp_path, "all", OwnData(scheme=own))
    assert one.landmarks.tolist() == [[66, 39], [30, 36], [44, 57]]
    assert np.isnan(two.landmarks[1]).all()
    image = two.read()
    assert image.shape == (96, 96, 3)
    assert image[1, 2].tolist() == [98, 98, 98]  # pixel 96 * 1 + 2
    assert one.split_group() != two.split_group()


def test_a_pandas_table_with_semicolons_and_decimal_commas_is_read(tmp_path):
    header = ["", "File_Name", *(f"{a}{i}" for i in range(5) for a in "XY")]
    cells = ["0", "a.jpg", *(f"{v}".replace(".", ",") for v in shape(5, 0.5).ravel())]
    text(tmp_path / "a.csv", f"{';'.join(header)}\n{';'.join(cells)}\n")
    (face,) = read_data("csv", tmp_path, "all", OwnData(scheme="five"))
    assert np.array_equal(face.landmarks, shape(5, 0.5))
    assert face.name == "a.jpg"


# groups


@pytest.mark.parametrize(
    ("group", "wanted"),
    [("person", "ann"), ("1", "p7"), (r"p(\d+)/", "7"), ("", "")],
)
def test_persons_are_kept_together_by_column_folder_or_pattern(group, wanted, tmp_path):
    header = ["image", "person", *(f"{a}_{i}" for i in range(5) for a in "xy")]
    cells = ["p7/day1/a.jpg", "ann", *(str(v) for v in shape(5).ravel())]
    text(tmp_path / "a.csv", f"{','.join(header)}\n{','.join(cells)}\n")
    own = OwnData(scheme="five", group=group)
    (face,) = read_data("csv", tmp_path, "all", own)
    assert face.group == wanted


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("persn", "no column 'persn' to group by; did you mean 'person'"),
        ("3", "in 2 folders, but group is folder 3"),
        (r"q(\d+)/", "the group pattern .* does not match"),
        ("(x", "is not a pattern"),
    ],
)
def test_a_group_that_is_absent_gives_a_one_line_error(group, message):
    own = OwnData(group=group)
    with pytest.raises(DataError, match=message):
        own.group_of("p7/day1/a.jpg", {"person": "ann"}, "")


def test_images_of_pts_files_may_be_in_another_folder(tmp_path):
    picture(tmp_path / "photos/a.png")
    text(tmp_path / "points/a.pts", format_pts(shape(5)))
    own = OwnData(pictures=tmp_path / "photos", scheme="five")
    (face,) = read_data("folder", tmp_path / "points", "all", own)
    assert face.image == tmp_path / "photos/a.png"
