"""One-euro filter: a first-order low pass whose cutoff rises with speed and falls with noise."""

import numpy as np
import pytest

from lineament.tracking.one_euro import REFERENCE_NOISE, EuroSettings, OneEuro

DT = 1 / 30
USUAL = np.full(1, REFERENCE_NOISE)


def step_response(noise=USUAL, size=1.0, **settings):
    """Return the next output after a step of `size` from rest, as a fraction of it."""
    chosen = {"min_cutoff_hz": 2.0, "beta": 0.0, "power": 1.0} | settings
    low_pass = OneEuro(EuroSettings(**chosen))
    low_pass(np.zeros((1, 2)), noise, DT)
    return low_pass(np.array([[size, 0.0]]), noise, DT)[0, 0] / size


def test_without_beta_it_is_a_low_pass_at_the_minimum_cutoff():
    # weight of a new sample: 1 / (1 + tau / dt) with tau = 1 / (2 pi f)
    tau = 1 / (2 * np.pi * 2.0)
    assert step_response() == pytest.approx(DT / (DT + tau))
    assert step_response(size=50.0) == pytest.approx(DT / (DT + tau))


def test_the_cutoff_rises_with_speed_and_falls_with_uncertainty():
    assert (
        step_response(beta=1.0, size=3.0)
        > step_response(beta=1.0, size=1.0)
        > step_response()
    )
    assert (
        step_response(noise=4 * USUAL)
        < step_response()
        < step_response(noise=USUAL / 4)
    )
    assert step_response(noise=4 * USUAL, trust=0.0) == step_response()


def test_four_times_the_uncertainty_halves_the_cutoff_at_a_trust_of_one_half():
    assert step_response(noise=4 * USUAL, trust=0.5) == pytest.approx(
        step_response(min_cutoff_hz=1.0)
    )
