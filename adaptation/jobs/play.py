"""Show a run's policy next to itself without adaptation, or its best episode next to its worst."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from adaptation.jobs.evaluate import explores
from adaptation.jobs.view import check_shown, show_clips
from adaptation.rollout import Policy, rollout
from adaptation.runs.run import Run
from policies.method import TrialBatch
from robots.errors import BadArgumentError
from robots.signals import Signals
from robots.world import Family, Step, Task
from sim.outlines import SHAPES
from sim.own_objects import shape_names
from sim.rendering import Clip
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


class ShownEpisode(msgspec.Struct, frozen=True):
    """One task of many, and what the policy reached in it."""

    task: dict[str, float]
    returns: float = msgspec.field(name="return")
    success: bool


class ExtremesResult(msgspec.Struct, frozen=True):
    """The last episodes of a policy with the highest and the lowest return."""

    file: str | None  # None: a window was opened
    policy: str
    tasks: int  # of which these are the best and the worst
    best: ShownEpisode
    worst: ShownEpisode


def play(
    run: Run,
    out: Path | None,
    seed: int = 0,
    values: Mapping[str, Any] | None = None,
    split: str = "heldout",
    engine: str | None = None,
    camera: str | None = None,
) -> PlayResult:
    """Show one trial of a trained policy, and of the same policy with its belief kept.

    Args:
        run: what was trained.
        out: the file to write: .mp4, .png or .html. None: open a window and wait until it closes.
        seed: of the task and of the episodes' starts.
        values: parameters of the task that are set instead of drawn, by name.
        split: the split from which the other parameters are drawn, ``"train"`` or ``"heldout"``.
        engine: physics; None: the first engine that supports the scene.
        camera: one of the family's scene; None: see ``Scene.cameras``.

    Raises:
        BadArgumentError: the file, a parameter, the split, the engine or the camera is not
            possible, or there is no screen for a window.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    family = run.family
    check_shown(out, family, camera)
    torch.set_num_threads(1)
    task = _draw(family, 1, seed, split, values)
    columns = []
    returns = {}
    success = {}
    with closing(VecWorld(family, engine, 1, seed=seed)) as world:
        for name, policy in run.policies():
            if name not in SHOWN:
                break
            world.rng = np.random.default_rng([PLAY, seed, 1])
            trial, measured = _act(world, policy, task)
            columns.append(_clips(name, task, trial, measured))
            returns[name] = trial.returns[:, 0].tolist()
            success[name] = trial.success[:, 0].tolist()
    show_clips(out, family, columns, camera)
    return PlayResult(_name(out), _parameters(task, 0), returns, success)


def play_extremes(
    run: Run,
    out: Path | None,
    policy: str = "adapted",
    tasks: int = 32,
    seed: int = 0,
    values: Mapping[str, Any] | None = None,
    split: str = "heldout",
    engine: str | None = None,
    camera: str | None = None,
) -> ExtremesResult:
    """Act in many tasks, and show the last episodes with the highest and the lowest return.

    Args:
        run: what was trained.
        out: see ``play``; best and worst are side by side.
        policy: one of the run's policies, such as ``"oracle"``.
        tasks: how many.
        seed: see ``play``; so are the others.

    Raises:
        BadArgumentError: as ``play``; or the run has no such policy.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    family = run.family
    check_shown(out, family, camera)
    torch.set_num_threads(1)
    task = _draw(family, tasks, seed, split, values)
    with closing(VecWorld(family, engine, tasks, seed=seed)) as world:
        trial, measured = _act(world, _find_policy(run, policy), task)
    last = trial.returns[-1]
    shown = {"best": int(last.argmax()), "worst": int(last.argmin())}
    columns = []
    episodes = {}
    for name, index in shown.items():
        title = f"{policy}, {name} of {tasks} tasks"
        columns.append(_clips(title, task, trial, measured, index)[-1:])
        episodes[name] = ShownEpisode(
            _parameters(task, index), float(last[index]), bool(trial.success[-1, index])
        )
    show_clips(out, family, columns, camera)
    return ExtremesResult(_name(out), policy, tasks, **episodes)


def _find_policy(run: Run, name: str) -> Policy[Any]:
    """A run's policy by its name.

    Raises:
        BadArgumentError: the run has no such policy; the message lists those that it has.
    """
    names = []
    for found, policy in run.policies():
        if found == name:
            return policy
        names.append(found)
    raise BadArgumentError(f"{run.path} has no policy {name}; it has: {', '.join(names)}")


def _draw(
    family: Family, count: int, seed: int, split: str, values: Mapping[str, Any] | None
) -> Task:
    """Tasks with some parameters set."""
    drawn = family.sample(np.random.default_rng([PLAY, seed]), count, split)
    return set_values(drawn, values or {}, shape_names(family))


def _name(out: Path | None) -> str | None:
    return None if out is None else str(out)


def _parameters(task: Task, index: int) -> dict[str, float]:
    """One task's parameters by name."""
    return dict(zip(task.names, task.values[index].tolist(), strict=True))


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
    name: str, task: Task, trial: TrialBatch, measured: list[list[Signals]], index: int = 0
) -> list[Clip]:
    """One clip per episode of a task; its title gives the result."""
    clips = []
    for episode, signals in enumerate(measured):
        result = "success" if trial.success[episode, index] else "no success"
        gained = float(trial.returns[episode, index])
        policy = name.replace("_", " ")
        title = f"{policy}, episode {episode + 1}: {result}, return {gained:+.2f}"
        t = np.array([float(now.stamp[index]) for now in signals])
        clips.append(make_clip(title, task, t, signals, index))
    return clips
