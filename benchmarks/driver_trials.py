"""The same trial through each driver, with no change but ``--arm`` and ``--driver``: a table.

    python benchmarks/driver_trials.py RUNS          try what is missing, and write docs/drivers.md
    python benchmarks/driver_trials.py --page        only the page

Beside each trial, a process that only sleeps keeps the driver's rate for a minute, which shows what
the machine allows. After the trial the delay from command to motion is measured.

``RUNS`` holds a run of the family ``reach`` for each arm, named after it: ``pliant train pearl
--family reach --arm ur5e --out RUNS/ur5e``. Every arm is tried on its twin in real time and through
each driver that it has, over ``pliant emulate``. Each result is kept in a file.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results" / "drivers"
PAGE = ROOT / "docs" / "drivers.md"
PLIANT = [sys.executable, "-m", "adaptation.cli"]
OBJECTS = 10
TRIES = 5  # a trial is resumed where a fault ended it, as where the machine was too busy
TRIALS = [  # each arm's twin first
    ("viperx", "twin"),
    ("viperx", "dynamixel"),
    ("viperx", "ros2"),
    ("ur5e", "twin"),
    ("ur5e", "ur"),
    ("fr3", "twin"),
    ("fr3", "franka"),
    ("so101", "twin"),
    ("so101", "feetech"),
]
HEAD = f"""# The same trial through each driver

`python benchmarks/driver_trials.py RUNS` runs the trials and writes this page. One policy per arm,
PEARL on `reach`, is trained in simulation and then tried on the same {OBJECTS} hidden goals through
every driver that the arm has, by `pliant trial RUNS/ARM --arm ARM --driver DRIVER`. All trials are
in real time, the twin's too. Nothing else is changed. The arms are emulated: **nothing here was
measured on a real arm.**

- Success: of the adapted policy in each episode, with the 95 % interval of the last one (Wilson).
- Distance: from the tool to the goal in the last episode, the mean over the goals.
- Adaptation: adapted minus no adaptation, the return of the last episode, with its 95 % interval.
- Missed: ticks of the control loop, since the trial was last started. Other programs ran on the
  machine at the load that is given, on two cores: missed ticks are an upper bound. A trial
  that a fault ended, as on a machine that is too busy, was started again: it resumes there.

| arm | driver | success by episode | interval | distance, mm | adaptation | missed ticks | load |
|---|---|---|---|---|---|---|---|
"""
TIMING = """
## How well the rates are kept

The same trials, adaptation included. Each tick is due at a fixed time: how late the control loop
woke up (median, 99 %, largest), and how many ticks it missed. Beside it, in the first minute of the
trial, a process of the same priority that only sleeps at the same rate: what the machine itself
allows. Emulator, driver and policy share its two cores. The delay from command to motion is that of
`pliant calibrate latency`, over all joints that move the tool.

| arm | driver | rate, Hz | missed | late, ms | timer missed | late, ms | command to motion, ms |
|---|---|---|---|---|---|---|---|
"""
TIMER = """
import json, sys
import numpy as np
from hw_interface.control.pacing import measure_loop
from hw_interface.drivers import DRIVERS

dt = DRIVERS[sys.argv[1]].capabilities.dt
_, late = measure_loop(dt, 60.0)
p50, p99 = np.quantile(late, [0.5, 0.99])
missed = int((late / dt).astype(int).sum())
milliseconds = [1000 * float(value) for value in (p50, p99, late.max())]
print(json.dumps({"ticks": len(late), "missed": missed, "late_ms": milliseconds}))
"""


@contextmanager
def emulator(arm: str, driver: str) -> Iterator[list[str]]:
    """The options with which a driver reaches its arm; emulates it where it is no twin."""
    if driver == "twin":
        yield ["--clock", "realtime"]
        return
    command = [*PLIANT, "emulate", driver, "--arm", arm]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().partition(" on ")[2].partition(";")[0]
        try:
            yield ["--port", port]
        finally:
            process.terminate()


def try_driver(run: Path, arm: str, driver: str) -> dict[str, Any]:
    """Run one trial; its result, with a bare timer's and the delay of the driver."""
    out = run / f"trial-{driver}"
    with emulator(arm, driver) as options:
        which = ["--arm", arm, "--driver", driver, *options]
        command = [*PLIANT, "trial", str(run), *which]
        command += ["--objects", str(OBJECTS), "--out", str(out), "--json"]
        with bare_timer(driver) as timer:
            for _ in range(TRIES):
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
                if done.returncode == 0:
                    break
        done.check_returncode()
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        result["bare_timer"] = timer
        result["latency"] = None
        if driver != "twin":
            result["latency"] = measure_latency(which, run / f"latency-{driver}.json")
    del result["run"]  # a path of this machine
    result["load"] = round(os.getloadavg()[0], 1)
    return result


