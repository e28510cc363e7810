"""How late a joint follows its setpoints: a pure delay and a first-order lag, fitted to motions.

A setpoint is where the joint should be at the end of its tick; between two of them the command c is
linear. The model of a joint is

    q(t) = a + g · x(t - delay),    lag · dx/dt = c - x,

with an offset a and a gain g of each motion, because a soft joint sags by an amount that depends on
where it is. The lag is the same in all motions, the delay is found for each of them. The sum of
squared residuals is minimized over a, g and the delay of each motion, and over the lag around that
(variable projection: Golub and Pereyra 1973). The delay is no multiple of a tick.

Axes: T ticks, m motions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from robots.signals import Array

LONGEST = 0.5  # s, of a delay
LAGS = 24  # lags that are tried, before the best is refined
STEP = 1e-4  # s, of a finite difference
TOLERANCE = 1e-6  # s
ALIKE = 1.1  # times the smallest misfit: lags up to it count as possible; ours
WORST_RESIDUAL = 0.1  # share of the motion, at most; ours
SMALLEST = 0.1  # ticks; a shorter lag cannot be told from a delay, and counts as delay


@dataclass(frozen=True)
class Response:
    """Setpoints and measured positions of one joint during m motions."""

    t: Array  # (T,) s, when each tick began, ascending
    setpoint: Array  # (T,) rad
    measured: Array  # (T,) rad, read at the beginning of the tick
    motions: Sequence[slice]  # ticks of each motion, which begins and ends at rest


@dataclass(frozen=True)
class FittedResponse:
    """How a joint follows."""

    delays: Array  # (m,) s
    errors: Array  # (m,) s, standard errors of the delays, from the residuals
    gains: Array  # (m,) of the motion, 1 of a stiff joint
    lag: float  # s, time constant
    # s, by which lag and delay may both be wrong in opposite directions: slow motion and coarse
    # encoders show their sum rather than each of them
    split: float
    residual: float  # rad, root mean square
    size: float  # rad, root mean square of the commanded motion about its middle


def fit_response(response: Response, tick: float) -> FittedResponse:
    """Fit delay and lag.

    Args:
        response: the motions.
        tick: s, the period of the control loop.

    Returns:
        The fit; see ``explain_misfit`` for whether it may be used.
    """
    fit = _Fit(response, tick)
    total = fit.total_delay()
    lags = np.linspace(0.0, max(total, 0.0) + tick, LAGS)
    misfits = [fit.misfit(lag, total) for lag in lags.tolist()]
    best = int(np.argmin(misfits))
    around = (lags[max(0, best - 1)], lags[min(LAGS - 1, best + 1)])
    refined = minimize_scalar(
        fit.misfit, args=(total,), bounds=around, method="bounded", options={"xatol": TOLERANCE}
    )
    lag = float(refined.x)
    if lag < SMALLEST * tick:
        lag = 0.0
    possible = [lag]
    for each, misfit in zip(lags.tolist(), misfits, strict=True):
        if misfit <= ALIKE * refined.fun:
            possible.append(each)
    split = max(max(possible) - lag, lag - min(possible))
    return fit.describe(lag, total, split)


def explain_misfit(fit: FittedResponse) -> str:
    """Why the fit of one joint may not be used; empty if it may."""
    if not 0.5 < np.median(fit.gains) < 1.5:
        return f"it moves {np.median(fit.gains):.2f} times as far as it is commanded to"
    if fit.residual > WORST_RESIDUAL * fit.size:
        share = fit.residual / fit.size
        return f"its motion differs by {share:.0%} from that of a joint with a delay and a lag"
    if fit.delays.max() > 0.95 * LONGEST:
        return f"its delay is above {LONGEST} s"
    return ""


def apply_lag(t: Array, command: Array, lag: float) -> Array:
    """The first-order lag of a command that is linear between its knots, at the knots, (T,).

    Args:
        t: (T,) s, the knots.
        command: (T,) rad; before the first knot it stood there.
        lag: s, the time constant; 0 gives the command itself.
    """
    if lag <= 0:
        return command
    span = np.diff(t)
    decay = np.exp(-span / lag)
    steady = lag * np.diff(command) / span  # rad, by which it is behind after a long time
    added = steady * (1 - decay)

    behind = np.zeros_like(command)
    for k in range(len(span)):
        behind[k + 1] = behind[k] * decay[k] + added[k]
    lagged: Array = command - behind
    return lagged


class _Fit:
    """The residuals of one joint's motions, by delay and lag."""

    def __init__(self, response: Response, tick: float) -> None:
        self._due = response.t + tick
        self._command = response.setpoint
        self._tick = tick
        self._times = [response.t[motion] for motion in response.motions]
        self._measured = [response.measured[motion] for motion in response.motions]

    def misfit(self, lag: float, total: float) -> float:
        """The sum of squared residuals of all motions with this lag, rad²; ``total`` in s."""
        curve = self._curve(lag)
        found = [self._best(curve, number, lag, total)[1] for number in range(len(self._times))]
        return float(np.sum(found))

    def total_delay(self) -> float:
        """The delay of all motions without a lag, to a tick: about the sum of delay and lag, s."""
        candidates = np.arange(-self._tick, LONGEST, self._tick)
        curve = self._curve(0.0)
        misfits = np.zeros_like(candidates)
        for number in range(len(self._times)):
            of_motion = [self._misfit_of(delay, curve, number) for delay in candidates.tolist()]
            misfits += of_motion
        return float(candidates[int(np.argmin(misfits))])

    def describe(self, lag: float, total: float, split: float) -> FittedResponse:
        """The best delays with this lag, and how well they are known."""
        curve = self._curve(lag)
        later = self._curve(lag + STEP)
        delays = []
        errors = []
        gains = []
        squares = 0.0
        count = 0
        for number in range(len(self._times)):
            delay, misfit = self._best(curve, number, lag, total)
            shape = self._shape(delay, curve, number)
            slope = (self._shape(delay + STEP, curve, number) - shape) / STEP
            of_lag = (self._shape(delay, later, number) - shape) / STEP
            gain = _regress(shape, self._measured[number])[0]

            columns = np.stack([np.ones_like(shape), shape, gain * slope], 1)
            if lag > 0:  # a lag of 0 is at its bound: the delay is known as if it were given
                columns = np.column_stack([columns, gain * of_lag])
            variance = misfit / max(1, len(shape) - columns.shape[1])
            covariance = variance * np.linalg.pinv(columns.T @ columns)
            delays.append(delay)
            errors.append(np.sqrt(covariance[2, 2]))
            gains.append(gain)
            squares += misfit
            count += len(shape)
        about_middle = self._command - (self._command.max() + self._command.min()) / 2
        return FittedResponse(
            delays=np.array(delays),
            errors=np.array(errors),
            gains=np.array(gains),
            lag=lag,
            split=split,
            residual=float(np.sqrt(squares / count)),
            size=float(np.sqrt((about_middle**2).mean())),
        )

    def _curve(self, lag: float) -> Array:
        """The lagged command at its knots, (T,) rad."""
        return apply_lag(self._due, self._command, lag)

    def _best(self, curve: Array, number: int, lag: float, total: float) -> tuple[float, float]:
        """The best delay of one motion, s, and the sum of its squared residuals."""
        margin = 4 * self._tick
        around = (max(total - lag - margin, -self._tick), total + margin)
        found = minimize_scalar(
            self._misfit_of,
            args=(curve, number),
            bounds=around,
            method="bounded",
            options={"xatol": TOLERANCE},
        )
        return float(found.x), float(found.fun)

    def _misfit_of(self, delay: float, curve: Array, number: int) -> float:
        """The sum of squared residuals of one motion with a delay, rad²."""
        shape = self._shape(delay, curve, number)
        measured = self._measured[number]
        gain, offset = _regress(shape, measured)
        residual = measured - offset - gain * shape
        return float(residual @ residual)

    def _shape(self, delay: float, curve: Array, number: int) -> Array:
        """The lagged command, ``delay`` s ago, at the ticks of one motion."""
        return np.interp(self._times[number] - delay, self._due, curve)


def _regress(x: Array, y: Array) -> tuple[float, float]:
    """Gain, not below 0, and offset of the straight line through points."""
    about = x - x.mean()
    spread = float(about @ about)
    gain = max(0.0, float(about @ y) / spread) if spread > 0 else 0.0
    return gain, float(y.mean() - gain * x.mean())
