"""Regenerates results.md: trains every method on every family it claims, over seeds, and judges what came out.

make results            # hours on two cores; what is there already is not trained again
.venv/bin/python docs/results.py --seeds 3 --only pearl-point pearl-reach
"""

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "results"
PLIANT = Path(sys.executable).with_name("pliant")
CLAIMS = {
    f"{method}-{family}": (method, family)
    for family, methods in {
        "point": ("pearl", "rl2", "maml", "fomaml"),
        "reach": ("pearl",),
        "slide": ("pearl", "context_mpc"),
        "cheetah_vel": ("pearl",),
        "cheetah_cripple": ("grbal", "context_mpc"),
    }.items()
    for method in methods
}
TRIALS = {  # name: method, family, arm, driver, objects
    **{
        f"{method}-reach-twin": (method, "reach", "panda", "twin", 20)
        for method in ("pearl", "context_mpc", "rl2", "maml", "grbal")
    },
    "pearl-reach_viperx-dynamixel": ("pearl", "reach_viperx", "viperx", "dynamixel", 5),
}
RETURNS = {"blind": "blind", "not adapted": "frozen", "adapted": "method", "oracle": "oracle"}
TASKS = {"cheetah_cripple": 40}  # held-out tasks that differ in their starts alone; 100 elsewhere
HEAD = """# Results

Written by `make results` (`docs/results.py`), on two CPU cores without a GPU; nothing here is typed in. Each method is
trained from scratch for each seed, by the schedule it has for the family and therefore the same bit for bit each time,
and judged on held-out tasks in simulation beside one pair of references per family and seed:

    pliant train oracle --family FAMILY --seed S --out runs/results/FAMILY-S
    pliant train METHOD --family FAMILY --seed S --no-references --out runs/results/METHOD-FAMILY-S
    pliant evaluate runs/results/METHOD-FAMILY-S --tasks 100 --json    # 40 on cheetah_cripple: one joint is held out

Returns are those of the last episode of a trial, after the exploring ones, as mean over seeds; *not adapted* is the
same policy with its belief kept at the prior. The gap closed is (adapted − blind) / (oracle − blind), with its lowest
and highest seed; *at least* is how much adapted is above blind, at the low end of the 95 % interval of the worst seed.
Minutes are of one core, shared or not as it was.

On `cheetah_cripple` the references have as many steps as the methods that plan.

"""

TRIED = """
## Through the servo

The same trial by a method of each kind, first seed, on held-out goals through the servo process: on the PyBullet twin
in lockstep, with one more episode at the wall's pace; and through ROBOTIS' client and the protocol of emulated servos.

    pliant trial runs/results/METHOD-reach-0 --arm panda --driver twin --objects 20 --episodes 3 --wall-episodes 1
    pliant emulate dynamixel --arm viperx --json
    pliant trial runs/results/pearl-reach_viperx-0 --arm viperx --driver dynamixel --port PORT --objects 5 --episodes 3

*Ticks* and what follows are at the wall's pace; lateness is the servo's, *policy* the time from an observation to the
action it led to, adaptation included, each as p50, p99, max. *Outside* is how many of the goals that the emulated
servos were sent lay beyond the arm's limits.

"""


@dataclass(frozen=True)
class Results:
    """What to run."""

    seeds: int = 3
    """Seeds per claim."""
    only: tuple[str, ...] = (*CLAIMS, *TRIALS)
    """Claims and trials to renew; the others keep what was found last."""


