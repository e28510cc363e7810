"""The report's figures, as inline SVG: they scale, print, and need nothing else."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robots.signals import Array

COLORS = {"method": "#d9541e", "frozen": "#e8a87c", "blind": "#8a8f98", "oracle": "#2f7d4f"}
LABELS = {"method": "adapted", "frozen": "not adapted", "blind": "blind", "oracle": "oracle"}


def adaptation_curve(returns: dict[str, Array]) -> str:
    """Mean return per episode with 95 % bootstrap bands; ``returns`` holds (E, n) of each policy."""
    figure, axes = _axes(6.4, 3.4)
    rng = np.random.default_rng(0)
    for name, r in returns.items():
        episodes = np.arange(1, len(r) + 1)
        rows = rng.integers(r.shape[1], size=(2000, r.shape[1]))
        low, high = np.percentile(r[:, rows].mean(-1), (2.5, 97.5), axis=1)
        style = "-" if name == "method" else "--"
        axes.plot(
            episodes,
            r.mean(1),
            style,
            color=COLORS[name],
            marker="o",
            markersize=4,
            label=LABELS[name],
        )
        axes.fill_between(episodes, low, high, color=COLORS[name], alpha=0.14, linewidth=0)
    axes.set(xlabel="episode", ylabel="return", xticks=episodes)
    axes.legend(frameon=False, ncols=2, fontsize=9)
    return _svg(figure)


def learning_curve(logs: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """Return of the last episode against training time, for every role of a run."""
    figure, axes = _axes(6.4, 2.8)
    for name, lines in logs.items():
        seconds = [line["seconds"] for line in lines]
        last = np.array([line["return"][-1] for line in lines])
        width = max(1, len(last) // 20)
        smooth = np.convolve(
            np.pad(last, (width - 1, 0), mode="edge"), np.ones(width) / width, "valid"
        )
        axes.plot(seconds, last, color=COLORS[name], alpha=0.25, linewidth=1)
        axes.plot(seconds, smooth, color=COLORS[name], label=LABELS[name])
    axes.set(xlabel="training, s", ylabel="return, exploring")
    axes.legend(frameon=False, fontsize=9)
    return _svg(figure)


def _axes(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.2)
    return figure, axes


def _svg(figure: Any) -> str:
    """The figure as an <svg> element whose ink follows the page's text colour."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "pliant", "font.family": "sans-serif"}
    ):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace("#000000", "currentColor")
