"""Callable detectors: any callable that finds boxes becomes a detector of a stated scheme."""

import numpy as np
import pytest

from found_five import BOXES, IMAGE, found
from lineament.errors import SchemeError, ShapeError
from lineament.inference.callable_detector import as_detections, as_detector
from lineament.inference.detections import Detections, empty_detections


def test_landmarks_must_match_the_scheme_of_the_detector():
    assert as_detector(lambda image: found(), "five")(IMAGE).scheme == "five"
    with pytest.raises(
        SchemeError, match="found landmarks of None; expected five, as stated"
    ):
        as_detector(lambda image: BOXES, "five")(IMAGE)


def test_a_detector_object_has_its_scheme_as_attribute():
    class OfFive:
        scheme = "five"

        def __call__(self, image):
            return found()

    assert as_detector(OfFive()).scheme == "five"
    assert as_detector(OfFive(), "ibug68").scheme == "ibug68"
    assert as_detector(lambda image: BOXES).scheme is None


@pytest.mark.parametrize(
    ("returned", "scores"),
    [
        ([[0, 0, 4, 4], [1, 1, 9, 9]], [1, 1]),
        ([[0, 0, 4, 4, 0.2], [1, 1, 9, 9, 0.7]], [0.7, 0.2]),
        ((np.array([[0, 0, 4, 4], [1, 1, 9, 9]]), np.array([0.3, 0.9])), [0.9, 0.3]),
        (([[0, 0, 4, 4], [1, 1, 9, 9]], [0.3, 0.9], [10.0, 20.0]), [0.9, 0.3]),
        ([], []),
        (None, []),
        (empty_detections(), []),
    ],
)
def test_any_callable_that_finds_boxes_is_a_detector(returned, scores):
    found = as_detector(lambda image: returned)(np.zeros((16, 16, 3), np.uint8))
    assert isinstance(found, Detections)
    assert found.scores.tolist() == scores
    assert found.boxes.shape == (len(scores), 4)
    assert len(found.roll_deg) == len(scores)


def test_scores_that_do_not_fit_the_boxes_are_rejected():
    with pytest.raises(ShapeError, match=r"1 boxes came with scores \(2,\)"):
        as_detections((np.array([[0, 0, 1, 1]]), np.array([0.5, 0.5])))
    with pytest.raises(ShapeError, match="expected finite x0 < x1"):
        as_detections([[3, 0, 3, 4]])
