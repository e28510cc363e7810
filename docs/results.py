"""Regenerates results.md: trains every method on every family it claims, over seeds, and compares.

make results            # hours on two cores; a finished training is not repeated
.venv/bin/python docs/results.py --seeds 3 --only pearl-point pearl-reach
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from results_tables import ArmTrial, Claim, Result, page, summary

HERE = Path(__file__).parent
RUNS = HERE.parent / "runs" / "results"
README = HERE.parent / "README.md"
PLIANT = Path(sys.executable).with_name("pliant")
BEGIN = "<!-- results: written by `make results` -->\n"
END = "<!-- /results -->"
FORMAT = 2  # of results.json; figures of an older format are dropped
METHODS = {
    "point": ("pearl", "rl2", "maml", "fomaml"),
    "reach": ("pearl",),
    "slide": ("pearl", "context_mpc"),
    "cheetah_vel": ("pearl",),
    "cheetah_cripple": ("grbal", "context_mpc"),
}
HELDOUT_TASKS = {"cheetah_cripple": 40}  # its held-out tasks differ in their starts alone
DEFAULT_TASKS = 100
CLAIMS = {
    f"{method}-{family}": Claim(method, family)
    for family, methods in METHODS.items()
    for method in methods
}
TRIALS = {
    f"{method}-reach-twin": ArmTrial(method, "reach", "panda", "twin", 20)
    for method in ("pearl", "context_mpc", "rl2", "maml", "grbal")
}
TRIALS["pearl-reach_viperx-dynamixel"] = ArmTrial("pearl", "reach_viperx", "viperx", "dynamixel", 5)


@dataclass(frozen=True)
class Results:
    """What to run."""

    seeds: int = 3
    """Seeds per claim."""
    only: tuple[str, ...] = (*CLAIMS, *TRIALS)
    """Claims and trials to renew; the others keep their figures."""


def pliant(*words: str) -> Result:
    """The JSON of a command; SystemExit where it fails."""
    command = [str(PLIANT), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: Result = json.loads(done.stdout.splitlines()[-1])
    return answer


def train(run: Path, method: str, family: str, seed: int, *options: str) -> None:
    """Train a run to its end, from its last checkpoint if it has one."""
    if (run / "done").exists():
        return
    words = ["train", method, "--family", family, "--seed", str(seed), *options]
    if (run / "config.json").exists():
        words = ["train", "--resume"]
    pliant(*words, "--out", str(run))
    (run / "done").touch()


def with_references(method: str, family: str, seed: int) -> Path:
    """A trained run, with the references of its family and seed copied into it."""
    run = RUNS / f"{method}-{family}-{seed}"
    references = RUNS / f"{family}-{seed}"
    for role, folder in (("oracle", "method"), ("blind", "blind")):
        shutil.copytree(references / folder, run / role, dirs_exist_ok=True)
    return run


def evaluate(claim: Claim, seed: int) -> Result:
    """One seed of a claim in simulation, with its training steps and minutes."""
    run = with_references(claim.method, claim.family, seed)
    progress = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    tasks = HELDOUT_TASKS.get(claim.family, DEFAULT_TASKS)
    result = pliant("evaluate", str(run), "--tasks", str(tasks))
    return result | {"steps": progress["steps"], "minutes": progress["seconds"] / 60}


def run_trial(trial: ArmTrial) -> Result:
    """A trial on an arm, or on an emulated bus of servos."""
    run = with_references(trial.method, trial.family, 0)
    words = ["trial", str(run), "--arm", trial.arm, "--driver", trial.driver]
    words += ["--objects", str(trial.objects), "--episodes", "3"]
    if trial.driver == "twin":
        return pliant(*words, "--realtime-episodes", "1")
    counts: Result = {}
    with emulated(trial, counts) as port:
        result = pliant(*words, "--port", port)
    return result | counts


@contextmanager
def emulated(trial: ArmTrial, counts: Result) -> Iterator[str]:
    """The port of an emulated arm; ``counts`` then holds what was sent to it."""
    command = [str(PLIANT), "emulate", trial.driver, "--arm", trial.arm, "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as emulator:
        assert emulator.stdout is not None
        assert emulator.stderr is not None
        announcement = emulator.stderr.readline()  # "viperx on /dev/pts/3; Ctrl-C ends it"
        try:
            yield announcement.split(" on ")[1].split(";")[0]
        finally:
            emulator.send_signal(signal.SIGINT)
        answer = json.loads(emulator.stdout.readlines()[-1])
        counts.update(goals=answer["goals"], outside=answer["outside"])


def write(found: dict[str, Any]) -> None:
    """Write results.md, and the summary between its marks in the README."""
    claims = [(CLAIMS[name], found[name]) for name in CLAIMS if name in found]
    trials = [(TRIALS[name], found[name]) for name in TRIALS if name in found]
    text = page(claims, trials)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    marked = BEGIN + summary(claims) + END
    README.write_text(before + marked + after, encoding="utf-8")


def train_all(wanted: Results) -> None:
    """Train the runs that are wanted, and the references of their families, two at a time."""
    runs = {
        (CLAIMS[name].method, CLAIMS[name].family, seed)
        for name in wanted.only
        if name in CLAIMS
        for seed in range(wanted.seeds)
    }
    runs |= {
        (TRIALS[name].method, TRIALS[name].family, 0) for name in wanted.only if name in TRIALS
    }
    pairs = {(family, seed) for _, family, seed in runs}
    with ThreadPoolExecutor(2) as pool:  # a core each
        jobs = []
        for method, family, seed in sorted(runs):
            run = RUNS / f"{method}-{family}-{seed}"
            jobs.append(pool.submit(train, run, method, family, seed, "--no-references"))
        for family, seed in sorted(pairs):
            run = RUNS / f"{family}-{seed}"
            jobs.append(pool.submit(train, run, "oracle", family, seed))
        for job in jobs:
            job.result()


def load(store: Path) -> dict[str, Any]:
    """The figures so far by name; none where they are of an older format."""
    if not store.exists():
        return {}
    document = json.loads(store.read_text(encoding="utf-8"))
    found: dict[str, Any] = document["found"] if document.get("format") == FORMAT else {}
    return found


def main(wanted: Results) -> None:
    """Renew what is wanted, and write the pages."""
    known = (*CLAIMS, *TRIALS)
    unknown = sorted(set(wanted.only) - set(known))
    if unknown:
        raise SystemExit(f"no claim {', '.join(unknown)}; there are: {', '.join(known)}")
    train_all(wanted)
    store = HERE / "results.json"
    found = load(store)
    for name in wanted.only:
        if name in CLAIMS:
            found[name] = [evaluate(CLAIMS[name], seed) for seed in range(wanted.seeds)]
        else:
            found[name] = run_trial(TRIALS[name])
        text = json.dumps({"format": FORMAT, "found": found}, indent=1)
        store.write_text(text + "\n", encoding="utf-8")
        write(found)


if __name__ == "__main__":
    main(tyro.cli(Results))
