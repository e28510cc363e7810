"""Figures that compare methods: over a training's environment steps, and over a trial's episodes.

Every figure has two panels, success and return. Thin lines are single trainings, thick ones the
interquartile mean over trainings; with many methods there are only means.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from adaptation.reporting.estimators import iqm
from adaptation.reporting.figures import COLORS, new_axes, new_figure, to_svg
from adaptation.runs.records import HeldoutProgress
from robots.signals import Array

WIDTH = 9.0  # inches
HEIGHT = 3.4
LEGEND_ROW = 0.17  # inches for each method
# Of methods, in the order in which they are drawn; references keep the colors of every report.
PALETTE = (
    "#d9541e",
    "#1f6fb4",
    "#8b4fb3",
    "#c4367b",
    "#b8860b",
    "#17a2a2",
    "#7a4b2a",
    "#5a6acf",
)
MARKERS = ("o", "s", "^", "D", "v")  # the next one for each round through the palette
CROWD = 8  # methods in a figure; with more, single trainings would hide the means


class Style(NamedTuple):
    """How a method is drawn."""

    color: str
    marker: str


class EpisodeCurves(NamedTuple):
    """What the trainings of one method reach in each episode of a trial."""

    success: Array  # (s, E) rate over tasks of each training
    returns: Array  # (s, E) mean over tasks


class Line(NamedTuple):
    """A line of a figure: (k,) each."""

    x: Array
    y: Array


def method_styles(methods: Sequence[str]) -> dict[str, Style]:
    """A color for each method; where the colors are used up, the marker tells methods apart."""
    styles = {reference: Style(color, MARKERS[0]) for reference, color in COLORS.items()}
    others = dict.fromkeys(method for method in methods if method not in COLORS)
    for number, method in enumerate(others):
        turn, place = divmod(number, len(PALETTE))
        styles[method] = Style(PALETTE[place], MARKERS[turn % len(MARKERS)])
    return styles


def training_figure(
    curves: Mapping[str, Sequence[Sequence[HeldoutProgress]]],
    styles: Mapping[str, Style] | None = None,
) -> Figure:
    """Success and return of the last episode on held-out tasks, against environment steps.

    Args:
        curves: for each method and each of its trainings, the evaluations on the way.
        styles: of the methods; None: see ``method_styles``.
    """
    figure, panels = _two_panels(len(curves))
    styles = styles or method_styles(list(curves))
    crowded = len(curves) > CROWD
    for method, trainings in curves.items():
        for axes, values_of in zip(panels, (_success, _returns), strict=True):
            own = [Line(_steps(training), values_of(training)) for training in trainings]
            _draw(axes, method, styles[method], own, crowded)
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))  # 20 k, 1 M
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("environment steps")
    _finish(figure, panels)
    return figure


def episode_figure(
    curves: Mapping[str, EpisodeCurves], styles: Mapping[str, Style] | None = None
) -> Figure:
    """Success and return of each episode of a trial: how fast a method adapts.

    Args:
        curves: what each method reaches.
        styles: of the methods; None: see ``method_styles``.
    """
    figure, panels = _two_panels(len(curves))
    styles = styles or method_styles(list(curves))
    crowded = len(curves) > CROWD
    for method, curve in curves.items():
        episodes = np.arange(1.0, 1 + curve.success.shape[1])
        for axes, values in zip(panels, (100 * curve.success, curve.returns), strict=True):
            lines = [Line(episodes, row) for row in values]
            _draw(axes, method, styles[method], lines, crowded)
            axes.set_xticks(episodes)
            axes.set_xlabel("episode")
    _finish(figure, panels)
    return figure


def to_svg_file(figure: Figure) -> str:
    """A figure as the content of a file of its own, on white."""
    figure.patch.set_alpha(1)
    figure.patch.set_facecolor("white")
    return to_svg(figure)


def _two_panels(methods: int) -> tuple[Figure, tuple[Axes, Axes]]:
    """A figure that is high enough for a legend of all ``methods``, and its panels."""
    legend = LEGEND_ROW * (methods + 1)
    figure = new_figure(WIDTH, max(HEIGHT, legend))
    left = new_axes(figure, (1, 2, 1))
    right = new_axes(figure, (1, 2, 2))
    left.set_ylabel("success, %")
    left.set_ylim(-3, 103)
    right.set_ylabel("return")
    return figure, (left, right)


def _draw(axes: Axes, method: str, style: Style, lines: Sequence[Line], crowded: bool) -> None:
    """Draw each training, unless the figure is crowded, and the interquartile mean over them."""
    dash = "--" if method in COLORS else "-"  # references are dashed
    if len(lines) > 1 and not crowded:
        for line in lines:
            axes.plot(*line, color=style.color, alpha=0.35, linewidth=0.8, linestyle=dash)
    axes.plot(
        *_aggregate(lines),
        color=style.color,
        linewidth=1.4 if crowded else 2.2,
        linestyle=dash,
        marker=style.marker,
        markersize=4 if crowded else 3,
        label=method,
    )


def _aggregate(lines: Sequence[Line]) -> Line:
    """The interquartile mean where all lines are known, at the places of the shortest line."""
    begins = [line.x[0] for line in lines]
    ends = [line.x[-1] for line in lines]
    shortest = min(lines, key=_length).x
    is_common = (shortest >= max(begins)) & (shortest <= min(ends))
    x = shortest[is_common]
    values = [np.interp(x, line.x, line.y) for line in lines]
    return Line(x, iqm(np.stack(values, -1)))


def _length(line: Line) -> int:
    return len(line.x)


def _steps(training: Sequence[HeldoutProgress]) -> Array:
    return np.array([one.steps for one in training], dtype=np.float64)


def _success(training: Sequence[HeldoutProgress]) -> Array:
    """Success in the last episode, %."""
    return 100 * np.array([one.result.success[-1] for one in training], dtype=np.float64)


def _returns(training: Sequence[HeldoutProgress]) -> Array:
    """Return of the last episode; NaN where it is not finite."""
    return np.array([one.result.returns[-1] for one in training], dtype=np.float64)


def _finish(figure: Figure, panels: tuple[Axes, Axes]) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    if labels:
        figure.legend(
            handles,
            labels,
            loc="outside right upper",
            frameon=False,
            fontsize=8 if len(labels) > CROWD else 9,
        )
