"""Jitter, lag and id errors match those of synthetic tracks."""

from dataclasses import replace

import numpy as np
import pytest

from lineament.errors import InputError, ProtocolError
from lineament.evaluation.stability import (
    count_id_errors,
    interocular,
    jitter,
    lag,
    measure_stability,
    measure_tracks,
    still_frames,
    stretches,
    zero_phase,
)
from lineament.face import Face, Faces
from lineament.io.track_files import Tracks
from lineament.schemes import scheme

FACE = scheme("ibug68").mean_shape * 100 + 200
EYES = float(np.linalg.norm(FACE[45] - FACE[36]))


def motion(frames=240, size=30.0):
    """Return a face that oscillates with a period of 60 frames, and is still in the second half."""
    time = np.minimum(np.arange(frames), frames // 2)
    return FACE + (np.sin(time / 60 * 2 * np.pi) * size)[:, None, None] * np.array(
        [1.0, 0.3]
    )


def test_jitter_of_white_noise_is_that_of_its_second_difference():
    noise = np.random.default_rng(0).normal(0, 0.5, (400, 68, 2))
    found = measure_stability(FACE + noise, "ibug68", np.repeat(FACE[None], 400, 0))
    # x - 2 y + z has 6 times the variance of x, and two axes are added
    assert found.jitter == pytest.approx(0.5 * np.sqrt(12) / EYES, rel=0.02)
    assert found.still_frames == 400


def test_jitter_is_measured_only_on_still_segments():
    path = motion()
    still = still_frames(path, EYES)
    assert still[140:].all()
    assert still[:100].mean() < 0.3
    path[50] += 5  # while it moves
    assert jitter(path, EYES, still) == pytest.approx(0, abs=1e-9)
    path[200] += 5
    assert jitter(path, EYES, still) > 0.01
    assert np.isnan(jitter(path, EYES, np.zeros(240, bool)))


def test_a_head_that_shakes_fast_is_not_still():
    shaking = (
        FACE + 4 * np.sin(np.arange(200))[:, None, None]
    )  # period of 6 frames, 4 px: more than 1.5 % of 57 px
    shaking[:100] = FACE
    still = still_frames(shaking, EYES)
    assert still[:90].all()
    assert not still[110:].any()


@pytest.mark.parametrize("frames", [0, 1, 2.5, 6, -1])
def test_a_delayed_track_lags_by_its_delay(frames):
    time = np.arange(300.0)

    def swing(at):
        return FACE + (np.sin(at / 23) + 0.4 * np.sin(at / 9 + 1))[
            :, None, None
        ] * np.array([12.0, 5.0])

    assert lag(swing(time - frames), swing(time)) == pytest.approx(frames, abs=0.1)


def test_lag_needs_motion():
    still = FACE + np.random.default_rng(0).normal(0, 0.1, (200, 68, 2))
    other = FACE + np.random.default_rng(1).normal(0, 0.1, (200, 68, 2))
    assert np.isnan(lag(still, other))


def test_gaps_are_counted_and_not_measured_across():
    path = motion()
    path[100:110] = np.nan
    path[110:] += 500  # no speed, no second difference over the gap
    found = measure_stability(path, "ibug68")
    assert (found.frames, found.gaps) == (230, 1)
    assert found.jitter == pytest.approx(0, abs=1e-9)
    assert [(part.start, part.stop) for part in stretches(path)] == [
        (0, 100),
        (110, 240),
    ]


def test_a_zero_phase_filter_has_no_lag_and_keeps_lines():
    line = FACE + np.arange(50)[:, None, None] * 0.5
    np.testing.assert_allclose(zero_phase(line, 2.0)[10:-10], line[10:-10], atol=1e-9)
    step = np.zeros((41, 1, 2))
    step[20] = 1
    smooth = zero_phase(step, 3.0)[:, 0, 0]
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-12)


def faces_of(*numbered):
    return Faces(
        tuple(
            Face(
                FACE + np.array([x, 0]),
                np.ones(68),
                np.ones(68),
                (x, 0, x + 10, 10),
                1.0,
                "ibug68",
                number,
            )
            for number, x in numbered
        ),
        "ibug68",
        68,
    )


def test_id_switches_misses_and_false_positives_are_counted():
    truth = [faces_of((1, 0), (2, 400))] * 4 + [faces_of((1, 0))]
    found = [
        faces_of((7, 2), (8, 401)),
        faces_of((7, 2)),  # the second is missed
        faces_of((7, 2), (8, 401), (9, 800)),  # a false positive
        faces_of((8, 2), (7, 401)),  # two ids are swapped
        faces_of((8, 2)),
    ]
    counted = count_id_errors(found, truth)
    assert (
        counted.frames,
        counted.id_switches,
        counted.misses,
        counted.false_positives,
    ) == (
        9,
        2,
        1,
        1,
    )
    with pytest.raises(
        ProtocolError,
        match="the tracks have 4 frames, the truth 5; expected the same video",
    ):
        count_id_errors(found[:4], truth)
    with pytest.raises(ProtocolError, match="a ground-truth face has no track_id"):
        count_id_errors(found[:1], [faces_of((None, 0))])


def test_tracks_of_enough_frames_are_measured_per_face():
    path = motion(80)
    frames = tuple(
        Faces(
            tuple(
                Face(points, np.ones(68), np.ones(68), (0, 0, 9, 9), 1.0, "ibug68", n)
                for n in who
            ),
            "ibug68",
            68,
        )
        for k, points in enumerate(path)
        for who in [(1, 2) if k < 20 else (1,)]
    )
    tracks = Tracks("ibug68", {}, np.arange(80) / 30, frames)
    assert list(measure_tracks(tracks)) == [1]
    assert np.isnan(measure_tracks(tracks)[1].lag)  # no reference, no lag
    assert abs(measure_tracks(tracks, tracks)[1].lag) < 0.1
    others = tuple(
        replace(f, faces=tuple(replace(face, track_id=7) for face in f)) for f in frames
    )
    assert np.isnan(
        measure_tracks(tracks, replace(tracks, faces=others))[1].lag
    )  # a reference without this face
    with pytest.raises(
        InputError,
        match="the tracks have 80 frames, the reference 79; expected the same video",
    ):
        measure_tracks(tracks, Tracks("ibug68", {}, np.arange(79) / 30, frames[:79]))


def test_tracks_without_a_face_and_mismatched_references_are_rejected():
    with pytest.raises(InputError, match="the face is in no frame"):
        interocular(np.full((3, 68, 2), np.nan), "ibug68")
    with pytest.raises(InputError, match="expected the same frames"):
        measure_stability(motion(80), "ibug68", motion(81))
