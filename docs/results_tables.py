"""Results of commands as Markdown tables, for results.md and the README."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TEMPLATE = Path(__file__).with_name("results_template.md")
POLICIES = ("blind", "no_adaptation", "adapted", "oracle")

Result = dict[str, Any]  # the JSON of ``pliant evaluate`` or ``pliant trial``, and more
Row = dict[str, str]  # cells by column


class Claim(NamedTuple):
    """A method that is trained on a family and compared in simulation."""

    method: str
    family: str


class ArmTrial(NamedTuple):
    """A method that is tried on an arm."""

    method: str
    family: str
    arm: str
    driver: str
    objects: int


Claims = list[tuple[Claim, list[Result]]]  # with a result per seed
Trials = list[tuple[ArmTrial, Result]]


def last_episode(result: Result, policy: str) -> dict[str, float]:
    """Success (%), return and metrics in the last episode; empty where the policy is missing."""
    found = result[policy]
    if found is None:
        return {}
    metrics = {name: values[-1] for name, values in found["metrics"].items()}
    success = 100 * found["success"][-1]
    return {"success": success, "return": found["returns"][-1], **metrics}


def mean_cell(results: list[Result], policy: str, key: str, form: str) -> str:
    """Mean over seeds of a number of the last episode; a dash where a seed has none."""
    values = [last_episode(result, policy).get(key) for result in results]
    known = [value for value in values if value is not None]
    return format(np.mean(known), form) if len(known) == len(values) else "–"


def policy_cells(results: list[Result]) -> Row:
    """Success, the family's metrics and the return, of every policy in the order of POLICIES."""
    known = last_episode(results[0], "adapted")
    metrics = [key for key in known if key not in ("success", "return")]
    forms = {"success": ".0f", **dict.fromkeys(metrics, ".3f"), "return": ".2f"}
    cells = {}
    for key, form in forms.items():
        numbers = [mean_cell(results, policy, key, form) for policy in POLICIES]
        cells[key] = " / ".join(numbers)
    order = " / ".join(POLICIES)
    figures = [f"{name} {cells[name]}" for name in metrics]
    return {
        f"success, %: {order}": cells["success"],
        "metrics, same order": "; ".join(figures),
        "return, same order": cells["return"],
    }


def difference_cell(results: list[Result], key: str) -> str:
    """A difference of returns: mean over seeds, and the low end of the worst seed's interval."""
    found = [result[key] for result in results]
    if None in found:
        return "–"
    mean = np.mean([difference["value"] for difference in found])
    intervals = [difference["interval"] for difference in found]
    if None in intervals:
        return f"{mean:+.2f}"
    worst = min(low for low, _ in intervals)
    return f"{mean:+.2f} (at least {worst:+.2f})"


def gap_cell(results: list[Result]) -> str:
    """The share of the gap that was closed, in %: mean, lowest and highest seed."""
    values = [result["gap_closed"]["value"] for result in results]
    if None in values:
        return "–"
    shares = 100 * np.array(values)
    return f"{shares.mean():.0f} % ({shares.min():.0f} to {shares.max():.0f})"


def claim_row(claim: Claim, results: list[Result]) -> Row:
    """A claim as a row of its table."""
    steps = np.mean([result["steps"] for result in results])
    minutes = np.mean([result["minutes"] for result in results])
    return {
        "method": f"`{claim.method}`",
        "family": f"`{claim.family}`",
        "seeds": str(len(results)),
        "steps": f"{steps:,.0f}",
        "minutes": f"{minutes:.1f}",
        **policy_cells(results),
        "adaptation": difference_cell(results, "adaptation"),
        "over blind": difference_cell(results, "over_blind"),
        "gap closed": gap_cell(results),
    }


def trial_row(trial: ArmTrial, result: Result) -> Row:
    """A trial as a row of its table."""
    timing = result["timing"]
    outside = ""
    if "goals" in result:
        outside = f"{result['outside']} of {result['goals']:,}"
    return {
        "method": f"`{trial.method}`",
        "family": f"`{trial.family}`",
        "driver": trial.driver,
        "objects": str(trial.objects),
        **policy_cells([result]),
        "adaptation": difference_cell([result], "adaptation"),
        "rate": f"{timing['rate_hz']:.0f} Hz",
        "ticks": f"{timing['ticks']:,}",
        "missed": str(timing["missed"]),
        "lateness, ms": quantiles(timing["lateness_ms"]),
        "policy, ms": quantiles(timing["policy_ms"]),
        "outside": outside,
    }


def quantiles(times: dict[str, float]) -> str:
    """p50, p99 and max of times in ms."""
    return ", ".join(f"{times[name]:.2f}" for name in ("p50", "p99", "max"))


def table(rows: list[Row]) -> str:
    """Rows of the same columns as Markdown; a note where there are none."""
    if not rows:
        return "No figures yet.\n"
    header = list(rows[0])
    lines = [header, ["---"] * len(header)]
    lines += [list(row.values()) for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def page(claims: Claims, trials: Trials) -> str:
    """The whole of results.md."""
    claim_rows = [claim_row(claim, results) for claim, results in claims]
    trial_rows = [trial_row(trial, result) for trial, result in trials]
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.format(claims=table(claim_rows), trials=table(trial_rows))


def summary(claims: Claims) -> str:
    """The table of the README: success of every policy in simulation; empty without a claim."""
    if not claims:
        return ""
    rows = []
    for claim, results in claims:
        row = {"family": f"`{claim.family}`", "method": f"`{claim.method}`"}
        for policy in POLICIES:
            row[policy] = mean_cell(results, policy, "success", ".0f")
        rows.append(row)
    title = "Success (%) in the last episode, on held-out tasks ([more](docs/results.md)):"
    return f"{title}\n\n{table(rows)}"
