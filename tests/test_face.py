"""A face is checked when made and frozen; no face is an empty result of the same type."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from lineament.errors import SchemeError, ShapeError
from lineament.face import Face, Faces


def a_face(points=5, shift=0.0, **changes):
    given = {
        "landmarks": np.arange(points * 2, dtype=float).reshape(points, 2) + shift,
        "scores": np.linspace(0.1, 0.9, points),
        "sigma_px": np.linspace(1, 2, points),
        "box": [1 + shift, 2 + shift, 11 + shift, 32 + shift],
        "score": 0.75,
        "scheme": "five",
    }
    return Face(**given | changes)


def test_a_face_stores_its_values_as_float64():
    face = a_face(
        landmarks=np.ones((5, 2), np.float32), scores=[0, 1, 0, 1, 1], box=(0, 0, 3, 4)
    )
    assert all(
        a.dtype == np.float64
        for a in (face.landmarks, face.scores, face.sigma_px, face.box)
    )
    assert face.box.tolist() == [0, 0, 3, 4]
    assert face.score == 0.75
    assert face.track_id is None
    assert len(face) == 5


def test_a_face_cannot_be_changed():
    face = a_face()
    for array in (face.landmarks, face.scores, face.sigma_px, face.box):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(FrozenInstanceError):
        face.score = 1.0


def test_a_face_does_not_change_with_the_array_it_was_made_from():
    landmarks = np.zeros((5, 2))
    face = a_face(landmarks=landmarks)
    landmarks[:] = 7
    assert (face.landmarks == 0).all()
    assert landmarks.flags.writeable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"landmarks": np.zeros((5, 3))},
            r"landmarks have shape \(5, 3\); expected \(N, 2\)",
        ),
        (
            {"landmarks": [[0, 0]] * 3 + [[np.nan, 1], [2, np.inf]]},
            "2 landmarks are not finite; expected finite x and y",
        ),
        (
            {"scores": np.zeros(4)},
            r"scores have shape \(4,\); expected \(5,\), one per landmark",
        ),
        (
            {"sigma_px": np.zeros((5, 2))},
            r"sigma_px have shape \(5, 2\); expected \(5,\)",
        ),
        ({"box": [0, 0, 3]}, r"boxes have shape \(3,\); expected \(F, 4\)"),
        ({"box": [5, 0, 5, 9]}, "box 0 is .*; expected finite x0 < x1 and y0 < y1"),
    ],
)
def test_inconsistent_values_of_a_face_are_an_error(changes, message):
    with pytest.raises(ShapeError, match=message):
        a_face(**changes)


def test_faces_stack_the_arrays_of_their_faces():
    faces = Faces((a_face(), a_face(shift=3, score=0.5)), "five", 5, (640, 480))
    assert faces.landmarks.shape == (2, 5, 2)
    assert faces.scores.shape == faces.sigma_px.shape == (2, 5)
    assert faces.boxes.tolist() == [[1, 2, 11, 32], [4, 5, 14, 35]]
    assert faces.box_scores.tolist() == [0.75, 0.5]
    assert faces[1].score == 0.5
    assert [f.score for f in faces] == [0.75, 0.5]
    assert faces[:1] == (faces[0],)
    assert len(faces) == 2


def test_no_face_is_an_empty_result_of_the_same_shape():
    none = Faces((), "ibug68", 68)
    assert len(none) == 0
    assert not none
    assert none.landmarks.shape == (0, 68, 2)
    assert none.scores.shape == none.sigma_px.shape == (0, 68)
    assert none.boxes.shape == (0, 4)
    assert none.box_scores.shape == (0,)
    assert {
        a.dtype
        for a in (
            none.landmarks,
            none.scores,
            none.sigma_px,
            none.boxes,
            none.box_scores,
        )
    } == {np.dtype(np.float64)}


def test_faces_of_different_schemes_are_rejected():
    with pytest.raises(
        SchemeError, match="face 1 is five, not ibug68; expected faces of one scheme"
    ):
        Faces((a_face(points=68, scheme="ibug68"), a_face()), "ibug68", 68)
    with pytest.raises(ShapeError, match="face 0 has 4 landmarks; expected 5"):
        Faces((a_face(points=4),), "five", 5)


def test_presence_and_visibility_are_unknown_unless_they_are_stated():
    face = a_face()
    assert np.isnan(face.presence)
    assert face.visible.shape == (5,)
    assert np.isnan(face.visible).all()
    stated = a_face(presence=np.float32(0.5), visible=np.float32([0, 0.25, 0.5, 1, 1]))
    assert (type(stated.presence), stated.presence) == (float, 0.5)
    assert stated.visible.dtype == np.float64
    assert stated.visible.tolist() == [0, 0.25, 0.5, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        stated.visible[0] = 1
    with pytest.raises(ShapeError, match=r"visible have shape \(4,\); expected \(5,\)"):
        a_face(visible=np.ones(4))


def test_faces_stack_presence_and_visibility():
    faces = Faces((a_face(), a_face(presence=0.75, visible=np.ones(5))), "five", 5)
    np.testing.assert_array_equal(faces.presence, [np.nan, 0.75])
    np.testing.assert_array_equal(faces.visible, [[np.nan] * 5, [1] * 5])
    none = Faces((), "ibug68", 68)
    assert (none.presence.shape, none.visible.shape) == ((0,), (0, 68))
    assert none.presence.dtype == none.visible.dtype == np.float64


def test_a_box_may_reach_outside_the_image_and_is_clipped_to_its_pixels():
    size = (20, 10)
    assert a_face(box=[-3.5, 2, 30, 8.5]).box_inside(size).tolist() == [0, 2, 19, 8.5]
    assert a_face(box=[1, -9, 5, 99]).box_inside(size).tolist() == [1, 0, 5, 9]
    inner = a_face(box=[1.25, 2, 3, 4])
    assert inner.box_inside(size).tolist() == inner.box.tolist()


def test_a_face_is_printed_in_one_line():
    face = Face(
        landmarks=np.zeros((68, 2)),
        scores=np.ones(68),
        sigma_px=np.ones(68),
        box=np.array([1.0, 2.0, 3.25, 4.0]),
        score=0.5,
        scheme="ibug68",
    )
    line = (
        "<Face: 68 landmarks, scheme='ibug68', box=(1.0, 2.0, 3.2, 4.0), score=0.500>"
    )
    assert repr(face) == line
    faces = Faces((face,), "ibug68", 68, (10, 20))
    assert repr(faces) == f"Faces([{line}], scheme='ibug68', image_size=(10, 20))"
    tracked = replace(face, presence=0.9, track_id=3)
    assert repr(tracked).endswith("score=0.500, presence=0.900, track_id=3>")
