"""The delay and the lag of a joint, found from motions that were simulated in another way."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from hw_interface.calibration.response import (
    Response,
    apply_lag,
    explain_misfit,
    fit_response,
)

Change = Callable[[np.ndarray], np.ndarray]
SIZE = 0.1  # rad
DURATION = 0.4  # s, of a motion
REST = 0.6  # s after it
FINE = 20  # steps of the simulation per tick


def command(t: np.ndarray) -> np.ndarray:
    """Three motions there and back, from rest to rest, each a half cosine."""
    begun = np.clip(t[:, None] - (DURATION + REST) * np.arange(6), 0.0, DURATION)
    steps = SIZE / 2 * (1 - np.cos(np.pi * begun / DURATION))
    q: np.ndarray = steps @ np.array([1, -1, 1, -1, 1, -1])
    return q


def response(
    tick: float, delay: float, lag: float, gain: float = 1.0, offset: float = 0.0
) -> Response:
    """A joint whose setpoints are due at the end of their ticks."""
    fine = np.arange(0.0, 6 * (DURATION + REST), tick / FINE)
    due = command(fine - delay)
    moved = due
    if lag:
        keeps = np.exp(-tick / FINE / lag)
        moved = lfilter([(1 - keeps) / 2, (1 - keeps) / 2], [1, -keeps], due)
    t = fine[::FINE]
    length = round((DURATION + REST) / tick)
    motions = [slice(k * length, (k + 1) * length) for k in range(6)]
    return Response(t, command(t + tick), offset + gain * moved[::FINE], motions)


@pytest.mark.parametrize(
    ("tick", "delay", "lag"),
    [(0.004, 0.0, 0.0), (0.005, 0.0037, 0.0), (0.01, 0.013, 0.03), (0.005, 0.2, 0.05)],
)
def test_delay_and_lag_are_found_within_a_tenth_of_a_tick(
    tick: float, delay: float, lag: float
) -> None:
    fit = fit_response(response(tick, delay, lag, gain=0.97, offset=-0.04), tick)
    assert explain_misfit(fit) == ""
    np.testing.assert_allclose(fit.delays, delay, atol=0.1 * tick)
    assert fit.lag == pytest.approx(lag, abs=0.1 * tick)
    np.testing.assert_allclose(fit.gains, 0.97, atol=2e-3)


def test_a_coarse_encoder_shows_the_sum_of_delay_and_lag_and_says_so() -> None:
    clean = response(0.005, 0.03, 0.01)
    step = 2 * np.pi / 4096
    coarse = Response(
        clean.t, clean.setpoint, step * np.round(clean.measured / step), clean.motions
    )
    fit = fit_response(coarse, 0.005)
    assert explain_misfit(fit) == ""
    assert np.median(fit.delays) + fit.lag == pytest.approx(0.04, abs=0.001)
    assert np.median(fit.delays) == pytest.approx(0.03, abs=fit.split)
    assert 0.005 < fit.split < 0.02
    assert fit_response(clean, 0.005).split < 0.002


def test_errors_are_as_large_as_the_standard_error_says() -> None:
    rng = np.random.default_rng(0)
    clean = response(0.01, 0.0093, 0.02)
    scores = []
    for _ in range(4):
        noise = rng.normal(0, 2e-4, len(clean.t))
        noisy = Response(clean.t, clean.setpoint, clean.measured + noise, clean.motions)
        fit = fit_response(noisy, 0.01)
        scores.append((fit.delays - 0.0093) / fit.errors)
    spread = np.sqrt(np.mean(np.square(scores)))
    assert 0.3 < spread < 2.0  # the lag is shared by six motions, and so better known than by one


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda q: 0 * q, "0.00 times as far"),
        (lambda q: -q, "0.00 times as far"),
        (lambda q: 2 * q, "2.00 times as far"),
        (lambda q: q + 0.03 * np.sin(900 * q), "its motion differs by"),
    ],
)
def test_a_joint_that_does_not_follow_is_explained(change: Change, reason: str) -> None:
    clean = response(0.004, 0.01, 0.0)
    other = Response(clean.t, clean.setpoint, change(clean.measured), clean.motions)
    assert reason in explain_misfit(fit_response(other, 0.004))


def test_the_lag_of_a_ramp_is_the_textbook_formula() -> None:
    rng = np.random.default_rng(1)
    t = np.cumsum(rng.uniform(0.001, 0.02, 80))
    t -= t[0]
    speed, lag = 0.7, 0.05
    expected = speed * (t - lag * (1 - np.exp(-t / lag)))
    np.testing.assert_allclose(apply_lag(t, speed * t, lag), expected, atol=1e-12)
    np.testing.assert_array_equal(apply_lag(t, speed * t, 0.0), speed * t)
