"""CSV tables: which columns are points, which are boxes and sizes, and broken rows."""

import numpy as np
import pytest

from lineament.data.readers.csv_columns import find_columns
from lineament.data.readers.own_data import OwnData, UnknownPointsError
from lineament.data.readers.registry import read_data
from lineament.errors import DataError
from lineament.schemes import check_scheme, scheme
from tiny_sets import picture, shape, text

POINTS = scheme("five").points
NAMES = [f"{name}_{axis}" for name in POINTS for axis in "xy"]
CELLS = [str(value) for value in shape(5).ravel()]


def read(folder, header, cells, name="five"):
    """Return the faces in a table of one row, and the notes about them."""
    picture(folder / "a.jpg")
    text(folder / "a.csv", f"{','.join(header)}\n{','.join(cells)}\n")
    notes: list[str] = []
    own = OwnData(name, note=notes.append)
    return read_data("csv", folder, "all", own), notes


def table(folder, columns):
    """Return a face of five named points, next to other columns of the number 3."""
    header, cells = ["image", *columns, *NAMES], ["a.jpg", *("3" for _ in columns)]
    (face,), notes = read(folder, header, [*cells, *CELLS])
    return face, notes


@pytest.mark.parametrize(
    "columns",
    [
        ("width", "height"),
        ("x_1", "y_1", "width", "height"),
        ("x1", "y1", "x2", "y2"),
        ("x", "y", "w", "h"),
        ("face_x", "face_y", "face_width", "face_height"),
        ("roi.x", "roi.y", "roi.w", "roi.h"),
        ("x_center", "y_center", "width", "height"),
        ("face_bbox_x", "face_bbox_y"),
    ],
)
def test_columns_of_a_box_or_size_are_not_points(columns, tmp_path):
    face, _ = table(tmp_path, columns)
    assert np.array_equal(face.landmarks, shape(5))
    assert face.box is None
    # without a scheme, the names of a new scheme are those of the points only
    header = ["image", *columns, *(name.replace("nose", "chin") for name in NAMES)]
    with pytest.raises(UnknownPointsError) as caught:
        read(tmp_path, header, ["a.jpg", *("3" for _ in columns), *CELLS], "")
    assert len(caught.value.points) == 5


def test_columns_taken_for_a_box_are_noted(tmp_path):
    _, notes = table(tmp_path, ("x_1", "y_1", "width", "height"))
    assert notes == [
        f"{tmp_path / 'a.csv'}: columns x_1, y_1 are taken for a box, not for points"
    ]


def test_celebas_list_of_boxes_has_no_points(tmp_path):
    header = ["image_id", "x_1", "y_1", "width", "height"]
    with pytest.raises(DataError, match="expected image, x_0, y_0"):
        read(tmp_path, header, ["a.jpg", *"1234"], "")


def test_numbered_points_next_to_a_size_remain_points(tmp_path):
    header = ["image_id", "width", "height"]
    header += [f"{axis}_{i}" for i in range(1, 6) for axis in "xy"]
    (face,), notes = read(tmp_path, header, ["a.jpg", "16", "12", *CELLS])
    assert np.array_equal(face.landmarks, shape(5))
    assert notes == []


def test_points_that_are_not_read_are_noted(tmp_path):
    header = ["image", *(f"{axis}_{i}" for i in range(5) for axis in "xy")]
    header += ["gaze_x", "gaze_y", "offset_x"]
    (face,), notes = read(tmp_path, header, ["a.jpg", *CELLS, *"123"])
    assert np.array_equal(face.landmarks, shape(5))
    assert "columns offset_x are not read; expected x and y" in notes[0]
    assert "columns gaze_x, gaze_y are not read; the points are numbered" in notes[1]


def test_two_columns_for_the_same_coordinate_are_rejected(tmp_path):
    # as OpenFace writes pixels and millimeters
    header = ["image", *(f"{axis}_{i}" for i in range(5) for axis in "xyXY")]
    with pytest.raises(DataError, match="'x_0' and 'X_0' are x of the same point; rem"):
        read(tmp_path, header, ["a.jpg", *CELLS, *CELLS])


def test_a_repeated_column_is_rejected(tmp_path):
    # an equal string that is the same object, as a reader may return it
    with pytest.raises(DataError, match="'x_0' and 'x_0' are x of the same point"):
        find_columns(tmp_path, ["x_0", "y_0", "x_0"])


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("spelled", ["visible", "Visible"])
def test_visibility_is_counted_like_the_points(first, spelled, tmp_path):
    header, cells = ["image"], ["a.jpg"]
    for number, (x, y) in enumerate(shape(5)):
        index = first + number
        header += [f"x_{index}", f"y_{index}", f"{spelled}_{index}"]
        cells += [str(x), str(y), str(int(number in (0, 3)))]
    (face,), _ = read(tmp_path, header, cells)
    assert face.visible.tolist() == [True, False, False, True, False]


