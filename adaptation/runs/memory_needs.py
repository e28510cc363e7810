"""Estimates the memory of a training with all its processes, and refuses too much in advance.

The product of several settings may be too large, the references are trained in parallel with the
method, and a container may have less memory than its machine. The estimates are rough: they detect
settings that are far too large, not those near the limit. The worlds of PyBullet are larger and
are counted by its engine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod, sqrt
from operator import attrgetter
from typing import Any

from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from adaptation.runs.available_memory import available_memory
from adaptation.runs.records import REFERENCES
from adaptation.runs.references import reference_settings
from adaptation.runs.run_config import RunConfig
from policies.config import MethodConfig, episode_bytes
from policies.method import Problem
from policies.presets import resolve_preset
from policies.settings import flatten
from robots.errors import BadArgumentError

GIB = 2**30
WORLD_BYTES = 100_000  # of a world's physics; measured: 80 KiB for MuJoCo's humanoid, 11 for slide
# The next numbers were measured on ``point``.
PROCESS_BYTES = 400 * 2**20  # of a process that has loaded its libraries
COPIES = 5  # of a collected trial, while it is assembled and learned from; measured: 4
FLOAT_BYTES = 4
# Numbers that are stored for each unit of a network and each row of a batch until the backward
# pass; measured: 5 for soft actor-critic, 10 for MAML, 17 for a transformer.
GRAPH = 12
GENERATED = 2  # the same for each weight that a hypernetwork generates at a tick; measured: 1.9
# The same for each block of attention, tick, and tick that it attends to; measured: 1.6 for a
# transformer, 4 for SNAIL.
ATTENDED = 4
PLANNED = 4  # copies of the actions and states of candidate plans, which have no gradient

# Settings that make up a batch together, without the names of the configs they are in.
BATCHES = (
    ("meta_batch", "batch_per_task"),
    ("meta_batch", "max_context"),
    ("meta_batch", "windows_per_task", "unroll_steps", "ensemble_size"),
    ("meta_batch", "windows_per_task", "future_steps"),
    ("batch_size", "ensemble_size"),
    ("batch_size",),
    ("student_batch", "history"),
    ("meta_batch", "segment"),
    ("student_trials", "segment"),
    ("vae_tasks", "elbo_terms", "decoded_ticks"),
)
# Settings that are, or hold, units of networks.
WIDTHS = (
    "hidden",
    "encoder_hidden",
    "decoder_hidden",
    "memory_size",
    "channels",
    "embedding",
    "filters",
    "attention",
)


@dataclass(frozen=True)
class Need:
    """Memory that grows with the product of some settings."""

    settings: dict[str, int]  # by dotted name
    unit: float  # bytes, where the product is 1
    squared: str = ""  # the one of the settings, if any, that is a factor twice

    @property
    def size(self) -> float:
        """Bytes."""
        twice = self.settings.get(self.squared, 1)
        return self.unit * twice * prod(self.settings.values())

    def describe(self) -> str:
        """The settings with their values."""
        return " × ".join(f"{name}={value}" for name, value in self.settings.items())


def check_needs(config: RunConfig) -> None:
    """Refuse a training that cannot fit into the memory of this machine, or of its container.

    Args:
        config: as ``check_config`` gives it.

    Raises:
        BadArgumentError: the message names the settings whose product is too large, and what fits.
    """
    preset, settings = resolve_preset(config.method, config.preset, config.settings)
    family = checkpoint.family_for(config.family, config.arm, settings, config.objects)
    problem = problem_of(family)
    method = checkpoint.method_config(config.method, family, preset, settings)
    if not isinstance(method, MethodConfig):
        return  # of a package that does not say what it takes
    needs = list(list_needs(method, problem))
    _check(needs, [])
    if not config.references:
        return
    reference_needs: list[Need] = []
    references = [name for name in REFERENCES if name != config.method]
    for name in references:
        try:
            changes = reference_settings(config.method, family, preset, settings, name)
            reference = checkpoint.method_config(name, family, preset, changes)
        except BadArgumentError as error:  # it would act in more tasks than a method may
            raise BadArgumentError(f"the reference {name} cannot keep up: {error}") from error
        if isinstance(reference, MethodConfig):
            reference_needs.append(Need({}, PROCESS_BYTES))
            reference_needs += list_needs(reference, problem)
    _check(needs, reference_needs)


def _check(needs: list[Need], reference_needs: list[Need]) -> None:
    """Refuse a method that does not fit together with its references, if there are any."""
    memory = available_memory()
    total = PROCESS_BYTES + _sum(needs) + _sum(reference_needs)
    if total <= memory:
        return
    largest = max(needs, key=attrgetter("size"))
    training = "the training with its references" if reference_needs else "the training"
    message = (
        f"{largest.describe()} is not allowed: "
        f"{training} takes about {total / GIB:,.1f} GiB of memory, "
        f"{largest.size / GIB:,.1f} of it by their product, and there is {memory / GIB:,.1f}"
    )
    fitting = []
    for name, value in largest.settings.items():
        growing = [need for need in needs if name in need.settings]
        if "schedule." in name:  # the references follow the method's schedule
            growing += reference_needs
        room = memory - (total - _sum(growing))
        most = int(value * _largest_factor(name, growing, room))
        if most >= 1:
            fitting.append(f"{name} at most {most}")
    advice = "; give " + ", or ".join(fitting) if fitting else ""
    raise BadArgumentError(message + advice)


def _largest_factor(name: str, needs: list[Need], room: float) -> float:
    """The factor on a setting with which needs that grow with it take no more than ``room`` bytes.

    It is the positive solution of quadratic · x² + linear · x = room.
    """
    quadratic = _sum(need for need in needs if need.squared == name)
    linear = _sum(needs) - quadratic
    if quadratic == 0:
        return room / linear
    root = sqrt(max(0.0, linear**2 + 4 * quadratic * room))
    return (root - linear) / (2 * quadratic)


def list_needs(config: MethodConfig, problem: Problem) -> Iterable[Need]:
    """What the process that trains a method takes."""
    values = flatten(config)
    widths = _widths(values)
    units = sum(widths)
    numbers = GRAPH * units + GENERATED * _generated_weights(values, problem)  # of a tick
    each = episode_bytes(problem)
    batches = list(_find_batches(values))
    for batch in batches:
        yield Need(batch, FLOAT_BYTES * numbers)
    for name in values:
        if name.endswith("schedule.meta_batch"):
            prefix = name.removesuffix("meta_batch")
            yield from _schedule_needs(prefix, values, problem, 0 if batches else numbers)
        if name.endswith("buffer_tasks"):
            episodes = name.removesuffix("buffer_tasks") + "schedule.episodes_per_trial"
            yield Need({name: values[name], episodes: values[episodes]}, each)
    if "blocks" in values and values.get("memory", "attention") == "attention":
        yield from _attention_needs(values, problem)
    if "planner.num_samples" in values:
        tasks = {"schedule.meta_batch": config.schedule.meta_batch}
        yield _planner_need(values, tasks, problem, max(widths, default=0))


def _generated_weights(values: dict[str, Any], problem: Problem) -> int:
    """Weights of policy and critic that a hypernetwork generates at every tick, see ``Rl2``."""
    if not values.get("hypernetwork", False):
        return 0
    hidden: int = values["hidden"]
    first_layers = 2 * (problem.obs_dim + 1) * hidden
    last_layers = (hidden + 1) * (problem.action_dim + 1)
    return first_layers + last_layers


def _attention_needs(values: dict[str, Any], problem: Problem) -> Iterable[Need]:
    """Of every tick that is learned from, with its window and with the ticks beside it."""
    each = FLOAT_BYTES * ATTENDED * values["blocks"]
    if "segment" in values:  # which is the window, too
        segments = _find(values, ("segment",)) | {"sac.meta_batch": values["sac.meta_batch"]}
        yield Need(segments, 2 * each, squared="segment")
        return
    episodes = "schedule.episodes_per_trial"
    trials = {name: values[name] for name in ("schedule.meta_batch", episodes)}
    yield Need(trials | {"window": values["window"]}, problem.horizon * each)
    yield Need(trials, problem.horizon**2 * each, squared=episodes)


def _schedule_needs(
    prefix: str, values: dict[str, Any], problem: Problem, numbers: int
) -> Iterable[Need]:
    """What is collected; ``numbers`` of the networks are kept for each of its ticks."""

    def setting(name: str) -> dict[str, int]:
        return {prefix + name: values[prefix + name]}

    each = COPIES * episode_bytes(problem)
    learned = problem.horizon * FLOAT_BYTES * numbers
    tasks = setting("meta_batch")
    trial = tasks | setting("episodes_per_trial")
    yield Need(tasks, WORLD_BYTES)
    yield Need(trial, each + learned)
    yield Need(trial | setting("random_trials"), each)


def _planner_need(
    values: dict[str, Any], tasks: dict[str, int], problem: Problem, widest: int
) -> Need:
    """Of the candidates of all tasks: noise, actions and states, and two layers of a network."""
    horizon = values["planner.horizon"]
    iterations = max(values["planner.iterations"], values["planner.cold_iterations"])
    actions = horizon * problem.action_dim * (iterations + PLANNED)
    states = horizon * problem.obs_dim * PLANNED
    samples = {"planner.num_samples": values["planner.num_samples"]}
    networks = _find(values, ("ensemble_size",))
    return Need(tasks | samples | networks, FLOAT_BYTES * (actions + states + 2 * widest))


def _find_batches(values: dict[str, Any]) -> Iterable[dict[str, int]]:
    """The settings of each kind of batch that a config has."""
    own = {name: value for name, value in values.items() if "schedule." not in name}
    for names in BATCHES:
        found = _find(own, names)
        if len(found) == len(names):
            yield found


def _find(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, int]:
    """The settings of these names, whatever config they are in."""
    return {name: value for name, value in values.items() if name.rpartition(".")[2] in names}


def _widths(values: dict[str, Any]) -> list[int]:
    """The units of each layer of a config's networks."""
    widths: list[int] = []
    for width in _find(values, WIDTHS).values():
        widths += width if isinstance(width, tuple) else [width]
    return widths


def _sum(needs: Iterable[Need]) -> float:
    return sum(need.size for need in needs)
