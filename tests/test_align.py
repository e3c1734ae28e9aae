"""Alignment: every scheme maps to the template, crops map back, rules match their formulas."""

import numpy as np
import pytest

from lineament.analysis.align import (
    TEMPLATES,
    Square,
    Template,
    align,
    align_affine,
    load_template,
    named_point,
)
from lineament.analysis.draw import draw_faces
from lineament.errors import ImageError, InputError, SchemeError, ShapeError
from lineament.face import Face, Faces
from lineament.geometry import (
    Array,
    affine_roll_deg,
    affine_scale,
    apply_affine,
    invert_affine,
    landmark_box,
    similarity,
)
from lineament.schemes import convert, scheme

FIVE = scheme("five").points


def _face(landmarks: Array, scheme_name: str) -> Face:
    count = len(landmarks)
    return Face(
        landmarks,
        np.ones(count),
        np.ones(count),
        landmark_box(landmarks),
        1.0,
        scheme_name,
    )


def _ibug68(
    scale: float = 140.0,
    angle_deg: float = 0.0,
    at: tuple[float, float] = (160.0, 150.0),
) -> Face:
    mean = scheme("ibug68").mean_shape
    assert mean is not None
    lopsided = mean + 0.01 * np.sin(np.arange(136)).reshape(68, 2)
    return _face(
        apply_affine(similarity(scale, angle_deg, (0, 0), at), lopsided), "ibug68"
    )


def _arcface() -> Array:
    points = load_template("arcface112").points
    assert points is not None
    return np.array([points[name] for name in FIVE])


@pytest.mark.parametrize("angle_deg", [0.0, 37.0, -90.0, 180.0])
def test_a_transformed_template_is_aligned_exactly(angle_deg: float) -> None:
    moved = similarity(2.3, angle_deg, (50, 60), (140, 90))
    affine = align_affine(_face(apply_affine(moved, _arcface()), "five"))
    assert np.allclose(
        apply_affine(affine, apply_affine(moved, _arcface())), _arcface(), atol=1e-9
    )
    assert np.allclose(affine, invert_affine(moved), atol=1e-9)


def test_ibug68_is_aligned_by_its_five_points() -> None:
    face = _ibug68()
    five = convert(face.landmarks, "ibug68", "five").points
    assert np.allclose(
        align_affine(face), align_affine(_face(five, "five")), atol=1e-12
    )


@pytest.mark.parametrize("scheme_name", ["wflw98", "cofw29", "aflw19", "ibug51"])
def test_other_schemes_are_aligned_if_they_have_the_points(scheme_name: str) -> None:
    face = _ibug68()
    points = convert(face.landmarks, "ibug68", scheme_name).points
    points = np.where(np.isfinite(points), points, face.landmarks.mean(0))
    # the points differ a little in meaning (pupils, outlines): the crops agree within 3 % of
    # their side
    center = face.landmarks[36:48].mean(0)
    ours, theirs = align_affine(face), align_affine(_face(points, scheme_name))
    assert (
        np.abs(apply_affine(ours, center) - apply_affine(theirs, center)).max()
        < 0.03 * 112
    )


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("size", [None, 96])
def test_the_crop_of_a_rotated_face_is_upright(template: str, size: int | None) -> None:
    upright, turned = _ibug68(), _ibug68(60.0, 71.0, (310.0, 95.0))
    shown = [
        apply_affine(align_affine(face, template, size), face.landmarks)
        for face in (upright, turned)
    ]
    assert np.allclose(shown[0], shown[1], atol=1e-9)


