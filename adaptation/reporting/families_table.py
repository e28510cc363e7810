"""The families at a glance, as a table for a person and as a page."""

from collections.abc import Sequence

from adaptation.jobs.families import FamilyMeasure
from adaptation.reporting.bench_tables import Row, markdown_table
from adaptation.reporting.earlier_page import ReferenceRow
from adaptation.reporting.table import percent
from adaptation.reporting.words import UNKNOWN
from adaptation.runs.versions import Machine

INTRODUCTION = """\
<!-- written by `{command}` -->

# The families, measured

    {command}

- *worlds*: as many as the oracle's training acts in at once, in the first engine that supports the
  family.
- *control steps/s*: control periods of all worlds together, with {cores} cores. An action may be
  held for several periods; the family's page says for how many seconds.
- *of physics alone*: the same physics steps of the same worlds are repeated by `mujoco.batch` in C,
  without action map, gate, observation and reward. That takes this share of the time. It is
  measured for MuJoCo only.
- *hidden*: numbers of a task that the oracle reads and no other policy observes.
- *blind*, *oracle*: success in the last episode on held-out tasks, in percent with its 95 %
  interval, and the median of the family's metric, as in the [results](../results.md). What else was
  measured of a family is in [families](../families.md).

Measured on {processor}. Where other work shares the
cores, steps per second are a lower bound, and ratios, which are of one run, are rough.

"""


def family_rows(measures: Sequence[FamilyMeasure]) -> list[Row]:
    """A row for each family."""
    return [_row(measure) for measure in measures]


def _row(measure: FamilyMeasure) -> Row:
    ratio = measure.open_loop_ratio
    return {
        "family": measure.family,
        "engine": measure.engine,
        "worlds": str(measure.worlds),
        "control steps/s": f"{measure.steps_per_second:,.0f}",
        "of physics alone": UNKNOWN if ratio is None else f"{ratio:.2f}",
        "hidden": str(measure.hidden),
        "blind": _result(measure.blind),
        "oracle": _result(measure.oracle),
    }


def _result(row: ReferenceRow | None) -> str:
    """Success with its interval, and the metric: ``98 [93, 99], distance 1.04 cm``."""
    if row is None:
        return UNKNOWN
    text = percent(row.success, row.interval)
    if row.value is None:
        return text
    label, _, unit = row.metric.removesuffix(" (median)").partition(", ")
    return f"{text}, {label} {row.value:g} {unit}".rstrip()


def families_page(measures: Sequence[FamilyMeasure], command: str, machine: Machine) -> str:
    """The table as a Markdown page, in the folder of the families' pages.

    Args:
        measures: of the families.
        command: that writes the page.
        machine: that measured.
    """
    rows = []
    for row in family_rows(measures):
        name = row["family"]
        rows.append({**row, "family": f"[`{name}`]({name}.md)"})
    head = INTRODUCTION.format(command=command, cores=machine.cores, processor=machine.processor)
    return head + markdown_table(rows)