def pliant(*words: str) -> dict[str, Any]:
    """Run a command of ours; its JSON."""
    command = [str(PLIANT), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def train(run: Path, method: str, family: str, seed: int, *more: str) -> None:
    """Train a run to its end, from where it is."""
    if not (run / "done").exists():
        new = ("train", method, "--family", family, "--seed", str(seed), *more)
        pliant(
            *(("train", "--resume") if (run / "config.json").exists() else new), "--out", str(run)
        )
        (run / "done").touch()


def with_references(method: str, family: str, seed: int) -> Path:
    """A trained run, its references beside it."""
    run, references = RUNS / f"{method}-{family}-{seed}", RUNS / f"{family}-{seed}"
    for role, folder in (("oracle", "method"), ("blind", "blind")):
        shutil.copytree(references / folder, run / role, dirs_exist_ok=True)
    return run


def judged(method: str, family: str, seed: int) -> dict[str, Any]:
    """What came of one seed of a claim, beside the family's references."""
    run = with_references(method, family, seed)
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    found = pliant("evaluate", str(run), "--tasks", str(TASKS.get(family, 100)))
    return {**found, "steps": last["steps"], "minutes": last["seconds"] / 60}


def tried(method: str, family: str, arm: str, driver: str, objects: int) -> dict[str, Any]:
    """What came of a trial."""
    run = with_references(method, family, 0)
    words = [
        "trial",
        str(run),
        "--arm",
        arm,
        "--driver",
        driver,
        "--objects",
        str(objects),
        "--episodes",
        "3",
    ]
    if driver == "twin":
        return pliant(*words, "--wall-episodes", "1")
    command = [str(PLIANT), "emulate", driver, "--arm", arm, "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as emulator:
        assert emulator.stdout is not None
        assert emulator.stderr is not None
        port = emulator.stderr.readline().split(" on ")[1].split(";")[0]  # what is said to a person
        try:
            found = pliant(*words, "--port", port)
        finally:
            emulator.send_signal(signal.SIGINT)
        return found | {
            key: n
            for key, n in json.loads(emulator.stdout.readlines()[-1]).items()
            if key != "port"
        }


def row(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """A claim as a row of its table."""
    method, family = CLAIMS[name]
    last = {key: np.mean([f[key][-1] for f in found]) for key in (*RETURNS.values(), "success")}
    gaps = [100 * f["gap_closed"] for f in found]
    return {
        "method": f"`{method}`",
        "family": f"`{family}`",
        "seeds": len(found),
        "steps": f"{np.mean([f['steps'] for f in found]):,.0f}",
        "minutes": f"{np.mean([f['minutes'] for f in found]):.1f}",
        **{title: f"{last[key]:.2f}" for title, key in RETURNS.items()},
        "success": f"{100 * last['success']:.0f} %",
        "gap closed": f"{np.mean(gaps):.0f} % ({min(gaps):.0f} to {max(gaps):.0f})",
        "at least": f"{min(f['gain_interval'][0] for f in found):+.2f}",
    }


def line(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """A trial as a row of its table."""
    method, family, _, driver, objects = TRIALS[name]
    timing, (low, high) = found["timing"], found["gain_interval"]
    return {
        "method": f"`{method}`",
        "family": f"`{family}`",
        "driver": driver,
        "objects": objects,
        **{title: f"{found[key][-1]:.2f}" if found[key] else "" for title, key in RETURNS.items()},
        "success": f"{100 * found['success'][-1]:.0f} %",
        "gain, 95 %": f"{found['gain']:+.2f} ({low:+.2f} to {high:+.2f})",
        "pace": f"{timing['rate_hz']:.0f} Hz",
        "ticks": f"{timing['ticks']:,}",
        "missed": timing["missed"],
        "lateness, ms": spread(timing["lateness_ms"]),
        "policy, ms": spread(timing["policy_ms"]),
        "outside": f"{found['outside']} of {found['goals']:,}" if "goals" in found else "",
    }


def spread(times: dict[str, float]) -> str:
    """Quantiles, shortly."""
    return ", ".join(f"{times[q]:.2f}" for q in ("p50", "p99", "max"))


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of the same columns as Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def page(found: dict[str, Any]) -> str:
    """All that was found, as results.md."""
    claims = [row(name, found[name]) for name in CLAIMS if name in found]
    trials = [line(name, found[name]) for name in TRIALS if name in found]
    return HEAD + table(claims) + (TRIED + table(trials) if trials else "")


def main(ask: Results) -> None:
    """Renew what was asked for, and write the page."""
    if unknown := set(ask.only) - CLAIMS.keys() - TRIALS.keys():
        raise SystemExit(
            f"nothing is called {', '.join(sorted(unknown))}; there are {', '.join((*CLAIMS, *TRIALS))}"
        )
    runs = {
        (*CLAIMS[name], seed) for name in ask.only if name in CLAIMS for seed in range(ask.seeds)
    }
    runs |= {(*TRIALS[name][:2], 0) for name in ask.only if name in TRIALS}
    with ThreadPoolExecutor(2) as pool:  # a core each; the references are two of their own
        jobs = [
            pool.submit(train, RUNS / f"{m}-{f}-{s}", m, f, s, "--no-references")
            for m, f, s in sorted(runs)
        ]
        pairs = sorted({run[1:] for run in runs})
        jobs += [pool.submit(train, RUNS / f"{f}-{s}", "oracle", f, s) for f, s in pairs]
        for job in jobs:
            job.result()
    store = HERE / "results.json"
    found = json.loads(store.read_text()) if store.exists() else {}
    for name in ask.only:
        open_or_resume = name in CLAIMS
        found[name] = (
            [judged(*CLAIMS[name], s) for s in range(ask.seeds)]
            if open_or_resume
            else tried(*TRIALS[name])
        )
        store.write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "results.md").write_text(page(found))


if __name__ == "__main__":
    main(tyro.cli(Results))
