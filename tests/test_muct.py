"""MUCT: one table of 76 points per row, with hidden points and mirrored images."""

from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers.registry import data_set, read_data
from lineament.errors import DataError
from tiny_sets import picture, shape, text

HEADER = "name,tag," + ",".join(f"x{i:02d},y{i:02d}" for i in range(76))


def row(name: str, points: np.ndarray) -> str:
    return f"{name},0000," + ",".join(f"{v:g}" for v in points.ravel())


def make_muct(root: Path, *rows: str) -> None:
    text(root / "muct-landmarks/muct76-opencv.csv", "\n".join([HEADER, *rows, ""]))


def test_muct_reads_points_hidden_ones_attributes_and_persons(tmp_path: Path) -> None:
    hidden = shape(76)
    hidden[15] = 0
    names = ("i000qa-fn", "i000qb-fn", "i214sc-mg")
    for name in names:
        picture(tmp_path / f"jpg/{name}.jpg")
    make_muct(
        tmp_path,
        *(row(name, hidden) for name in names),
        row("i001qa-mn", shape(76)),  # no image
        row("ir000qa-fn", shape(76)),
    )
    samples = read_data("muct", tmp_path, "all")
    assert [s.name for s in samples] == [f"jpg/{name}.jpg" for name in names]
    assert [s.group for s in samples] == ["muct_000", "muct_000", "muct_214"]
    assert {s.scheme for s in samples} == {"muct76"}
    for sample in samples:
        assert sample.visible is not None
        assert np.flatnonzero(~sample.visible).tolist() == [15]
        assert np.isnan(sample.landmarks[15]).all()
        known = np.delete(np.arange(76), 15)
        assert np.array_equal(sample.landmarks[known], shape(76)[known])
    kinds = [[k for k, v in s.attributes.items() if v] for s in samples]
    assert kinds == [[], ["turned"], ["male", "glasses", "turned"]]
    missing = data_set("muct").missing(samples, "all")
    assert missing == "MUCT all: 3 of the official 3755 faces are here"


def test_mirrored_images_of_muct_are_a_part_of_their_own(tmp_path: Path) -> None:
    for name in ("i000qa-fn", "ir000qa-fn"):
        picture(tmp_path / f"{name}.jpg")
    make_muct(tmp_path, row("i000qa-fn", shape(76)), row("ir000qa-fn", shape(76, 7)))
    (plain,) = read_data("muct", tmp_path, "all")
    (mirrored,) = read_data("muct", tmp_path, "mirrored")
    assert np.array_equal(mirrored.landmarks, shape(76, 7))
    assert plain.group == mirrored.group


def test_broken_tables_of_muct_give_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no muct76-opencv\.csv below it; expected muct-"
    ):
        read_data("muct", tmp_path, "all")
    picture(tmp_path / "i000qa-fn.jpg")
    make_muct(tmp_path, "i000qa-fn,0000,1,2")
    with pytest.raises(DataError, match=r"csv:2: .*; expected x00, y00 to x75, y75"):
        read_data("muct", tmp_path, "all")
    make_muct(tmp_path, row("anna", shape(76)))
    with pytest.raises(DataError, match="csv:2: 'anna' is not a MUCT name; expected"):
        read_data("muct", tmp_path, "all")
    text(tmp_path / "muct-landmarks/muct76-opencv.csv", "name,tag\n")
    with pytest.raises(DataError, match="no column x00, y75; expected name, x00, y75"):
        read_data("muct", tmp_path, "all")
