"""Kalman filter: weights measurements by their variance and follows constant velocities."""

import numpy as np
import pytest

from lineament.tracking.kalman import Kalman, KalmanSettings

DT = 0.1


def kalman(**settings):
    chosen = {"measurement_noise": 1.0, "process_noise": 0.0, "beta": 0.0, "power": 2.0}
    return Kalman(KalmanSettings(**(chosen | settings)))


def run(filter_, values, noise=0.1):
    return np.array(
        [filter_(np.array([[v, 0.0]]), np.full(1, noise), DT)[0, 0] for v in values]
    )


def test_a_constant_velocity_is_followed_without_lag():
    line = 3.0 * DT * np.arange(200)
    found = run(kalman(process_noise=0.01), line)
    assert np.abs(found - line)[-50:].max() < 1e-3


def test_without_process_noise_it_equals_a_line_fit():
    # the least-squares line through all samples, with the prior of the speed: variance 1, mean 0
    values = np.random.default_rng(0).normal(0, 0.1, 30)
    times = DT * np.arange(30)
    design = np.stack([np.ones(30), times], 1) / 0.1
    normal = design.T @ design + np.diag([0.0, 1.0])
    fitted = np.linalg.solve(normal, design.T @ (values / 0.1))
    assert run(kalman(), values)[-1] == pytest.approx(fitted @ [1, times[-1]], abs=1e-9)


def test_a_measurement_of_huge_variance_has_no_effect():
    still = kalman()
    run(still, np.zeros(20))
    assert abs(run(still, [5.0], noise=1e6)[0]) < 1e-6
    assert run(still, [5.0], noise=1e-6)[0] == pytest.approx(5.0, abs=1e-3)


def test_speeds_decay():
    moving = kalman(process_noise=1.0, velocity_decay=0.01)
    run(moving, 3.0 * DT * np.arange(30))
    lost = [moving(np.zeros((1, 2)), np.full(1, 1e9), DT)[0, 0] for _ in range(60)]
    # without measurements the velocity decays, so there is hardly any motion in the last second
    assert lost[-1] - lost[-11] < 0.01 * (lost[-1] - 3.0 * DT * 29)
