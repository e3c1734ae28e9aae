"""IMM: .asf files whose coordinates are fractions of the size of the image."""

from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers.registry import read_data
from lineament.errors import DataError
from tiny_sets import picture, text


def asf(image: str, points: np.ndarray) -> str:
    """The text of an .asf file, with comments."""
    lines = [
        f"0\t4 \t{x:.8f} \t{y:.8f} \t{i}\t0\t1 " for i, (x, y) in enumerate(points)
    ]
    comment = "#\n# number of model points\n#\n"
    return "\n".join([comment, f"{len(points)}\n", "# model points", *lines, "", image])


def fractions(count: int = 58) -> np.ndarray:
    return np.column_stack([np.linspace(0, 1, count), np.linspace(0.5, 0.25, count)])


def test_imm_points_are_fractions_of_width_and_height(tmp_path: Path) -> None:
    for name in ("01-1m", "01-4m", "08-2f"):
        picture(tmp_path / f"{name}.jpg", size=(48, 64))
        text(tmp_path / f"{name}.asf", asf(f"{name}.jpg", fractions()))
    text(tmp_path / "09-1m.asf", asf("09-1m.jpg", fractions()))  # no image
    samples = read_data("imm", tmp_path, "all")
    assert [s.name for s in samples] == ["01-1m.jpg", "01-4m.jpg", "08-2f.jpg"]
    assert [s.group for s in samples] == ["imm_01", "imm_01", "imm_08"]
    assert {s.scheme for s in samples} == {"imm58"}
    # x: 0 to 64, y: 24 to 12
    assert samples[0].landmarks[[0, -1]].tolist() == [[0, 24], [64, 12]]
    kinds = [[k for k, v in s.attributes.items() if v] for s in samples]
    assert kinds == [["male"], ["male", "turned"], ["smiling"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "01-1m",
            asf("01-1m.jpg", fractions(57)),
            r"\['57'\] and 58 more lines; expected 58, a line of 7 columns",
        ),
        ("01-1m", "58\n0 4 0.1 0.2", r"\['58'\] and 1 more lines; expected 58"),
        ("01-1m", "# nothing\n", r"\[\] and 0 more lines; expected 58"),
        (
            "01-1m",
            asf("01-1m.jpg", fractions()).replace("\t0.50000000", ""),
            "not enough values to unpack .*; expected 58",
        ),
        ("anna", asf("anna.jpg", fractions()), "anna.asf: not named like 01-1m.asf"),
    ],
)
def test_a_broken_asf_file_gives_a_one_line_error(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    picture(tmp_path / f"{name}.jpg")
    text(tmp_path / f"{name}.asf", content)
    with pytest.raises(DataError, match=message):
        read_data("imm", tmp_path, "all")


def test_a_folder_without_asf_files_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.asf file below it; expected 01-1m\.asf"):
        read_data("imm", tmp_path, "all")
