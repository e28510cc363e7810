"""How much of the gap between not knowing the task and knowing it was closed, and how sure that is.

Axes: E episodes, n tasks. Every policy met the same tasks under the same seeds, so comparisons are paired by task.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from robots.signals import Array

RESAMPLES = 10_000
POLICIES = (
    "method",
    "frozen",
    "blind",
    "oracle",
)  # frozen: the method, its belief kept at the prior


def compare_policies(returns: Mapping[str, Array], success: Mapping[str, Array]) -> dict[str, Any]:
    """Compare policies on the last episode, with 95 % intervals of a paired bootstrap over tasks.

    Args:
        returns: (E, n) of each policy there is; ``method`` at least.
        success: (E, n) of each, 0 or 1.

    Returns:
        ``method``, ``frozen``, ``blind``, ``oracle``: mean return per episode. ``success``: the method's rate per
        episode, ``success_of`` everyone's. ``gap_closed`` = (method − blind)/(oracle − blind) with ``interval``;
        ``gain`` = method − blind with ``gain_interval``; ``over_frozen`` = method − frozen with its interval. None
        where a policy is missing, or where knowing the task is worth nothing and the gap has no meaning.
    """
    last = {name: np.asarray(r, dtype=np.float64)[-1] for name, r in returns.items()}  # (n,)
    episodes, tasks = np.shape(returns["method"])
    rows = np.random.default_rng(0).integers(tasks, size=(RESAMPLES, tasks))
    drawn = {name: r[rows].mean(1) for name, r in last.items()}  # (RESAMPLES,)
    mean = {name: r.mean() for name, r in last.items()}

    def compare(formula: Callable[[Mapping[str, Any]], Any], *needed: str) -> tuple[Any, Any]:
        if not set(needed) <= set(last):
            return None, None
        low, high = np.percentile(formula(drawn), (2.5, 97.5))
        return float(formula(mean)), [float(low), float(high)]

    gap_closed, interval = compare(share_of_gap, "method", "blind", "oracle")
    if "oracle" in mean and "blind" in mean and mean["oracle"] <= mean["blind"]:
        gap_closed = interval = None
    gain, gain_interval = compare(lambda m: m["method"] - m["blind"], "method", "blind")
    over, over_interval = compare(lambda m: m["method"] - m["frozen"], "method", "frozen")
    rates = {name: np.asarray(s, dtype=np.float64).mean(1).tolist() for name, s in success.items()}
    return {
        **{
            name: np.asarray(returns[name]).mean(1).tolist() if name in returns else None
            for name in POLICIES
        },
        "success": rates["method"],
        "success_of": rates,
        "gap_closed": gap_closed,
        "interval": interval,
        "gain": gain,
        "gain_interval": gain_interval,
        "over_frozen": over,
        "over_frozen_interval": over_interval,
        "tasks": tasks,
        "episodes": episodes,
    }


def share_of_gap(mean: Mapping[str, Any]) -> Any:
    """The share of the gap that was closed; a resample without a gap counts as nothing closed or all of it."""
    gap = mean["oracle"] - mean["blind"]
    return (mean["method"] - mean["blind"]) / np.where(np.abs(gap) > 1e-9, gap, np.inf)


def table(result: Mapping[str, Any]) -> str:
    """The result as a few lines for a person."""
    lines = ["return per episode     " + "".join(f"{e + 1:>9}" for e in range(result["episodes"]))]
    for name in POLICIES:
        if result.get(name) is not None:
            rate = result["success_of"][name][-1]
            lines.append(
                f"  {name:<21}"
                + "".join(f"{r:9.3f}" for r in result[name])
                + f"   success {rate:.0%}"
            )
    for key, said in (
        ("gap_closed", "gap closed"),
        ("gain", "over blind"),
        ("over_frozen", "over frozen"),
    ):
        interval = result["interval" if key == "gap_closed" else f"{key}_interval"]
        if result[key] is not None:
            lines.append(
                f"{said:<12} {result[key]:+.3f}  [{interval[0]:+.3f}, {interval[1]:+.3f}] (95 %)"
            )
    return "\n".join([*lines, f"{result['tasks']} tasks, {result['seconds']:.1f} s"])
