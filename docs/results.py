"""Regenerates results.md: trains every method on every family it claims, over seeds, and judges what came out.

make results            # hours on two cores; what is there already is not trained again
.venv/bin/python docs/results.py --seeds 3 --only pearl-point pearl-reach
"""

import json
import shutil
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
HEAD = """# Results

Written by `make results` (`docs/results.py`), on two CPU cores without a GPU; nothing here is typed in. Each method is
trained from scratch for each seed, by the schedule it has for the family and therefore the same bit for bit each time,
and judged on held-out tasks in simulation beside one pair of references per family and seed:

    pliant train oracle --family FAMILY --seed S --out runs/results/FAMILY-S
    pliant train METHOD --family FAMILY --seed S --no-references --out runs/results/METHOD-FAMILY-S
    pliant evaluate runs/results/METHOD-FAMILY-S --tasks 100 --json

Returns are those of the last episode of a trial, after the exploring ones, as mean over seeds; *not adapted* is the
same policy with its belief kept at the prior. The gap closed is (adapted − blind) / (oracle − blind), with its lowest
and highest seed; *at least* is how much adapted is above blind, at the low end of the 95 % interval of the worst seed.
Minutes are of one core, shared or not as it was.

| method | family | seeds | steps | minutes | blind | not adapted | adapted | oracle | success | gap closed | at least |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Results:
    """What to run."""

    seeds: int = 3
    """Seeds per claim."""
    only: tuple[str, ...] = tuple(CLAIMS)
    """Claims to renew; the others keep what was found last."""


def pliant(*words: str) -> dict[str, Any]:
    """Run a command of ours; its JSON."""
    command = [str(Path(sys.executable).with_name("pliant")), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def train(run: Path, method: str, family: str, seed: int, *more: str) -> None:
    """Train a run to its end, from where it is."""
    if not (run / "done").exists():
        new = ("train", method, "--family", family, "--seed", str(seed), *more)
        pliant(*(("train", "--resume") if (run / "config.json").exists() else new), "--out", str(run))
        (run / "done").touch()


def judged(method: str, family: str, seed: int) -> dict[str, Any]:
    """What came of one seed of a claim, beside the family's references."""
    run, references = RUNS / f"{method}-{family}-{seed}", RUNS / f"{family}-{seed}"
    for role, folder in (("oracle", "method"), ("blind", "blind")):
        shutil.copytree(references / folder, run / role, dirs_exist_ok=True)
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    found = pliant("evaluate", str(run), "--tasks", "100")
    return {**found, "steps": last["steps"], "minutes": last["seconds"] / 60}


def row(name: str, found: list[dict[str, Any]]) -> str:
    """A claim as a line of the table."""
    method, family = CLAIMS[name]
    last = {key: np.mean([f[key][-1] for f in found]) for key in ("blind", "frozen", "method", "oracle", "success")}
    gaps = [100 * f["gap_closed"] for f in found]
    cells = [f"`{method}`", f"`{family}`", len(found), f"{np.mean([f['steps'] for f in found]):,.0f}"]
    cells += [f"{np.mean([f['minutes'] for f in found]):.1f}"]
    cells += [f"{last[key]:.2f}" for key in ("blind", "frozen", "method", "oracle")]
    cells += [f"{100 * last['success']:.0f} %", f"{np.mean(gaps):.0f} % ({min(gaps):.0f} to {max(gaps):.0f})"]
    cells += [f"{min(f['gain_interval'][0] for f in found):+.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def main(ask: Results) -> None:
    """Renew what was asked for, and write the page."""
    claims, seeds = [CLAIMS[name] for name in ask.only], range(ask.seeds)
    with ThreadPoolExecutor(2) as pool:  # a core each; the references are two of their own
        jobs = [pool.submit(train, RUNS / f"{m}-{f}-{s}", m, f, s, "--no-references") for m, f in claims for s in seeds]
        families = dict.fromkeys(f for _, f in claims)
        jobs += [pool.submit(train, RUNS / f"{f}-{s}", "oracle", f, s) for f in families for s in seeds]
        for job in jobs:
            job.result()
    store = HERE / "results.json"
    found = json.loads(store.read_text()) if store.exists() else {}
    for name in ask.only:
        found[name] = [judged(*CLAIMS[name], seed) for seed in seeds]
        store.write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "results.md").write_text(HEAD + "\n".join(row(n, found[n]) for n in CLAIMS if n in found) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Results))
