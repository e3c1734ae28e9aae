"""LFPW: rows of workers and their average, addresses of images, flags of points."""

from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers.registry import data_set, read_data
from lineament.errors import DataError
from tiny_sets import picture, shape, text


def row(address: str, worker: str, points: np.ndarray, flags: np.ndarray) -> str:
    cells = np.column_stack([points, flags])
    return "\t".join([address, worker, *(f"{v:g}" for v in cells.ravel())])


def make_lfpw(root: Path, *rows: str, split: str = "train") -> None:
    header = "imgurl\tworker\t" + "\t".join(f"p{i}" for i in range(105))
    text(root / f"kbvt_lfpw_v1_{split}.csv", "\n".join([header, *rows, ""]))


def average(address: str, shift: float = 0.0, **flags: int) -> str:
    """An average row; flags are given as p3=1."""
    values = np.zeros(35)
    for name, flag in flags.items():
        values[int(name[1:])] = flag
    return row(address, "average", shape(35, shift), values)


def test_lfpw_reads_the_average_of_the_workers_with_35_or_29_points(
    tmp_path: Path,
) -> None:
    picture(tmp_path / "train/anna.jpg")
    address = "http://a.org/photos/Anna.jpg?size=2"
    worker = row(address, "worker_0", shape(35, 99), np.zeros(35))
    make_lfpw(tmp_path, worker, average(address, p3=1, p29=2, p30=3), worker)
    (all_35,) = read_data("lfpw", tmp_path, "train35")
    assert all_35.scheme == "lfpw35"
    assert all_35.name == "train/anna.jpg"
    assert all_35.visible is not None
    assert np.flatnonzero(~all_35.visible).tolist() == [3, 29, 30]
    # only the point outside the crop is unknown
    assert np.flatnonzero(np.isnan(all_35.landmarks[:, 0])).tolist() == [30]
    assert np.array_equal(all_35.landmarks[:30], shape(35)[:30])
    (published,) = read_data("lfpw", tmp_path, "train")
    assert published.scheme == "cofw29"
    # the ears are points 28 to 33
    assert np.array_equal(published.landmarks, shape(35)[[*range(28), 34]])
    assert published.visible is not None
    assert np.flatnonzero(~published.visible).tolist() == [3]
    missing = data_set("lfpw").missing([published], "train")
    assert missing == "LFPW train: 1 of the official 1132 faces are here"


def test_urls_match_by_their_end_and_ambiguous_names_are_left_out(
    tmp_path: Path,
) -> None:
    for name in ("b.png", "c.jpg", "d.jpg"):
        picture(tmp_path / f"images/{name}")
    make_lfpw(
        tmp_path,
        average("http://a.org/b.BMP"),  # converted after the download
        average("http://a.org/c.jpg"),
        average("http://other.org/C.jpg"),
        average("http://a.org/d.jpg"),
        average("http://a.org/d.jpg", 50),  # two faces of one photo
        average("http://a.org/absent.jpg"),
        split="test",
    )
    samples = read_data("lfpw", tmp_path, "test")
    assert [s.name for s in samples] == [
        "images/b.png",
        "images/d.jpg",
        "images/d.jpg#2",
    ]


def test_negative_coordinates_are_no_points(tmp_path: Path) -> None:
    picture(tmp_path / "train/a.jpg")
    points = shape(35)
    points[4, 1] = -1
    make_lfpw(tmp_path, row("http://x/a.jpg", "average", points, np.zeros(35)))
    (sample,) = read_data("lfpw", tmp_path, "train")
    assert np.flatnonzero(np.isnan(sample.landmarks).all(1)).tolist() == [4]


def test_missing_and_broken_lists_of_lfpw_give_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"train\.csv: not found; expected the official list"
    ):
        read_data("lfpw", tmp_path, "train35")
    make_lfpw(tmp_path, "http://a.org/a.jpg\taverage\t1\t2\t0")
    with pytest.raises(
        DataError, match="csv:2: 5 columns; expected address, worker, and"
    ):
        read_data("lfpw", tmp_path, "train")
    make_lfpw(tmp_path, average("http://a.org/a.jpg").replace("\t5\t", "\tfive\t"))
    with pytest.raises(
        DataError, match=r"csv:2: could not convert .*; expected address"
    ):
        read_data("lfpw", tmp_path, "train")
    make_lfpw(tmp_path, row("http://x/a.jpg", "worker_1", shape(35), np.zeros(35)))
    with pytest.raises(
        DataError, match="no row of the worker 'average'; expected address"
    ):
        read_data("lfpw", tmp_path, "train")
