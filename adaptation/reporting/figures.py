"""The report's figures, as inline SVG: they scale, print, and need no other file."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adaptation.runs.records import TrainProgress
from robots.signals import Array

COLORS = {
    "adapted": "#d9541e",
    "no_adaptation": "#e8a87c",
    "blind": "#8a8f98",
    "oracle": "#2f7d4f",
}
LABELS = {
    "adapted": "adapted",
    "no_adaptation": "no adaptation",
    "blind": "blind",
    "oracle": "oracle",
}
RESAMPLES = 2000
SMOOTHING = 1 / 20  # width of the moving average, as a share of the curve


def adaptation_curve(returns: Mapping[str, Array]) -> str:
    """Mean return per episode with 95 % bootstrap bands.

    Args:
        returns: (E, n) of each policy, E episodes of n tasks.

    Returns:
        An <svg> element.
    """
    figure = new_figure(6.4, 3.4)
    axes = new_axes(figure)
    rng = np.random.default_rng(0)
    for policy, values in returns.items():
        number = np.arange(1, len(values) + 1)
        low, high = _bootstrap_band(values, rng)
        axes.plot(
            number,
            values.mean(1),
            linestyle="-" if policy == "adapted" else "--",
            color=COLORS[policy],
            marker="o",
            markersize=4,
            label=LABELS[policy],
        )
        axes.fill_between(number, low, high, color=COLORS[policy], alpha=0.14, linewidth=0)
        axes.set_xticks(number)
    axes.set_xlabel("episode")
    axes.set_ylabel("return")
    axes.legend(frameon=False, ncols=2, fontsize=9)
    return to_svg(figure)


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
        axes.plot(steps, _smooth(last), color=color, label=LABELS[policy])
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return while exploring")
    axes.legend(frameon=False, fontsize=9)
    return to_svg(figure)


def _bootstrap_band(values: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """The 2.5th and 97.5th percentile of the mean over n tasks, (E,) each, of values (E, n)."""
    tasks = values.shape[1]
    resamples = rng.integers(tasks, size=(RESAMPLES, tasks))
    means = values[:, resamples].mean(-1)  # (E, RESAMPLES)
    low = np.percentile(means, 2.5, axis=1)
    high = np.percentile(means, 97.5, axis=1)
    return low, high


def _smooth(values: Array) -> Array:
    """A moving average over the values before each one; the first value is repeated to the left."""
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
