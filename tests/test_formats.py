"""Written faces read back, with and without faces, and a broken file is one clear error."""

import csv
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from lineament.errors import DataError, ExtraError, SchemeError, ShapeError
from lineament.face import Face, Faces
from lineament.io.coco import faces_to_coco
from lineament.io.formats import (
    faces_from_dict,
    faces_from_json,
    faces_to_dict,
    faces_to_json,
    faces_to_numpy,
    faces_to_supervision,
)
from lineament.io.pts import faces_to_pts, format_pts, parse_pts
from lineament.io.tables import csv_columns, csv_rows, write_csv, write_parquet
from lineament.schemes import scheme

NONE = Faces((), "five", 5, (64, 48))


def some_faces(count=2, name="five", seed=0):
    rng, points = np.random.default_rng(seed), len(scheme(name))
    return Faces(
        tuple(
            Face(
                landmarks=rng.normal(100, 30, (points, 2)),
                scores=rng.random(points),
                sigma_px=rng.random(points) * 3,
                box=[1.5 + i, 2.25, 40.0 + i, 60.5],
                score=rng.random(),
                scheme=name,
                track_id=7 if i == 1 else None,
            )
            for i in range(count)
        ),
        name,
        points,
        (640, 480),
    )


def seen_faces():
    """Return two faces: one with presence and visibility of all points but one, one without."""
    first, second = some_faces()
    visible = [0.0, 0.49, np.nan, 0.5, 1.0]
    known = replace(first, presence=0.875, visible=visible)
    return Faces((known, second), "five", 5, (640, 480))


def assert_same(a, b):
    assert (len(a), a.scheme, a.points) == (len(b), b.scheme, b.points)
    names = ("landmarks", "scores", "sigma_px", "boxes", "box_scores")
    for name in (*names, "presence", "visible"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert [f.track_id for f in a] == [f.track_id for f in b]


@pytest.mark.parametrize(
    "faces",
    [some_faces(), some_faces(1, "ibug68"), NONE, seen_faces()],
    ids=["two", "one68", "none", "presence"],
)
def test_json_survives_a_round_trip_bit_equal(faces):
    text = faces_to_json(faces, "a/ü.jpg")
    image, again = faces_from_json(text)
    assert image == "a/ü.jpg"
    assert "\n" not in text
    assert text.isascii()  # the same bytes in every encoding
    assert_same(again, faces)


def test_the_dict_has_exactly_the_agreed_keys():
    given = faces_to_dict(some_faces(), "x.jpg")
    assert list(given) == ["image", "faces", "scheme"]
    assert list(given["faces"][0]) == [
        "box",
        "score",
        "landmarks",
        "scores",
        "sigma_px",
    ]
    assert list(given["faces"][1]) == [
        "box",
        "score",
        "landmarks",
        "scores",
        "sigma_px",
        "track_id",
    ]
    assert faces_to_dict(NONE, "x.jpg") == {
        "image": "x.jpg",
        "faces": [],
        "scheme": "five",
    }


def test_presence_and_visibility_are_in_json_only_if_they_are_known():
    first, second = json.loads(faces_to_json(seen_faces()))["faces"]
    assert first["presence"] == 0.875
    assert first["visible"] == [0, 0.49, None, 0.5, 1]
    assert not {"presence", "visible"} & second.keys()
    # null, as other writers may put it, reads as unknown
    second |= {"presence": None, "visible": [None] * 5}
    again = faces_from_dict({"faces": [first, second], "scheme": "five"})
    assert_same(again, seen_faces())


def test_json_is_rounded_on_request_within_half_a_unit():
    faces = some_faces()
    again = faces_from_dict(faces_to_dict(faces, decimals=2))
    np.testing.assert_allclose(again.landmarks, faces.landmarks, atol=0.005 + 1e-9)
    assert len(faces_to_json(faces, decimals=2)) < len(faces_to_json(faces)) / 2


def test_a_sigma_that_is_not_finite_is_null_in_json_and_reads_back_as_nan():
    face = some_faces(1)[0]
    odd = Faces(
        (
            Face(
                face.landmarks,
                face.scores,
                [1, np.nan, 2, np.inf, 3],
                face.box,
                1,
                "five",
            ),
        ),
        "five",
        5,
    )
    text = faces_to_json(odd)
    assert "NaN" not in text
    assert json.loads(text)["faces"][0]["sigma_px"] == [1, None, 2, None, 3]
    np.testing.assert_array_equal(
        faces_from_json(text)[1].sigma_px, [[1, np.nan, 2, np.nan, 3]]
    )


def broken(**changes):
    given = faces_to_dict(some_faces(1), "x.jpg")
    return given | {"faces": [given["faces"][0] | changes]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [],
            r"these are not faces \(list\); expected an object with image, faces and scheme",
        ),
        ({"image": "x", "faces": []}, r"these are not faces \(image, faces\)"),
        ({"faces": {}, "scheme": "five"}, r"these are not faces \(faces, scheme\)"),
        (
            {"faces": [], "scheme": "fife"},
            "the scheme of the faces: .*did you mean 'five'",
        ),
        (
            {"faces": [3], "scheme": "five"},
            "face 0 is of type int; expected an object with box, score",
        ),
        (
            {"faces": [{"box": []}], "scheme": "five"},
            "face 0 has no score, landmarks, scores, sigma_px; expected",
        ),
        (
            broken(landmarks=[[1, 2]] * 4),
            r"face 0: scores have shape \(5,\); expected \(4,\)",
        ),
        (broken(landmarks=[[1, None]] * 5), "face 0: 5 landmarks are not finite"),
        (broken(box="here"), "face 0: could not convert string to float"),
        (broken(box=[]), "face 0: a face has 0 boxes; expected one: x0, y0, x1, y1"),
        (
            broken(landmarks=[[1, 2]] * 4, scores=[1] * 4, sigma_px=[1] * 4),
            "face 0 has 4 landmarks; expected 5 of",
        ),
    ],
)
def test_invalid_faces_raise_a_clear_error(given, message):
    with pytest.raises(DataError, match=message):
        faces_from_dict(given)


