"""The figures of one family on the page of a suite's results."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from adaptation.jobs.bench import CellStatus
from adaptation.reporting.bench_results import EngineResults, methods_of
from adaptation.reporting.compare_table import episode_curves
from adaptation.reporting.curves import Style, episode_figure, to_svg_file, training_figure
from adaptation.runs.files import replace_file


def draw_family(
    family: str,
    cells: Sequence[CellStatus],
    engines: Sequence[EngineResults],
    folder: Path,
    styles: Mapping[str, Style],
) -> dict[str, str]:
    """Write the figures of one family as SVG files.

    Args:
        family: its name.
        cells: its trainings.
        engines: what they reach in each engine.
        folder: where the files are written.
        styles: of the methods, the same in all figures of a page.

    Returns:
        The title of each figure, by the name of its file.
    """
    stem = re.sub(r"\W", "_", family)
    drawn = {}
    curves = {}
    for method, results in methods_of(cells).items():
        if all(result.curve for result in results):
            curves[method] = [result.curve for result in results]
    if curves:
        file = f"{stem}-training.svg"
        replace_file(folder / file, to_svg_file(training_figure(curves, styles)).encode())
        drawn[file] = "held-out tasks during training"
    for judged in engines:
        episodes = {
            one.method: episode_curves([grids["adapted"] for grids in one.trainings])
            for one in judged.methods
        }
        engine = judged.engine
        file = f"{stem}-{engine}-episodes.svg"
        replace_file(folder / file, to_svg_file(episode_figure(episodes, styles)).encode())
        drawn[file] = f"adaptation per episode, in {engine}"
    return drawn
