"""TrackedFace: motion of a face from frame to frame."""

import numpy as np
import pytest

from lineament.schemes import scheme
from lineament.tracking.tracked_face import (
    MAX_PREDICTED_STEP,
    FaceObservation,
    TrackedFace,
    face_thumbnail,
)

SIDE = 100
FACE = np.asarray(scheme("ibug68").mean_shape) * SIDE + 100
IMAGE = np.random.default_rng(0).integers(0, 256, (200, 900, 3), dtype=np.uint8)
DT = 0.2


def seen_at(x):
    unknown = np.full(68, np.nan)
    return FaceObservation(
        FACE + np.array([x, 0]), np.ones(68), unknown, np.nan, unknown
    )


def follow(path):
    """Return the speed after each position of a path, pixels per frame."""
    first = seen_at(path[0])
    face = TrackedFace(1, first.landmarks, 1.0, face_thumbnail(IMAGE, first.box), None)
    speeds = []
    for x in path[1:]:
        face.predict(DT, (IMAGE.shape[1], IMAGE.shape[0]))
        face.update(seen_at(x), IMAGE, DT)
        speeds.append(face.velocity[0] * DT)
    return np.array(speeds)


@pytest.mark.parametrize("step", [0.2, 0.5])
def test_the_velocity_of_a_steady_motion_is_its_speed_at_any_speed(step):
    # above 0.3 sides per frame, the predicted step is shorter than the motion
    assert (step > MAX_PREDICTED_STEP) == (step == 0.5)
    path = step * SIDE * np.arange(9)
    np.testing.assert_allclose(follow(path), step * SIDE, atol=1e-9)


def test_a_face_that_stops_is_still_after_one_frame():
    path = [0, 50, 100, 150, 150, 150]
    # the time constant of the velocity is below the time of a frame
    np.testing.assert_allclose(follow(path)[-2:], 0, atol=1e-9)
