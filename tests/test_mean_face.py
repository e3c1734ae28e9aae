"""Exchanged sides of a user's faces are recognized with the mean face of their scheme."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineament.data.mean_face import mean_face, swapped_sides_message
from lineament.data.mixture import read_part
from lineament.data.sample import Sample
from lineament.errors import DataError
from lineament.geometry import apply_affine, similarity
from lineament.schemes import scheme
from tiny_sets import picture, text


def faces(name, count=6):
    """Return mean faces of a scheme, each rotated by a different angle up to 40 degrees."""
    found = []
    for number in range(count):
        placed = similarity(50.0, 80 * number / count - 40, (0, 0), (100, 100))
        points = apply_affine(placed, mean_face(name))
        found.append(Sample(Path(f"{number}.png"), points, name, f"{number}.png"))
    return found


def exchanged(sample):
    mirror = scheme(sample.scheme).mirror
    return replace(sample, landmarks=sample.landmarks[mirror])


@pytest.mark.parametrize("name", ["ibug68", "five", "wflw98"])
def test_exchanged_sides_of_most_faces_are_a_fault(name):
    right = faces(name)
    wrong = [exchanged(face) for face in right]
    assert swapped_sides_message(right) == ""
    assert "exchanged in 6 of 6 faces, e.g. 0.png" in swapped_sides_message(wrong)
    # single faces may be anything; the audit lists them
    assert swapped_sides_message([*wrong[:3], *right[3:]]) == ""


def test_faces_of_too_few_points_are_not_judged():
    few = [replace(face, landmarks=face.landmarks.copy()) for face in faces("five")]
    for face in few:
        face.landmarks[:2] = np.nan
    assert swapped_sides_message([exchanged(face) for face in few]) == ""
    assert swapped_sides_message([]) == ""


def test_training_rejects_labels_with_the_sides_of_the_viewer(tmp_path):
    points = [f"{name}_{axis}" for name in scheme("five").points for axis in "xy"]
    rows = [",".join(["image", *points])]
    for face in faces("five"):
        picture(tmp_path / face.name, size=(200, 200))
        cells = exchanged(face).landmarks.ravel().round(3)
        rows.append(",".join([face.name, *map(str, cells)]))
    text(tmp_path / "a.csv", "\n".join(rows))
    with pytest.raises(DataError, match="left and right are exchanged in 6 of 6"):
        read_part("csv", tmp_path, "", "five", str(tmp_path))
