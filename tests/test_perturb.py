"""Perturbed boxes and rolled faces, and the error of predictors that depend on their box or not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lineament.data.sample import Sample
from lineament.errors import ProtocolError
from lineament.evaluation.image_changes import IMAGE_CHANGES
from lineament.evaluation.perturb import (
    ROLLS_DEG,
    SCALES,
    SHIFTS,
    perturb,
    perturbed_boxes,
    roll_image,
)
from lineament.face import Face, Faces
from lineament.geometry import box_center, box_side
from lineament.schemes import convert, scheme

N = 68


def sample(seed: int = 0, side: float = 100) -> Sample:
    points = np.random.default_rng(seed).uniform(0, side, (N, 2)) + 60
    points[0], points[1] = (
        (60, 60),
        (60 + side, 60 + side),
    )  # the tight box is a square of that side
    points[36], points[45] = (80, 90), (130, 90)  # interocular: 50
    return Sample(Path("x.jpg"), points, "ibug68", f"{seed}.jpg")


def gray_image(_: Sample) -> np.ndarray:
    return np.full((220, 220, 3), 90, np.uint8)


def placed(box: np.ndarray, shape: np.ndarray) -> Face:
    """Return `shape` moved from its own box into `box`, as a predictor that trusts its box does."""
    low, high = shape.min(0), shape.max(0)
    points = box[:2] + (shape - low) / (high - low) * (box[2:] - box[:2])
    return Face(points, np.ones(N), np.ones(N), box, 1.0, "ibug68")


def test_a_shift_is_a_share_of_the_longer_side_and_a_scale_keeps_the_center() -> None:
    box = np.array([10.0, 20.0, 110.0, 70.0])
    boxes = perturbed_boxes(box)
    assert boxes["none", 0.0].tolist() == box.tolist()
    assert boxes["shift_x", 0.1].tolist() == [20, 20, 120, 70]  # a tenth of 100
    assert boxes["shift_y", -0.2].tolist() == [10, 0, 110, 50]
    assert boxes["scale", 1.2].tolist() == [0, 15, 120, 75]
    assert all(
        np.allclose(box_center(boxes["scale", s]), box_center(box)) for s in SCALES
    )


def test_a_rolled_image_shows_the_face_clockwise_at_the_same_size() -> None:
    one = sample()
    image = np.zeros((220, 220, 3), np.uint8)
    x, y = 130, 90  # one lit pixel on landmark 45
    image[y, x] = 255
    turned, landmarks = roll_image(image, one.landmarks, 90)
    assert turned.shape == (220, 220, 3)  # 2.2 sides of 100
    # A quarter turn clockwise moves a point right of landmark 36 to below it
    assert landmarks[45] - landmarks[36] == pytest.approx([0, 50], abs=1e-9)
    found = np.unravel_index(turned[..., 0].argmax(), turned.shape[:2])
    assert found[::-1] == pytest.approx(landmarks[45], abs=1)
    assert box_side(np.concatenate([one.landmarks.min(0), one.landmarks.max(0)])) == 100


def test_a_predictor_that_trusts_its_box_has_the_shift_as_error() -> None:
    one = sample()

    def trusting(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        assert boxes is not None
        return Faces(tuple(placed(box, one.landmarks) for box in boxes), "ibug68", N)

    found = {
        (p.kind, p.amount): p
        for p in perturb(trusting, "folder", [one], read=gray_image)
    }
    boxes = 1 + 2 * len(SHIFTS) + len(SCALES)
    assert len(found) == boxes + len(ROLLS_DEG) + len(IMAGE_CHANGES)
    assert {found[change].nme for change in IMAGE_CHANGES} == {0.0}
    assert found["none", 0.0].nme == pytest.approx(0)
    for amount in SHIFTS:
        # A shift of s sides of 100 px moves every point by 100 s, over 50
        for kind in ("shift_x", "shift_y"):
            assert found[kind, amount].nme == pytest.approx(abs(amount) * 2)
            assert found[kind, amount].failure_rate == 1
    away = np.hypot(*(one.landmarks - 110).T).mean()
    assert found["scale", 1.2].nme == pytest.approx(0.2 * away / 50)
    assert all(found["roll", amount].nme > 0.1 for amount in ROLLS_DEG)


def test_a_predictor_that_returns_the_truth_has_no_error_when_rolled() -> None:
    one = sample(3)
    turned = iter(
        [roll_image(gray_image(one), one.landmarks, amount)[1] for amount in ROLLS_DEG]
    )

    def knowing(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        assert boxes is not None
        shapes = [one.landmarks] * len(boxes)
        if len(boxes) == 1:
            # rolled faces first, then changed images, in which the face does not move
            shapes = [next(turned, one.landmarks)]
        return Faces(
            tuple(placed(np.r_[s.min(0), s.max(0)], s) for s in shapes), "ibug68", N
        )

    assert {
        round(p.nme or 0, 12)
        for p in perturb(knowing, "folder", [one], read=gray_image)
    } == {0.0}


def test_images_are_darkened_blurred_and_covered() -> None:
    landmarks = scheme("ibug68").mean_shape * 100 + 110
    face = Sample(Path("x.jpg"), landmarks, "ibug68", "x.jpg")
    image = np.full((220, 220, 3), 200, np.uint8)
    image[:, 110:] = 100
    changed = {
        change: function(image, face) for change, function in IMAGE_CHANGES.items()
    }
    assert changed["brightness", 0.1].max() == 20
    edge = changed["blur", 0.04][50, 105:115, 0]
    assert (np.diff(edge.astype(int)) < 0).all()
    half = (changed["occlusion", 0.5] != image).any(2).mean()
    assert 0.05 < half < 0.3
    glasses = (changed["glasses", 1.0] != image).any(2)
    eyes = landmarks[36:48].round().astype(int)
    assert glasses[eyes[:, 1], eyes[:, 0]].all()
    others = landmarks[[8, 33, 51, 57]].round().astype(int)
    assert not glasses[others[:, 1], others[:, 0]].any()
    # without annotated eyes, there are no glasses
    landmarks = landmarks.copy()
    landmarks[36:42] = np.nan
    bare = replace(face, landmarks=landmarks)
    assert (IMAGE_CHANGES["glasses", 1.0](image, bare) == image).all()
    assert (image == np.where(np.arange(220)[None, :, None] < 110, 200, 100)).all()


def test_a_limit_takes_evenly_spaced_faces_and_reports_progress() -> None:
    samples, seen, read = [sample(i) for i in range(10)], [], []

    def trusting(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        assert boxes is not None
        return Faces(
            tuple(placed(box, samples[0].landmarks) for box in boxes), "ibug68", N
        )

    def note(one: Sample) -> np.ndarray:
        read.append(one.name)
        return gray_image(one)

    perturb(trusting, "folder", samples, limit=4, read=note, progress=seen.append)
    assert read == ["0.jpg", "3.jpg", "6.jpg", "9.jpg"]
    assert seen == [1, 2, 3, 4]
    with pytest.raises(
        ProtocolError, match="limit is 0; expected at least 1 face, or None for all"
    ):
        perturb(trusting, "folder", samples, limit=0, read=note)


def test_a_face_that_is_not_found_when_rolled_fails() -> None:
    one = sample()

    def upright_only(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        assert boxes is not None
        shapes = (
            ()
            if len(boxes) == 1
            else tuple(placed(box, one.landmarks) for box in boxes)
        )
        return Faces(shapes, "ibug68", N)

    rolled = [
        p
        for p in perturb(upright_only, "folder", [one], read=gray_image)
        if p.kind == "roll"
    ]
    assert {(p.nme, p.failure_rate) for p in rolled} == {(None, 1)}


def test_only_the_requested_changes_are_measured() -> None:
    one, calls = sample(), []

    def trusting(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        assert boxes is not None
        calls.append(len(boxes))
        return Faces(tuple(placed(box, one.landmarks) for box in boxes), "ibug68", N)

    def measure(*changes: tuple[str, float]) -> list[tuple[str, float]]:
        found = perturb(trusting, "folder", [one], changes=changes, read=gray_image)
        return [(p.kind, p.amount) for p in found]

    four = [("shift_x", -0.1), ("shift_x", 0.1), ("shift_y", -0.1), ("shift_y", 0.1)]
    assert measure(*four) == four
    assert calls == [4]
    # a rolled image has a call of its own, and no box is changed
    assert measure(("roll", 30.0)) == [("roll", 30.0)]
    assert calls == [4, 1]


def test_a_rolled_face_of_converted_points_has_the_box_of_its_68() -> None:
    one, seen = sample(), []
    one = replace(
        one, landmarks=scheme("ibug68").mean_shape * 100 + 110, subset="helen/testset"
    )

    def note(image: np.ndarray, boxes: np.ndarray | None) -> Faces:
        assert boxes is not None
        seen.append(boxes[0])
        points = convert(one.landmarks, "ibug68", "five").points
        face = Face(points, np.ones(5), np.ones(5), boxes[0], 1.0, "five")
        return Faces((face,), "five", 5)

    angle = [("roll", 30.0)]
    perturb(note, "300w-common-five", [one], changes=angle, read=gray_image)
    rolled = roll_image(gray_image(one), one.landmarks, 30.0)[1]
    assert seen[0] == pytest.approx(np.r_[rolled.min(0), rolled.max(0)], abs=1e-6)
