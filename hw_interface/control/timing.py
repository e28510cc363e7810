"""A summary of a control loop's timing."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from hw_interface.control.layout import LATENESS, Record
from robots.signals import Array


class Quantiles(msgspec.Struct, frozen=True):
    """Median, 99th percentile and maximum of a duration, ms."""

    p50: float
    p99: float
    max: float


class Timing(msgspec.Struct, frozen=True):
    """How the control loop kept time in real time, and how long the policy took."""

    rate_hz: float
    ticks: int
    missed: int  # ticks
    realtime: bool  # whether SCHED_FIFO was granted
    lateness_ms: Quantiles
    policy_ms: Quantiles  # from an observation to its action


def summarize_timing(
    state: Record, lateness: NDArray[np.float32], rate: float, policy_times: list[float]
) -> Timing:
    """Summarize a loop of ``rate`` Hz.

    Args:
        state: the last published state.
        lateness: (LATENESS,) s, a ring by tick.
        rate: Hz.
        policy_times: s, from each observation to its action.
    """
    ticks = int(state["tick"])
    known = lateness[: min(ticks, LATENESS)].astype(np.float64)
    return Timing(
        rate_hz=rate,
        ticks=ticks,
        missed=int(state["missed_ticks"]),
        realtime=bool(state["realtime"]),
        lateness_ms=_quantiles(1e3 * known),
        policy_ms=_quantiles(1e3 * np.array(policy_times)),
    )


def _quantiles(x: Array) -> Quantiles:
    if not len(x):
        return Quantiles(0.0, 0.0, 0.0)
    return Quantiles(float(np.quantile(x, 0.5)), float(np.quantile(x, 0.99)), float(x.max()))