@contextmanager
def bare_timer(driver: str) -> Iterator[dict[str, Any]]:
    """Keep a driver's rate for a minute in a process that only sleeps; filled in at the end."""
    found: dict[str, Any] = {}
    command = [sys.executable, "-c", TIMER, driver]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield found
        output, _ = process.communicate()
    found.update(json.loads(output))


def measure_latency(which: list[str], out: Path) -> dict[str, float] | None:
    """Delay from command to motion, s: median, 99 % and largest; None where it was not measured."""
    command = [*PLIANT, "calibrate", "latency", *which, "--yes", "--json", "--out", str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return None
    found = json.loads(done.stdout.splitlines()[-1])["calibration"]
    return {name: found[name] for name in ("p50", "p99", "max")}


def write_page() -> str:
    """The page in Markdown, of the results that are kept."""
    rows = []
    for arm, driver in TRIALS:
        path = RESULTS / f"{arm}-{driver}.json"
        cells = ["not finished"] + 5 * [""]
        if path.exists():
            cells = _cells(json.loads(path.read_text()))
        rows.append(" | ".join([f"| {arm}", f"`{driver}`", *cells]) + " |")
    return HEAD + "\n".join(rows) + "\n" + write_timing()


def write_timing() -> str:
    """The table of the rates, of the results that have one."""
    rows = []
    for arm, driver in TRIALS:
        path = RESULTS / f"{arm}-{driver}.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        if "bare_timer" in result:
            cells = _timing_cells(result)
            rows.append(" | ".join([f"| {arm}", f"`{driver}`", *cells]) + " |")
    return TIMING + "\n".join(rows) + "\n" if rows else ""


def _timing_cells(result: dict[str, Any]) -> list[str]:
    timing = result["timing"]
    bare = result["bare_timer"]
    latency = result["latency"]
    delays = "not measured"
    if latency is not None:
        delays = _milliseconds([1000 * latency[name] for name in ("p50", "p99", "max")])
    return [
        f"{timing['rate_hz']:.0f}",
        f"{timing['missed']} of {timing['ticks']}",
        _milliseconds([timing["lateness_ms"][name] for name in ("p50", "p99", "max")]),
        f"{bare['missed']} of {bare['ticks']}",
        _milliseconds(bare["late_ms"]),
        delays,
    ]


def _milliseconds(values: list[float]) -> str:
    return ", ".join(f"{value:.2g}" for value in values)


def _cells(result: dict[str, Any]) -> list[str]:
    adapted = result["adapted"]
    low, high = adapted["success_interval"][-1]
    gain = result["adaptation"]
    timing = result["timing"]
    return [
        ", ".join(f"{100 * rate:.0f} %" for rate in adapted["success"]),
        f"{100 * low:.0f} to {100 * high:.0f} %",
        f"{1000 * adapted['metrics']['distance_m'][-1]:.0f}",
        f"{gain['value']:+.2f} ({gain['interval'][0]:+.2f} to {gain['interval'][1]:+.2f})",
        f"{timing['missed']} of {timing['ticks']}",
        f"{result['load']:.0f}",
    ]


def main() -> None:
    """Try what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="?", type=Path, help="folder with a run for each arm")
    parser.add_argument("--only", help="this arm")
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # an arm's computer is not shared with other work
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    for arm, driver in TRIALS:
        path = RESULTS / f"{arm}-{driver}.json"
        run = None if given.page or given.runs is None else given.runs / arm
        if given.only in (None, arm) and run and run.exists() and not path.exists():
            result = try_driver(run, arm, driver)
            path.write_text(json.dumps(result, indent=1) + "\n")
            print(f"{arm} {driver}: {_cells(result)}", flush=True)
    PAGE.write_text(write_page())
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
