"""Try a run on new objects through an arm: adapted, frozen, blind and oracle, one object after another.

A trial folder holds ``trial.json`` (what was asked), ``episodes-*.jsonl`` (a line per episode, on disk before the
next visit; see ``visit``), and ``result.json`` (the statistics). A trial that was stopped goes on at the visit where
it was.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from adaptation.jobs.arm_session import run_trial
from adaptation.jobs.evaluate import EVALUATION, explores, policies
from adaptation.reporting.progress import ProgressReporter
from adaptation.reporting.statistics import POLICIES, compare_policies
from adaptation.runs import checkpoint
from adaptation.runs.run import Log, parent_exited, read_config, read_log, replace_file
from hw_interface.arm_world import ArmWorld
from hw_interface.drivers import DRIVERS
from policies.method import Method
from robots.catalog import ARMS
from robots.errors import ArmError, BadArgumentError, PliantError
from robots.signals import Array
from robots.world import Family, Start, Task


class TrialConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides what a trial does."""

    run: str
    arm: str
    driver: str = "twin"
    objects: int = 20
    episodes: int | None = None  # per object; None: the family's number
    clock: str = "lockstep"
    wall_episodes: int = 0  # more episodes, at the wall's pace
    seed: int = 0
    options: dict[
        str, Any
    ] = {}  # of the driver: how the arm is reached, which may change between two starts


def trial(config: TrialConfig, folder: Path, workers: int = 1) -> dict[str, Any]:
    """Run what is left of a trial, and judge it as ``statistics.judge`` does.

    Raises:
        BadArgumentError: the folder holds another trial, or the driver cannot be had as asked.
        RefusedError: the run was not trained for this arm.
        PliantError: a worker failed; what it said is on standard error.
    """
    began = time.monotonic()
    for _ in policies(Path(config.run), config.arm):
        pass  # a run that does not fit is refused before anything is written or moves
    check_driver(config)
    open_or_resume(config, folder)
    workers = min(workers, config.objects) if config.clock == "lockstep" else 1
    spawn = multiprocessing.get_context("spawn")
    jobs = [
        spawn.Process(target=run_objects, args=(config, folder, i, workers))
        for i in range(1, workers)
    ]
    for job in jobs:
        job.start()
    run_objects(config, folder, 0, workers)
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        raise PliantError(
            f"a worker failed; start the trial again to go on with what is in {folder}"
        )
    if config.wall_episodes and not [
        line for line in read_episodes(folder) if line["clock"] != config.clock
    ]:
        run_realtime_check(config, folder)
    result = {**summarize(config, read_episodes(folder)), "seconds": time.monotonic() - began}
    replace_file(folder / "result.json", msgspec.json.encode(result))
    return result


def open_or_resume(config: TrialConfig, folder: Path) -> None:
    """Make the folder this trial's own; refuse another's."""
    path = folder / "trial.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.format(msgspec.json.encode(config), indent=2))
    was, now = msgspec.json.decode(path.read_bytes()), msgspec.to_builtins(config)
    same = [key for key in now if key != "options"]
    if unlike := [
        f"{key} {was.get(key)!r}, not {now[key]!r}" for key in same if was.get(key) != now[key]
    ]:
        raise BadArgumentError(
            f"{folder} holds another trial ({'; '.join(unlike)}): name another with --out"
        )


def read_episodes(folder: Path) -> list[dict[str, Any]]:
    """All episodes of a trial so far."""
    return [line for path in sorted(folder.glob("episodes-*.jsonl")) for line in read_log(path)]


def sample_objects(config: TrialConfig) -> tuple[Family, Task]:
    """The held-out objects, the same for every policy; on an arm their physics are not known, NaN."""
    family = checkpoint.family_named(read_config(Path(config.run)).family)
    task = family.sample(
        np.random.default_rng([EVALUATION, config.seed, 2]), config.objects, "heldout"
    )
    if task_is_known(config):
        return family, task
    known = [name.startswith(("goal.", "marker.")) for name in task.names]
    return family, replace(task, values=np.where(known, task.values, np.nan))