def test_an_empty_visibility_of_an_annotated_point_is_unknown(tmp_path):
    header, cells = ["image"], ["a.jpg"]
    for number, flag in enumerate(("1", "", "0", "", "1")):
        header += [f"x_{number}", f"y_{number}", f"visible_{number}"]
        point = ["", ""] if number == 3 else ["5", "6"]
        cells += [*point, flag]
    (face,), _ = read(tmp_path, header, cells)
    assert np.array_equal(face.visible, [1, np.nan, 0, 0, 1], equal_nan=True)


def test_decimal_commas_that_shift_the_cells_are_rejected(tmp_path):
    header = ["image", *(f"{axis}_{i}" for i in range(5) for axis in "xy")]
    cells = ["a.jpg", *(value.replace(".", ",") for value in CELLS)]
    message = r"a\.csv:2: 10 more cells than columns; if numbers have decimal commas"
    with pytest.raises(DataError, match=message):
        read(tmp_path, header, cells)
    (face,), _ = read(tmp_path, header, ["a.jpg", *CELLS, "", " "])
    assert np.array_equal(face.landmarks, shape(5))


def test_a_row_with_a_lost_cell_is_rejected(tmp_path):
    # its other cells would be read as coordinates of other points
    header = ["image", *(f"{axis}_{i}" for i in range(5) for axis in "xy")]
    cells = [*CELLS[:3], *CELLS[4:]]
    with pytest.raises(DataError, match=r"a\.csv:2: 1 fewer cells than columns; leave"):
        read(tmp_path, header, ["a.jpg", *cells])
    # in a column that is not of a point
    (face,), _ = read(tmp_path, [*header, "remark"], ["a.jpg", *CELLS])
    assert np.array_equal(face.landmarks, shape(5))


@pytest.mark.parametrize(
    "column", ["", "Unnamed: 0", "Image Path", "imageName", "file_path", "Datei"]
)
def test_the_column_of_images_is_found_by_name_or_contents(column, tmp_path):
    header = [column, *(f"{axis}_{i}" for i in range(5) for axis in "xy"), "person"]
    (face,), _ = read(tmp_path, header, ["a.jpg", *CELLS, "Ann"])
    assert face.image == tmp_path / "a.jpg"
    with pytest.raises(DataError, match=r"no column of images in .*; expected image"):
        read(tmp_path, ["key", *header[1:]], ["17", *CELLS, "Ann"])


def test_columns_that_are_only_numbers_alternate(tmp_path):
    # as pandas writes a table without names
    header = ["", *map(str, range(10))]
    (face,), notes = read(tmp_path, header, ["a.jpg", *CELLS])
    assert np.array_equal(face.landmarks, shape(5))
    assert "columns 0 to 9 are read as x and y of 5 points in turn" in notes[0]
    with pytest.raises(DataError, match="no points in columns"):
        read(tmp_path, header[:-1], ["a.jpg", *CELLS[:-1]])


def test_columns_in_alphabetical_order_are_read_by_their_numbers(tmp_path):
    order = sorted(range(12), key=str)
    header = ["image", *(f"p{i}_{axis}" for i in order for axis in "xy")]
    cells = [str(value) for value in shape(12)[order].ravel()]
    toml = "points = [{}]".format(", ".join(f'"p{i}"' for i in range(12)))
    own = check_scheme(str(text(tmp_path / "twelve.toml", f"{toml}\nmirror = []")))
    (face,), _ = read(tmp_path, header, ["a.jpg", *cells], own)
    assert np.array_equal(face.landmarks, shape(12))


def test_the_first_line_of_excel_is_skipped(tmp_path):
    picture(tmp_path / "a.jpg")
    header = ["image", *(f"{axis}_{i}" for i in range(5) for axis in "xy")]
    cells = [value.replace(".", ",") for value in CELLS]
    table = "\n".join(["sep=;", ";".join(header), ";".join(["a.jpg", *cells]), ""])
    (tmp_path / "a.csv").write_bytes(table.encode("utf-8-sig"))
    (face,) = read_data("csv", tmp_path, "all", OwnData("five"))
    assert np.array_equal(face.landmarks, shape(5))


@pytest.mark.parametrize(
    ("content", "problem"), [("", "empty"), ("image,x_0,y_0\n", "no row below")]
)
def test_a_table_without_rows_raises_a_clear_error(content, problem, tmp_path):
    path = text(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=rf"a\.csv: {problem}.*one row per face"):
        read_data("csv", path, "all", OwnData("five"))


def test_infinite_cells_are_not_annotated(tmp_path):
    header = ["image", *(f"{axis}_{i}" for i in range(5) for axis in "xy")]
    (face,), _ = read(tmp_path, header, ["a.jpg", "inf", "-inf", *CELLS[2:]])
    assert np.isnan(face.landmarks[0]).all()
    assert np.array_equal(face.landmarks[1:], shape(5)[1:])
