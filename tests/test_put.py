"""PUT: YAML files of OpenCV with points of unknown order."""

from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers.registry import read_data
from lineament.errors import DataError
from lineament.geometry import landmark_box
from lineament.schemes import NAMES
from tiny_sets import picture, shape, text


def yml(points: np.ndarray, flow: bool = False) -> str:
    """The text of a YAML file as OpenCV writes it, with Windows line ends."""
    lines = ["%YAML:1.0", "Contour:"]
    for x, y in points:
        entry = (
            f"- {{ x:{x:g}., y:{y:g}. }}"
            if flow
            else f"-\n    x: {x:g}.\n    y: {y:g}."
        )
        lines.append(f"  {entry}")
    return "\n".join(lines).replace("\n", "\r\n")


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(("part", "count"), [("contours", 194), ("landmarks", 30)])
def test_put_reads_points_in_order_and_persons(
    part: str, count: int, flow: bool, tmp_path: Path
) -> None:
    for person, name in (("001", "IMG_1"), ("001", "IMG_2"), ("100", "IMG_3")):
        text(tmp_path / f"{part}/C{person}/{name}.yml", yml(shape(count), flow))
        if name != "IMG_2":
            picture(tmp_path / f"images/0{person}/{name}.JPG")
    samples = read_data("put", tmp_path, part)
    assert [s.name for s in samples] == [
        "images/0001/IMG_1.JPG",
        "images/0100/IMG_3.JPG",
    ]
    assert [s.group for s in samples] == ["put_001", "put_100"]
    assert np.array_equal(samples[0].landmarks, shape(count))
    # the order of the points is unknown, so nothing may mirror or convert them
    assert samples[0].scheme == f"put{count}"
    assert samples[0].scheme not in NAMES
    assert np.array_equal(samples[0].face_box(), landmark_box(shape(count)))


def test_missing_and_broken_files_of_put_give_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"contours: no \.yml file below it; expected a"
    ):
        read_data("put", tmp_path, "contours")
    picture(tmp_path / "images/0001/a.jpg")
    path = text(tmp_path / "contours/C001/a.yml", yml(shape(193)))
    with pytest.raises(DataError, match="193 x and 193 y; expected 194 of each"):
        read_data("put", tmp_path, "contours")
    path.write_text("x: 1-2\n")
    with pytest.raises(
        DataError, match=r"could not convert .*; expected x and y of 194"
    ):
        read_data("put", tmp_path, "contours")