def run_objects(config: TrialConfig, folder: Path, worker: int, workers: int) -> None:
    """Visit every ``workers``-th object with every policy, leaving out what is done."""
    torch.set_num_threads(1)
    family, tasks = sample_objects(config)
    explore = explores(family, config.episodes or family.episodes)
    done = {(line["object"], line["policy"], line["episode"]) for line in read_episodes(folder)}
    found = [(*p, p[1].state_dict()) for p in policies(Path(config.run), config.arm)]
    mine = range(worker, config.objects, workers)
    log = Log(folder / f"episodes-{worker}.jsonl")
    with (
        open_arm(config, family, config.clock, folder) as world,
        ProgressReporter(f"trial {worker + 1}/{workers}") as show,
    ):
        for i, k in enumerate(mine):
            for name, method, state in found:
                if (k, name, len(explore) - 1) in done or (
                    name == "oracle" and not task_is_known(config)
                ):
                    continue
                if parent_exited():
                    raise SystemExit("the trial this one belongs to is gone")
                method.load_state_dict(state)
                decorrelate_rng(method, k)
                world.rng = np.random.default_rng([EVALUATION, config.seed, 3, k])
                for line in run_trial(world, method, tasks.take([k]), explore):
                    log.write({"object": k, "policy": name, "clock": config.clock, **line})
            show((i + 1) / len(mine), f"object {i + 1} of {len(mine)}")
    log.close()


def decorrelate_rng(method: Method, k: int) -> None:
    """Move a method's random stream on, so that each object meets other draws, whatever was visited before."""
    method.prior(
        k + 2, torch.zeros(k + 2, len(method.problem.task_names)) if method.privileged else None
    )


def run_realtime_check(config: TrialConfig, folder: Path) -> None:
    """Some episodes with the adapting method at the wall's pace: the same code against the other clock."""
    family, tasks = sample_objects(config)
    _, method = next(policies(Path(config.run), config.arm))
    log = Log(folder / "episodes-wall.jsonl")
    with open_arm(config, family, "wall", folder) as world:
        for line in run_trial(
            world, method, tasks.take([0]), explores(family, config.wall_episodes)
        ):
            log.write({"object": 0, "policy": "method", "clock": "wall", **line})
    log.close()


