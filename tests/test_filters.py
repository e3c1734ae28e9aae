"""Temporal filters keep motion and remove jitter at any position, size, roll or unit."""

import json

import numpy as np
import pytest

from lineament.errors import InputError
from lineament.geometry import apply_affine, similarity
from lineament.schemes import scheme
from lineament.tracking.filters import FILTERS, MAX_GAP_S, Smoother, make_filter

FACE = scheme("ibug68").mean_shape * 100 + 200
SIGMA = np.full(68, 2.0)
KINDS = sorted(FILTERS)


def run(kind, path, sigma=SIGMA, dt=1 / 30, name="ibug68"):
    smoother = Smoother(kind, name)
    return np.stack([smoother(points, sigma, dt) for points in path])


def jittering(frames=90, size=0.6, seed=0):
    return FACE + np.random.default_rng(seed).normal(0, size, (frames, 68, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_landmarks_and_those_after_a_gap_are_unchanged(kind):
    path = jittering(3)
    smoother = Smoother(kind, "ibug68")
    np.testing.assert_array_equal(smoother(path[0], SIGMA, 1 / 30), path[0])
    assert np.abs(smoother(path[1], SIGMA, 1 / 30) - path[1]).max() > 0.01
    np.testing.assert_array_equal(smoother(path[2], SIGMA, MAX_GAP_S + 0.01), path[2])


@pytest.mark.parametrize("kind", KINDS)
def test_jitter_of_a_still_face_falls_to_a_third(kind):
    path = jittering()
    found = run(kind, path)
    before, after = (
        np.sqrt((np.diff(p[20:], 2, axis=0) ** 2).mean()) for p in (path, found)
    )
    assert after < before / 3
    assert (
        np.linalg.norm(found[20:] - FACE, axis=-1).mean()
        < np.linalg.norm(path[20:] - FACE, axis=-1).mean() / 1.5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_steady_motion_is_followed_within_a_frame(kind):
    steps = np.arange(60)[:, None, None] * np.array(
        [3.0, 1.0]
    )  # 3 px per frame on a face of 100 px
    found = run(kind, FACE + steps)
    behind = (
        (FACE + steps - found)[30:] @ np.array([3.0, 1.0])
    ) / 10  # in frames: along the motion, by its length
    assert np.abs(behind).max() < 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("speed", [0.03, 0.1, 0.3, 1.0])
def test_a_slow_drift_trails_by_a_fifth_of_a_pixel_at_most(kind, speed):
    path = FACE + speed * np.arange(300)[:, None, None] * np.array(
        [1.0, 0.0]
    )  # px per frame on a face of 100 px
    behind = (path - run(kind, path))[150:, :, 0].mean()
    assert 0 <= behind < min(0.2, 2.5 * speed)


@pytest.mark.parametrize("kind", KINDS)
def test_talking_lips_are_followed_at_their_full_width(kind):
    wave = 3.0 * np.sin(
        2 * np.pi * 2 * np.arange(240) / 30
    )  # twice a second, 3 px on a face of 100 px
    path = np.repeat(FACE[None], 240, 0)
    path[:, 48:, 1] += wave[:, None]
    moved = (run(kind, path)[:, 48:, 1] - FACE[48:, 1]).mean(1)[60:]
    lag = min(
        range(-3, 4),
        key=lambda shift: np.abs(np.roll(wave[60:], shift) - moved)[5:-5].mean(),
    )
    assert 0 <= lag <= 2
    assert moved.std() > 0.85 * wave[60:].std()


@pytest.mark.parametrize("kind", KINDS)
def test_filters_stay_bounded_for_very_noisy_landmarks(kind):
    path = jittering(900, 25.0)  # a quarter of the face, in every point and frame
    found = run(kind, path)
    assert np.abs(found - FACE).max() < 1.5 * np.abs(path - FACE).max()


@pytest.mark.parametrize("kind", KINDS)
def test_filters_commute_with_similarities(kind):
    path = jittering(30)
    affine = similarity(3.0, 40.0, (0, 0), (-50, 700))
    plain, moved = run(kind, path), run(kind, apply_affine(affine, path), 3 * SIGMA)
    np.testing.assert_allclose(moved, apply_affine(affine, plain), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_uncertain_landmark_is_smoothed_more(kind):
    sigma = SIGMA.copy()
    sigma[8] = 40.0
    found = run(kind, jittering(), sigma)
    moves = np.sqrt((np.diff(found[20:], axis=0) ** 2).sum(-1).mean(0))
    assert moves[8] < 0.8 * moves[7]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_in_plane_rotation_causes_no_jump(kind):
    path = np.stack(
        [
            apply_affine(similarity(1, angle, (200, 200), (200, 200)), FACE)
            for angle in np.arange(0, 720, 6)
        ]
    )
    found = run(kind, path)
    assert (
        np.linalg.norm(found - path, axis=-1).max() < 8
    )  # 6 degrees are 5 px at the rim of the face


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_restored_from_its_state_continues_identically(kind):
    path = jittering(20)
    whole, first, second = (Smoother(kind, "ibug68") for _ in range(3))
    wanted = [whole(points, SIGMA, 1 / 30) for points in path]
    for points in path[:10]:
        first(points, SIGMA, 1 / 30)
    second.restore(json.loads(json.dumps(first.state())))
    for points, right in zip(path[10:], wanted[10:], strict=True):
        np.testing.assert_array_equal(second(points, SIGMA, 1 / 30), right)


@pytest.mark.parametrize("kind", KINDS)
def test_rescaling_a_filter_and_back_changes_nothing(kind):
    values = np.random.default_rng(1).normal(0, 1, (12, 4, 2))
    factors = np.array([1.0, 2.0, 0.1, 30.0])
    plain, other = make_filter(FILTERS[kind][0]), make_filter(FILTERS[kind][0])
    for k, row in enumerate(values):
        if k == 6:
            other.rescale(factors)
            other.rescale(1 / factors)
        np.testing.assert_allclose(
            plain(row, np.ones(4), 0.1), other(row, np.ones(4), 0.1), rtol=1e-9
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_scheme_without_a_mean_face_is_filtered_by_its_own_first_shape(
    kind, monkeypatch
):
    from dataclasses import replace

    import lineament.tracking.filters as smooth

    monkeypatch.setattr(
        smooth, "scheme", lambda name: replace(scheme(name), mean_shape=None)
    )
    path = jittering()
    after = np.sqrt((np.diff(run(kind, path)[20:], 2, axis=0) ** 2).mean())
    assert after < np.sqrt((np.diff(path[20:], 2, axis=0) ** 2).mean()) / 3


def test_an_unknown_filter_is_rejected():
    with pytest.raises(
        InputError, match="unknown filter 'boxcar'; choose one of kalman, one-euro"
    ):
        Smoother("boxcar", "ibug68")


@pytest.mark.parametrize("kind", KINDS)
def test_landmarks_of_unknown_uncertainty_are_smoothed_like_the_others(kind):
    path, sigma = jittering(20), SIGMA.copy()
    sigma[[3, 40]] = np.nan
    np.testing.assert_array_equal(run(kind, path, sigma), run(kind, path))
    # typical, in sides of the face, which is 100 px here
    typical = run(kind, path, np.full(68, np.nan))
    assert np.isfinite(typical).all()
    assert np.abs(typical - run(kind, path)).max() < 0.5
