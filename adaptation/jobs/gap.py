"""The same commands in two physics engines: how far joints and objects drift apart, and outcomes.

Tasks, starts and commands are the same in both engines, and there is no feedback: only the physics
differ. Axes: n tasks, E episodes, H decisions, T instants.
"""

from collections.abc import Sequence
from contextlib import closing
from time import monotonic

import mujoco
import numpy as np
import torch
from torch import Tensor

from adaptation.jobs.evaluate import episode_grid, explores
from adaptation.open_loop import REPLAY, Replay, SeededWorld, replay, smooth_actions
from adaptation.reporting.correlation import correlate
from adaptation.reporting.estimators import known_median, mcnemar_p, number_rows, wilson_interval
from adaptation.rollout import rollout
from adaptation.runs.gap_records import Divergence, EngineGap, OutcomeGap, SuccessGap
from adaptation.runs.records import Row, finite
from adaptation.runs.run import Run
from adaptation.runs.versions import current_commit
from policies.method import TrialBatch
from robots.errors import BadArgumentError
from robots.rotations import angle_between
from robots.signals import Array, Indices, Mask, Signals
from robots.world import Family, Task
from sim.engines import ENGINES, engine_for
from sim.families import FAMILIES
from sim.scene_model import compile_scene

INSTANTS = 5  # of an episode, at equal distances; the last one is its end

Distances = dict[tuple[str, str], Array]  # (n,) by quantity and unit


def measure_gap(
    family: Family,
    engines: Sequence[str] = (),
    tasks: int = 32,
    split: str = "heldout",
    seed: int = 0,
    run: Run | None = None,
) -> EngineGap:
    """Give the same commands to the same tasks in two engines, and compare what follows.

    Args:
        family: whose tasks they are.
        engines: two names; none: the first two registered ones that support the family's scene.
        tasks: n, how many.
        split: ``"train"`` or ``"heldout"``.
        seed: of the tasks, their starts and the random commands.
        run: whose adapted policy acts in the first engine; its actions are then the commands, and
            the last episode of its trial is compared. None: random commands, one episode.

    Raises:
        UnknownNameError: there is no engine of this name.
        BadArgumentError: the family does not run on two engines, or not on these.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    torch.set_num_threads(1)
    started = monotonic()
    pair = choose_engines(family, engines)
    task = family.sample(np.random.default_rng([REPLAY, seed]), tasks, split)
    if run is None:
        actions = smooth_actions(family, tasks, np.random.default_rng([REPLAY, seed, 0, 1]))
    else:
        actions = _act(family, run, pair[0], task, seed)
    first, second = [replay(family, engine, task, actions, seed) for engine in pair]
    instants = _instants(family.horizon * family.action_repeat)
    is_sound = _is_sound(family, first, second)[instants - 1]  # (T, n)
    return EngineGap(
        family=family.name,
        body=family.body.name,
        engines=pair,
        split=split,
        tasks=tasks,
        commands="random" if run is None else str(run.path),
        seed=seed,
        times=(instants * family.dt).tolist(),
        counted=is_sound.sum(1).tolist(),
        divergence=_divergence(family, first, second, instants, is_sound),
        outcomes=_outcomes(family, task, first, second),
        success=_compare_success(task, first.trial, second.trial),
        seconds=monotonic() - started,
        commit=current_commit(),
    )


def choose_engines(family: Family, names: Sequence[str]) -> tuple[str, str]:
    """Two engines for a family; ``names`` are two, or none.

    Raises:
        UnknownNameError: there is no engine of this name.
        BadArgumentError: the family does not run on two engines, or not on these.
    """
    supporting = _supporting(family)
    # a single engine may be compared with itself
    if len(supporting) < 2 and set(names) != set(supporting):
        for name in names:
            ENGINES[name]  # raises what engines there are
        able = [name for name in FAMILIES if len(_supporting(FAMILIES[name]())) >= 2]
        others = ", ".join(sorted(able))
        only = ", ".join(supporting) or "no engine"
        raise BadArgumentError(
            f"{family.name} runs on {only} alone, and a gap is between two engines; families that "
            f"run on two: {others}"
        )
    if names and len(names) != 2:
        raise BadArgumentError(f"--engines takes two engines, got {' '.join(names)}")
    for name in names:
        engine_for(family.scene, name)
    first, second = names or supporting[:2]
    return first, second


def _supporting(family: Family) -> list[str]:
    return [name for name in ENGINES if ENGINES[name].supports(family.scene)]


def _act(family: Family, run: Run, engine: str, task: Task, seed: int) -> Tensor:
    """The actions (E, H, n, a) of a run's adapted policy in a trial of the tasks."""
    _, policy = next(run.policies())
    with closing(SeededWorld(family, engine, len(task), seed)) as world:
        trial = rollout(world, policy, task, family.episodes, explores(family, family.episodes))
    return trial.ticks.action


def _instants(periods: int) -> Indices:
    """Up to ``INSTANTS`` control periods, evenly spread over 1 to ``periods``."""
    shares = np.arange(1, INSTANTS + 1) / INSTANTS
    return np.unique(np.maximum(1, np.round(periods * shares).astype(np.int64)))


def _is_sound(family: Family, first: Replay, second: Replay) -> Mask:
    """Whether a task has neither ended nor diverged in both engines, (control periods, n)."""
    valid = first.trial.ticks.valid[-1] & second.trial.ticks.valid[-1]  # (H, n)
    by_period: Mask = valid.numpy().repeat(family.action_repeat, 0)
    return by_period


