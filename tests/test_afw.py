"""AFW: nested cells of a .mat file of both formats, with boxes, angles and 6 points."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lineament.data.readers.registry import data_set, read_data
from lineament.errors import DataError
from tiny_sets import picture, shape

Row = tuple[str, list[np.ndarray], list[np.ndarray], list[np.ndarray]]
BOX = np.array([[11.0, 21.0], [41.0, 61.0]])  # x0 y0; x1 y1, counted from 1


def rows() -> list[Row]:
    """Return two faces of one photo, one with an unknown point, and a face of a missing photo."""
    second = shape(6, 30) + 1
    second[5] = np.nan
    angles = [np.array([[-30.0, 15, 0]]), np.array([[90.0, 0, 0]])]
    return [
        ("134212.jpg", [BOX, BOX + 30], angles, [shape(6) + 1, second]),
        ("999.jpg", [BOX], angles[:1], [shape(6) + 1]),
    ]


def write_old(path: Path, table: list[Row]) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    cells = np.empty((len(table), 4), object)
    for i, (name, *columns) in enumerate(table):
        cells[i, 0] = name
        for j, column in enumerate(columns, 1):
            cells[i, j] = np.empty((1, len(column)), object)
            for k, value in enumerate(column):
                cells[i, j][0, k] = value
    scipy_io.savemat(path, {"anno": cells})


def write_hdf5(path: Path, table: list[Row]) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:

        def store(value: Any) -> Any:
            """Store a value with reversed axes, as MATLAB does; return its reference."""
            name = f"#refs#/{len(file.get('#refs#', ()))}"
            if isinstance(value, str):
                codes = np.array([[ord(c) for c in value]], np.uint16)
                item = file.create_dataset(name, data=codes.T)
                item.attrs["MATLAB_class"] = np.bytes_("char")
                return item.ref
            if isinstance(value, list):
                refs = np.array([[store(each)] for each in value], dtype=h5py.ref_dtype)
                name = f"#refs#/{len(file['#refs#'])}"
                return file.create_dataset(name, data=refs, dtype=h5py.ref_dtype).ref
            return file.create_dataset(name, data=np.asarray(value).T).ref

        refs = [[store(cell) for cell in row] for row in table]
        anno = np.array(refs, dtype=h5py.ref_dtype).T
        file.create_dataset("anno", data=anno, dtype=h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


@pytest.mark.parametrize("write", [write_old, write_hdf5])
@pytest.mark.parametrize("folder", ["", "testimages/"])
def test_afw_reads_faces_boxes_angles_and_unknown_points(
    write: Any, folder: str, tmp_path: Path
) -> None:
    picture(tmp_path / f"{folder}134212.jpg")
    write(tmp_path / f"{folder}anno.mat", rows())
    first, second = read_data("afw", tmp_path, "all")
    assert [first.name, second.name] == [f"{folder}134212.jpg", f"{folder}134212.jpg#2"]
    assert first.group == second.group == "134212"
    assert first.scheme == "afw6"
    assert np.array_equal(first.landmarks, shape(6))
    assert np.array_equal(second.landmarks[:5], shape(6, 30)[:5])
    assert np.isnan(second.landmarks[5]).all()
    assert second.visible is not None
    assert second.visible.tolist() == [True] * 5 + [False]
    assert first.box is not None
    assert first.box.tolist() == [10, 20, 40, 60]
    assert dict(first.attributes) == {"yaw": -30, "pitch": 15, "roll": 0}
    missing = data_set("afw").missing([first, second], "all")
    assert missing == "AFW all: 2 of the official 468 faces are here"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # one point too few in the second face; points of one face missing; no angles
        (lambda row: (*row[:3], [row[3][0], row[3][1][:5]]), r".*\(5, 2\); expected"),
        (lambda row: (*row[:3], row[3][:1]), "2 boxes, 2 angles, 1 points; expected"),
        (lambda row: (*row[:2], [], row[3]), "2 boxes, 0 angles, 2 points; expected"),
    ],
)
def test_the_error_for_a_broken_row_names_it(
    change: Any, message: str, tmp_path: Path
) -> None:
    write_old(tmp_path / "anno.mat", [rows()[0], change(rows()[0])])
    with pytest.raises(DataError, match=f"row 2: {message}"):
        read_data("afw", tmp_path, "all")


def test_missing_and_foreign_lists_give_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"anno\.mat: not found; expected the official AFW"
    ):
        read_data("afw", tmp_path, "all")
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(tmp_path / "anno.mat", {"anno": np.zeros((2, 2))})
    with pytest.raises(
        DataError, match="no cell array anno; expected the official file"
    ):
        read_data("afw", tmp_path, "all")
