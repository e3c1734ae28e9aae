"""Matching of boxes: pairs by overlap or by score, each box once."""

import numpy as np

from lineament.evaluation.matching import match_boxes

SQUARE = np.array([0.0, 0, 10, 10])


def moved(x):
    return SQUARE + np.array([x, 0, x, 0])


def test_the_pair_of_greatest_overlap_comes_first_and_each_box_is_used_once():
    # IoU of two squares of side 10 moved by x is (10 - x) / (10 + x): 9/11 for 1, 8/12 for 2
    pairs = match_boxes([moved(0), moved(3)], [moved(2), moved(1)], 0.3)
    assert pairs == [(0, 1), (1, 0)]


def test_with_scores_the_best_box_is_matched_first():
    truth = [moved(0), moved(6)]
    found = [moved(0), moved(1), moved(5)]
    # the second overlaps the first face most and takes it from the box that fits it exactly
    assert match_boxes(truth, found, 0.3, scores=[0.5, 0.9, 0.8]) == [(0, 1), (1, 2)]
    assert match_boxes(truth, found, 0.3, scores=[0.9, 0.5, 0.8]) == [(0, 0), (1, 2)]
    assert match_boxes(truth, found, 0.3) == [(0, 0), (1, 2)]


def test_a_box_whose_best_face_is_taken_gets_the_next_one_that_overlaps_enough():
    truth = [moved(0), moved(4)]
    found = [moved(0), moved(1)]
    # 1 from the first face, 3 from the second: 7/13 is enough for 0.5, not for 0.6
    assert match_boxes(truth, found, 0.5, scores=[0.9, 0.8]) == [(0, 0), (1, 1)]
    assert match_boxes(truth, found, 0.6, scores=[0.9, 0.8]) == [(0, 0)]


def test_ties_keep_the_order_given():
    assert match_boxes([SQUARE, SQUARE], [SQUARE, SQUARE], 0.3) == [(0, 0), (1, 1)]
    assert match_boxes([SQUARE], [moved(1), SQUARE], 0.3, scores=[0.5, 0.5]) == [(0, 0)]


def test_empty_sets_and_distant_boxes_have_no_matches():
    assert match_boxes(np.zeros((0, 4)), [SQUARE], 0.3) == []
    assert match_boxes([SQUARE], np.zeros((0, 4)), 0.3) == []
    assert match_boxes([SQUARE], [moved(9)], 0.3) == []
