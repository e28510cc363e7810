"""Suites of trainings as data: NAME.toml says what is trained, for how long, and how it is judged.

A file has, at its head, the seeds, how often a training is judged on its way, and the time limit of
a cell; then a table for each family with the tasks and engines to judge in, and its methods, each
with the bounds of its training. ``blind`` and ``oracle`` are methods like the others: one of each
is trained per family and seed, and all methods of the family are compared with it.
"""

import tomllib
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from policies.ranges import Count, LargeCount, NonNegative, Positive, Seed, WholeNumber
from robots.errors import BadArgumentError
from sim.task_samplers import DEFAULT

SUFFIX = ".toml"
SUITES = ("quick", "full")


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of one method's training; without any, as the method's preset schedules."""

    steps: LargeCount | None = None  # environment steps, over all worlds
    gradient_steps: LargeCount | None = None
    iterations: LargeCount | None = None
    minutes: Positive | None = None  # of wall time; such a training differs each time
    task_sampler: str = DEFAULT  # of ``sim/task_samplers``
    preset: str = "cpu"  # budget of ``policies/presets``
    settings: dict[str, Any] = {}  # changes to the method's config


class FamilyTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is trained on one family, and how it is judged."""

    methods: dict[str, Training]
    arm: str | None = None  # of the family; None: its own
    tasks: Count = 100  # held-out tasks
    episodes: Count | None = None  # per task; None: the family's number
    engines: tuple[str, ...] = ()  # to judge in; empty: the first that supports the scene


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Families, methods and seeds: each combination is a cell."""

    families: dict[str, FamilyTable]
    seeds: tuple[Seed, ...] = (0,)
    evaluations: WholeNumber = 10  # on held-out tasks during a training, spread evenly
    evaluation_tasks: Count = 40  # in each of these
    save_seconds: NonNegative = 20.0  # wall time between checkpoints of a training, s
    time_limit: Positive = 60.0  # minutes of one attempt at a cell
    title: str = ""


def read_suite(name: str) -> Suite:
    """Read a suite by its name, or from a file.

    Args:
        name: one of ``SUITES``, or the path of a file that ends in ``.toml``.

    Raises:
        BadArgumentError: there is no such suite, or the file does not hold one; the message says
            where it is wrong.
    """
    file = _find(name)
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        suite = msgspec.convert(document, Suite)
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML, or no suite
        raise BadArgumentError(f"suite {file}: {error}") from error
    if not suite.seeds:
        raise BadArgumentError(f"suite {file}: it names no seeds")
    title = suite.title or Path(name).stem
    return msgspec.structs.replace(suite, title=title)


def _find(name: str) -> Traversable:
    if name in SUITES:
        return files(__name__) / f"{name}{SUFFIX}"
    file = Path(name)
    if name.endswith(SUFFIX) and file.is_file():
        return file
    known = ", ".join(SUITES)
    raise BadArgumentError(f"no suite {name!r}; there are: {known}, and files that end in {SUFFIX}")
