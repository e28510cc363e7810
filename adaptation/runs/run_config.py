"""The config of a run, which determines its training, and the check of its values."""

from typing import Any, get_type_hints

import msgspec

from adaptation.runs import checkpoint
from policies.config import MethodConfig
from policies.fields import convert
from policies.nn.state import SavedState
from policies.presets import resolve_preset
from policies.ranges import Count, LargeCount, NonNegative, Positive, Seed, Share, WholeNumber
from policies.rl.replay import LearnsFromReplay
from robots.errors import BadArgumentError
from robots.mesh_object import MeshObject
from sim.engines import engine_for
from sim.task_samplers import DEFAULT, TASK_SAMPLERS

BOUNDS = ("iterations", "minutes", "steps", "gradient_steps")  # fields that end a training


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that determines a training; it stops at the first bound that is reached."""

    method: str
    family: str
    arm: str | None = None  # of the family; None: its own
    engine: str | None = None  # None: the first engine that supports the scene
    seed: Seed = 0
    iterations: LargeCount | None = None  # calls of ``learn``; no bound: as the method schedules
    minutes: Positive | None = None  # of wall time
    steps: LargeCount | None = None  # environment steps, over all worlds
    gradient_steps: LargeCount | None = None  # optimizer steps
    task_sampler: str = DEFAULT  # which training tasks are drawn: ``sim/task_samplers``
    preset: str = "cpu"  # budget whose settings are read from ``policies/presets``
    references: bool = True
    save_iterations: WholeNumber = 0  # between checkpoints; 0: only ``save_seconds`` decides
    save_seconds: NonNegative = 20.0  # wall time between checkpoints, s
    collectors: Count = 1  # processes that collect the method's experience; more draw other numbers
    evaluations: WholeNumber = 10  # on held-out tasks during training; 0: none
    evaluation_tasks: Count = 20  # held-out tasks of each evaluation
    # largest share of the training's time; evaluations beyond it are left out, except the last
    evaluation_share: Share = 0.05
    settings: dict[str, Any] = {}  # changes to the method's config; range.NAME: to its tasks' range
    objects: tuple[MeshObject, ...] = ()  # of a user, in the place of the family's own


def check_config(config: RunConfig) -> RunConfig:
    """The config as it is written to a run: every value as its type, the preset's file read.

    Raises:
        BadArgumentError: a name, a number, a setting, the engine or the sampler is not possible.
    """
    values = {}
    for name, annotation in get_type_hints(RunConfig, include_extras=True).items():
        values[name] = convert(name, getattr(config, name), annotation)
    config = RunConfig(**values)
    preset, settings = resolve_preset(config.method, config.preset, config.settings)
    family = checkpoint.family_for(config.family, config.arm, settings, config.objects)
    method_config = checkpoint.method_config(config.method, family, preset, settings)
    if isinstance(method_config, MethodConfig):  # else of a package that does not say what it takes
        _check_overlap(config.method, method_config)
        _check_worlds(config.collectors, method_config)
    _check_reseeds(config)
    engine_for(family.scene, config.engine)
    TASK_SAMPLERS[config.task_sampler](family)
    return msgspec.structs.replace(config, preset=preset, settings=settings)


def _check_overlap(method: str, config: MethodConfig) -> None:
    """Refuse to collect ahead for a method that learns from the newest trial alone."""
    kind = checkpoint.method_class(method)
    if config.schedule.overlap and not issubclass(kind, LearnsFromReplay):
        raise BadArgumentError(
            f"{method} learns from trials of its newest weights: schedule.overlap must be false"
        )


def _check_worlds(collectors: int, config: MethodConfig) -> None:
    """Refuse more collectors than an iteration has worlds."""
    worlds = config.schedule.meta_batch
    if collectors > worlds:
        raise BadArgumentError(
            f"{collectors} collectors cannot share the {worlds} worlds of an iteration: give "
            "fewer, or a larger schedule.meta_batch"
        )


def _check_reseeds(config: RunConfig) -> None:
    """Refuse several collectors for a method whose copies would all draw the same numbers."""
    kind = checkpoint.method_class(config.method)
    if config.collectors > 1 and not issubclass(kind, LearnsFromReplay | SavedState):
        raise BadArgumentError(
            f"{config.method} cannot restart its random numbers, so that several collectors would "
            "draw the same ones: derive it from SavedState, or train it with one collector"
        )
