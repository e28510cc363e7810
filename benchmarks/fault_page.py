"""The page of ``fault_matrix.py``: a table of what it has measured."""

import json
from pathlib import Path
from typing import Any

from fault_rows import COLUMNS, GRIPPER_ROWS, GRIPPERS, REASONS, ROWS, Row, driver_of

Kept = dict[str, dict[str, Any]]  # outcomes by the row's key

HEAD = """# Every fault through every driver

`python benchmarks/fault_matrix.py` provokes each fault, measures what follows and writes this page.
A policy swings an emulated arm to and fro in real time, through the control process and the driver,
over the maker's own client and protocol. Then the fault strikes. What follows is seen at the arm:
the emulator notes every 2 ms how fast its joints are, and counts each position target outside the
joints' limits. The events and their tests are explained in [safety](safety.md). **Nothing here was
measured on a real arm.**

- The time is from the fault until no joint was faster than 0.02 rad/s for 0.2 s. Where only the arm
  itself can find out that nobody commands it, its deadline (`Limits.deadline`) is part of the time.
- *goes on*: the policy still moves the arm, or may, as it should be; events are those reported.
- *resumes*: once the fault was ended, `clear` and `reset` began the next episode. *start again*:
  the command must be started again. *refused*: `reset` was refused: see to the arm first.
  Without one of these, a process was dead or stopped, or the port closed.
- *told*: the program that drives the arm got an error, or the reason why its recording ended.
- –: the driver or its emulator cannot show the fault, and why.
- Numbers are those of [the list of 45](safety.md#by-number). Its other faults do not depend on the
  driver: their tests are named there.
"""


HOLDING = """
## While a gripper holds something

`python benchmarks/fault_matrix.py --grippers` measures these. The arm swings as above, with a hard
object between its fingers, which press on it. The policy also commands how fast they open or close.

- *held*: the simulated fingers pressed on the object when the arm stood, before the fault was
  ended, each with more than 4 N. *not held*: they did not.
"""


def write_page(results: Path) -> str:
    """The page in Markdown, of the files that ``fault_matrix.py`` keeps."""
    kept = {driver: _read(results / f"{driver}.json") for driver in COLUMNS}
    holding = {driver: _read(results / f"{arm}.json") for driver, arm in GRIPPERS.items()}
    lines = [HEAD, "## Targets outside the limits", "", *LIMITS_HEAD]
    lines += _limits(COLUMNS, kept)
    lines += _limits(GRIPPERS, holding)
    lines += ["", "## Outcomes", ""]
    lines += _table(ROWS, kept)
    lines += [HOLDING]
    lines += _table(GRIPPER_ROWS, holding)
    return "\n".join(lines) + "\n"


def _read(path: Path) -> Kept:
    return json.loads(path.read_text()) if path.exists() else {}


LIMITS_HEAD = (
    "| driver | arm | faults | targets outside the limits | load of the machine |",
    "|---|---|---|---|---|",
)


def _limits(arms: dict[str, str], kept: dict[str, Kept]) -> list[str]:
    """What each driver has sent in all faults together."""
    lines = []
    for driver, arm in arms.items():
        outcomes = list(kept[driver].values())
        outside = max((outcome["motion"]["outside"] for outcome in outcomes), default=0)
        loads = [outcome["load"] for outcome in outcomes] or [0.0]
        span = f"{min(loads):.0f} to {max(loads):.0f}"
        lines.append(f"| `{driver}` | {arm} | {len(outcomes)} | {outside} | {span} |")
    return lines


def _table(rows: list[Row], kept: dict[str, Kept]) -> list[str]:
    names = " | ".join(f"`{driver}`" for driver in kept)
    lines = [f"| no. | fault | {names} |", "|---" * (2 + len(kept)) + "|"]
    for row in rows:
        cells = [_cell(driver, row, kept[driver], rows is GRIPPER_ROWS) for driver in kept]
        lines.append(" | ".join([f"| {row.number}", row.text, *cells]) + " |")
    return lines


def _cell(driver: str, row: Row, kept: Kept, grips: bool) -> str:
    """What became of one arm, and of what it held if it ``grips``."""
    if row.key not in kept:
        reason = REASONS.get((driver_of(driver), row.key), row.missing)
        return f"– {reason}" if reason else "not measured"
    outcome = kept[row.key]
    error = outcome["error"]
    if row.key in ("another", "second"):
        return "CONNECTED" if error.startswith("NOT") else "refused"
    is_latched = outcome["mode"] in ("FAULT", "EXTERNAL_STOP")
    words = list(outcome["events"])
    if not is_latched and error:
        words.append("told")
    if not words:
        words.append("no event")
    grip = [("held" if outcome["motion"]["holds"] else "not held")] if grips else []
    if outcome["mode"] == "RUNNING" and (row.harmless or not error):
        return "; ".join([", ".join(words), "goes on", *grip])
    stood = f"{1000 * outcome['motion']['stood']:.0f} ms"
    return "; ".join([", ".join(words), stood, *grip, *_resumption(outcome["resumes"])])


def _resumption(resumes: str) -> list[str]:
    """What came after the fault was ended."""
    if resumes in ("", "yes"):
        return ["resumes"] if resumes else []
    again = any(word in resumes for word in ("start the command again", "control process ended"))
    return ["start again" if again else "refused"]