def test_text_that_is_not_json_raises_a_clear_error():
    with pytest.raises(
        DataError, match=r"not JSON \(.*\); expected the text that faces_to_json writes"
    ):
        faces_from_json("{")


def test_the_numpy_arrays_survive_a_file_without_pickle(tmp_path):
    for faces in (seen_faces(), NONE):
        np.savez(tmp_path / "f.npz", **faces_to_numpy(faces))
        with np.load(tmp_path / "f.npz", allow_pickle=False) as read:
            np.testing.assert_array_equal(read["landmarks"], faces.landmarks)
            np.testing.assert_array_equal(read["boxes"], faces.boxes)
            np.testing.assert_array_equal(read["presence"], faces.presence)
            np.testing.assert_array_equal(read["visible"], faces.visible)
            assert read["track_ids"].tolist() == [-1, 7][: len(faces)]
            assert str(read["scheme"]) == "five"


def test_csv_has_a_row_for_each_face_under_its_columns(tmp_path):
    faces = some_faces()
    write_csv(tmp_path / "f.csv", [("none.jpg", NONE), ('a,"b".jpg', faces)], "five")
    rows = list(
        csv.DictReader(io.StringIO((tmp_path / "f.csv").read_text(encoding="utf-8")))
    )
    assert [row["image"] for row in rows] == ['a,"b".jpg'] * 2
    assert [row["face"] for row in rows] == ["0", "1"]
    assert [row["track_id"] for row in rows] == ["", "7"]
    assert float(rows[1]["x_4"]) == faces[1].landmarks[4, 0]
    assert float(rows[1]["y_0"]) == faces[1].landmarks[0, 1]
    assert float(rows[0]["score_3"]) == faces[0].scores[3]
    assert float(rows[0]["sigma_px_2"]) == faces[0].sigma_px[2]
    assert [float(rows[0][f"box_{end}"]) for end in ("x0", "y0", "x1", "y1")] == faces[
        0
    ].box.tolist()
    assert [path.name for path in tmp_path.iterdir()] == [
        "f.csv"
    ]  # nothing half-written is left


