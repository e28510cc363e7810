"""Options that several commands share, checks of their values, and incomplete answers."""

import json
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from policies.ranges import LARGEST_SEED
from robots.errors import BadArgumentError
from robots.registry import Registry

if TYPE_CHECKING:
    from adaptation.runs.run import Run
    from robots.mesh_object import MeshObject

# --name alone: there is no --no-name, and no default to tell.
Flag = Annotated[FlagCreatePairsOff[bool], arg(help_behavior_hint="")]
Json = Annotated[Flag, arg(name="json", help="Print one JSON object as the last line.")]
Pairs = Annotated[tuple[str, ...], UseAppendAction, arg(metavar="NAME=VALUE")]  # option repeated
RunFolder = Annotated[Positional[Path], arg(name="run", metavar="RUN", help="The run folder.")]

LARGEST_COUNT = (
    10_000  # tasks, objects, episodes; more would fill the memory before anything is said
)
MOST_SEEDS = 1000  # of one call; more are a slip of the hand

# Optional options. Their help texts describe the default, instead of "default: None".
OptionalInt = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
OptionalFloat = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
OptionalName = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]


@dataclass(frozen=True)
class Incomplete:
    """The answer of a command that did only a part of its work: it is printed, with status 1."""

    answer: object


def check_name(table: Registry, name: str | None) -> None:
    """Refuse a name that a registry does not have; None (option not given) is accepted.

    Raises:
        UnknownNameError: the message lists the names that exist.
        BadArgumentError: ``package.module:Attribute`` cannot be imported.
    """
    if name is None:
        return
    allow_local_modules(name)
    if name not in table or ":" in name:
        table[name]  # raises the error of an unknown or broken entry


def allow_local_modules(*names: str) -> None:
    """Let ``package.module:Attribute`` be found in the current directory.

    Python searches it last, so a folder ``sim`` there does not hide Pliant's own package.
    """
    here = os.getcwd()
    if any(":" in name for name in names) and here not in sys.path:
        sys.path.append(here)


def check_positive(**numbers: float | None) -> None:
    """Refuse numbers that are not above zero or not finite; None (not given) is accepted.

    Raises:
        BadArgumentError: the message names the option.
    """
    for name, value in numbers.items():
        option = name.replace("_", "-")
        if value is not None and not value > 0:
            raise BadArgumentError(f"--{option} must be above 0, got {value}")
        if value == math.inf:
            raise BadArgumentError(f"--{option} must be finite, got {value}")


def check_counts(**counts: int | None) -> None:
    """Refuse numbers of tasks and the like outside 1 to ``LARGEST_COUNT``; None is accepted.

    Raises:
        BadArgumentError: the message names the option.
    """
    check_positive(**counts)
    for name, count in counts.items():
        if count is not None and count > LARGEST_COUNT:
            option = name.replace("_", "-")
            raise BadArgumentError(f"--{option} must be at most {LARGEST_COUNT}, got {count}")


def check_seed(seed: int) -> None:
    """Refuse a seed that some random generators do not accept.

    Raises:
        BadArgumentError: it is negative or above ``LARGEST_SEED``.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise BadArgumentError(f"--seed must be from 0 to {LARGEST_SEED}, got {seed}")


def parse_seeds(text: str) -> list[int]:
    """The seeds of ``0-4`` or ``0,1,2``, in order.

    Raises:
        BadArgumentError: it is neither, or names a seed twice or one that ``check_seed`` refuses.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise BadArgumentError(f"--seeds takes 0-4 or 0,1,2, got {text!r}")
        named = range(int(first), int(last or first) + 1)
        if len(seeds) + len(named) > MOST_SEEDS:
            raise BadArgumentError(f"--seeds must be at most {MOST_SEEDS}, got {text!r}")
        seeds += named
    if not seeds or len(set(seeds)) < len(seeds):
        raise BadArgumentError(f"--seeds must name each seed once, got {text!r}")
    check_seed(max(seeds))
    return seeds


def parse_pairs(option: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE options; a value that is JSON becomes a number, a list, ..., else a text.

    Raises:
        BadArgumentError: one has no ``=``.
    """
    values = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise BadArgumentError(f"{option} takes NAME=VALUE, got {pair!r}")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def parse_numbers(option: str, text: str) -> list[float]:
    """Read numbers that commas separate.

    Raises:
        BadArgumentError: one is no number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise BadArgumentError(f"{option} takes numbers and commas, got {text!r}") from error


def read_own_objects(folder: Path) -> "tuple[MeshObject, ...]":
    """Read a folder of objects, with a warning for each that collides otherwise than its mesh.

    Raises:
        BadArgumentError: see ``read_objects``.
    """
    from sim.object_folder import describe_hull, read_objects

    objects = read_objects(folder)
    for item in objects:
        notice = describe_hull(item)
        if notice:
            print(f"pliant: warning: {notice}", file=sys.stderr)
    return objects


def read_tried_objects(run: "Run", folder: Path | None) -> "tuple[MeshObject, ...]":
    """Read the objects that a run is tried on, with a warning if its oracle cannot take part."""
    from adaptation.jobs.tried_objects import are_foreign, unmarked

    if folder is None:
        return ()
    objects = unmarked(read_own_objects(folder))
    if are_foreign(run, objects) and run.has_checkpoint("oracle"):
        print(
            "pliant: the oracle is left out: the parameters that it reads do not describe objects "
            "that the run was not trained on",
            file=sys.stderr,
        )
    return objects


def open_run(folder: Path) -> "Run":
    """Open a run whose family, method or engine may be defined in the current directory.

    Raises:
        FileNotFoundError, DamagedError: see ``Run.open``.
    """
    from adaptation.runs.run import Run

    run = Run.open(folder)
    config = run.config
    allow_local_modules(config.family, config.arm or "", config.method, config.engine or "")
    return run