@pytest.mark.parametrize("template", TEMPLATES)
def test_another_size_scales_the_crop_by_pixel_areas(template: str) -> None:
    face = _ibug68()
    own = load_template(template).size
    small = apply_affine(align_affine(face, template, own // 4), face.landmarks)
    large = apply_affine(align_affine(face, template), face.landmarks)
    assert np.allclose(small, (large + 0.5) / 4 - 0.5, atol=1e-9)


@pytest.mark.parametrize("template", ["arcface112", "ffhq256"])
@pytest.mark.parametrize("angle_deg", [0.0, -48.0])
def test_landmarks_of_the_crop_map_back_to_the_image(
    template: str, angle_deg: float
) -> None:
    face = _ibug68(260.0, angle_deg, (250.0, 240.0))
    image = np.zeros((480, 500, 3), np.uint8)
    dot = np.full((5, 2), 1e9)
    dot[0] = [231.3, 247.8]
    shown = Face(dot, np.ones(5), np.ones(5), np.array([0, 0, 900, 900]), 1.0, "five")
    image = draw_faces(
        image, Faces((shown,), "five", 5), boxes=False, labels=False, edges=False
    )
    crop, image_to_crop = align(image, face, template)
    light = crop.sum(-1, dtype=float)
    rows, columns = np.indices(light.shape)
    middle = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()
    back = apply_affine(invert_affine(image_to_crop), middle)
    assert np.abs(back - dot[0]).max() < 0.1


def _ffhq_corners(points: Array) -> Array:
    """Return the quad of FFHQ's recreate_aligned_images: TL, BL, BR, TR."""
    eye_left, eye_right = points[36:42].mean(0), points[42:48].mean(0)
    eye_avg, eye_to_eye = (eye_left + eye_right) * 0.5, eye_right - eye_left
    mouth_avg = (points[48] + points[54]) * 0.5
    eye_to_mouth = mouth_avg - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    c = eye_avg + eye_to_mouth * 0.1
    return np.stack([c - x - y, c - x + y, c + x + y, c + x - y])


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (0.6, 1.0), (1.0, 0.6)])
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_the_ffhq_square_matches_the_official_tool(
    stretch: tuple[float, float], size: int
) -> None:
    # the narrow face is measured by eyes to mouth, the flat one by eye to eye
    points = _ibug68(150.0, 23.0).landmarks * stretch
    corners = apply_affine(
        align_affine(_face(points, "ibug68"), f"ffhq{size}"), _ffhq_corners(points)
    )
    low, high = -0.5, size - 0.5
    assert np.allclose(
        corners, [[low, low], [low, high], [high, high], [high, low]], atol=1e-6
    )


def test_a_custom_template_is_names_and_points() -> None:
    face = _ibug68()
    wanted = {"chin": (50.0, 90.0), "right_eye_outer": (25.0, 30.0)}
    affine = align_affine(face, wanted, 100)
    # two points determine a similarity: both map exactly to the template
    assert np.allclose(
        apply_affine(affine, face.landmarks[8]), wanted["chin"], atol=1e-9
    )
    assert np.allclose(
        apply_affine(affine, face.landmarks[36]), wanted["right_eye_outer"], atol=1e-9
    )


def test_a_custom_template_may_mix_schemes() -> None:
    face = _ibug68()
    affine = align_affine(
        face, {"chin": (50.0, 90.0), "left_eye_center": (70.0, 30.0)}, 100
    )
    assert np.allclose(
        apply_affine(affine, face.landmarks[42:48].mean(0)), (70, 30), atol=1e-9
    )


def test_a_template_object_is_used_unchanged() -> None:
    face = _ibug68()
    template = Template(64, square=Square(eyes=1.0, mouth=1.0, drop=0.5))
    assert align(np.zeros((300, 300, 3), np.uint8), face, template)[0].shape == (
        64,
        64,
        3,
    )


def test_the_crop_is_not_mirrored_and_has_one_scale() -> None:
    affine = align_affine(_ibug68(140.0, 30.0))
    assert np.linalg.det(affine[:, :2]) > 0
    assert np.allclose(
        affine[:, :2] @ affine[:, :2].T, affine_scale(affine) ** 2 * np.eye(2)
    )
    # the face is rotated by 30 degrees; the crop undoes that, up to the asymmetry of the
    # five points
    assert abs(affine_roll_deg(affine) + 30) < 3


