"""Watch a run's policy in simulation, beside the same policy without adaptation."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from adaptation.jobs.evaluate import explores
from adaptation.jobs.view import check_out, check_screen, write_clips
from adaptation.rollout import Policy, rollout
from adaptation.runs.run import Run
from policies.method import TrialBatch
from robots.errors import BadArgumentError
from robots.signals import Signals
from robots.world import Family, Step, Task
from sim.outlines import SHAPES
from sim.own_objects import shape_names
from sim.rendering import Clip, show_window
from sim.rendering.clip import make_clip
from sim.vec_world import VecWorld

SHOWN = ("adapted", "no_adaptation")  # side by side
# Parameters of an object whose sign physics restricts, by the end of their names.
POSITIVE = (".mass", ".size_x", ".size_y", ".size_z")
NOT_NEGATIVE = (".friction", ".restitution")
LARGEST = 100.0  # kg, m or 1, of any of them
PLAY = 77_005  # first number of the seeds: not those of training or of any evaluation


class PlayResult(msgspec.Struct, frozen=True):
    """What was shown, and what the policies reached in each episode."""

    file: str | None  # None: a window was opened
    task: dict[str, float]
    returns: dict[str, list[float]]  # by policy
    success: dict[str, list[bool]]


def play(
    run: Run,
    out: Path | None,
    seed: int = 0,
    values: Mapping[str, Any] | None = None,
    split: str = "heldout",
    engine: str | None = None,
) -> PlayResult:
    """Show one trial of a trained policy, and of the same policy with its belief kept.

    Args:
        run: what was trained.
        out: the file to write: .mp4, .png or .html. None: open a window and wait until it closes.
        seed: of the task and of the episodes' starts.
        values: parameters of the task that are set instead of drawn, by name.
        split: the split from which the other parameters are drawn, ``"train"`` or ``"heldout"``.
        engine: physics; None: the first engine that supports the scene.

    Raises:
        BadArgumentError: the file, a parameter, the split or the engine is not possible, or there
            is no screen for a window.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    family = run.family
    if out is None:
        check_screen()
    else:
        check_out(out, family)
    torch.set_num_threads(1)
    drawn = family.sample(np.random.default_rng([PLAY, seed]), 1, split)
    task = set_values(drawn, values or {}, shape_names(family))
    columns = []
    returns = {}
    success = {}
    with closing(VecWorld(family, engine, 1, seed=seed)) as world:
        for name, policy in run.policies():
            if name not in SHOWN:
                break
            world.rng = np.random.default_rng([PLAY, seed, 1])
            trial, measured = _act(world, policy, task)
            columns.append(_clips(name, family, task, trial, measured))
            returns[name] = trial.returns[:, 0].tolist()
            success[name] = trial.success[:, 0].tolist()
    if out is None:
        show_window(family, [clip for clips in columns for clip in clips])
    else:
        write_clips(out, family, columns)
    (row,) = task.values.tolist()
    shown_task = dict(zip(task.names, row, strict=True))
    return PlayResult(None if out is None else str(out), shown_task, returns, success)


def set_values(task: Task, values: Mapping[str, Any], shapes: Sequence[str] = SHAPES) -> Task:
    """The task with some parameters set; a shape may be given by its name among ``shapes``.

    Raises:
        BadArgumentError: there is no such parameter, or the value is not finite or not physical.
    """
    columns = {}
    for name, value in values.items():
        task[name]  # raises what names there are
        number = value
        if name == "object.shape" and value in shapes:
            number = shapes.index(value)
        is_number = isinstance(number, int | float) and np.isfinite(number)
        if not is_number:
            raise BadArgumentError(f"--task {name} must be a finite number, got {value!r}")
        _check_physical(name, float(number), shapes)
        columns[name] = np.full(len(task), float(number))
    return task.with_columns(columns)


def _check_physical(name: str, value: float, shapes: Sequence[str]) -> None:
    """Refuse the parameter of an object that could not exist: physics would break down silently."""
    if name.endswith(POSITIVE) and not 0 < value <= LARGEST:
        raise BadArgumentError(f"--task {name} must be above 0, at most {LARGEST:g}, got {value:g}")
    if name.endswith(NOT_NEGATIVE) and not 0 <= value <= LARGEST:
        raise BadArgumentError(f"--task {name} must be from 0 to {LARGEST:g}, got {value:g}")
    if name == "object.shape" and value not in range(len(shapes)):
        known = ", ".join(shapes)
        raise BadArgumentError(f"--task {name} must be one of {known}, got {value:g}")


def _act(
    world: VecWorld, policy: Policy[Any], task: Task
) -> tuple[TrialBatch, list[list[Signals]]]:
    """A trial, and what was measured after every control period of each episode."""
    episodes = world.family.episodes
    measured: list[list[Signals]] = [[] for _ in range(episodes)]
    tick: list[Signals] = []

    def keep(world: VecWorld) -> None:
        tick.append(world.signals)

    def sort(episode: int, number: int, step: Step) -> None:
        measured[episode] += tick
        tick.clear()

    world.on_frame = keep
    trial = rollout(world, policy, task, episodes, explores(world.family, episodes), sort)
    world.on_frame = None
    return trial, measured


def _clips(
    name: str, family: Family, task: Task, trial: TrialBatch, measured: list[list[Signals]]
) -> list[Clip]:
    """One clip per episode; its title gives the result."""
    clips = []
    for episode, signals in enumerate(measured):
        result = "success" if trial.success[episode, 0] else "no success"
        gained = float(trial.returns[episode, 0])
        policy = name.replace("_", " ")
        title = f"{policy}, episode {episode + 1}: {result}, return {gained:+.2f}"
        t = np.array([float(now.stamp[0]) for now in signals])
        clips.append(make_clip(title, task, t, signals))
    return clips
