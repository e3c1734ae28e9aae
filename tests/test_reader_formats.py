"""The readers of general formats: dlib XML, COCO keypoints, CSV, folders of .pts."""

import json
from pathlib import Path

import numpy as np
import pytest

from lineament.data.guess_scheme import guess_scheme
from lineament.data.readers.coco import read_coco
from lineament.data.readers.csv_points import read_csv_points
from lineament.data.readers.dlib_xml import read_dlib_xml
from lineament.data.readers.folder import read_folder
from lineament.data.readers.own_data import OwnData
from lineament.data.readers.registry import read_data
from lineament.errors import DataError
from lineament.io.pts import format_pts
from tiny_sets import picture, shape


def test_dlib_xml_sorts_parts_by_number_and_counts_boxes(tmp_path: Path) -> None:
    listed = [
        f"<part name='{i}' x='{10 + i}' y='{5 + 2 * i}'/>" for i in reversed(range(68))
    ]
    box = "<box top='2' left='1' width='30' height='40'>"
    (tmp_path / "train.xml").write_text(
        "<?xml version='1.0'?><dataset><images><image file='sub\\a.jpg'>"
        f"{box}{''.join(listed)}</box><box top='0' left='0' width='9' height='9'/>"
        f"{box}{''.join(listed[:62] + listed[63:])}</box>"  # listed backwards: 62 is part 5
        "</image></images></dataset>"
    )
    first, third = read_data("dlib", tmp_path, "all")
    assert first.scheme == "ibug68"
    assert np.array_equal(first.landmarks, shape(68))  # dlib counts from 0
    assert first.box is not None
    assert first.box.tolist() == [1, 2, 31, 42]
    assert first.image == tmp_path / "sub/a.jpg"
    assert third.name == "sub/a.jpg#3"
    assert np.isnan(third.landmarks[5]).all()
    assert np.isfinite(np.delete(third.landmarks, 5, 0)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<dataset>", "broken XML"),
        ("<dataset/>", "no box with parts"),
        (
            "<!DOCTYPE x [<!ENTITY a 'b'>]><dataset>&a;</dataset>",
            "declares entities, which are not expanded",
        ),
        (
            "<d><image file='a'><box left='1' top='1' width='2' height='2'>"
            "<part name='0' x='1' y='1'/></box></image></d>",
            "1 points fit no known scheme",
        ),
    ],
)
def test_broken_dlib_xml_gives_a_one_line_error(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_dlib_xml(tmp_path / "a.xml")
    with pytest.raises(DataError, match=r"none\.xml: cannot be read"):
        read_dlib_xml(tmp_path / "none.xml")


def test_dlib_xml_without_box_numbers_names_the_box(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        "<d><image file='a'><box left='1'><part name='0' x='1' y='1'/></box></image></d>"
    )
    with pytest.raises(
        DataError, match="box 1 of 'a': 'top'; expected left, top, width, height, x, y"
    ):
        read_dlib_xml(tmp_path / "a.xml", OwnData(scheme="five"))


def test_coco_keeps_visibility_and_unlabeled_points_are_nan(tmp_path: Path) -> None:
    keypoints = np.column_stack([shape(68), np.full(68, 2)])
    keypoints[3, 2], keypoints[4] = 1, 0
    table = {
        "images": [{"id": 5, "file_name": "a.jpg"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 5,
                "bbox": [1, 2, 30, 40],
                "keypoints": keypoints.ravel().tolist(),
            },
            {"id": 2, "image_id": 5, "bbox": [1, 2, 30, 40], "keypoints": [0] * 204},
            {"id": 3, "image_id": 5, "keypoints": keypoints.ravel().tolist()},
        ],
        "categories": [],
    }
    picture(tmp_path / "images/a.jpg")
    (tmp_path / "train.json").write_text(json.dumps(table))
    first, second = read_data("coco", tmp_path, "train")
    assert first.scheme == "ibug68"
    assert first.image == tmp_path / "images/a.jpg"
    assert np.isnan(first.landmarks[4]).all()
    assert np.array_equal(first.landmarks[:4], shape(68)[:4])
    assert first.visible is not None
    assert np.flatnonzero(~first.visible).tolist() == [3, 4]
    assert first.box is not None
    assert first.box.tolist() == [1, 2, 31, 42]
    assert second.box is None
    assert second.name == "a.jpg#2"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[", "not COCO keypoints"),
        ("[]", "not COCO keypoints"),
        ('{"images": [], "annotations": []}', "no annotation has keypoints"),
        (
            '{"images": [], "annotations": [{"id": 7, "image_id": 1, "keypoints": [1, 2, 2]}]}',
            "annotation 7: no image has the id 1; add",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a"}],'
            ' "annotations": [{"id": 7, "image_id": 1, "keypoints": [1, 2, 2, 3]}]}',
            "annotation 7: 4 numbers in keypoints; expected 3",
        ),
    ],
)
def test_broken_coco_gives_a_one_line_error(
    table: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text(table)
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path / "a.json")


