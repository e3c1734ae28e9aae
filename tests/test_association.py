"""Association: each lost face returns once, as the new face it matches best."""

import numpy as np
import pytest

from lineament.geometry import apply_affine, similarity
from lineament.schemes import scheme
from lineament.tracking.association import (
    find_duplicates,
    is_plausible,
    is_same_box,
    match_lost,
)
from lineament.tracking.rules import TrackRules
from lineament.tracking.tracked_face import FaceObservation, TrackedFace, face_thumbnail
from scenes import scene

RULES = TrackRules()
SIZE = (320, 240)
FRAME = scene(("astronaut", 110, 90, 120), ("grace_hopper", 110, 230, 120))
AT = {"astronaut": (90, 125), "grace_hopper": (230, 125)}


def observed(landmarks, score):
    scores, unknown = np.full(68, score), np.full(68, np.nan)
    return FaceObservation(landmarks, scores, np.ones(68), np.nan, unknown)


def seen(x, y, side=70):
    return observed(scheme("ibug68").mean_shape * side + [x, y], 0.9)


def tracked(name):
    here = seen(*AT[name])
    return TrackedFace(1, here.landmarks, 0.9, face_thumbnail(FRAME, here.box), None)


@pytest.mark.parametrize(
    ("x", "side", "plausible"),
    [
        (90, 70, True),
        (130, 70, True),
        (140, 70, False),
        (90, 95, True),
        (90, 105, False),
    ],
)
def test_a_large_step_or_scale_change_is_another_face(x, side, plausible):
    # limits: 0.6 sides of 70 px are 42 px; 1.4 times 70 px are 98 px
    assert (
        is_plausible(tracked("astronaut"), seen(x, 125, side), SIZE, RULES) == plausible
    )


def test_a_face_whose_center_left_the_image_is_not_plausible():
    face = TrackedFace(1, seen(10, 125).landmarks, 0.9, np.zeros((12, 12, 3)), None)
    assert is_plausible(face, seen(5, 125), SIZE, RULES)
    assert not is_plausible(face, seen(-5, 125), SIZE, RULES)


def rolled(face, angle_deg):
    landmarks = face.landmarks
    center = landmarks.mean(0)
    turned = apply_affine(similarity(1.0, angle_deg, center, center), landmarks)
    return observed(turned, 0.9)


@pytest.mark.parametrize(
    ("unseen_s", "limit_deg"), [(0.0, 10), (1 / 100, 10), (1 / 30, 500 / 30), (2.0, 90)]
)
def test_in_plane_rotation_is_limited_to_the_speed_of_a_head(unseen_s, limit_deg):
    face = tracked("astronaut")
    face.unseen_s = unseen_s
    for angle_deg in (limit_deg - 1, 1 - limit_deg):
        assert is_plausible(face, rolled(face, angle_deg), SIZE, RULES)
    for angle_deg in (limit_deg + 1, -limit_deg - 1, 180):
        assert not is_plausible(face, rolled(face, angle_deg), SIZE, RULES)
        # a lost face does not return rotated either, except after a cut
        turned = rolled(face, angle_deg)
        assert match_lost([face], [turned], FRAME, RULES) == {}


def test_the_time_without_a_measurement_grows_while_a_face_is_lost():
    face = tracked("astronaut")
    face.predict(0.04, SIZE)
    assert face.unseen_s == 0.04
    face.miss(0.04)
    face.predict(0.1, SIZE)
    assert face.unseen_s == pytest.approx(0.14)


def test_a_track_of_a_part_of_a_better_face_is_a_duplicate():
    def duplicates(side, score, step=0):
        face, here = tracked("astronaut"), seen(*AT["astronaut"])
        landmarks = seen(AT["astronaut"][0] + step, AT["astronaut"][1], side).landmarks
        part = TrackedFace(2, landmarks, 0.9, np.ones((12, 12, 3)), None)
        there = observed(landmarks, score)
        found = find_duplicates({face: here, part: there}, FRAME, RULES)
        return [other.track_id for other in found]

    # 25 of 70 px are 13 % of the area; the landmarks are 14 px apart on average
    assert duplicates(25, 0.6) == [2]
    # a better one may be a small face in front
    assert duplicates(25, 0.95) == []
    # 56 of 70 px are 64 % of the area: two people of similar size passing each other
    assert duplicates(56, 0.6, step=16) == []


def test_the_worse_of_two_tracks_on_one_face_is_the_duplicate():
    here = {name: tracked(name) for name in AT}
    on_one = {here["astronaut"]: seen(90, 125), here["grace_hopper"]: seen(95, 125)}
    assert find_duplicates(on_one, FRAME, RULES) == [here["grace_hopper"]]
    apart = {here["astronaut"]: seen(90, 125), here["grace_hopper"]: seen(230, 125)}
    assert find_duplicates(apart, FRAME, RULES) == []


def test_lost_faces_are_matched_by_appearance_in_any_order():
    lost = [tracked("astronaut"), tracked("grace_hopper")]
    for face in lost:
        face.lost_at_cut = True  # positions are ignored
    new = [seen(*AT["grace_hopper"]), seen(*AT["astronaut"])]
    assert match_lost(lost, new, FRAME, RULES) == {0: lost[1], 1: lost[0]}
    assert match_lost(lost[:1], new, FRAME, RULES) == {1: lost[0]}
    assert match_lost([], new, FRAME, RULES) == {}


def test_boxes_of_one_face_overlap_or_contain_the_center():
    box = np.array([0.0, 0, 10, 10])
    assert is_same_box(box, np.array([4.0, 4, 40, 40]))  # its center is in the other
    assert is_same_box(box, np.array([5.5, 0, 12, 10]))  # an overlap of 45 / 120
    assert not is_same_box(box, np.array([7.0, 0, 17, 10]))  # of 30 / 170
