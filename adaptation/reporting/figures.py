"""The report's figures, as inline SVG: they scale and need no other file."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from adaptation.runs.records import POLICIES, HeldoutProgress, PolicyResult, TrainProgress
from robots.signals import Array

COLORS = {
    "adapted": "#d9541e",
    "no_adaptation": "#e8a87c",
    "blind": "#8a8f98",
    "oracle": "#2f7d4f",
}
LABELS = {policy: policy.replace("_", " ") for policy in POLICIES}
RIVAL_COLORS = ("#3b6fb6", "#8e5ea2", "#a8862b", "#3a8f95")  # in turn, in the order of their names
SMOOTHING = 1 / 20  # width of the moving average, as a share of the curve
BAR_OFFSET = 0.06  # horizontal distance between the error bars of two policies, in episodes


def color_map(policies: Iterable[str]) -> dict[str, str]:
    """A color for each policy, rivals included."""
    rivals = [policy for policy in policies if policy not in COLORS]
    return COLORS | dict(zip(rivals, cycle(RIVAL_COLORS), strict=False))


def label_map(policies: Iterable[str]) -> dict[str, str]:
    """A name for each policy, rivals included."""
    return LABELS | {policy: policy.replace("_", " ") for policy in policies}


def success_curve(results: Mapping[str, PolicyResult]) -> str:
    """Success per episode with Wilson intervals.

    Returns:
        An <svg> element.
    """
    figure = new_figure(5.2, 3.2)
    axes = new_axes(figure)
    offset = -BAR_OFFSET * (len(results) - 1) / 2
    for policy, result in results.items():
        episodes = np.arange(1, len(result.success) + 1)
        rates = [100 * rate for rate in result.success]
        line = _plot(axes, episodes + offset, rates, policy, results)
        color = line.get_color()
        for episode, interval in zip(episodes, result.success_interval, strict=True):
            if interval is not None:
                low, high = interval
                axes.vlines(episode + offset, 100 * low, 100 * high, color, alpha=0.5)
        axes.set_xticks(episodes)
        offset += BAR_OFFSET
    axes.set_ylim(-3, 103)
    axes.set_xlabel("episode")
    axes.set_ylabel("success, %")
    _legend(axes)
    return to_svg(figure)


def metric_curve(
    values: Mapping[str, Array], bands: Mapping[str, tuple[Array, Array]], label: str
) -> str:
    """A mean per episode with 95 % bands.

    Args:
        values: (E,) of each policy.
        bands: both ends (E,) of each policy's interval, NaN without one.
        label: of the axis.

    Returns:
        An <svg> element.
    """
    figure = new_figure(5.2, 3.2)
    axes = new_axes(figure)
    for policy, mean in values.items():
        episodes = np.arange(1, len(mean) + 1)
        line = _plot(axes, episodes, mean, policy, values)
        low, high = bands[policy]
        axes.fill_between(episodes, low, high, color=line.get_color(), alpha=0.14, linewidth=0)
        axes.set_xticks(episodes)
    axes.set_xlabel("episode")
    axes.set_ylabel(label)
    _legend(axes)
    return to_svg(figure)


def _plot(axes: Axes, x: ArrayLike, y: ArrayLike, policy: str, policies: Iterable[str]) -> Line2D:
    """A policy's line: solid where it adapts, dashed where it does not."""
    fixed = policy in POLICIES and policy != "adapted"
    (line,) = axes.plot(
        x,
        y,
        linestyle="--" if fixed else "-",
        color=color_map(policies)[policy],
        marker="o",
        markersize=4,
        label=label_map(policies)[policy],
    )
    return line


def _legend(axes: Axes) -> None:
    """Add a legend above the axes, where it hides no line."""
    axes.legend(frameon=False, ncols=3, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1))