def test_the_crop_is_black_outside_the_image() -> None:
    crop, affine = align(
        np.full((40, 40, 3), 255, np.uint8), _ibug68(140.0, 0.0, (20.0, 20.0))
    )
    column, row = apply_affine(affine, (20, 20)).round().astype(int)
    assert (crop[row, column] == 255).all()
    assert not crop[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_an_unknown_template_is_rejected_with_the_nearest_name() -> None:
    with pytest.raises(
        InputError,
        match=r"unknown template 'arcface'; did you mean 'arcface112'\?",
    ):
        align_affine(_ibug68(), "arcface")


@pytest.mark.parametrize("size", [0, -5, 8193, 2.5, True])
def test_a_size_out_of_range_is_rejected(size: object) -> None:
    with pytest.raises(
        InputError, match=r"expected the side of the crop, an integer from 1 to 8192"
    ):
        align_affine(_ibug68(), "arcface112", size)  # type: ignore[arg-type]


def test_a_mapping_needs_a_size_two_points_and_finite_numbers() -> None:
    with pytest.raises(
        InputError,
        match="needs the side of the crop, and size is None; give size",
    ):
        align_affine(_ibug68(), {"chin": (1, 2), "nose_tip": (3, 4)})
    with pytest.raises(
        ShapeError, match="the template has 1 points; expected at least 2"
    ):
        align_affine(_ibug68(), {"chin": (1, 2)}, 100)
    with pytest.raises(
        ShapeError,
        match=r"point 'chin' is \(1, nan\); expected finite x, y in crop pixels",
    ):
        align_affine(_ibug68(), {"chin": (1, float("nan")), "nose_tip": (3, 4)}, 100)


def test_a_template_without_content_is_rejected() -> None:
    with pytest.raises(
        InputError, match="has neither points nor a square; give one of them"
    ):
        align_affine(_ibug68(), Template(64))


def test_the_error_names_a_point_that_the_face_lacks() -> None:
    with pytest.raises(
        SchemeError, match=r"unknown point 'nose_tipp' in .*; did you mean 'nose_tip'"
    ):
        named_point(_ibug68(), "nose_tipp")
    with pytest.raises(
        SchemeError, match="unknown point 'chin' in five and the schemes it converts to"
    ):
        align_affine(
            _face(_arcface(), "five"), {"chin": (1, 2), "nose_tip": (3, 4)}, 100
        )


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("arcface112", "all source points coincide"),
        ("ffhq256", "the eyes and the mouth coincide"),
    ],
)
def test_a_face_of_one_point_is_rejected(template: str, wanted: str) -> None:
    face = Face(
        np.full((5, 2), 7.0),
        np.ones(5),
        np.ones(5),
        np.array([0, 0, 9, 9]),
        1.0,
        "five",
    )
    with pytest.raises(ShapeError, match=wanted):
        align_affine(face, template)


def test_another_kind_of_image_is_rejected() -> None:
    with pytest.raises(
        ImageError,
        match=r"the image is uint8 \(20, 20\); expected RGB uint8 \(H, W, 3\)",
    ):
        align(np.zeros((20, 20), np.uint8), _ibug68())
    with pytest.raises(ImageError, match="the image is str; expected RGB"):
        align("a.jpg", _ibug68())  # type: ignore[arg-type]


@pytest.mark.parametrize("side", [0, -112])
def test_a_template_without_a_size_is_rejected(side):
    points = {"right_eye_center": (1.0, 1.0), "left_eye_center": (5.0, 1.0)}
    five = np.array([[1.0, 1], [5, 1], [3, 3], [2, 5], [4, 5]])
    face = Face(five, np.ones(5), np.ones(5), (1, 1, 5, 5), 1.0, "five")
    with pytest.raises(InputError, match="the template's size is"):
        align_affine(face, Template(side, points=points), size=100)
