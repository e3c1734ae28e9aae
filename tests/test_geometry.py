"""Pixel conventions, tested by asymmetric inputs that distinguish them, and round trips."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.errors import ShapeError
from lineament.geometry import (
    absolute_from_box,
    affine_roll_deg,
    affine_scale,
    apply_affine,
    as_boxes,
    as_points,
    box_center,
    box_side,
    compose,
    crop_affine,
    fit_roll_deg,
    fit_similarity,
    flip_affine,
    invert_affine,
    iou,
    landmark_box,
    relative_to_box,
    resize_affine,
    similarity,
)

near = st.floats(-500, 500)
lengths = st.floats(1, 400)
points_2d = st.tuples(near, near).map(np.array)
boxes = st.tuples(near, near, lengths, lengths).map(
    lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]])
)
sizes = st.integers(16, 512)
paddings = st.floats(0.5, 3)
rolls = st.floats(-179.9, 179.9)
crops = st.builds(crop_affine, boxes, sizes, paddings, rolls)


def close(a, b, tolerance=1e-6):
    np.testing.assert_allclose(a, b, atol=tolerance, rtol=1e-9)


def test_points_are_x_then_y_and_boxes_are_corners_on_the_outline():
    # x spans 3 to 10 and y 4 to 30: width 7, not 8, and height 26
    box = landmark_box([[10, 4], [3, 30], [5, 6]])
    assert box.tolist() == [3, 4, 10, 30]
    assert box_side(box) == 26
    assert box_center(box).tolist() == [6.5, 17]


def test_points_that_are_not_finite_do_not_count_for_the_box():
    assert landmark_box([[1, 2], [np.nan, 99], [5, np.inf], [3, 4]]).tolist() == [
        1,
        2,
        3,
        4,
    ]
    with pytest.raises(
        ShapeError,
        match="no landmark is finite; expected at least one",
    ):
        landmark_box([[np.nan, 1]])


def test_one_box_or_no_box_becomes_rows_of_four():
    assert as_boxes([1, 2, 3, 4]).tolist() == [[1, 2, 3, 4]]
    assert as_boxes([]).shape == as_boxes(np.zeros((0, 4))).shape == (0, 4)
    assert as_boxes([[1, 2, 3, 4], [0, 0, 1, 1]]).dtype == np.float64


@pytest.mark.parametrize(
    ("given_boxes", "message"),
    [
        (
            [1, 2, 3],
            r"boxes have shape \(3,\); expected \(F, 4\): x0, y0, x1, y1 per face",
        ),
        ([[1, 2, 3, 4, 5]], r"boxes have shape \(1, 5\)"),
        (
            [[0, 0, 1, 1], [5, 0, 5, 1]],
            r"box 1 is \[5.0, 0.0, 5.0, 1.0\]; expected finite x0 < x1 and y0 < y1",
        ),
        ([[0, 3, 1, 2]], r"box 0 is \[0.0, 3.0, 1.0, 2.0\]"),
        ([[0, 0, np.nan, 1]], "box 0 is .*expected finite"),
        ([[0, 0, np.inf, 1]], "box 0 is .*expected finite"),
    ],
)
def test_a_wrong_box_is_an_error_that_shows_it(given_boxes, message):
    with pytest.raises(ShapeError, match=message):
        as_boxes(given_boxes)


def test_the_error_for_points_of_another_shape_states_the_shape():
    assert as_points([[1, 2]]).dtype == np.float64
    with pytest.raises(
        ShapeError,
        match=r"source points have shape \(2,\); expected \(N, 2\): one row of x, y",
    ):
        as_points([1, 2], "source points")


def test_iou_of_every_pair():
    a, b = [[0, 0, 4, 2], [10, 10, 11, 11]], [[2, 0, 6, 2], [0, 0, 4, 2], [4, 0, 5, 2]]
    # first pair: overlap 2 x 2 = 4 of 8 + 8 - 4 = 12; last of the row: touching, no area
    close(iou(a, b), [[4 / 12, 1, 0], [0, 0, 0]])
    assert iou([], b).shape == (0, 3)


@given(boxes, boxes)
def test_iou_is_symmetric_and_between_0_and_1(a, b):
    value = iou([a], [b])[0, 0]
    assert 0 <= value <= 1
    close(value, iou([b], [a])[0, 0])
    close(iou([a], [a])[0, 0], 1)


def test_an_image_covers_half_a_pixel_beyond_its_outer_centers_and_resizing_keeps_its_area():
    # 3 x 5 pixels cover [-0.5, 2.5] x [-0.5, 4.5]; twice and four times as large: [-0.5, 5.5] x
    # [-0.5, 19.5]
    moved = apply_affine(
        resize_affine(2, 4), [[-0.5, -0.5], [2.5, 4.5], [0, 0], [1, 3]]
    )
    # x' = (x + 0.5) s - 0.5: 0 -> 0.5 and 1.5; 1 -> 2.5; 3 -> 13.5
    close(moved, [[-0.5, -0.5], [5.5, 19.5], [0.5, 1.5], [2.5, 13.5]])


def test_a_heatmap_of_stride_4_has_its_first_pixel_over_the_first_four_of_the_crop():
    # crop pixels 0 1 2 3 have their middle at 1.5; 60 61 62 63 at 61.5; (1.5 + 0.5) / 4 - 0.5 =
    # 0, (62) / 4 - 0.5 = 15
    close(
        apply_affine(resize_affine(1 / 4, 1 / 4), [[1.5, 61.5], [0, 3]]),
        [[0, 15], [-0.375, 0.375]],
    )


def test_resizing_matches_opencv():
    # one bright pixel at x = 3, y = 1, three times as large: its center is the middle of pixels 9
    # 10 11 and 3 4 5
    image = np.zeros((4, 6), np.uint8)
    image[1, 3] = 255
    large = cv2.resize(image, (18, 12), interpolation=cv2.INTER_AREA)
    ys, xs = np.nonzero(large > 100)
    close([xs.mean(), ys.mean()], apply_affine(resize_affine(3, 3), [[3, 1]])[0])
    assert (xs.mean(), ys.mean()) == (10, 4)


def test_warping_moves_pixels_like_points():
    image = np.zeros((40, 30), np.float32)
    image[12, 7] = 1.0
    affine = np.array([[2.0, 0.0, 3.0], [0.0, 2.0, -5.0]])
    warped = cv2.warpAffine(image, affine, (60, 60))
    y, x = np.unravel_index(warped.argmax(), warped.shape)
    # x' = 2 * 7 + 3 = 17, y' = 2 * 12 - 5 = 19
    assert [x, y] == [17, 19] == apply_affine(affine, [[7, 12]])[0].astype(int).tolist()


def test_a_flip_maps_the_first_pixel_center_to_the_last():
    close(
        apply_affine(flip_affine(7), [[0, 3], [6, 1], [2.25, 0]]),
        [[6, 3], [0, 1], [3.75, 0]],
    )
    image = np.zeros((2, 7), np.uint8)
    image[1, 5] = 1
    assert np.argwhere(image[:, ::-1]).tolist() == [[1, 1]]  # x' = 7 - 1 - 5 = 1
    close(apply_affine(flip_affine(7), [[5, 1]]), [[1, 1]])


@given(st.integers(1, 4000), points_2d)
def test_flipping_twice_changes_nothing(width, point):
    close(
        apply_affine(flip_affine(width), apply_affine(flip_affine(width), point)), point
    )


def test_a_crop_shows_the_padded_box_from_edge_to_edge():
    # the box 10 20 50 100 is 80 long: the square is 1.5 * 80 = 120 wide around (30, 60), from
    # (-30, 0) to (90, 120); 60 crop pixels cover [-0.5, 59.5]
    affine = crop_affine([10, 20, 50, 100], 60, 1.5)
    close(
        apply_affine(affine, [[-30, 0], [90, 120], [30, 60]]),
        [[-0.5, -0.5], [59.5, 59.5], [29.5, 29.5]],
    )
    assert affine_scale(affine) == pytest.approx(0.5)


def test_a_face_of_positive_roll_has_its_chin_to_the_left_and_its_crop_is_upright():
    # upright the chin is right below the brows; turned by +90 degrees the chin points to the left
    # edge
    brows, chin = np.array([0.0, -10.0]), np.array([0.0, 10.0])
    turned = apply_affine(similarity(1, 90, [0, 0], [100, 100]), [brows, chin])
    close(turned, [[110, 100], [90, 100]])
    upright = apply_affine(
        crop_affine([80, 80, 120, 120], 64, 1.0, roll_deg=90), turned
    )
    assert upright[0, 0] == pytest.approx(upright[1, 0])
    assert upright[0, 1] < upright[1, 1]


def test_a_similarity_rotates_clockwise_in_the_image():
    # y runs down, so x (right) turns to y (down) by +90
    close(apply_affine(similarity(2, 90, [5, 5], [1, 1]), [[6, 5]]), [[1, 3]])
    assert affine_roll_deg(similarity(3, 30, [1, 2], [3, 4])) == pytest.approx(30)


@given(crops, points_2d)
def test_mapping_to_the_crop_and_back_is_the_identity(image_to_crop, point):
    close(
        apply_affine(invert_affine(image_to_crop), apply_affine(image_to_crop, point)),
        point,
    )


@given(boxes, sizes, paddings, rolls)
def test_a_crop_centers_scales_and_derotates_the_box(box, size, padding, roll_deg):
    affine = crop_affine(box, size, padding, roll_deg)
    close(apply_affine(affine, box_center(box)), [(size - 1) / 2] * 2)
    assert affine_scale(affine) == pytest.approx(size / (padding * box_side(box)))
    assert affine_roll_deg(affine) == pytest.approx(-roll_deg, abs=1e-6)


@given(crops, crops, points_2d)
def test_compose_applies_the_second_argument_first(second, first, point):
    close(
        apply_affine(compose(second, first), point),
        apply_affine(second, apply_affine(first, point)),
        1e-3,
    )


@given(crops)
def test_an_affine_and_its_inverse_compose_to_the_identity(affine):
    close(compose(invert_affine(affine), affine), [[1, 0, 0], [0, 1, 0]])


@given(st.floats(0.1, 10), st.floats(0.1, 10), points_2d)
def test_resizing_and_back_is_the_identity(scale_x, scale_y, point):
    back = compose(
        resize_affine(1 / scale_x, 1 / scale_y), resize_affine(scale_x, scale_y)
    )
    close(apply_affine(back, point), point)


def test_points_of_any_leading_shape_are_moved():
    many = np.arange(24.0).reshape(3, 4, 2)
    affine = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    close(apply_affine(affine, many)[2, 1], apply_affine(affine, many[2, 1]))
    # (18, 19): 18 + 38 + 3 = 59 and 72 + 95 + 6 = 173
    close(apply_affine(affine, many)[2, 1], [59, 173])


@settings(max_examples=50)
@given(st.floats(0.05, 20), rolls, points_2d, st.integers(0, 1000))
def test_a_fit_finds_the_similarity_that_was_applied(scale, angle, shift, seed):
    source = np.random.default_rng(seed).normal(0, 10, (6, 2))
    affine = similarity(scale, angle, [0, 0], shift)
    close(fit_similarity(source, apply_affine(affine, source)), affine)


def test_a_fit_does_not_mirror():
    source = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 1.0]])
    assert np.linalg.det(fit_similarity(source, source * [-1, 1])[:, :2]) > 0


def test_a_fit_of_two_points_maps_one_pair_onto_the_other():
    affine = fit_similarity([[0, 0], [2, 0]], [[5, 5], [5, 9]])
    # scale 2, a quarter turn clockwise
    close(affine, [[0, -2, 5], [2, 0, 5]])


def test_a_fit_is_the_best_in_least_squares():
    rng = np.random.default_rng(3)
    source, target = rng.normal(0, 5, (7, 2)), rng.normal(0, 5, (7, 2))
    best = fit_similarity(source, target)
    cost = ((apply_affine(best, source) - target) ** 2).sum()
    for angle, scale, x, y in rng.normal(0, 0.05, (50, 4)):
        nudged = compose(similarity(1 + scale, np.rad2deg(angle), [0, 0], [x, y]), best)
        assert ((apply_affine(nudged, source) - target) ** 2).sum() >= cost


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (
            [[0, 0]],
            [[1, 1]],
            "1 source and 1 target points; expected the same number, at least 2",
        ),
        ([[0, 0], [1, 1]], [[1, 1]], "2 source and 1 target points"),
        (
            [[3, 3], [3, 3]],
            [[0, 0], [1, 1]],
            "all source points coincide; expected at least two different points",
        ),
        ([[0, 0, 0]], [[1, 1]], r"source points have shape \(1, 3\)"),
    ],
)
def test_a_fit_without_enough_points_is_an_error(source, target, message):
    with pytest.raises(ShapeError, match=message):
        fit_similarity(source, target)


@pytest.mark.parametrize("roll_deg", [-170.0, -40.0, 0.0, 10.0, 100.0, 179.0])
def test_the_roll_fit_equals_that_of_the_full_similarity(roll_deg):
    rng = np.random.default_rng(0)
    source = rng.uniform(-1, 1, (68, 2))
    target = apply_affine(
        similarity(30.0, roll_deg, (0, 0), (50, 90)), source
    ) + rng.normal(0, 0.5, (68, 2))
    assert fit_roll_deg(source, target) == pytest.approx(
        affine_roll_deg(fit_similarity(source, target)), abs=1e-9
    )


def test_landmarks_relative_to_a_box_are_from_0_to_1_inside_it():
    box = [10.0, 20.0, 30.0, 60.0]
    # center, lower right corner, a quarter of the upper side, left of the box
    places = [[20.0, 40.0], [30.0, 60.0], [15.0, 20.0], [0.0, 40.0]]
    relative = relative_to_box(places, box)
    wanted = [[0.5, 0.5], [1, 1], [0.25, 0], [-0.5, 0.5]]
    np.testing.assert_allclose(relative, wanted)


def test_box_relative_landmarks_convert_back_to_absolute():
    rng = np.random.default_rng(0)
    landmarks = rng.uniform(-50, 300, (68, 2))
    box = [13.5, -20.25, 130.0, 61.5]
    back = absolute_from_box(relative_to_box(landmarks, box), box)
    np.testing.assert_allclose(back, landmarks, atol=1e-9)


def test_landmarks_relative_to_a_box_without_area_are_an_error():
    with pytest.raises(ShapeError, match="expected finite x0 < x1"):
        relative_to_box([[0.0, 0.0]], [5, 5, 5, 9])