def learning_curve(logs: Mapping[str, Sequence[TrainProgress]]) -> str:
    """Return of a trial's last episode over training, of every policy that was trained.

    Args:
        logs: the iterations of each policy, at least one.

    Returns:
        An <svg> element.
    """
    figure = new_figure(6.4, 2.8)
    axes = new_axes(figure)
    for policy, log in logs.items():
        steps = [progress.steps for progress in log]
        last = np.array([progress.returns[-1] for progress in log], dtype=np.float64)
        color = COLORS[policy]
        axes.plot(steps, last, color=color, alpha=0.25, linewidth=1)
        # A training of a single iteration is a point.
        marker = "o" if len(log) == 1 else None
        axes.plot(steps, _smooth(last), color=color, marker=marker, label=LABELS[policy])
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return while exploring")
    axes.legend(frameon=False, fontsize=9)
    return to_svg(figure)


def loss_curves(logs: Mapping[str, Sequence[TrainProgress]]) -> str:
    """The numbers that each policy reports while it learns, such as losses, a panel for each.

    Args:
        logs: the iterations of each policy, at least one.

    Returns:
        An <svg> element; empty if nothing was reported.
    """
    names = list(dict.fromkeys(name for log in logs.values() for name in log[-1].learn))
    if not names:
        return ""
    columns = 3
    rows = math.ceil(len(names) / columns)
    figure = new_figure(9.6, 2.1 * rows)
    for number, name in enumerate(names, start=1):
        axes = new_axes(figure, (rows, columns, number))
        axes.set_title(name, fontsize=9)
        for policy, log in logs.items():
            steps = [progress.steps for progress in log]
            values = [progress.learn.get(name) for progress in log]
            known = np.array(values, dtype=np.float64)  # NaN where it is not finite
            axes.plot(steps, known, color=COLORS[policy], linewidth=1, label=LABELS[policy])
        axes.set_xlabel("environment steps", fontsize=8)
        axes.tick_params(labelsize=7)
    return to_svg(figure)


def heldout_curve(logs: Mapping[str, Sequence[HeldoutProgress]]) -> str:
    """Success and return in the last episode on held-out tasks, over training.

    Args:
        logs: the evaluations of each policy that was trained, at least one.

    Returns:
        An <svg> element with two panels.
    """
    figure = new_figure(8.6, 3.2)
    success_axes = new_axes(figure, (1, 2, 1))
    return_axes = new_axes(figure, (1, 2, 2))
    for policy, log in logs.items():
        steps = [progress.steps for progress in log]
        success = [100 * progress.result.success[-1] for progress in log]
        returns = [progress.result.returns[-1] for progress in log]
        known_returns = np.array(returns, dtype=np.float64)  # NaN where a return is not finite
        _plot(success_axes, steps, success, policy, logs)
        _plot(return_axes, steps, known_returns, policy, logs)
    success_axes.set_ylim(-3, 103)
    success_axes.set_ylabel("success, %")
    return_axes.set_ylabel("return")
    for axes in (success_axes, return_axes):
        axes.set_xlabel("environment steps")
    _legend(success_axes)
    return to_svg(figure)


def _smooth(values: Array) -> Array:
    """A moving average over each value and those before it, padded with the first value."""
    width = max(1, int(len(values) * SMOOTHING))
    padded = np.pad(values, (width - 1, 0), mode="edge")
    return np.convolve(padded, np.ones(width) / width, "valid")


def new_figure(width: float, height: float) -> Figure:
    """A transparent figure, inches; made without pyplot, which keeps global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def new_axes(figure: Figure, place: tuple[int, int, int] = (1, 1, 1)) -> Axes:
    """Plain axes at a place: rows, columns and number of the panel."""
    axes = figure.add_subplot(*place)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.2)
    return axes


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element whose black ink follows the page's text color."""
    text = io.StringIO()
    # Text stays text; with a fixed salt the same numbers give the same file.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "pliant", "font.family": "sans-serif"}
    ):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace("#000000", "currentColor")
