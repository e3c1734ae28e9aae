"""BGR arrays given as RGB: only images with bluish faces trigger a warning."""

import warnings
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lineament import Face, Faces, Predictor, Tracker, detect, read_image
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
    for call in (predictor, partial(detect, model="tiny")):
        with pytest.warns(UserWarning, match=r"seem to be BGR.*order='bgr'") as seen:
            call(IMAGE[..., ::-1])
        assert seen[0].filename == __file__
    right = predictor(read_image(IMAGE[..., ::-1], order="bgr"))
    np.testing.assert_array_equal(right.landmarks, predictor(IMAGE).landmarks)


def test_a_tracker_warns_of_bgr_input():
    with pytest.warns(UserWarning, match="seem to be BGR") as seen:
        Tracker("fast")(np.ascontiguousarray(IMAGE[..., ::-1]))
    assert seen[0].filename == __file__


@pytest.mark.parametrize("kind", ["float", "uint16", "alpha", "tensor"])
def test_a_predictor_warns_of_bgr_in_every_kind_of_array(kind):
    image = np.ascontiguousarray(IMAGE[..., ::-1])
    if kind == "float":
        image = image / 255
    elif kind == "uint16":
        image = image.astype(np.uint16) * 257
    elif kind == "alpha":
        opaque = np.full(image.shape[:2], 255, np.uint8)
        image = np.dstack([image, opaque])
    else:
        image = pytest.importorskip("torch").from_numpy(image.transpose(2, 0, 1))
    with pytest.warns(UserWarning, match="seem to be BGR"):
        Predictor("tiny", threads=1)(image)


@pytest.mark.parametrize("box", [[5, 5, 35, 35], [-20, -9, 40, 90], [58, 0, 70, 12]])
def test_skin_has_more_red_than_blue_at_any_box_position(box):
    faces = faces_at(box)
    assert warn_of_bgr(SKIN, SKIN, faces) is faces


def test_files_gray_arrays_and_images_without_a_face_cause_no_warning():
    blue = np.ascontiguousarray(SKIN[..., ::-1])
    faces = faces_at([5, 5, 35, 35])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        gray = np.full_like(blue, 90)
        warn_of_bgr("photo.jpg", blue, faces)
        warn_of_bgr(Image.fromarray(blue), blue, faces)
        warn_of_bgr(gray[..., 0], gray, faces)
        warn_of_bgr(blue, blue, faces_at())
        assert seen == []
        warn_of_bgr(blue, blue, faces)
    assert len(seen) == 1
