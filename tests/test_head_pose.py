"""Head pose and openness: signs, mirrors, and errors that name missing points."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.analysis.head_pose import (
    HeadPose,
    Sides,
    eye_openness,
    eye_roll_deg,
    head_pose,
    interocular_px,
    mean_face_3d,
    mouth_openness,
    rotation_angles,
)
from lineament.errors import InputError, SchemeError, ShapeError
from lineament.face import Face
from lineament.geometry import Array, apply_affine, flip_affine, similarity
from lineament.schemes import convert, scheme

IBUG68 = scheme("ibug68")
SIZE = (640, 480)
CAMERA_CENTER = np.array([319.5, 239.5])  # (640 - 1) / 2, (480 - 1) / 2


def rotation_of(yaw_deg, pitch_deg, roll_deg):
    """Return the rotation (3, 3) by pitch, then yaw, then roll, with the signs of HeadPose."""
    angles = np.deg2rad([yaw_deg, pitch_deg, roll_deg])
    (cy, cp, cr), (sy, sp, sr) = np.cos(angles), np.sin(angles)
    by_pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    by_yaw = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    by_roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(by_roll @ by_yaw @ by_pitch)


def _face(landmarks: Array, scheme_name: str = "ibug68") -> Face:
    count = len(landmarks)
    return Face(
        landmarks,
        np.ones(count),
        np.ones(count),
        np.array([0, 0, 9, 9]),
        1.0,
        scheme_name,
    )


def _mean() -> Array:
    assert IBUG68.mean_shape is not None
    return IBUG68.mean_shape


def _lopsided() -> Array:
    """Return the mean shape with displaced points and nose, rotated by 12 degrees."""
    shape = _mean() + 0.02 * np.sin(np.arange(136)).reshape(68, 2)
    shape[27:36, 0] += 0.03
    return apply_affine(similarity(170.0, 12.0, (0, 0), (300.0, 260.0)), shape)


def _posed(
    yaw: float,
    pitch: float,
    roll: float,
    focal: float = 640.0,
    shift: Array | None = None,
) -> Face:
    """Return the mean face in front of the camera; other landmarks are on its nose."""
    names, places = mean_face_3d()
    seen = places @ rotation_of(yaw, pitch, roll).T + (
        np.array([40.0, -30.0, 600.0]) if shift is None else shift
    )
    landmarks = np.tile(focal * seen[3, :2] / seen[3, 2] + CAMERA_CENTER, (68, 1))
    for name, point in zip(names, seen, strict=True):
        landmarks[IBUG68.points.index(name)] = (
            focal * point[:2] / point[2] + CAMERA_CENTER
        )
    return _face(landmarks)


@settings(max_examples=60, deadline=None)
@given(st.floats(-75, 75), st.floats(-60, 60), st.floats(-179, 179))
def test_a_known_pose_is_recovered(yaw: float, pitch: float, roll: float) -> None:
    pose = head_pose(_posed(yaw, pitch, roll), SIZE)
    away = (
        np.array([pose.yaw_deg, pose.pitch_deg, pose.roll_deg])
        - [yaw, pitch, roll]
        + 180
    ) % 360 - 180
    assert np.abs(away).max() < 0.01
    assert np.allclose(pose.translation_mm, [40, -30, 600], atol=0.05)
    assert np.allclose(pose.rotation, rotation_of(yaw, pitch, roll), atol=1e-3)
    assert pose.error < 1e-4


@settings(max_examples=40, deadline=None)
@given(st.floats(-89, 89), st.floats(-179, 179), st.floats(-179, 179))
def test_angles_and_rotation_convert_back_and_forth(
    yaw: float, pitch: float, roll: float
) -> None:
    assert np.allclose(
        rotation_angles(rotation_of(yaw, pitch, roll)), (yaw, pitch, roll), atol=1e-6
    )


def test_a_face_toward_the_camera_has_zero_angles() -> None:
    assert np.allclose(rotation_of(0, 0, 0), np.eye(3))


def test_yaw_is_positive_if_the_face_turns_to_the_right_edge() -> None:
    # the direction of the face is -z of the model; looking to the right edge it has x > 0
    assert (rotation_of(20, 0, 0) @ [0, 0, -1])[0] > 0.3
    # so the nose tip moves right of the middle of the eyes
    landmarks = _posed(20, 0, 0).landmarks
    assert landmarks[30, 0] > landmarks[[36, 45], 0].mean() + 5


def test_pitch_is_positive_if_the_face_turns_up() -> None:
    assert (rotation_of(0, 20, 0) @ [0, 0, -1])[1] < -0.3
    # so the nose tip comes nearer to the eyes, as seen
    drop = [
        np.diff(_posed(0, pitch, 0).landmarks[[27, 30], 1])[0] for pitch in (20, 0, -20)
    ]
    assert drop[0] < drop[1] < drop[2]


def test_roll_is_positive_if_the_chin_points_to_the_left_edge() -> None:
    # geometry's convention: roll +30 is clockwise as one sees it
    landmarks = _posed(0, 0, 30).landmarks
    assert landmarks[8, 0] < landmarks[27, 0]
    upright = _posed(0, 0, 0, shift=np.array([0.0, 0.0, 600.0])).landmarks
    turned = apply_affine(similarity(1.0, 30.0, CAMERA_CENTER, CAMERA_CENTER), upright)
    assert np.allclose(
        turned, _posed(0, 0, 30, shift=np.array([0.0, 0.0, 600.0])).landmarks, atol=1e-9
    )


def test_the_rotation_applies_pitch_then_yaw_then_roll() -> None:
    # 90 degrees of pitch (up) move the chin (+y) toward the camera (-z);
    # 90 degrees of yaw then move it to the right edge (+x)
    assert np.allclose(rotation_of(90, 90, 0) @ [0, 1, 0], [1, 0, 0], atol=1e-12)
    assert np.allclose(rotation_of(90, 90, 90) @ [0, 1, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize("angle", [-120.0, 15.0, 90.0])
def test_rotating_the_image_about_its_center_changes_only_roll(angle: float) -> None:
    shape = _lopsided()
    before = head_pose(_face(shape), SIZE, 700.0)
    turn = similarity(1.0, angle, CAMERA_CENTER, CAMERA_CENTER)
    after = head_pose(_face(apply_affine(turn, shape)), SIZE, 700.0)
    assert abs(after.yaw_deg - before.yaw_deg) < 0.01
    assert abs(after.pitch_deg - before.pitch_deg) < 0.01
    assert abs((after.roll_deg - before.roll_deg - angle + 180) % 360 - 180) < 0.01


def test_a_mirrored_face_has_mirrored_yaw_and_roll_and_swapped_eyes() -> None:
    shape = _lopsided()
    face = _face(shape)
    mirrored = _face(apply_affine(flip_affine(SIZE[0]), shape)[IBUG68.mirror])
    a, b = head_pose(face, SIZE), head_pose(mirrored, SIZE)
    assert abs(a.yaw_deg) > 1
    assert np.allclose(
        [b.yaw_deg, b.pitch_deg, b.roll_deg],
        [-a.yaw_deg, a.pitch_deg, -a.roll_deg],
        atol=0.01,
    )
    assert np.allclose(eye_openness(mirrored), eye_openness(face)[::-1])
    assert mouth_openness(mirrored) == pytest.approx(mouth_openness(face))
    assert interocular_px(mirrored) == pytest.approx(interocular_px(face))
    assert eye_roll_deg(mirrored) == pytest.approx(-eye_roll_deg(face))


def test_the_default_camera_has_the_image_width_as_focal_length_and_a_central_axis() -> (
    None
):
    face = _posed(25, 10, 5)
    said = head_pose(face, SIZE, focal_px=640.0, center_px=CAMERA_CENTER)
    assert head_pose(face, SIZE).yaw_deg == said.yaw_deg
    assert head_pose(face, SIZE).translation_mm.tolist() == said.translation_mm.tolist()
    # with twice the focal length the head is estimated about twice as far away
    assert head_pose(face, SIZE, focal_px=1280.0).translation_mm[2] == pytest.approx(
        1200, rel=0.1
    )


def test_the_error_grows_with_the_deviation_from_the_mean_face() -> None:
    face = _posed(10, 0, 0)
    bent = face.landmarks.copy()
    bent[8, 1] += 0.2 * interocular_px(face)
    assert 0.01 < head_pose(_face(bent), SIZE).error < 0.2
    assert head_pose(face, SIZE).error < 1e-4


def test_the_mean_face_is_symmetric_and_as_wide_as_its_table() -> None:
    names, places = mean_face_3d()
    at = dict(zip(names, places, strict=True))
    for name, place in at.items():
        index = IBUG68.points.index(name)
        assert np.array_equal(
            at[IBUG68.points[IBUG68.mirror[index]]], place * [-1, 1, 1]
        )

    def apart(a: str, b: str) -> float:
        return float(np.linalg.norm(at[a] - at[b]))

    # Farkas's lengths in the table, to the millimeter
    assert apart("right_eye_outer", "left_eye_outer") == pytest.approx(89, abs=0.5)
    assert apart("nose_bridge_1", "nose_base") == pytest.approx(53, abs=0.5)
    assert apart("nose_base", "nose_tip") == pytest.approx(20, abs=0.5)
    assert apart("nose_bridge_1", "nose_tip") == pytest.approx(48, abs=1)
    assert apart("right_mouth_corner", "left_mouth_corner") == pytest.approx(
        52, abs=0.5
    )
    assert apart("nose_bridge_1", "chin") == pytest.approx(118, abs=0.5)
    assert not places.flags.writeable


def _with_eyes(right_height: float, left_height: float) -> Face:
    landmarks = np.zeros((68, 2))
    # corners 30 px apart; lids half their height above and below
    landmarks[36:42] = [(0, 0), (10, -0.5), (20, -0.5), (30, 0), (20, 0.5), (10, 0.5)]
    landmarks[42:48] = [(60, 0), (70, -0.5), (80, -0.5), (90, 0), (80, 0.5), (70, 0.5)]
    landmarks[36:42, 1] *= right_height
    landmarks[42:48, 1] *= left_height
    return _face(landmarks)


def test_eye_openness_is_height_over_width_of_each_side() -> None:
    # 9 / 30 on the subject's right, which is left in the image, and 3 / 30
    assert eye_openness(_with_eyes(9, 3)) == pytest.approx(Sides(right=0.3, left=0.1))
    assert eye_openness(_with_eyes(0, 0)) == (0, 0)


def test_eye_openness_means_over_both_pairs_of_lids() -> None:
    landmarks = _with_eyes(9, 9).landmarks.copy()
    landmarks[37, 1] -= 6  # one pair is 15 high, the other 9: (15 + 9) / 2 / 30
    assert eye_openness(_face(landmarks)).right == pytest.approx(0.4)


def test_mouth_openness_is_mean_height_over_width() -> None:
    landmarks = np.zeros((68, 2))
    landmarks[60:68] = [
        (0, 0),
        (10, -4),
        (20, -5),
        (30, -3),
        (40, 0),
        (30, 3),
        (20, 7),
        (10, 2),
    ]
    # heights 4 + 2, 5 + 7 and 3 + 3: 8 on average, over 40
    assert mouth_openness(_face(landmarks)) == pytest.approx(0.2)


@pytest.mark.parametrize("angle", [0.0, 33.0, -90.0, 179.0])
def test_openness_and_distance_do_not_depend_on_roll_and_eye_roll_is_the_roll(
    angle: float,
) -> None:
    face = _with_eyes(9, 3)
    turned = _face(
        apply_affine(similarity(2.0, angle, (0, 0), (300, 200)), face.landmarks)
    )
    assert eye_openness(turned) == pytest.approx(eye_openness(face))
    assert interocular_px(turned) == pytest.approx(
        180
    )  # 90 px between the outer corners, twice as large
    assert eye_roll_deg(turned) == pytest.approx(angle)


def test_schemes_that_convert_are_also_measured() -> None:
    shape = apply_affine(similarity(170.0, 0.0, (0, 0), (300.0, 260.0)), _mean())
    face, other = (
        _face(shape),
        _face(convert(shape, "ibug68", "ibug51").points, "ibug51"),
    )
    assert eye_openness(other) == eye_openness(face)
    assert interocular_px(other) == interocular_px(face)


@pytest.mark.parametrize(
    "measure", [eye_openness, mouth_openness, lambda face: head_pose(face, SIZE)]
)
def test_a_scheme_without_the_points_is_rejected_with_its_name(
    measure: Callable[[Face], object],
) -> None:
    with pytest.raises(
        SchemeError,
        match=r"five has no .*, which this measure needs; predict with a model of ibug68",
    ):
        measure(_face(np.random.default_rng(0).random((5, 2)) * 100, "five"))


def test_head_pose_names_the_chin_that_inner_points_lack() -> None:
    points = convert(_mean() * 170 + 250, "ibug68", "ibug51").points
    with pytest.raises(
        SchemeError,
        match="ibug51 has no chin, which this measure needs; predict with a model",
    ):
        head_pose(_face(points, "ibug51"), SIZE)


def test_points_without_extent_are_rejected() -> None:
    with pytest.raises(
        ShapeError,
        match="the landmarks coincide or are on one line; expected landmarks of a face",
    ):
        head_pose(_face(np.full((68, 2), 5.0)), SIZE)
    with pytest.raises(ShapeError, match="the landmarks coincide or are on one line"):
        head_pose(_face(np.arange(136.0).reshape(68, 2)), SIZE)
    with pytest.raises(
        ShapeError,
        match="the corners of the right eye coincide; expected two different points",
    ):
        eye_openness(_face(np.zeros((68, 2))))
    with pytest.raises(
        ShapeError,
        match="the corners of the mouth coincide; expected two different points",
    ):
        mouth_openness(_face(np.zeros((68, 2))))


def test_an_impossible_camera_is_rejected() -> None:
    face = _posed(0, 0, 0)
    with pytest.raises(
        InputError,
        match=r"image_size is \(0, 480\); expected width and height of the image in pixels",
    ):
        head_pose(face, (0, 480))
    with pytest.raises(
        InputError,
        match=r"focal_px is -1\.0; expected a focal length in pixels, above 0",
    ):
        head_pose(face, SIZE, focal_px=-1.0)
    with pytest.raises(
        InputError,
        match=r"center_px is \(1, 2, 3\); expected x, y in pixels of the image",
    ):
        head_pose(face, SIZE, center_px=(1, 2, 3))


def test_landmarks_that_no_pose_fits_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*given: object, **options: object) -> None:
        raise cv2.error("no solution")

    monkeypatch.setattr(cv2, "solvePnP", fails)
    with pytest.raises(
        ShapeError,
        match="no head pose fits the landmarks; expected landmarks of a face",
    ):
        head_pose(_posed(0, 0, 0), SIZE)


def test_random_landmarks_give_finite_angles_or_a_clear_error() -> None:
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 300.0, 1e6, 1e12):
        for _ in range(10):
            try:
                pose = head_pose(_face(rng.normal(size=(68, 2)) * scale), SIZE)
            except ShapeError:
                continue
            assert np.isfinite(
                [pose.yaw_deg, pose.pitch_deg, pose.roll_deg, pose.error]
            ).all()


def test_a_printed_pose_is_one_line():
    pose = HeadPose(-5.04, 0.0, 179.96, np.eye(3), np.zeros(3), 0.0625)
    line = "<HeadPose: yaw_deg=-5.0, pitch_deg=0.0, roll_deg=180.0, error=0.062>"
    assert repr(pose) == line
