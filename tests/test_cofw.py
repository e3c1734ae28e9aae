"""COFW and COFW68 from .mat files of both formats, with their images."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers import cofw
from lineament.data.readers.registry import data_set, read_data
from lineament.errors import DataError, ExtraError, ImageError
from tiny_sets import shape


def cofw_rows() -> tuple[np.ndarray, np.ndarray]:
    """Return phis (2, 87) and boxes (2, 4) in MATLAB's layout, counted from 1."""
    phis = np.zeros((2, 87))
    for i in range(2):
        points = shape(29, i) + 1
        phis[i, :29], phis[i, 29:58] = points.T
        phis[i, 58 + i] = 1  # point i is occluded
    return phis, np.array([[11.0, 21.0, 30.0, 40.0], [1.0, 1.0, 5.0, 5.0]])


def lopsided() -> np.ndarray:
    out = np.zeros((6, 9, 3), np.uint8)
    out[0, 0], out[0, 8], out[5, 0] = (200, 1, 2), (3, 210, 4), (5, 6, 220)
    return out


def check_cofw(root: Path) -> None:
    samples = read_data("cofw", root, "test")
    assert len(samples) == 2
    assert samples[1].scheme == "cofw29"
    assert np.array_equal(samples[1].landmarks, shape(29, 1))
    assert samples[0].box is not None
    assert samples[0].box.tolist() == [
        10,
        20,
        40,
        60,
    ]  # x, y, w, h from 1 -> ends from 0
    assert samples[1].visible is not None
    assert np.flatnonzero(~samples[1].visible).tolist() == [1]
    assert np.array_equal(samples[0].read(), lopsided())
    assert samples[1].read().shape == (4, 5, 3)  # a gray image
    again = pickle.loads(
        pickle.dumps(samples[0])
    )  # loaders send samples to other processes
    assert np.array_equal(again.read(), lopsided())
    assert (
        data_set("cofw").missing(samples, "test")
        == "COFW test: 2 of the official 507 faces are here"
    )


def make_old_cofw(root: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    cells = np.empty((2, 1), object)
    cells[0, 0], cells[1, 0] = lopsided(), np.full((4, 5), 77, np.uint8)
    phis, boxes = cofw_rows()
    scipy_io.savemat(
        root / "COFW_test_color.mat", {"IsT": cells, "phisT": phis, "bboxesT": boxes}
    )


def test_cofw_is_read_from_the_older_mat_format(tmp_path: Path) -> None:
    make_old_cofw(tmp_path)
    check_cofw(tmp_path)
    with pytest.raises(
        ImageError, match="no image 5 among the 2 of IsT; check the file"
    ):
        cofw.read_cofw_image(tmp_path / "COFW_test_color.mat", 5)


def write_hdf5(path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    phis, boxes = cofw_rows()
    with h5py.File(path, "w", userblock_size=512) as file:
        # HDF5 stores MATLAB's arrays with reversed axes: (3, W, H)
        refs = [
            file.create_dataset(f"#refs#/{i}", data=a.T).ref
            for i, a in enumerate((lopsided(), np.full((4, 5), 77, np.uint8)))
        ]
        file.create_dataset(
            "IsT", data=np.array(refs, dtype=h5py.ref_dtype)[None], dtype=h5py.ref_dtype
        )
        file.create_dataset("phisT", data=phis.T)
        file.create_dataset("bboxesT", data=boxes.T)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512))


def test_cofw_is_read_from_mat_7_3(tmp_path: Path) -> None:
    write_hdf5(tmp_path / "COFW_test_color.mat")
    check_cofw(tmp_path)


def test_mat_7_3_without_h5py_names_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "COFW_train_color.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ExtraError,
        match=r"h5py is not installed; type: pip install 'lineament\[data\]'",
    ):
        read_data("cofw", tmp_path, "train")


def test_errors_name_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"no COFW_test_color\.mat; expected the official COFW_color download",
    ):
        read_data("cofw", tmp_path, "test")
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(tmp_path / "COFW_test_color.mat", {"phisT": np.zeros((2, 29))})
    with pytest.raises(
        DataError, match=r"no variable bboxesT; expected the official file"
    ):
        read_data("cofw", tmp_path, "test")
    scipy_io.savemat(
        tmp_path / "COFW_train_color.mat",
        {"phisTr": np.zeros((2, 29)), "bboxesTr": np.zeros((2, 4))},
    )
    with pytest.raises(
        DataError,
        match=r"phisTr has shape \(2, 29\), bboxesTr \(2, 4\); expected \(N, 87\) and \(N, 4\)",
    ):
        read_data("cofw", tmp_path, "train")
    (tmp_path / "COFW_test_color.mat").write_bytes(b"no mat file at all" * 20)
    with pytest.raises(
        DataError, match=r"cannot be read as a \.mat file .*; get the file again"
    ):
        read_data("cofw", tmp_path, "test")


def test_cofw68_gives_ibug68_on_the_test_images(tmp_path: Path) -> None:
    make_old_cofw(tmp_path)
    with pytest.raises(DataError, match=r"no <n>_points\.mat; expected COFW68_Data"):
        read_data("cofw", tmp_path, "test68")
    scipy_io = pytest.importorskip("scipy.io")
    folder = tmp_path / cofw.COFW68 / "test_annotations"
    folder.mkdir(parents=True)
    hidden = np.zeros((1, 68))
    hidden[0, 3] = 1
    for number in (1, 2):
        scipy_io.savemat(
            folder / f"{number}_points.mat",
            {"Points": shape(68, number) + 1, "Occ": hidden},
        )
    scipy_io.savemat(
        tmp_path / cofw.COFW68 / "cofw68_test_bboxes.mat",
        {"bboxes": np.array([[2.0, 3, 4, 5]] * 2)},
    )
    samples = read_data("cofw", tmp_path, "test68")
    assert [s.frame for s in samples] == [0, 1]
    assert np.array_equal(samples[1].landmarks, shape(68, 2))
    assert samples[0].box is not None
    assert samples[0].box.tolist() == [1, 2, 5, 7]
    assert samples[0].visible is not None
    assert np.flatnonzero(~samples[0].visible).tolist() == [3]