@pytest.mark.parametrize(
    "columns", ["x_{0},y_{0}", "x{0},y{0}", "original_{0}_x,original_{0}_y"]
)
@pytest.mark.parametrize("first", [0, 1])
def test_csv_columns_of_several_spellings_give_the_points(
    columns: str, first: int, tmp_path: Path
) -> None:
    header = ",".join(
        ["image_name", "scale", *(columns.format(i + first) for i in range(5))]
    )
    row = ",".join(["a.jpg", "1.5", *(f"{v}" for v in shape(5).ravel())])
    (tmp_path / "a.csv").write_text(f"{header}\n{row}\n{row.replace('10.0', '', 1)}\n")
    one, two = read_data("csv", tmp_path, "all")
    assert one.scheme == "five"
    assert np.array_equal(one.landmarks, shape(5))
    assert np.isnan(two.landmarks[0, 0])
    assert (one.name, two.name) == ("a.jpg", "a.jpg#2")


def test_csv_of_predictions_is_survives_a_round_trip(tmp_path: Path) -> None:
    from lineament.face import Face, Faces
    from lineament.io.tables import write_csv

    face = Face(
        shape(68), np.ones(68), np.ones(68), np.array([1.0, 2, 30, 40]), 1.0, "ibug68"
    )
    write_csv(tmp_path / "a.csv", [("a.jpg", Faces((face,), "ibug68", 68))], "ibug68")
    (sample,) = read_csv_points(tmp_path / "a.csv")
    assert np.array_equal(sample.landmarks, face.landmarks)
    assert sample.box is not None
    assert sample.box.tolist() == [1, 2, 30, 40]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected image, x_0, y_0"),
        ("image,score\na,1\n", "expected image, x_0, y_0"),
        ("x_0,y_0\n1,2\n", "expected image, x_0, y_0"),
        ("image,x_0,y_0,x_1\na,1,2,3\n", "point 1 lacks its x or y column"),
        (
            "image,x_0,y_0\na,1,two\n",
            r"a\.csv:2: 'two' is not a number; expected a coordinate",
        ),
        ("image,x_0,y_0\n,1,2\n", r"a\.csv:2: no image"),
        (
            "image,x_0,y_0\na,1,2\n",
            "1 points fit no known scheme; expected 5 \\(five\\)",
        ),
    ],
)
def test_a_broken_csv_gives_a_one_line_error(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_csv_points(tmp_path / "a.csv")


def test_a_folder_of_several_tables_wants_one_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"0 \.csv files; expected one; choose one by its name"
    ):
        read_data("csv", tmp_path, "all")


def test_any_folder_of_pts_takes_its_scheme_from_the_number_of_points(
    tmp_path: Path,
) -> None:
    for name, count in (("a/1", 68), ("a/2", 98), ("b/3", 29)):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.pts").write_text(format_pts(shape(count)))
    assert [s.scheme for s in read_folder(tmp_path)] == ["ibug68", "wflw98", "cofw29"]
    assert [s.name for s in read_folder(tmp_path, "b")] == ["b/3.png"]
    (tmp_path / "a/1.png").unlink()
    with pytest.raises(
        DataError, match=r"1\.pts: no image next to it; expected 1\.jpg or \.png"
    ):
        read_folder(tmp_path)
    with pytest.raises(DataError, match=r"c: no \.pts file in or below this folder"):
        read_folder(tmp_path, "c")


@pytest.mark.parametrize("suffix", [".ppm", ".JPG", ".tif", ".webp"])
def test_the_image_of_a_pts_file_may_have_any_suffix_that_is_read(
    suffix: str, tmp_path: Path
) -> None:
    picture(tmp_path / f"a{suffix}")
    (tmp_path / "a.pts").write_text(format_pts(shape(68)))
    (sample,) = read_folder(tmp_path)
    assert sample.name == f"a{suffix}"
    assert sample.read().shape == (12, 16, 3)


def test_unknown_numbers_of_points_have_no_scheme() -> None:
    assert guess_scheme(106, "x") == "lapa106"
    with pytest.raises(
        DataError,
        match=r"x: 67 points fit no known scheme; .*68 \(ibug68\).*: give the scheme, .* writes$",
    ):
        guess_scheme(67, "x")
