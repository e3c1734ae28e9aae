"""Multi-PIE: labels of 68, 66 and 39 points, and the halves that profiles show."""

from pathlib import Path

import numpy as np
import pytest

from lineament.data.readers.multipie import to_multipie65
from lineament.data.readers.registry import read_data
from lineament.errors import DataError
from lineament.geometry import landmark_box
from lineament.schemes import scheme
from tiny_sets import picture, shape


def label(root: Path, stem: str, points: np.ndarray, images: str = "data") -> Path:
    """Write a label, counted from 1, and its image."""
    scipy_io = pytest.importorskip("scipy.io")
    person, session, recording, camera, _ = stem.split("_")
    path = root / f"MPie_Labels/labels/{camera}/{stem}_lm.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(path, {"pts": points + 1})
    folder = f"session{session}/multiview/{person}/{recording}/{camera[:2]}_{camera[2]}"
    if images:
        picture(root / images / folder / f"{stem}.png")
    return path


def profile(right: bool) -> np.ndarray:
    """The 39 points of a profile whose nose is on the right of its ears, or on the left."""
    points = shape(39) * ([-1, 1] if right else [1, 1])
    return points - points.min(0)


@pytest.mark.parametrize("images", ["data", "Multi-Pie/data"])
def test_frontal_faces_have_68_points_or_66_without_inner_corners(
    images: str, tmp_path: Path
) -> None:
    label(tmp_path, "001_01_01_051_07", shape(68), images)
    label(tmp_path, "001_02_01_051_07", np.delete(shape(68), [60, 64], 0), images)
    label(tmp_path, "002_01_01_240_08", profile(False), images)
    label(tmp_path, "003_01_01_051_07", shape(68), "")
    whole, without = read_data("multipie", tmp_path, "frontal")
    assert whole.name == (
        f"{images}/session01/multiview/001/01/05_1/001_01_01_051_07.png"
    )
    assert whole.scheme == without.scheme == "ibug68"
    assert np.array_equal(whole.landmarks, shape(68))
    assert np.flatnonzero(np.isnan(without.landmarks).all(1)).tolist() == [60, 64]
    known = np.delete(np.arange(68), [60, 64])
    assert np.array_equal(without.landmarks[known], shape(68)[known])
    assert whole.group == without.group == "multipie_001"


def test_profiles_have_the_points_of_the_half_they_show(tmp_path: Path) -> None:
    label(tmp_path, "001_01_01_051_07", shape(68))
    label(tmp_path, "001_01_01_110_12", profile(False))
    label(tmp_path, "001_01_01_240_08", profile(True))
    left, right = read_data("multipie", tmp_path, "profile")
    names = np.array(scheme("multipie65").points)
    for sample, side, other in ((right, "right", "left"), (left, "left", "right")):
        assert sample.scheme == "multipie65"
        known = np.isfinite(sample.landmarks).all(1)
        assert known.sum() == 39
        assert not any(name.startswith(other) for name in names[known])
        assert sum(name.startswith(side) for name in names[known]) == 26
        assert np.array_equal(sample.visible, known)
        assert sample.attributes == {"profile": True}
        assert np.array_equal(sample.box, landmark_box(profile(side == "right")))
    assert left.group == right.group


def test_points_of_a_profile_have_their_names() -> None:
    places = dict(
        zip(scheme("multipie65").points, to_multipie65(profile(True)), strict=True)
    )
    for index, name in {
        0: "nose_bridge_1",
        3: "nose_tip",
        4: "nose_base",
        5: "right_nostril_1",
        6: "right_brow_1",
        9: "right_brow_4",
        10: "right_eye_outer",
        15: "outer_lip_upper_middle",
        18: "right_mouth_corner",
        21: "outer_lip_lower_middle",
        22: "inner_lip_upper_middle",
        24: "right_inner_mouth_corner",
        26: "inner_lip_lower_middle",
        30: "chin",
        31: "right_jaw_8",
        38: "right_jaw_1",
    }.items():
        assert places[name].tolist() == profile(True)[index].tolist(), name


def test_a_mirrored_profile_is_one_of_the_other_half() -> None:
    right = to_multipie65(profile(True))
    mirrored = to_multipie65(profile(True) * [-1, 1])
    expected = right[scheme("multipie65").mirror] * [-1, 1]
    assert np.array_equal(mirrored, expected, equal_nan=True)


def test_cameras_from_above_are_left_out(tmp_path: Path) -> None:
    label(tmp_path, "001_01_01_191_07", shape(68))
    label(tmp_path, "001_01_01_081_07", shape(68))
    assert read_data("multipie", tmp_path, "frontal") == []


def test_missing_and_broken_labels_give_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no MPie_Labels/labels/.*; expected the official"
    ):
        read_data("multipie", tmp_path, "frontal")
    path = label(tmp_path, "001_01_01_051_07", shape(20))
    with pytest.raises(
        DataError, match=r"pts has shape \(20, 2\); expected 68, 66 or 39"
    ):
        read_data("multipie", tmp_path, "frontal")
    path.rename(path.with_name("anna_lm.mat"))
    with pytest.raises(
        DataError, match=r"anna_lm\.mat: not named like 001_01_01_051_07_lm"
    ):
        read_data("multipie", tmp_path, "frontal")