def summarize(config: TrialConfig, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The statistics of all lines at the trial's own clock, and what the gate and the loop did."""
    at = {
        (line["policy"], line["episode"], line["object"]): line
        for line in lines
        if line["clock"] == config.clock
    }
    episodes = 1 + max(episode for _, episode, _ in at)

    def grid(policy: str, key: str) -> Array:
        return np.array(
            [[at[policy, e, k][key] for k in range(config.objects)] for e in range(episodes)],
            dtype=float,
        )

    there = [policy for policy in POLICIES if any(key[0] == policy for key in at)]
    timings = [line["timing"] for line in lines if line["timing"]]
    verdicts: Counter[str] = Counter()
    for line in lines:
        verdicts.update(line["verdicts"])
    return {
        **compare_policies(
            {p: grid(p, "return") for p in there}, {p: grid(p, "success") for p in there}
        ),
        "arm": config.arm,
        "driver": config.driver,
        "verdicts": dict(verdicts),
        "timing": timings[-1] if timings else None,
    }


def deploy(
    run: Path,
    arm: str,
    driver: str,
    seconds: float,
    clock: str,
    seed: int,
    options: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Drive an arm for some time, adapting all along, and say what the gate did and how the loop kept time."""
    torch.set_num_threads(1)
    config = TrialConfig(
        str(run), arm, driver, objects=1, clock=clock, seed=seed, options=options or {}
    )
    _, method = next(policies(run, arm))
    check_driver(config)
    family, tasks = sample_objects(config)
    episodes = max(1, round(seconds / (family.horizon * family.dt)))
    began = time.monotonic()
    with open_arm(config, family, clock, run) as world:
        lines = list(run_trial(world, method, tasks, explores(family, episodes)))
    verdicts: Counter[str] = Counter()
    for line in lines:
        verdicts.update(line["verdicts"])
    return {
        "episodes": episodes,
        "returns": [line["return"] for line in lines],
        "success": [line["success"] for line in lines],
        "verdicts": dict(verdicts),
        "events": [event for line in lines for event in line["events"]],
        "timing": lines[-1]["timing"],
        "seconds": time.monotonic() - began,
    }


@contextmanager
def open_arm(config: TrialConfig, family: Family, clock: str, folder: Path) -> Iterator[ArmWorld]:
    """The arm or its twin, for a while; at the wall's pace all is recorded. PliantError where it will not go on."""
    options = driver_options(config)
    taken = len(list(folder.glob("recording-*.mcap")))
    record_to = folder / f"recording-{taken}.mcap" if clock == "wall" else None
    try:
        place = ask_operator if family.scene.loose_object and not task_is_known(config) else None
        world = ArmWorld(
            family, ARMS[config.arm], config.driver, options, clock, record_to, place=place
        )
        try:
            yield world
        finally:
            world.close()
    except ArmError as error:
        raise PliantError(str(error)) from error


def ask_operator(task: Task, start: Start) -> None:
    """Have a person put the object at its start, and wait for their word."""
    x, y = start.object_pos[0, :2]
    input(
        f"Put object {int(task.ids[0]) + 1} at x = {x:.3f} m, y = {y:.3f} m before the arm, then press Enter. "
    )


def driver_options(config: TrialConfig) -> dict[str, Any]:
    """What the driver is built with: what was given, and the trial's seed where it draws anything itself.

    Raises:
        BadArgumentError: it has no such option, or the option is no such thing.
    """
    kind = driver_kind(config.driver)
    there = [field.name for field in fields(kind.Options)]
    if unknown := [name for name in config.options if name not in there]:
        has = f"it has {', '.join(there)}" if there else "it has none"
        raise BadArgumentError(f"the driver {config.driver!r} has no option {unknown[0]!r}; {has}")
    given = ({"seed": config.seed} if "seed" in there else {}) | config.options
    try:
        msgspec.convert(given, kind.Options)
    except msgspec.ValidationError as error:
        raise BadArgumentError(f"options of the driver {config.driver!r}: {error}") from error
    return given


def check_driver(config: TrialConfig) -> None:
    """Build the driver once, without connecting it: what it cannot be is refused before anything moves.

    Raises:
        PliantError: it needs a package that is not installed.
        BadArgumentError: it has no such option, needs another one, or its time does not wait.
    """
    kind, options = driver_kind(config.driver), driver_options(config)
    if config.clock == "lockstep" and not task_is_known(config):
        raise BadArgumentError(
            f"time does not wait at an arm: with {config.driver!r} the clock must be wall"
        )
    family = checkpoint.family_named(read_config(Path(config.run)).family)
    try:
        kind(ARMS[config.arm], family.scene, kind.Options(**options))
    except ValueError as error:
        raise BadArgumentError(str(error)) from error


def driver_kind(name: str) -> Any:
    """The driver's class; PliantError where it needs a package that is not installed."""
    try:
        return DRIVERS[name]
    except ImportError as error:
        raise PliantError(str(error)) from error


def default_clock(driver: str) -> str:
    """At whose pace a trial goes unless it is told: a twin's time waits, an arm's does not."""
    return "lockstep" if hasattr(driver_kind(driver), "place") else "wall"


def task_is_known(config: TrialConfig) -> bool:
    """Who places the object knows it: a twin does, and at an arm there is no oracle."""
    return default_clock(config.driver) == "lockstep"
