"""Scene change: only sudden changes count, at any brightness, and the state can be stored."""

import json

import numpy as np
import pytest

from lineament.tracking.scene_change import SceneChange
from scenes import scene


def changes(frames):
    measure = SceneChange()
    return [measure(frame) for frame in frames]


def test_a_still_video_has_no_change_and_a_cut_has_a_large_one():
    one, other = scene(seed=1), scene(seed=2)
    found = changes([one, one, one, other, other])
    assert found[:3] == [0, 0, 0]
    assert found[3] > 0.5
    assert found[4] == 0


@pytest.mark.parametrize("light", [0.4, 0.7, 1.3])
def test_a_change_of_exposure_is_not_a_cut(light):
    still = scene(("astronaut", 110, 150, 120)) * 0.7
    other = (still * light).astype(np.uint8)
    assert changes([still.astype(np.uint8)] * 3 + [other])[-1] < 0.12


def test_a_steady_motion_is_not_sudden():
    wide = np.kron(
        np.random.default_rng(0).integers(0, 255, (6, 80, 3), dtype=np.uint8),
        np.ones((40, 40, 1), np.uint8),
    )
    pan = [wide[:, 24 * k : 24 * k + 320] for k in range(20)]
    assert max(changes(pan)[5:]) == 0


def test_noise_in_a_uniform_image_is_not_a_change():
    rng = np.random.default_rng(0)
    plain = [
        np.full((240, 320, 3), 128 + rng.integers(0, 2), np.uint8) for _ in range(6)
    ]
    assert max(changes(plain)) < 1e-9


def test_a_stored_measure_continues_identically():
    frames = [scene(seed=seed) for seed in (1, 1, 2, 2, 3)]
    first, second = SceneChange(), SceneChange()
    for frame in frames[:3]:
        first(frame)
    second.restore(json.loads(json.dumps(first.state())))
    assert [second(frame) for frame in frames[3:]] == changes(frames)[3:]
