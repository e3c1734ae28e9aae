"""Suppression keeps the best of overlapping boxes; scores of several scales are averaged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.geometry import iou
from lineament.inference.detections import Detections, empty_detections
from lineament.inference.nms import drop_nested, fuse_scales, is_nested, nms

boxes_strategy = st.lists(
    st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 30)] * 2, st.integers(0, 20)),
    max_size=25,
)


@settings(max_examples=60)
@given(boxes_strategy)
def test_nms_keeps_the_best_without_overlaps_and_is_idempotent(rows):
    table = np.array(rows, float).reshape(-1, 5)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:4]], 1)
    given_ = Detections(boxes, table[:, 4] / 20, np.zeros(len(boxes)))
    kept = nms(given_, 0.4)
    assert (np.diff(kept.scores) <= 0).all()
    overlaps = iou(kept.boxes, kept.boxes) - np.eye(len(kept.boxes))
    assert not (overlaps > 0.4).any()
    # every suppressed box overlaps a kept box with at least its score
    for box, score in zip(given_.boxes, given_.scores, strict=True):
        assert ((iou([box], kept.boxes)[0] > 0.4) & (kept.scores >= score)).any()
    again = nms(kept, 0.4)
    for name in ("boxes", "scores", "roll_deg"):
        assert (getattr(kept, name) == getattr(again, name)).all()


def test_a_face_is_scored_by_the_mean_of_its_cells_and_missing_ones_count_as_the_minimum():
    face, lone = [0.0, 0, 20, 20], [100.0, 0, 120, 20]
    boxes = np.array([lone, face, [1, 0, 21, 20], [0, 1, 20, 21]])
    candidates = Detections(boxes, np.array([0.9, 0.8, 0.7, 0.6]), np.arange(4.0))
    scored = fuse_scales([(1.0, candidates)], 3, 0.4, 224.0)
    # the face: (.8 + .7 + .6) / 3 = .7; the lone cell: (.9 + .15 + .15) / 3 = .4
    assert scored.roll_deg.tolist() == [1, 0]
    assert scored.scores == pytest.approx([0.7, 0.4])
    one_vote = fuse_scales([(1.0, candidates)], 1, 0.4, 224.0)
    assert one_vote.scores.tolist() == [0.9, 0.8]
    nothing = fuse_scales([(1.0, empty_detections())], 3, 0.4, 224.0)
    assert nothing.boxes.shape == (0, 4)


def test_scales_in_range_of_a_size_are_averaged_and_others_ignored():
    small, middle, large = [0.0, 0, 20, 20], [100.0, 0, 200, 100], [300.0, 0, 700, 400]
    fine = Detections(
        np.array([small, middle, large]), np.array([0.8, 0.6, 0.9]), np.zeros(3)
    )
    coarse = Detections(np.array([middle, large]), np.array([0.7, 0.5]), np.ones(2))
    scored = fuse_scales([(1.0, fine), (0.35, coarse)], 1, 0.4, 224.0)
    # 20 px are 7 px at the coarse scale: only the fine one counts; 400 px are too large for the
    # fine one;
    # 100 px are 35 px at the coarse scale, so both count: (.6 + .7) / 2
    assert scored.scores == pytest.approx([0.8, 0.65, 0.5])
    np.testing.assert_allclose(scored.boxes, [small, middle, large])
    assert scored.roll_deg.tolist() == [0, 1, 1]


FACE = np.array([0.0, 0, 100, 100])


@pytest.mark.parametrize(
    ("box", "nested"),
    [
        ([20, 20, 40, 35], True),  # an eye
        ([90, 40, 110, 60], False),  # half an ear: 50 % inside
        ([86, 40, 106, 60], False),  # 70 % of it
        ([85, 40, 105, 60], True),  # 75 % of it
        ([10, 30, 80, 100], True),  # half a face: 49 % of the area
        ([0, 0, 83, 83], True),  # 69 % of the area
        ([0, 0, 84, 84], False),  # 71 %: as large, so left to the suppression
        ([-40, -40, 140, 140], True),  # the head around it: 3.2 times the area
        (
            [-60, -60, 160, 160],
            False,
        ),  # 4.8 times: a small face in front of a large one
        ([200, 0, 220, 20], False),
    ],
)
def test_nesting_depends_on_the_overlap_and_the_ratio_of_areas(box, nested):
    assert is_nested(np.array(box, float), FACE) == nested


def test_parts_of_a_better_face_are_dropped_but_better_faces_in_front_are_kept():
    eye, child, other = [20.0, 20, 40, 35], [60.0, 60, 100, 100], [120.0, 0, 160, 40]
    boxes = np.array([child, FACE, eye, other])
    landmarks = boxes[:, None, :2] + np.ones((5, 2))
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    found = Detections(boxes, scores, np.arange(4.0), landmarks, "five")
    kept = drop_nested(found)
    assert kept.roll_deg.tolist() == [0, 1, 3]
    np.testing.assert_array_equal(kept.landmarks, landmarks[[0, 1, 3]])
    # the child scored below the face is a part of it
    worse = drop_nested(found.take([1, 0, 3]))
    assert worse.roll_deg.tolist() == [1, 3]
    assert len(drop_nested(empty_detections("five"))) == 0


def test_fused_faces_have_the_mean_of_their_candidates_by_squared_score():
    boxes = np.array([[0.0, 0, 20, 20], [100, 0, 120, 20], [1, 0, 21, 20]])
    landmarks = boxes[:, None, :2] + np.ones((5, 2))
    scores = np.array([0.6, 0.9, 0.7])
    fine = Detections(boxes, scores, np.zeros(3), landmarks, "five")
    fused = fuse_scales([(1.0, fine), (0.4, fine.take([]))], 1, 0.4, 224.0)
    assert fused.scheme == "five"
    # 0.6 and 0.7 squared: 0.36 and 0.49
    shift = 0.49 / 0.85
    np.testing.assert_allclose(fused.boxes, [boxes[1], [shift, 0, 20 + shift, 20]])
    np.testing.assert_allclose(
        fused.landmarks, fused.boxes[:, None, :2] + np.ones((5, 2))
    )
