"""BGR arrays given as RGB: only images with bluish faces trigger a warning."""

import warnings

import numpy as np
import pytest

from lineament import Face, Faces, Predictor, Tracker, read_image
from lineament.inference.color_order import warn_of_bgr
from scenes import scene

IMAGE = scene(("astronaut", 110, 90, 120), ("grace_hopper", 110, 230, 120))
SKIN = np.full((40, 60, 3), (200, 150, 130), np.uint8)


def faces_at(*boxes):
    made = []
    for box in boxes:
        made.append(Face(np.ones((5, 2)), *np.ones((2, 5)), box, 1, "five"))
    return Faces(tuple(made), "five", 5)


def test_a_predictor_warns_of_bgr_input():
    predictor = Predictor("fast", threads=1)
    assert len(predictor(IMAGE)) == 2  # a warning would be an error
    with pytest.warns(UserWarning, match=r"seem to be BGR.*order='bgr'"):
        predictor([IMAGE[..., ::-1]])
    right = predictor(read_image(IMAGE[..., ::-1], order="bgr"))
    np.testing.assert_array_equal(right.landmarks, predictor(IMAGE).landmarks)


def test_a_tracker_warns_of_bgr_input():
    with pytest.warns(UserWarning, match="seem to be BGR"):
        Tracker("fast")(np.ascontiguousarray(IMAGE[..., ::-1]))


@pytest.mark.parametrize("box", [[5, 5, 35, 35], [-20, -9, 40, 90], [58, 0, 70, 12]])
def test_skin_has_more_red_than_blue_at_any_box_position(box):
    faces = faces_at(box)
    assert warn_of_bgr(SKIN, faces) is faces


def test_files_gray_arrays_and_images_without_a_face_cause_no_warning():
    blue = np.ascontiguousarray(SKIN[..., ::-1])
    faces = faces_at([5, 5, 35, 35])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_bgr("photo.jpg", faces)
        warn_of_bgr(blue[..., 0], faces)
        warn_of_bgr(blue, faces_at())
        warn_of_bgr(np.full_like(blue, 90), faces)
        assert seen == []
        warn_of_bgr(blue, faces)
    assert len(seen) == 1