def test_tables_have_presence_and_visibility_nan_if_unknown(tmp_path):
    faces = seen_faces()
    write_csv(tmp_path / "f.csv", [("a.jpg", faces)], "five")
    text = (tmp_path / "f.csv").read_text(encoding="utf-8")
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["presence"], second["presence"]) == ("0.875", "nan")
    read = [float(first[f"visible_{i}"]) for i in range(5)]
    np.testing.assert_array_equal(read, faces[0].visible)
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "f.parquet", [("a.jpg", faces)], "five")
    first, second = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert first["presence"] == 0.875
    np.testing.assert_array_equal(first["visible"], faces[0].visible)
    assert np.isnan([second["presence"], *second["visible"]]).all()


def test_csv_without_faces_has_only_the_header(tmp_path):
    write_csv(tmp_path / "f.csv", [("x", NONE)], "five")
    assert (tmp_path / "f.csv").read_text() == ",".join(csv_columns("five")) + "\n"
    assert (
        len(csv_columns("ibug68"))
        == 6 + 4 + 68 * 5
        == len(csv_rows(some_faces(1, "ibug68"))[0])
    )


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_a_failed_table_does_not_change_the_old_file(tmp_path, write):
    if write is write_parquet:
        pytest.importorskip("pyarrow")
    (tmp_path / "f").write_text("old")
    with pytest.raises(
        SchemeError,
        match="the faces of 'b' are five, not ibug68; write one file per scheme",
    ):
        write(
            tmp_path / "f",
            [("a", some_faces(1, "ibug68")), ("b", some_faces(1))],
            "ibug68",
        )
    assert (tmp_path / "f").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("batch", [1, 4096])
def test_parquet_survives_a_round_trip_the_same(tmp_path, monkeypatch, batch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("lineament.io.tables.ROWS_AT_ONCE", batch)
    faces = some_faces()
    write_parquet(
        tmp_path / "f.parquet",
        [("a.jpg", faces), ("b.jpg", NONE), ("c.jpg", faces)],
        "five",
    )
    rows = parquet.read_table(tmp_path / "f.parquet").to_pylist()
    assert [(row["image"], row["face"], row["track_id"]) for row in rows] == [
        ("a.jpg", 0, None),
        ("a.jpg", 1, 7),
        ("c.jpg", 0, None),
        ("c.jpg", 1, 7),
    ]
    assert rows[1]["x"] == faces[1].landmarks[:, 0].tolist()
    assert rows[1]["y"] == faces[1].landmarks[:, 1].tolist()
    assert rows[2]["box"] == faces[0].box.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]


def test_parquet_of_no_face_has_columns_and_no_rows(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "f.parquet", [], "five")
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.num_rows == 0
    assert table.column_names[:3] == ["image", "face", "scheme"]


@pytest.mark.parametrize(
    ("package", "extra", "call"),
    [
        ("pyarrow", "report", lambda path: write_parquet(path / "f", [], "five")),
        ("supervision", "supervision", lambda _: faces_to_supervision(NONE)),
    ],
)
def test_a_missing_extra_names_the_command_to_type(
    tmp_path, monkeypatch, package, extra, call
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ExtraError,
        match=rf"{package} is not installed; type: pip install 'lineament\[{extra}\]'",
    ):
        call(tmp_path)


def test_pts_counts_from_one_and_survives_a_round_trip():
    # the center of the first pixel is (0, 0) here and (1, 1) in a .pts file
    text = format_pts([[0.0, 10.25], [3.5, -2.0]])
    assert text == "version: 1\nn_points: 2\n{\n1.000 11.250\n4.500 -1.000\n}\n"
    np.testing.assert_array_equal(parse_pts(text), [[0.0, 10.25], [3.5, -2.0]])


