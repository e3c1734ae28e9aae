"""Which scheme a user's points get: one of the package, or a new one from names or positions."""

from pathlib import Path

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament.data.readers.find_annotations import find_annotations
from lineament.data.readers.own_data import OwnData, once
from lineament.errors import DataError
from lineament.labeling.own_scheme import read_own_faces, with_annotated_norms
from lineament.schemes import scheme
from tiny_sets import picture, text

FIVE = [37, 44, 30, 48, 54]
"""Points of the 68 near those of `five`."""


def table(folder: Path, columns, rows, count: int = 6) -> Path:
    """Write a CSV of drawn faces with the points `rows` of the 68, and blank images."""
    header = [f"{column}_{axis}" for column in columns for axis in "xy"]
    lines = [",".join(["image", *header])]
    for seed in range(count):
        picture(folder / f"{seed}.png", size=(120, 120))
        points = draw_face(seed)[1][rows]
        lines.append(",".join([f"{seed}.png", *map(str, points.ravel())]))
    return text(folder / "a.csv", "\n".join(lines))


def read(place: Path, name: str):
    """Return the faces, the new scheme and the notes."""
    lines: list[str] = []
    stated = OwnData(note=lines.append)
    faces, made = read_own_faces(find_annotations(place)[0], name, lines.append, stated)
    return faces, made, lines


def test_a_few_points_named_as_those_of_the_package_are_a_scheme_of_their_own(tmp_path):
    # a model of 68 points could learn only four of them
    names = ["right_eye_outer", "left_eye_outer", "nose_tip", "chin"]
    faces, made, lines = read(table(tmp_path, names, [36, 45, 30, 8]), "few-of-68")
    assert set(made.points) == set(names)
    assert made.norm_points["interocular"]
    order = [made.points.index(name) for name in names]
    truth = draw_face(0)[1][[36, 45, 30, 8]]
    assert np.allclose(faces[0].landmarks[order], truth)
    assert lines == []


def test_norms_are_between_points_that_are_annotated(tmp_path):
    words = ("outer", "top", "inner")
    names = [f"{side}_eye_{word}" for side in ("right", "left") for word in words]
    path = table(tmp_path, [*names, "chin"], [36, 37, 39, 45, 44, 42, 8])
    faces, made, _ = read(path, "norms7")
    assert set(made.norm_points) == {"interocular", "interpupil"}
    assert with_annotated_norms(made, faces) is made
    outer = made.points.index("right_eye_outer")
    for face in faces:
        face.landmarks[outer] = np.nan
    lines: list[str] = []
    norms = with_annotated_norms(made, faces, lines.append).norm_points
    used = [{made.points[i] for i in group} for group in norms["interpupil"]]
    assert used == [
        {"right_eye_top", "right_eye_inner"},
        {"left_eye_top", "left_eye_inner"},
    ]
    assert "interocular" not in norms
    assert lines[0].startswith("left_eye_outer, right_eye_outer: annotated in no face")


def test_most_points_of_a_scheme_are_read_as_that_scheme(tmp_path):
    names = scheme("ibug68").points[:60]
    faces, made, _ = read(table(tmp_path, names, list(range(60))), "most-of-68")
    assert made is None
    assert faces[0].scheme == "ibug68"


def test_points_of_profiles_with_the_names_of_the_package_keep_their_scheme(tmp_path):
    # their mean face is not symmetric
    path = table(tmp_path, scheme("ibug68").points, list(range(68)))
    lines = path.read_text().splitlines()
    for number in range(1, len(lines)):
        cells = lines[number].split(",")
        points = np.array(cells[1:], float).reshape(-1, 2)
        points[:, 0] -= np.maximum(0, points[:, 0] - 60) * 0.9
        lines[number] = ",".join([cells[0], *map(str, points.ravel())])
    text(path, "\n".join(lines))
    faces, made, _ = read(path, "profiles-of-68")
    assert made is None
    assert faces[0].scheme == "ibug68"


def test_swapped_sides_are_rejected_with_names_and_make_a_new_scheme_without(tmp_path):
    exchanged = [FIVE[i] for i in scheme("five").mirror]
    named = table(tmp_path / "named", scheme("five").points, exchanged)
    with pytest.raises(DataError, match="left and right are exchanged in 6 of 6 faces"):
        read(named, "exchanged-named")
    numbered = table(tmp_path / "numbered", [f"p{i}" for i in range(5)], exchanged)
    faces, made, lines = read(numbered, "exchanged-numbered")
    assert made.points == tuple(f"p{i}" for i in range(5))
    assert made.mirror.tolist() == scheme("five").mirror.tolist()
    assert np.allclose(faces[0].landmarks, draw_face(0)[1][exchanged])
    assert any("left and right are exchanged" in line for line in lines)
    right = table(tmp_path / "right", [f"p{i}" for i in range(5)], FIVE)
    assert read(right, "right-numbered")[1] is None


def test_files_without_faces_raise_a_clear_error(tmp_path):
    write_faces(tmp_path, 1, lambda landmarks: np.full((5, 2), np.nan))
    with pytest.raises(DataError, match="none of 1 faces has an annotated point"):
        read(tmp_path, "no-points")


def test_a_line_is_passed_on_once():
    lines: list[str] = []
    note = once(lines.append)
    for line in ("a", "b", "a"):
        note(line)
    assert lines == ["a", "b"]
