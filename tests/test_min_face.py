"""The smallest face to find: its forms, and the scales and tiles that it leads to."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.errors import InputError
from lineament.inference.face_detector import TILE_OVERLAP
from lineament.inference.min_face import (
    MAX_PASS_PX,
    MAX_PASS_SIDE,
    MIN_PASS_SIDE,
    parse_min_face,
    plan_default,
    plan_search,
)


def plan(shape, min_face):
    return plan_search(shape, min_face, min_face_px=16.0, side=640, enlarge=2.0)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (40, 40.0),
        ("40px", 40.0),
        (" 40 PX", 40.0),
        ("40", 40.0),
        (0.05, 0.05),
        ("0.05", 0.05),
        (np.float32(12.5), 12.5),
    ],
)
def test_a_size_is_given_in_pixels_or_as_a_fraction(given_, wanted):
    assert parse_min_face(given_) == wanted


@pytest.mark.parametrize(
    "bad",
    [0, 1, "1px", "0.5px", -3, "5%", "", "px", "nan", "inf", True, None, (40, 40)],
)
def test_invalid_values_are_rejected_with_the_value_and_the_expected_form(bad):
    with pytest.raises(InputError) as error:
        parse_min_face(bad)
    text = str(error.value)
    assert text.startswith(
        f"min_face is {bad!r}; expected the side of the smallest face"
    )
    assert "such as 40 or '40px', or a fraction" in text


def test_the_smallest_face_sets_the_scale_of_one_pass():
    # 16 px of the input per 0.025 of the longer side: 640 px for the longer side
    assert plan((1200, 1600), 0.025).entire == pytest.approx(640 / 1600)
    assert plan((480, 640), 0.15).entire == pytest.approx(16 / 0.15 / 640)
    assert plan((480, 640), 32.0).entire == 0.5
    # never enlarged more than twice, nor shrunk to nothing
    assert plan((480, 640), 4.0).entire == 2.0
    assert plan((480, 640), 600.0).entire == MIN_PASS_SIDE / 640
    assert all(not plan((480, 640), size).tiled for size in (0.025, 0.15, 4.0, 600.0))


def test_a_large_image_is_tiled_and_searched_for_large_faces_at_low_resolution():
    # 16 px per 40 px: 1600 x 1200 of the input, more than a pass takes
    made = plan((3000, 4000), 40.0)
    assert made.tiled == (0.4,)
    assert made.entire == 640 / 4000


@given(st.integers(1, 12000), st.integers(1, 12000), st.floats(1.1, 400))
def test_every_size_from_the_smallest_up_is_covered_by_a_pass(height, width, face):
    made = plan((height, width), face)
    longest = max(height, width)
    scales = [*made.tiled, made.entire]
    assert scales == sorted(scales, reverse=True)
    assert longest * made.entire <= MAX_PASS_SIDE
    assert height * width * made.entire**2 <= MAX_PASS_PX
    # the smallest face has 16 px in the finest pass, unless it would be enlarged too much
    assert face * scales[0] >= 16 - 1e-9 or scales[0] == 2.0
    # the largest face that fits the overlap of the tiles has 16 px in the next coarser pass
    for fine, coarse in pairwise(scales):
        assert TILE_OVERLAP / fine * coarse >= 16


def test_without_a_smallest_face_the_image_is_searched_at_its_usual_side():
    for shape, tiled in (
        ((480, 640), ()),
        ((600, 800), ()),
        ((600, 801), (1.0,)),
        ((1200, 1600), (0.8,)),
    ):
        usual = plan_default(shape, 2.0, 640, 640, 2.0)
        assert usual.entire == 640 / max(shape)
        assert usual.tiled == tiled
        assert plan_default(shape, 1.0, 640, 640, 2.0).tiled == ()
    assert plan_default((40, 64), 2.0, 640, 640, 2.0).entire == 2.0


def test_without_a_smallest_face_an_image_keeps_its_own_size_within_limits():
    for longest, side in ((200, 400), (500, 640), (800, 800), (4000, 1024)):
        usual = plan_default((100, longest), 1.0, 640, 1024, 2.0)
        assert round(usual.entire * longest) == side
        assert usual.tiled == ()
