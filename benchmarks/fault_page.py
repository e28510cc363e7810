"""The page of ``fault_matrix.py``: a table of what it has measured."""

import json
from pathlib import Path
from typing import Any

from fault_rows import COLUMNS, REASONS, ROWS, Row

Kept = dict[str, dict[str, Any]]  # outcomes by the row's key

HEAD = """# Every fault through every driver

`python benchmarks/fault_matrix.py` provokes each fault, measures what follows, and writes this page. A policy swings an
emulated arm to and fro in real time, through `pliant`'s own control process and the driver, over the maker's client and
protocol. Then the fault strikes. What follows is seen at the arm: the emulator notes every 2 ms how fast its joints are,
and counts each position target outside the joints' limits. What each event means, and the tests, are in
[safety](safety.md). Nothing here has been measured on a real arm.

- The time is from the fault until no joint was faster than 0.02 rad/s for 0.2 s. Where an arm finds out by itself that
  nobody speaks to it, its deadline (`Limits.deadline`) is part of it.
- *goes on*: the arm is still moved by the policy 2.5 s later, as it should be, with the events that were reported.
- *resumes*: once the fault was ended, `clear` and the next `reset` moved the arm again. *start again*: the command has to be
  started again. *refused*: the arm must be seen to first. Without a word: a process was dead or stopped, or the port closed.
- –: the driver or its emulator cannot show the fault, and why.
- The numbers of faults are those of [the list of 45](safety.md#by-number). Faults 7 to 17, 30, 32 to 43 and 45 are not a
  driver's: their tests are there.
"""


def write_page(results: Path) -> str:
    """The page in Markdown, of the files that ``fault_matrix.py`` keeps."""
    kept = {driver: _read(results / f"{driver}.json") for driver in COLUMNS}
    lines = [HEAD, "## Limits", ""]
    lines += _limits(kept)
    lines += ["", "## Outcomes", ""]
    lines += _table(kept)
    return "\n".join(lines) + "\n"


def _read(path: Path) -> Kept:
    return json.loads(path.read_text()) if path.exists() else {}


def _limits(kept: dict[str, Kept]) -> list[str]:
    """What each driver has sent in all faults together."""
    lines = [
        "| driver | arm | faults | targets outside the limits | load of the machine |",
        "|---|---|---|---|---|",
    ]
    for driver, arm in COLUMNS.items():
        outcomes = list(kept[driver].values())
        outside = max((outcome["motion"]["outside"] for outcome in outcomes), default=0)
        loads = [outcome["load"] for outcome in outcomes] or [0.0]
        span = f"{min(loads):.0f} to {max(loads):.0f}"
        lines.append(f"| `{driver}` | {arm} | {len(outcomes)} | {outside} | {span} |")
    return lines


def _table(kept: dict[str, Kept]) -> list[str]:
    names = " | ".join(f"`{driver}`" for driver in COLUMNS)
    lines = [f"| no. | fault | {names} |", "|---" * (2 + len(COLUMNS)) + "|"]
    for row in ROWS:
        cells = [_cell(driver, row, kept[driver]) for driver in COLUMNS]
        lines.append(" | ".join([f"| {row.number}", row.text, *cells]) + " |")
    return lines


def _cell(driver: str, row: Row, kept: Kept) -> str:
    """What became of one arm."""
    reason = REASONS.get((driver, row.key), row.missing)
    if row.key not in kept:
        return f"– {reason}" if reason else "not measured"
    outcome = kept[row.key]
    if row.key in ("another", "second"):
        return "connected" if outcome["told"].startswith("NOT") else "refused"
    events = ", ".join(outcome["events"]) or ("told by an error" if outcome["told"] else "no event")
    if outcome["mode"] == "RUNNING" and not outcome["told"]:
        return f"{events}; goes on"
    stood = f"{1000 * outcome['motion']['stood']:.0f} ms"
    return "; ".join([events, stood, *_resumption(outcome["resumes"])])


def _resumption(resumes: str) -> list[str]:
    """What came after the fault was ended."""
    if resumes in ("", "yes"):
        return ["resumes"] if resumes else []
    return ["start again" if "start the command again" in resumes else "refused"]
