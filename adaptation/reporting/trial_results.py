"""The report's part on a trial's result: two figures and three tables, by episode."""

from collections.abc import Mapping
from typing import Any

from adaptation.reporting.episode_grid import EpisodeGrid, number_tasks
from adaptation.reporting.estimators import known_mean, mean_band
from adaptation.reporting.figures import color_map, label_map, metric_curve, success_curve
from adaptation.reporting.metrics import Metric, describe_metric
from adaptation.reporting.table import present_policies
from adaptation.reporting.words import UNKNOWN
from adaptation.runs.records import PolicyResult, TrialResult

Cells = list[tuple[str, str]]  # of a policy's row: a number and what stands below it
RETURN = Metric("return", "", 1.0)


def result_context(result: TrialResult, grids: Mapping[str, EpisodeGrid]) -> dict[str, Any]:
    """The template's variables for the result of a trial.

    Args:
        result: of the trial.
        grids: the episodes of every policy, by its name.
    """
    policies = present_policies(result)
    name = next(iter(result.adapted.metrics), None)
    metric = RETURN if name is None else describe_metric(name)
    success_rows = {}
    metric_rows = {}
    return_rows = {}
    for policy, own in policies.items():
        success_rows[policy] = _success_cells(own)
        metric_rows[policy] = _metric_cells(own, name, metric)
        return_rows[policy] = _return_cells(own)
    others = set(policies) - {"adapted", "no_adaptation"}
    return {
        "result": result,
        "colors": color_map(policies),
        "labels": label_map(policies),
        "compared": [policy for policy in policies if policy in others],
        "metric_name": name,
        "metric": None if name is None else metric,
        "curves": [success_curve(policies), _metric_figure(grids, name, metric)],
        "success_rows": success_rows,
        "metric_rows": metric_rows,
        "return_rows": return_rows,
    }


def _metric_figure(grids: Mapping[str, EpisodeGrid], name: str | None, metric: Metric) -> str:
    """The family's first metric per episode; the return where it has none."""
    means = {}
    bands = {}
    for policy, grid in grids.items():
        in_si = grid.returns if name is None else grid.metrics[name]
        values = metric.factor * in_si  # (E, n)
        (tasks,) = number_tasks([grid])
        means[policy] = known_mean(values)
        bands[policy] = mean_band(values, tasks)
    label = metric.label
    if metric.unit:
        label = f"{label}, {metric.unit}"
    return metric_curve(means, bands, label)


def _success_cells(result: PolicyResult) -> Cells:
    cells = []
    for rate, interval in zip(result.success, result.success_interval, strict=True):
        detail = ""
        if interval is not None:
            low, high = interval
            detail = f"{100 * low:.0f}–{100 * high:.0f}"
        cells.append((f"{100 * rate:.0f}", detail))
    return cells


def _metric_cells(result: PolicyResult, name: str | None, metric: Metric) -> Cells:
    """Mean above median."""
    if name is None:
        return []
    cells = []
    medians = result.metric_medians[name]
    for mean, median in zip(result.metrics[name], medians, strict=True):
        cells.append((metric.show(mean), metric.show(median)))
    return cells


def _return_cells(result: PolicyResult) -> Cells:
    cells = []
    for value in result.returns:
        shown = UNKNOWN if value is None else f"{value:.2f}"
        cells.append((shown, ""))
    return cells
