"""One self-contained HTML page of a run or a trial: no network, no server."""

import base64
import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import numpy as np

from adaptation.reporting.figures import COLORS, LABELS, adaptation_curve, learning_curve
from adaptation.reporting.playback import Clip, replay
from adaptation.reporting.statistics import POLICIES
from adaptation.runs.run import REFERENCES, log_file, read_log
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.signals import Array
from sim.objects import SHAPES

TEMPLATES = Path(__file__).parent / "templates"


def report(folder: Path, out: Path) -> Path:
    """Write the page of a run or trial folder to ``out``; BadArgumentError where the folder is neither."""
    page: dict[str, Any] = {"title": folder.name, "colours": COLORS, "labels": LABELS}
    if (folder / "trial.json").exists():
        page |= _trial(folder)
        run = Path(page["trial"]["run"])
    elif (folder / "config.json").exists():
        run = folder
    else:
        raise BadArgumentError(
            f"{folder} holds neither a run (config.json) nor a trial (trial.json)"
        )
    page |= _run(run)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = _number
    out.write_text(environment.get_template("report.html").render(page), encoding="utf-8")
    return out


def _run(run: Path) -> dict[str, Any]:
    """Curves and config of a run, as far as they are there."""
    logs = {
        role: read_log(log_file(run, role))
        for role in ("method", *REFERENCES)
        if log_file(run, role).exists()
    }
    logs = {role: lines for role, lines in logs.items() if lines}
    config = run / "config.json"
    return {
        "run": run.name,
        "learning": learning_curve(logs) if logs else None,
        "trained": {role: lines[-1] for role, lines in logs.items()},
        "config": config.read_text() if config.exists() else None,
    }


def _trial(folder: Path) -> dict[str, Any]:
    """Everything of a trial."""
    asked = msgspec.json.decode((folder / "trial.json").read_bytes())
    if not (folder / "result.json").exists():
        raise BadArgumentError(
            f"{folder} holds a trial that has not ended: start it again to go on with it"
        )
    lines = [line for path in sorted(folder.glob("episodes-*.jsonl")) for line in read_log(path)]
    told = [line for line in lines if line["clock"] == asked["clock"]]
    grids = {
        policy: _grid(told, policy)
        for policy in POLICIES
        if any(line["policy"] == policy for line in told)
    }
    timed = [line for line in lines if line["timing"]]
    clips = _clips(told)
    with redirect_stdout(
        io.StringIO()
    ):  # viser announces a server that is gone before anybody could look
        page = replay(ARMS[asked["arm"]], clips) if clips else ""
    return {
        "trial": asked,
        "result": msgspec.json.decode((folder / "result.json").read_bytes()),
        "curve": adaptation_curve(grids),
        "objects": _objects(told),
        "timing": timed[-1]["timing"] if timed else None,
        "most_stale": max((line.get("most_stale", 0) for line in timed), default=0),
        "events": [event for line in lines for event in line.get("events", [])],
        "ticks": sum(line["ticks"] for line in lines),
        "replay": base64.b64encode(page.encode()).decode() if page else None,
        "clips": [clip.title for clip in clips],
    }


def _grid(lines: list[dict[str, Any]], policy: str) -> Array:
    """Returns of one policy, (E, n)."""
    of = {
        (line["episode"], line["object"]): line["return"]
        for line in lines
        if line["policy"] == policy
    }
    episodes, objects = (1 + max(key[i] for key in of) for i in (0, 1))
    return np.array([[of[e, k] for k in range(objects)] for e in range(episodes)])


def _objects(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per object: what it is, and how the adapted policy fared with it, beside blind and oracle."""
    rows: dict[int, dict[str, Any]] = {}
    for line in lines:
        row = rows.setdefault(line["object"], {"task": line["task"], "shape": _shape(line["task"])})
        row.setdefault(line["policy"], {})[line["episode"]] = (
            line["return"],
            line["success"],
            _miss(line),
        )
    return [{"number": k + 1, **rows[k]} for k in sorted(rows)]


def _shape(task: dict[str, float | None]) -> str:
    code = task.get("object.shape")
    return "not told" if code is None else SHAPES[int(code)]


def _miss(line: dict[str, Any]) -> float | None:
    """How far from the target the object came to rest, m; None where there is no object, or no target."""
    if not line["trace"]["object_pos"]:
        return None
    end, target = (
        np.array(line["trace"][name][-1][:2], dtype=np.float64) for name in ("object_pos", "marker")
    )
    miss = end - target  # NaN, for null
    return float(np.hypot(*miss)) if np.isfinite(miss).all() else None


def _clips(lines: list[dict[str, Any]]) -> list[Clip]:
    """First and last episode of the object that was learnt best, and the last one of the worst."""
    mine = {(line["object"], line["episode"]): line for line in lines if line["policy"] == "method"}
    if not mine or any(_miss(line) is None for line in mine.values()):
        return []
    last = max(episode for _, episode in mine)
    objects = sorted({k for k, _ in mine})
    best = max(
        objects,
        key=lambda k: (mine[k, last]["success"], mine[k, last]["return"] - mine[k, 0]["return"]),
    )
    worst = min(objects, key=lambda k: mine[k, last]["return"])
    shown = [(best, e) for e in range(last + 1)] + [(worst, last)]
    return [_clip(mine[k, e], k, e) for k, e in shown]


def _clip(line: dict[str, Any], k: int, episode: int) -> Clip:
    trace = {name: np.array(rows, dtype=np.float64) for name, rows in line["trace"].items()}
    task = {name: value for name, value in line["task"].items() if value is not None}
    word = "success" if line["success"] else f"missed by {100 * (_miss(line) or 0):.0f} cm"
    title = f"object {k + 1} ({_shape(line['task'])}), episode {episode + 1}: {word}"
    return Clip(
        title,
        task,
        trace["t"],
        trace["q"],
        trace["object_pos"],
        trace["object_quat"],
        trace["marker"][0],
    )


def _number(value: Any, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
