"""Mixtures: points become the model's, boxes those of 68 points, and missing faces are noted."""

import numpy as np
import pytest

from faces import draw_face, write_faces
from lineament.data.mixture import read_mixture, read_part
from lineament.data.sample import Sample, tight_box, to_scheme
from lineament.errors import DataError, RecipeError, SchemeError
from lineament.geometry import landmark_box
from lineament.schemes import convert, scheme


def five_of(landmarks):
    return convert(landmarks, "ibug68", "five").points


def test_points_that_a_data_set_lacks_are_nan(tmp_path):
    write_faces(tmp_path / "five", 3, five_of)
    samples = read_part("folder", tmp_path, "", "ibug68", "five")
    assert {s.scheme for s in samples} == {"ibug68"}
    # nose tip and mouth corners are points of ibug68, eye centers are not
    for sample, (_, landmarks) in zip(samples, map(draw_face, range(3)), strict=True):
        known = np.isfinite(sample.landmarks).all(1)
        assert np.flatnonzero(known).tolist() == [30, 48, 54]
        assert (
            np.abs(sample.landmarks[known] - landmarks[known]).max() < 1e-3
        )  # .pts keeps three digits


def test_many_points_become_five(tmp_path):
    write_faces(tmp_path / "faces", 2)
    samples = read_part("folder", tmp_path, "", "five", str(tmp_path / "faces"))
    assert np.abs(samples[1].landmarks - five_of(draw_face(1)[1])).max() < 2e-3


def test_the_box_of_68_points_is_their_tight_box():
    landmarks = draw_face(3)[1]
    assert np.array_equal(tight_box(landmarks, "ibug68"), landmark_box(landmarks))


@pytest.mark.parametrize(
    "name", ["five", "aflw19", "cofw29", "ibug51", "wflw98", "fgnet68"]
)
def test_the_box_of_a_mean_face_is_found_from_any_scheme(name):
    mean = scheme("ibug68").mean_shape * 80 + (100, 120)
    turn = np.array([[0.966, -0.259], [0.259, 0.966]])  # 15 degrees
    landmarks = mean @ turn.T
    given = convert(landmarks, "ibug68", name).points
    # exact for the mean face itself: what is missing is taken from it
    assert np.abs(tight_box(given, name) - landmark_box(landmarks)).max() < 0.5


def test_the_box_of_a_face_with_unknown_points_is_near_its_full_one():
    landmarks = draw_face(4)[1]
    holes = landmarks.copy()
    holes[:17] = np.nan
    assert np.abs(tight_box(holes, "ibug68") - landmark_box(landmarks)).max() < 1


def test_one_known_point_gives_no_mean_face():
    points = np.full((5, 2), np.nan)
    points[:2] = [[3, 4], [9, 7]]
    points[1] = np.nan
    points[0] = [3, 4]
    assert tight_box(points, "five").tolist() == [3, 4, 3, 4]


def test_the_same_scheme_keeps_points_and_visibility():
    landmarks = draw_face(5)[1]
    sample = Sample(None, landmarks, "ibug68", "x", visible=np.ones(68, bool))
    converted = to_scheme(sample, "ibug68")
    assert converted.landmarks is landmarks
    assert converted.visible is sample.visible


def test_points_of_both_schemes_keep_their_visibility():
    shown = np.arange(68) != 48
    sample = Sample(None, draw_face(5)[1], "ibug68", "x", visible=shown)
    # eyes of five points are means of many, whose visibility is unknown
    five = to_scheme(sample, "five").visible
    assert five.tolist()[2:] == [1, 0, 1]
    assert np.isnan(five[:2]).all()
    joined = to_scheme(sample, "ibug68_helen194").visible
    assert np.array_equal(joined[:68], shown)
    assert np.isnan(joined[68:]).all()
    silent = Sample(None, sample.landmarks, "ibug68", "x")
    assert to_scheme(silent, "five").visible is None


