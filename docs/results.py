"""Regenerates results.md: trains every method on every family it claims, over seeds, and judges what came out.

make results            # about 40 minutes on two cores
.venv/bin/python docs/results.py --seeds 3 --only pearl-point pearl-reach
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "results"
CLAIMS = {  # name: (method, family, wall minutes on two cores: the method on one, its references on the other)
    "pearl-point": ("pearl", "point", 2.0),
    "pearl-reach": ("pearl", "reach", 3.0),
    "pearl-slide": ("pearl", "slide", 3.5),
    "context_mpc-slide": ("context_mpc", "slide", 3.5),
}
HEAD = """# Results

Written by `make results` (`docs/results.py`), on two CPU cores without a GPU; nothing here is typed in. Each row is
trained from scratch for each seed and judged on 64 held-out tasks in simulation with

    pliant train METHOD --family FAMILY --minutes M --seed S --out runs/results/METHOD-FAMILY-S
    pliant evaluate runs/results/METHOD-FAMILY-S --tasks 64 --json

Returns are those of the last episode of a trial, after the exploring ones, as mean over seeds; *not adapted* is the
same policy with its belief kept at the prior. The gap closed is (adapted − blind) / (oracle − blind), with its lowest
and highest seed. Training bounded by wall time differs a little from run to run.

| method | family | seeds | minutes | blind | not adapted | adapted | oracle | success | gap closed |
|---|---|---|---|---|---|---|---|---|---|
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
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


def judged(name: str, seed: int) -> dict[str, Any]:
    """Train one seed of a claim, unless it is there, and judge it."""
    method, family, minutes = CLAIMS[name]
    run = RUNS / f"{name}-{seed}"
    if not (run / "oracle").exists():
        pliant("train", method, "--family", family, "--minutes", str(minutes), "--seed", str(seed), "--out", str(run))
    return pliant("evaluate", str(run), "--tasks", "64")


def row(name: str, found: list[dict[str, Any]]) -> str:
    """A claim as a line of the table."""
    method, family, minutes = CLAIMS[name]
    last = {key: np.mean([f[key][-1] for f in found]) for key in ("blind", "frozen", "method", "oracle", "success")}
    gaps = [100 * f["gap_closed"] for f in found]
    returns = " | ".join(f"{last[key]:.2f}" for key in ("blind", "frozen", "method", "oracle"))
    gap = f"{np.mean(gaps):.0f} % ({min(gaps):.0f} to {max(gaps):.0f})"
    return f"| `{method}` | `{family}` | {len(found)} | {minutes} | {returns} | {100 * last['success']:.0f} % | {gap} |"


def main(ask: Results) -> None:
    """Renew what was asked for, and write the page."""
    store = HERE / "results.json"
    found = json.loads(store.read_text()) if store.exists() else {}
    for name in ask.only:
        found[name] = [judged(name, seed) for seed in range(ask.seeds)]
        store.write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "results.md").write_text(HEAD + "\n".join(row(n, found[n]) for n in CLAIMS if n in found) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Results))
