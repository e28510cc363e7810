"""The functions of ``pliant``: make worlds, train, evaluate, compare, try on an arm.

The packages take seconds to import, so each is imported in the function that uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptation.runs.records import Evaluation, RunsComparison, TrialResult
    from adaptation.runs.run import Run
    from adaptation.runs.run_config import RunConfig
    from robots.mesh_object import MeshObject
    from robots.world import Family
    from sim.vec_world import VecWorld


def make(
    family: str | Family,
    n: int = 1,
    engine: str | None = None,
    seed: int = 0,
    arm: str | None = None,
) -> VecWorld:
    """Make n simulated worlds of a family, each with a task of its own.

    Args:
        family: a name, ``"package.module:Class"``, or a family object.
        n: number of worlds.
        engine: the physics; None takes the first that supports the family's scene.
        seed: of the starts and the disturbances.
        arm: for a family that is given by name and runs on several arms, such as ``"reach"``;
            None: the family's default arm.

    Raises:
        UnknownNameError: no such family, arm or engine; the message lists those that exist.
        BadArgumentError: the engine does not support the scene, or the family takes no such arm.

    Examples:
        >>> import numpy as np
        >>> import pliant
        >>> world = pliant.make("point", n=4)
        >>> task = world.family.sample(world.rng, world.n)
        >>> world.reset(task).shape
        (4, 2)
        >>> world.step(np.zeros((4, 2))).reward.shape
        (4,)
    """
    from robots.errors import BadArgumentError
    from sim.families import make_family
    from sim.vec_world import VecWorld

    if isinstance(family, str):
        return VecWorld(make_family(family, arm), engine, n, seed)
    if arm is not None:
        raise BadArgumentError(f"this {family.name} has its arm already, got arm={arm!r}")
    return VecWorld(family, engine, n, seed)


def train(
    method: str,
    family: str,
    out: str | Path,
    *,
    arm: str | None = None,
    seed: int = 0,
    engine: str | None = None,
    iterations: int | None = None,
    steps: int | None = None,
    gradient_steps: int | None = None,
    minutes: float | None = None,
    task_sampler: str = "uniform",
    preset: str = "cpu",
    settings: dict[str, Any] | None = None,
    references: bool = True,
    own_objects: str | Path | None = None,
) -> Run:
    """Meta-train a method on a family until a bound is reached, or else its schedule's end.

    Training starts processes: call it under ``if __name__ == "__main__":``.

    Args:
        method: its name, or ``"package.module:Class"``; ``family``, ``arm``, ``engine`` likewise.
        out: the run folder; FileExistsError if it holds a run already.
        seed: of all randomness: training repeats bit for bit unless ``minutes`` ends it.
        iterations: a bound, like ``steps`` (of the environment), ``gradient_steps``, ``minutes``.
        task_sampler: ``"uniform"``; ``"widening"`` ranges; ``"hard"`` tasks more often.
        preset: budget of the tuned settings, ``"cpu"`` or ``"paper"``; or the path of a TOML file.
        settings: changes to the method's settings, by dotted name: ``{"sac.lr": 3e-4}``.
        references: whether to train the references blind and oracle too.
        own_objects: a folder of objects.toml and meshes, which slide, slide_plane and push then
            have.

    Raises:
        BadArgumentError: a name, number, setting or object is not allowed; nothing is written.

    Examples:
        >>> import pliant
        >>> run = pliant.train("pearl", "point", "runs/point", iterations=1, references=False)
    """
    from adaptation.runs.run_config import RunConfig

    config = RunConfig(
        method=method,
        family=family,
        arm=arm,
        engine=engine,
        seed=seed,
        iterations=iterations,
        steps=steps,
        gradient_steps=gradient_steps,
        minutes=minutes,
        task_sampler=task_sampler,
        preset=preset,
        references=references,
        settings=settings or {},
        objects=_read(own_objects),
    )
    return _train(Path(out), config)


def _train(folder: Path, config: RunConfig) -> Run:
    from adaptation.jobs.train import train as run_training
    from adaptation.runs.run import Run

    run = Run.create(folder, config)
    run_training(run)
    return run


def evaluate(
    run: Run | str | Path,
    tasks: int = 64,
    episodes: int | None = None,
    split: str = "heldout",
    engine: str | None = None,
    seed: int = 0,
    own_objects: str | Path | None = None,
) -> Evaluation:
    """Compare a run's policies in simulation, on the same tasks under the same seeds.

    Args:
        run: a run, or its folder.
        tasks: number of tasks.
        episodes: per task; None is the family's own number.
        split: ``"train"`` for tasks from the training ranges, or ``"heldout"``.
        engine: the physics; None takes the first that supports the family's scene.
        seed: of the tasks and their disturbances.
        own_objects: a folder of your own objects, which the tasks then have.

    Returns:
        Success, metrics and returns of ``adapted``, ``no_adaptation``, ``blind`` and ``oracle``,
        and what adaptation gains. References that were not trained are None.

    Examples:
        >>> import pliant
        >>> result = pliant.evaluate("runs/point", tasks=8)
        >>> len(result.adapted.success)
        3
        >>> list(result.adapted.metrics)
        ['distance_m']
    """
    from adaptation.jobs.evaluate import evaluate as run_evaluation

    objects = _read(own_objects, marked=False)
    return run_evaluation(_opened(run), tasks, episodes, split, engine, seed, objects)


def compare(
    runs: Sequence[Run | str | Path],
    tasks: int = 64,
    episodes: int | None = None,
    split: str = "heldout",
    engine: str | None = None,
    seed: int = 0,
) -> RunsComparison:
    """Compare runs of one family, each method with the first; the arguments are those of evaluate.

    Runs (or run folders) of one method that differ only in their seed form one entry.

    Examples:
        >>> import pliant
        >>> [entry.name for entry in pliant.compare(["runs/point"], tasks=8).entries]
        ['pearl']
    """
    from adaptation.jobs.compare import compare as run_comparison

    return run_comparison(list(map(_opened, runs)), tasks, episodes, split, engine, seed)[0]


def trial(
    run: Run | str | Path,
    arm: str | None = None,
    driver: str = "twin",
    *,
    objects: int = 20,
    own_objects: str | Path | None = None,
    episodes: int | None = None,
    clock: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    workers: int = 1,
    options: dict[str, Any] | None = None,
    tracker: str | None = None,
    tracker_options: dict[str, Any] | None = None,
) -> TrialResult:
    """Try a run's policies on held-out objects through an arm, one object after another.

    Args:
        run: a run, or its folder; the arm is the one that it was trained for.
        driver: what drives the arm; ``"twin"`` simulates it.
        objects: how many; ``seed`` draws them, or those of the folder ``own_objects`` take turns.
        episodes: per object; None: the family's number.
        clock: ``"lockstep"`` or ``"realtime"``; None takes the driver's own.
        out: the folder, in which a stopped trial resumes; None: ``trial`` in the run's folder.
        workers: processes that share the objects in lockstep, each with a twin of its own.
        options: of the driver, such as ``{"port": "/dev/ttyUSB0"}``.
        tracker: measures the object if the driver does not, with ``tracker_options``.

    Raises:
        BadArgumentError: the arm cannot be opened this way, or the folder holds another trial.
        RefusedError: the run was not trained for this arm.
        ArmError: the arm cannot continue.

    Examples:
        >>> import pliant
        >>> run = pliant.train("blind", "reach", "runs/reach", iterations=1, references=False)
        >>> result = pliant.trial(run, objects=1, episodes=1)
        >>> result.arm, result.driver, result.tasks
        ('panda', 'twin', 1)
    """
    from adaptation.jobs.arm_options import default_clock
    from adaptation.jobs.trial import run_trial
    from adaptation.jobs.trial_folder import TrialConfig

    opened = _opened(run)
    config = TrialConfig(
        run=str(opened.path),
        arm=arm or opened.arm,
        driver=driver,
        objects=objects,
        own_objects=_read(own_objects, marked=False),
        episodes=episodes,
        clock=clock or default_clock(driver),
        seed=seed,
        options=options or {},
        tracker=tracker,
        tracker_options=tracker_options or {},
    )
    return run_trial(opened, config, Path(out or opened.path / "trial"), workers)


def _opened(run: Run | str | Path) -> Run:
    from adaptation.runs.run import Run

    return Run.open(Path(run)) if isinstance(run, str | Path) else run


def _read(folder: str | Path | None, marked: bool = True) -> tuple[MeshObject, ...]:
    """The objects of a user's folder; BadArgumentError names the file that is wrong.

    ``marked`` keeps which of them are held out, which only training needs.
    """
    if folder is None:
        return ()
    from adaptation.jobs.tried_objects import unmarked
    from sim.object_folder import read_objects

    objects = read_objects(Path(folder))
    return objects if marked else unmarked(objects)
