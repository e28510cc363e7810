"""The panel of the live page beside the 3-D scene, as HTML."""

import math
import time
from collections.abc import Iterable, Sequence
from html import escape

from adaptation.live.snapshot import Snapshot
from hw_interface.control.client import EventRecord
from hw_interface.control.events import Mode
from hw_interface.control.explanations import MODES, OPERATOR_HOLD, explain_event
from hw_interface.control.layout import Record

NO_EMERGENCY_STOP = (
    "<b>No button on this page is an emergency stop.</b> They ask software, through a browser and a"
    " network port, to brake the arm. Keep the arm's own emergency stop within reach."
)
CALM = "#2f7d4f"
CAREFUL = "#b7791f"
STOPPED = "#c0392b"
GRAY = "#646b76"
COLORS = {
    Mode.DISCONNECTED: GRAY,
    Mode.IDLE: GRAY,
    Mode.ARMED: CALM,
    Mode.RUNNING: CALM,
    Mode.HOLD: CAREFUL,
    Mode.FAULT: STOPPED,
    Mode.EXTERNAL_STOP: STOPPED,
}
LATEST = 4  # events that are shown
NEWEST = 8  # judged episodes that are shown
CELL = "padding:1px 8px;text-align:left;vertical-align:top"
NUMBER = "padding:1px 8px;text-align:right;font-variant-numeric:tabular-nums"


def no_arm() -> str:
    """The head of the panel while no arm is open."""
    return _head("NO ARM", MODES[Mode.DISCONNECTED], GRAY)


def silent_arm() -> str:
    """The head of the panel while the control process does not run."""
    words = "the control process does not answer; only the arm itself can stop now"
    return _head("NO ANSWER", words, STOPPED)


def mode_html(state: Record) -> str:
    """The mode in words."""
    mode = Mode(int(state["mode"]))
    words = MODES[mode]
    if mode is Mode.HOLD and state["operator_hold"]:
        words = OPERATOR_HOLD
    return _head(mode.name.replace("_", " "), words, COLORS[mode])


def _head(name: str, words: str, color: str) -> str:
    return (
        f'<div style="border-left:6px solid {color};margin-bottom:6px;padding:2px 10px">'
        f'<b style="font-size:1.5em;color:{color}">{escape(name)}</b><br>{escape(words)}</div>'
    )


def safety_html(notice: str) -> str:
    """What the buttons are not, and what came of the last one."""
    text = f'<p style="margin:0 10px;font-size:0.85em">{NO_EMERGENCY_STOP}</p>'
    if notice:
        text += f'<p style="margin:6px 10px 0"><b>{escape(notice)}</b></p>'
    return text


def events_html(events: Sequence[EventRecord], now: float) -> str:
    """The newest events in words, the newest first; ``now`` is on their clock, s."""
    if not events:
        return "none"
    rows = []
    for event in reversed(events[-LATEST:]):
        age = max(0.0, now - event["stamp"])
        rows.append((explain_event(event["event"]), f"{age:.0f} s ago"))
    return table([], rows)


def episode_html(shown: Snapshot) -> str:
    """What is tried now."""
    if shown.episode == 0:
        return "none has begun"
    returns = "–" if shown.returns is None else f"{shown.returns:.2f}"
    updates = "up to date" if shown.behind == 0 else f"{shown.behind} behind"
    rows = [
        ("object", shown.object),
        ("policy", shown.policy.replace("_", " ")),
        ("episode", str(shown.episode)),
        ("return so far", returns),
        ("belief", updates),
    ]
    return table([], rows)


def belief_html(shown: Snapshot) -> str:
    """Every number of the belief with its mean and spread."""
    if not shown.belief:
        return "this policy has none"
    rows = []
    for number in shown.belief:
        rows.append((number.name, _number(number.mean), _number(number.spread)))
    return table(["", "mean", "spread"], rows)


def judged_html(shown: Snapshot) -> str:
    """The verdicts of the newest episodes, the newest first."""
    if not shown.judged:
        return "no episode has ended"
    rows = []
    for judged in reversed(shown.judged[-NEWEST:]):
        where = f"{judged.object}, {judged.policy.replace('_', ' ')}, {judged.episode}"
        outcome = "success" if judged.success else "no success"
        verdict = f"{outcome}, {judged.result}"
        if judged.changed:
            verdict += f"; {judged.changed}"
        rows.append((where, verdict))
    return table(["object, policy, episode", "verdict"], rows)


def timing_html(state: Record, action_stamp: float, rate: float, is_realtime: bool) -> str:
    """How the loop keeps time, and how old what it acts on is."""
    rows = [("period", f"{1e3 / rate:.3g} ms ({rate:.0f} Hz)")]
    if not is_realtime:
        rows.append(("clock", "lockstep: time waits for the policy"))
        return table([], rows)
    now = time.monotonic()
    scheduler = "granted" if state["realtime"] else "not permitted"
    rows += [
        ("missed ticks", f"{int(state['missed_ticks'])} of {int(state['tick'])}"),
        ("largest lateness", f"{1e3 * float(state['max_lateness']):.2f} ms"),
        ("age of the observation", _age(now - float(state["stamp"]))),
        ("age of what the action answers", _age(now - action_stamp)),
        ("real-time priority", scheduler),
    ]
    return table([], rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns after the first are aligned to the right."""
    lines = []
    if heads:
        cells = _cells("th", heads)
        lines.append(f'<tr style="opacity:0.6">{cells}</tr>')
    for row in rows:
        lines.append(f"<tr>{_cells('td', row)}</tr>")
    style = "width:100%;border-collapse:collapse;font-size:0.9em"
    return f'<table style="{style}">{"".join(lines)}</table>'


def _cells(tag: str, texts: Sequence[str]) -> str:
    cells = []
    for column, text in enumerate(texts):
        style = CELL if column == 0 else NUMBER
        weight = ";font-weight:normal" if tag == "th" else ""
        cells.append(f'<{tag} style="{style}{weight}">{escape(text)}</{tag}>')
    return "".join(cells)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _age(seconds: float) -> str:
    """A short time in ms; a dash before there was one."""
    if not math.isfinite(seconds) or seconds > 1e4:
        return "–"
    return f"{1e3 * max(0.0, seconds):.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
