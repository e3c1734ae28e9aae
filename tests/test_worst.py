"""The worst faces: which are kept, in which order, and how they are drawn."""

import numpy as np

from lineament.evaluation.worst import SIDE, WorstFaces, draw_errors


def test_a_drawn_face_has_green_truth_and_red_prediction() -> None:
    truth = np.array([[20.0, 20], [120, 120]])
    grey = np.full((150, 150, 3), 120, np.uint8)
    drawn = draw_errors(grey, truth, truth + np.array([20, 0])).astype(int)
    assert drawn.shape == (SIDE, SIDE, 3)
    red, green, _ = np.moveaxis(drawn, 2, 0)
    assert ((red - green) > 120).sum() > 10
    assert ((green - red) > 120).sum() > 10
    missed = draw_errors(grey, truth, None).astype(int)
    assert not ((missed[..., 0] - missed[..., 1]) > 120).any()


def test_the_worst_are_kept_in_order_with_ties_to_the_earlier() -> None:
    worst, truth = WorstFaces(2), np.array([[20.0, 20], [120, 120]])
    for number, error in enumerate([0.1, 0.3, 0.1, 0.3, float("inf"), 0.3]):
        worst.add(error, str(number), np.zeros((150, 150, 3), np.uint8), truth, truth)
    assert [(face.image, face.nme) for face in worst.faces()] == [
        ("4", None),
        ("1", 0.3),
    ]
    none = WorstFaces(0)
    none.add(0.1, "a", np.zeros((150, 150, 3), np.uint8), truth, truth)
    assert none.faces() == ()


def test_a_protocol_of_one_point_draws_its_worst_faces():
    drawn = draw_errors(
        np.zeros((80, 80, 3), np.uint8),
        np.array([[40.0, 40.0]]),
        np.array([[44.0, 40.0]]),
    )
    assert drawn.max() > 200
