"""A comparison of runs as a table for a person, and as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adaptation.reporting.curves import EpisodeCurves, episode_figure, training_figure
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.table import describe_estimate, result_lines
from adaptation.runs.files import whole_file
from adaptation.runs.records import ComparedEntry, HeldoutProgress, RunsComparison
from robots.counting import counted

FORMATS = (".svg", ".png", ".pdf")


def compare_table(comparison: RunsComparison) -> str:
    """Every entry with all its policies, and its difference to the first entry."""
    lines = []
    first = comparison.entries[0]
    for entry in comparison.entries:
        lines.append(_heading(entry))
        lines += [f"  {line}" for line in result_lines(entry.comparison)]
        if entry.over_first is not None:
            label = f"adapted − {first.name}"
            lines += [f"  {line}" for line in describe_estimate(label, entry.over_first)]
            if entry.paired < max(len(entry.runs), len(first.runs)):
                lines.append(f"  the difference is over {_common(entry.paired)}")
        elif entry is not first:
            lines.append(f"  no difference to {first.name}: no seed is common to both")
        lines.append("")
    tasks = first.comparison.tasks
    lines.append(
        f"{comparison.family} in {comparison.engine}, {tasks} tasks of the split"
        f" {comparison.split}, {comparison.seconds:.1f} s"
    )
    return "\n".join(lines)


def _common(paired: int) -> str:
    return "1 training of a common seed" if paired == 1 else f"{paired} trainings of common seeds"


def _heading(entry: ComparedEntry) -> str:
    """Name, number of trainings and the budget that they had."""
    trainings = counted(len(entry.runs), "training")
    words = [f"{entry.name}: {trainings}"]
    if entry.steps:
        words.append(f"{np.mean(entry.steps):,.0f} environment steps")
        words.append(f"{np.mean(entry.gradient_steps):,.0f} gradient steps")
    return ", ".join(words)


def write_plots(
    file: Path,
    grids: Mapping[str, Sequence[EpisodeGrid]],
    curves: Mapping[str, Sequence[Sequence[HeldoutProgress]]],
) -> list[Path]:
    """Draw adaptation per episode, and, where there are curves, held-out results of the training.

    Args:
        file: of the first figure; the second is beside it, with ``-training`` in its name.
        grids: for each entry, what the adapted policy of each training reached.
        curves: for each entry and training, the evaluations on the way.

    Returns:
        The files.
    """
    episodes = {name: episode_curves(trainings) for name, trainings in grids.items()}
    with whole_file(file) as new:
        episode_figure(episodes).savefig(new)
    if not curves:
        return [file]
    second = file.with_stem(f"{file.stem}-training")
    with whole_file(second) as new:
        training_figure(curves).savefig(new)
    return [file, second]


def episode_curves(trainings: Sequence[EpisodeGrid]) -> EpisodeCurves:
    """Means over tasks of each training, by episode."""
    success = [grid.success.mean(1) for grid in trainings]
    returns = [grid.returns.mean(1) for grid in trainings]
    return EpisodeCurves(np.stack(success), np.stack(returns))