def _divergence(
    family: Family, first: Replay, second: Replay, instants: Indices, is_sound: Mask
) -> list[Divergence]:
    """Distances between the engines at the instants (T,), over the sound tasks (T, n)."""
    columns = _body_position_columns(family)
    between_engines = []
    from_start = []
    for instant in instants:
        in_first = first.measured[instant - 1]
        in_second = second.measured[instant - 1]
        between_engines.append(distances(in_first, in_second, family, columns))
        from_start.append(distances(in_first, first.start, family, columns))
    found = []
    for quantity, unit in between_engines[0]:
        gaps = [each[quantity, unit] for each in between_engines]
        motion = [each[quantity, unit] for each in from_start]
        found.append(
            Divergence(
                quantity=quantity,
                unit=unit,
                median=_percentiles(gaps, is_sound, 50),
                p90=_percentiles(gaps, is_sound, 90),
                motion=_percentiles(motion, is_sound, 50),
            )
        )
    return found


def _percentiles(values: Sequence[Array], is_counted: Mask, percent: float) -> Row:
    """A percentile over the tasks that count, at each instant; None if none counts."""
    row: Row = []
    for at_instant, counts in zip(values, is_counted, strict=True):
        counted = at_instant[counts]
        row.append(finite(np.percentile(counted, percent)) if len(counted) else None)
    return row


def _body_position_columns(family: Family) -> list[int]:
    """The columns of q with the position of a walker's body, m; none for an arm."""
    root = family.body.root
    if not root:
        return []
    model = compile_scene(family.scene)
    columns: list[int] = []
    for name in root:
        joint = model.joint(name)
        column = int(joint.qposadr[0])
        if joint.type[0] == mujoco.mjtJoint.mjJNT_SLIDE:
            columns.append(column)
        elif joint.type[0] == mujoco.mjtJoint.mjJNT_FREE:
            columns += range(column, column + 3)
    return columns


def distances(
    a: Signals, b: Signals, family: Family, position_columns: Sequence[int] = ()
) -> Distances:
    """Distances between two measurements of n tasks, (n,) each.

    Args:
        a: a measurement.
        b: another one.
        family: of the tasks.
        position_columns: columns of q with the position of the body, m.

    Returns:
        By quantity and unit: the largest difference of a driven joint, the distances of a walker's
        body and of an arm's tool, and distance and rotation angle of every object.
    """
    joints = len(family.body.joints)
    difference = a.q - b.q
    of_joints = np.abs(difference)[:, -joints:]
    found: Distances = {("joints", "rad"): of_joints.max(-1)}
    if position_columns:
        found["body", "m"] = np.linalg.norm(difference[:, position_columns], axis=-1)
    if not np.isnan(a.tool_pos).all():
        found["tool", "m"] = np.linalg.norm(a.tool_pos - b.tool_pos, axis=-1)
    for name, motion in a.objects.items():
        other = b.objects[name]
        found[name, "m"] = np.linalg.norm(motion.pos - other.pos, axis=-1)
        found[f"{name} turned", "rad"] = angle_between(motion.quat, other.quat)
    return found


def _outcomes(family: Family, task: Task, first: Replay, second: Replay) -> list[OutcomeGap]:
    """Return, metrics and displacements of objects at the end of the last episode."""
    in_first = _outcomes_of(first, family, task)
    in_second = _outcomes_of(second, family, task)
    (task_of,) = number_rows([task.values])
    found = []
    for name, x in in_first.items():
        y = in_second[name]
        pearson, spearman = correlate(x, y, task_of)
        medians = (_median(x), _median(y))
        found.append(OutcomeGap(name, medians, pearson, spearman))
    return found


def _outcomes_of(replay: Replay, family: Family, task: Task) -> dict[str, Array]:
    """The outcomes of one engine by name, (n,) each."""
    grid = episode_grid(family, task, replay.trial)
    outcomes = {"return": grid.returns[-1]}
    for name, values in grid.metrics.items():
        outcomes[name] = values[-1]
    for name in replay.start.objects:
        outcomes[f"{name}_way_m"] = _displacement(replay, name)
    return outcomes


def _median(values: Array) -> float | None:
    return finite(known_median(values[None])[0])


def _displacement(one: Replay, name: str) -> Array:
    """The distance of an object from its start when the last episode ends, (n,) m."""
    difference = one.measured[-1].objects[name].pos - one.start.objects[name].pos
    return np.asarray(np.linalg.norm(difference, axis=-1))


def _compare_success(task: Task, first_trial: TrialBatch, second_trial: TrialBatch) -> SuccessGap:
    """Success in the last episode of the same tasks in both engines."""
    first = first_trial.success[-1].double().numpy()
    second = second_trial.success[-1].double().numpy()
    tasks = len(np.unique(task.values, axis=0))
    is_sample = tasks > 1
    rates = (float(first.mean()), float(second.mean()))
    agreement = float((first == second).mean())
    only_first = int((first > second).sum())
    only_second = int((second > first).sum())
    intervals = (wilson_interval(rates[0], tasks), wilson_interval(rates[1], tasks))
    return SuccessGap(
        rates=rates,
        intervals=intervals if is_sample else None,
        agreement=agreement,
        agreement_interval=wilson_interval(agreement, tasks) if is_sample else None,
        only_first=only_first,
        only_second=only_second,
        mcnemar_p=mcnemar_p(only_first, only_second) if is_sample else None,
    )
