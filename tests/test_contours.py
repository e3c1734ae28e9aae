"""Errors along and across contours: distances to polylines and their means by part."""

from itertools import pairwise

import numpy as np
import pytest

from lineament.evaluation.contours import (
    ContourAccumulator,
    contour_errors,
    contours_of_parts,
    distance_to_polyline,
)
from lineament.schemes import scheme

JAW = range(17)


def test_the_distance_to_a_polyline_matches_the_nearest_sampled_point() -> None:
    rng = np.random.default_rng(0)
    line, points = rng.uniform(0, 100, (6, 2)), rng.uniform(-20, 120, (50, 2))
    shares = np.linspace(0, 1, 2001)[:, None]
    sampled = np.concatenate([a + shares * (b - a) for a, b in pairwise(line)])
    reference = np.linalg.norm(points[:, None] - sampled, axis=2).min(1)
    # samples are at most 142 / 2000 px apart
    assert np.abs(distance_to_polyline(points, line) - reference).max() < 0.04


def test_segments_without_an_annotated_end_are_left_out() -> None:
    line = np.array([[0, 0], [10, 0], [np.nan, np.nan], [30, 0]])
    points = np.array([[5.0, 3.0], [30.0, 4.0]])
    # the second point is nearest to the end (10, 0) of the only segment
    assert distance_to_polyline(points, line) == pytest.approx([3, np.hypot(20, 4)])
    assert np.isnan(distance_to_polyline(points, line[2:])).all()
    twice = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert distance_to_polyline(np.array([[4.0, 5.0]]), twice) == pytest.approx([5])


def test_errors_along_and_across_a_contour_are_separated() -> None:
    truth = np.full((68, 2), np.nan)
    truth[:17] = [(10.0 * i, 7.0) for i in JAW]  # a straight jaw
    pred = np.nan_to_num(truth)
    pred[3] += (4, 0)
    pred[5] += (0, -2)
    pred[8] += (3, 4)
    along, across = contour_errors(
        pred, truth, contours_of_parts(scheme("ibug68"), ["jaw"])
    )
    assert along[[3, 5, 8]] == pytest.approx([4, 0, 3])
    assert across[[3, 5, 8]] == pytest.approx([0, 2, 4])
    assert not along[[0, 1, 2]].any()
    assert np.isnan(across[17:]).all()
    assert np.isnan(along[17:]).all()


def test_points_are_measured_by_their_own_contour_including_closed_ones() -> None:
    helen = scheme("helen194")
    contours = contours_of_parts(helen, ["mouth"])
    assert [contour[0] for contour in contours] == [58, 86]  # outer and inner lips
    assert all(contour[0] == contour[-1] for contour in contours)
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 100, (194, 2))
    pred = truth.copy()
    pred[58] = (truth[58] + truth[85]) / 2  # on the segment that closes the outer lips
    pred[90] = truth[60]  # a point of the inner lips, on the outer ones
    across = contour_errors(pred, truth, contours)[1]
    assert across[58] == pytest.approx(0)
    inner = truth[list(contours[1])]
    assert across[90] == pytest.approx(distance_to_polyline(truth[60:61], inner)[0])


def test_squared_components_add_up_to_the_squared_error() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 100, (68, 2))
    pred = truth + rng.normal(size=(68, 2))
    along, across = contour_errors(
        pred, truth, contours_of_parts(scheme("ibug68"), ["jaw"])
    )
    error = np.linalg.norm(pred - truth, axis=1)
    assert np.hypot(along, across)[:17] == pytest.approx(error[:17])


def test_means_are_per_face_first_and_over_annotated_points_only() -> None:
    gathered = ContourAccumulator("ibug68", ["jaw"])
    truth = np.full((68, 2), 5.0)
    truth[:17] = [(10.0 * i, 7.0) for i in JAW]
    first, second = truth.copy(), truth.copy()
    first[:17] += (0, 1)
    second[:17] += (0, 3)
    partly = truth.copy()
    partly[8:] = np.nan
    gathered.add(first, truth, 10.0)
    gathered.add(second, partly, 10.0)
    found = gathered.per_part()
    # points 0 to 7 have 1 and 3 px, the others 1 px; the norm is 10 px
    assert found["jaw"].across == pytest.approx((8 * 0.2 + 9 * 0.1) / 17)
    assert found["jaw"].along == pytest.approx(0, abs=1e-9)
    assert gathered.total() == found["jaw"]


def test_without_contours_or_faces_there_is_no_result() -> None:
    assert ContourAccumulator("ibug68", []).total() is None
    empty = ContourAccumulator("ibug68", ["jaw"])
    assert (empty.per_part(), empty.total()) == ({}, None)