def test_faces_of_fewer_than_two_points_are_left_out(tmp_path):
    write_faces(tmp_path / "faces", 2)
    (tmp_path / "faces/face1.pts").write_text("\n".join(["5 5"] + ["nan nan"] * 67))
    samples = read_part("folder", tmp_path, "", "ibug68", "faces")
    assert [s.image.name for s in samples] == ["face0.png"]


def test_a_folder_is_found_in_the_data_root_the_current_directory_or_at_its_path(
    tmp_path, monkeypatch
):
    write_faces(tmp_path / "root/faces", 1)
    monkeypatch.chdir(tmp_path)
    for folder in ("faces", "root/faces", str(tmp_path / "root/faces")):
        assert len(read_part("folder", tmp_path / "root", "", "ibug68", folder)) == 1
    with pytest.raises(
        DataError,
        match=r"no folder 'elsewhere' at .*elsewhere or elsewhere; give",
    ):
        read_part("folder", tmp_path / "root", "", "ibug68", "elsewhere")


def test_own_data_need_no_data_root(tmp_path):
    write_faces(tmp_path / "faces", 1)
    assert (
        len(
            read_part(
                "folder", tmp_path / "absent", "", "ibug68", str(tmp_path / "faces")
            )
        )
        == 1
    )


def test_a_reader_without_a_default_folder_requires_one(tmp_path):
    with pytest.raises(
        DataError,
        match="the data set 'folder' has no default folder; set one: folder =",
    ):
        read_part("folder", tmp_path, "", "ibug68")


def test_missing_faces_are_noted_with_the_official_count(tmp_path):
    write_faces(tmp_path / "300w/lfpw/trainset", 2)
    notes = []
    assert len(read_part("300w", tmp_path, "", "ibug68", note=notes.append)) == 2
    assert notes == [
        f"300W train: 2 of the official 3148 faces are here (in {tmp_path / '300w'})"
    ]


def test_a_part_without_a_face_is_rejected_with_the_official_count(tmp_path):
    (tmp_path / "300w").mkdir()
    with pytest.raises(
        DataError,
        match=r"300W train: 0 of the official 3148 faces are here, in .*; put the data set",
    ):
        read_part("300w", tmp_path, "train", "ibug68")


def test_test_data_are_rejected_for_training(tmp_path):
    write_faces(tmp_path / "Talking_Face", 2)
    recipe = pytest.importorskip("lineament.recipe")
    part = recipe.DataPart(reader="folder", folder="Talking_Face")
    with pytest.raises(
        RecipeError,
        match="folder contains frames of talking_face, which is test data; remove it",
    ):
        read_mixture([part], "ibug68", tmp_path, tmp_path / "cache")


def test_unknown_readers_parts_and_schemes_are_rejected(tmp_path):
    write_faces(tmp_path / "faces", 1)
    with pytest.raises(
        DataError, match=r"unknown data set '300vv'; did you mean '300vw'"
    ):
        read_part("300vv", tmp_path, "", "ibug68")
    with pytest.raises(DataError, match=r"no part 'trian'; did you mean 'train'\?"):
        read_part("300w", tmp_path, "trian", "ibug68")
    with pytest.raises(
        DataError,
        match="the data set 'talking-face' needs a part; choose one of",
    ):
        read_part("talking-face", tmp_path, "", "ibug68")
    with pytest.raises(SchemeError, match="cannot convert ibug68 to mediapipe478"):
        read_part("folder", tmp_path, "", "mediapipe478", "faces")


def test_the_visibility_of_points_that_a_face_lacks_is_unknown():
    shown = np.array([True, False])
    face = Sample(None, np.array([[1.0, 2], [3, 4]]), "", "x", visible=shown)
    some = face.with_points("five", [4, 0])
    assert some.visible[[4, 0]].tolist() == [1, 0]
    assert np.isnan(some.visible[1:4]).all()
    whole = Sample(None, np.zeros((5, 2)), "", "x", visible=np.ones(5, bool))
    assert whole.with_points("five", range(5)).visible.dtype == bool