def test_pts_without_a_header_is_read():
    np.testing.assert_array_equal(parse_pts("1 2\r\n\n3.5 4\n"), [[0, 1], [2.5, 3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.pts: no points; expected one line of x and y per point"),
        ("1 2\n3\n", "f.pts:2: '3'; expected two numbers, x and y, counted from 1"),
        ("1 2\n3 four\n", "f.pts:2: '3 four'; expected two numbers"),
        (
            "version: 1\nn_points: 3\n{\n1 2\n}\n",
            "f.pts: the header says 3 points, 1 follow; correct the header",
        ),
    ],
)
def test_a_broken_pts_names_the_line(text, message):
    with pytest.raises(DataError, match=message):
        parse_pts(text, "f.pts")


def test_format_pts_requires_points():
    with pytest.raises(ShapeError, match=r"expected \(N, 2\)"):
        format_pts(np.zeros((5, 3)))


def test_pts_files_are_numbered_only_if_there_are_several():
    two = some_faces(2)
    assert list(faces_to_pts(some_faces(1), "photo")) == ["photo.pts"]
    assert list(faces_to_pts(two, "photo")) == ["photo_1.pts", "photo_2.pts"]
    assert faces_to_pts(NONE, "photo") == {}
    written = faces_to_pts(two, "photo")["photo_2.pts"]
    np.testing.assert_allclose(
        parse_pts(written), two[1].landmarks, atol=0.0005 + 1e-9
    )  # three decimals


def test_coco_has_flat_keypoints_counted_ids_and_a_skeleton_from_one():
    faces = some_faces()
    given = json.loads(
        json.dumps(faces_to_coco([("none.jpg", NONE), ("a.jpg", faces)], "five"))
    )
    assert given["images"] == [
        {"id": 1, "file_name": "none.jpg", "width": 64, "height": 48},
        {"id": 2, "file_name": "a.jpg", "width": 640, "height": 480},
    ]
    assert [
        (a["id"], a["image_id"], a["category_id"]) for a in given["annotations"]
    ] == [
        (1, 2, 1),
        (2, 2, 1),
    ]
    first = given["annotations"][0]
    np.testing.assert_array_equal(
        np.reshape(first["keypoints"], (5, 3))[:, :2], faces[0].landmarks
    )
    assert first["keypoints"][2::3] == [2] * 5
    assert first["num_keypoints"] == 5
    assert first["bbox"] == [
        1.5,
        2.25,
        38.5,
        58.25,
    ]  # x1 - x0 = 40 - 1.5, y1 - y0 = 60.5 - 2.25
    assert first["area"] == 38.5 * 58.25
    category = given["categories"][0]
    assert category["keypoints"] == list(scheme("five").points)
    assert category["skeleton"] == [[a + 1, b + 1] for a, b in scheme("five").edges]


def test_coco_flags_keypoints_that_are_probably_not_visible():
    given = json.loads(json.dumps(faces_to_coco([("a.jpg", seen_faces())], "five")))
    first, second = given["annotations"]
    # visible 0, 0.49, unknown, 0.5 and 1
    assert first["keypoints"][2::3] == [1, 1, 2, 2, 2]
    assert first["num_keypoints"] == 5
    assert first["presence"] == 0.875
    assert second["keypoints"][2::3] == [2] * 5
    assert "presence" not in second


def test_coco_without_faces_is_a_data_set_without_images():
    given = faces_to_coco([], "five")
    assert (given["images"], given["annotations"], len(given["categories"])) == (
        [],
        [],
        1,
    )


def test_coco_leaves_out_an_unknown_image_size_and_rejects_another_scheme():
    assert faces_to_coco([("x", Faces((), "five", 5))], "five")["images"] == [
        {"id": 1, "file_name": "x"}
    ]
    with pytest.raises(SchemeError, match="the faces of 'x' are five, not wflw98"):
        faces_to_coco([("x", NONE)], "wflw98")


def test_supervision_gets_points_confidences_and_boxes():
    supervision = pytest.importorskip("supervision")
    faces = seen_faces()
    points = faces_to_supervision(faces)
    assert isinstance(points, supervision.KeyPoints)
    np.testing.assert_allclose(points.xy, faces.landmarks, rtol=1e-6)
    np.testing.assert_allclose(points.data["xyxy"], faces.boxes, rtol=1e-6)
    np.testing.assert_allclose(points.data["score"], faces.box_scores, rtol=1e-6)
    for name in ("presence", "visible"):
        np.testing.assert_allclose(points.data[name], getattr(faces, name), rtol=1e-6)
    confidence = getattr(points, "keypoint_confidence", None)
    np.testing.assert_allclose(
        points.confidence if confidence is None else confidence, faces.scores, rtol=1e-6
    )
    assert faces_to_supervision(NONE).xy.shape == (0, 5, 2)


def test_deeply_nested_json_raises_one_clear_error():
    with pytest.raises(DataError, match="not JSON"):
        faces_from_json("[" * 200_000)
