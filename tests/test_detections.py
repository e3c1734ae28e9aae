"""Detections: landmarks of detectors are kept with their scheme through every step."""

import numpy as np
import pytest

from found_five import BOXES, FIVE, IMAGE, found
from lineament.errors import SchemeError, ShapeError
from lineament.inference.callable_detector import as_detections, as_detector
from lineament.inference.detections import Detections, concatenate, empty_detections
from lineament.inference.nms import nms


def test_landmarks_follow_their_boxes_through_sorting_nms_and_joining():
    # the second box overlaps the first and is better
    kept = nms(as_detections(found()), 0.4)
    assert kept.boxes[:, 0].tolist() == [1, 50]
    both = concatenate([kept, as_detections(found())])
    for part in (as_detections(found()), kept, both, both.take([1, 0])):
        assert part.scheme == "five"
        np.testing.assert_array_equal(part.landmarks, FIVE + part.boxes[:, None, :2])


def test_detections_without_landmarks_stay_without():
    kept = nms(as_detections(found(scheme=None)), 0.4)
    assert (kept.landmarks, kept.scheme, len(kept)) == (None, None, 2)
    assert concatenate([kept, empty_detections()]).landmarks is None


def test_landmarks_of_two_schemes_are_not_joined():
    with pytest.raises(SchemeError, match="the schemes None, five cannot be joined"):
        concatenate([found(), found(scheme=None)])


def test_no_face_still_has_the_scheme():
    none = as_detector(lambda image: [], "five")(IMAGE)
    assert (none.scheme, none.landmarks.shape) == ("five", (0, 5, 2))
    assert as_detector(lambda image: None)(IMAGE).scheme is None


@pytest.mark.parametrize(
    ("landmarks", "scheme", "message"),
    [
        (
            np.zeros((3, 4, 2)),
            "five",
            r"shape \(3, 4, 2\); expected finite \(3, 5, 2\)",
        ),
        (
            np.full((3, 5, 2), np.nan),
            "five",
            r"expected finite \(3, 5, 2\), the points of five",
        ),
        (
            np.zeros((3, 5, 2)),
            None,
            "have only a scheme or only landmarks; expected both",
        ),
        (None, "five", "have only a scheme or only landmarks; expected both"),
    ],
)
def test_landmarks_that_do_not_fit_the_boxes_or_the_scheme_are_rejected(
    landmarks, scheme, message
):
    with pytest.raises(ShapeError, match=message):
        as_detections(Detections(BOXES, np.ones(3), np.zeros(3), landmarks, scheme))
