"""Faces of a teacher complete the labels of photos without contradicting them."""

from pathlib import Path

import numpy as np
import pytest

from detector_photos import five_points
from lineament.data.detection.photos import Photo
from lineament.data.detection.teacher_faces import add_teacher_faces, contained

KNOWN = np.array([[10.0, 10, 50, 50]])
TEACHER = np.array(
    [[12.0, 11, 49, 52], [100, 10, 140, 50], [150, 10, 190, 50], [15, 30, 30, 45]]
)
"""The labeled face, a certain and a doubtful other face, and a part of the labeled one."""
SCORES = np.array([0.9, 0.9, 0.4, 0.8])
FIVE = np.stack([five_points((30.0, 30.0), side) for side in (40, 20, 20, 10)])


def photo(kind, **changes):
    return Photo(Path("x.png"), kind, KNOWN, "x", **changes)


def test_other_faces_of_a_portrait_are_added_doubtful_ones_as_uncertain():
    portrait = photo("landmarks", all_labeled=False)
    complete = add_teacher_faces(portrait, TEACHER, SCORES, FIVE)
    assert complete.all_labeled
    assert complete.boxes.tolist() == [KNOWN[0].tolist(), *TEACHER[1:3].tolist()]
    assert complete.is_certain().tolist() == [True, True, False]
    # the labeled face had no points of its own
    assert complete.five_points() == pytest.approx(FIVE[:3])


def test_known_points_are_kept_and_low_teacher_scores_add_none():
    own = five_points((31.0, 31.0), 39)[None]
    own[0, 1] = np.nan
    labeled = photo("profiles", five=own, all_labeled=False)
    kept = add_teacher_faces(labeled, TEACHER, SCORES, FIVE).five_points()
    assert np.array_equal(kept[0], own[0], equal_nan=True)
    weak = add_teacher_faces(photo("wider"), TEACHER, SCORES / 2, FIVE)
    assert np.isnan(weak.five_points()).all()


def test_if_all_faces_are_labeled_the_teacher_adds_none():
    crowd = add_teacher_faces(photo("wider"), TEACHER, SCORES, FIVE)
    assert crowd.boxes.tolist() == KNOWN.tolist()
    assert crowd.five_points()[0] == pytest.approx(FIVE[0])
    empty = Photo(Path("x.png"), "pets", np.zeros((0, 4)), "x")
    assert add_teacher_faces(empty, TEACHER, SCORES, FIVE) is empty


def test_a_photo_without_labels_gets_the_faces_of_the_teacher():
    people = Photo(Path("x.png"), "people", np.zeros((0, 4)), "x", all_labeled=False)
    labeled = add_teacher_faces(people, TEACHER[:3], SCORES[:3], FIVE[:3])
    assert labeled.is_certain().tolist() == [True, True, False]
    none = add_teacher_faces(people, TEACHER[:0], SCORES[:0], FIVE[:0])
    assert none.all_labeled
    assert none.boxes.shape == (0, 4)


def test_containment_is_the_share_of_the_box_inside_another():
    boxes = np.array([[0.0, 0, 10, 10], [5, 5, 15, 15]])
    # a quarter of the second box is inside the first, all of the first is
    assert contained(boxes, boxes[:1]).tolist() == [1.0, 0.25]
    assert contained(boxes, boxes[:0]).tolist() == [0, 0]
