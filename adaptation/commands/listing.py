"""``pliant list`` and ``pliant settings``: the names that exist, and what can be set."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json, OptionalName, Pairs, check_name, parse_pairs
from hw_interface.drivers import DRIVERS
from hw_interface.emulators import EMULATORS
from hw_interface.trackers import TRACKERS
from policies.methods import METHODS
from robots.catalog import ARMS
from robots.counting import counted
from sim.engines import ENGINES
from sim.families import FAMILIES
from sim.metaworld.names import PREFIX as METAWORLD
from sim.metaworld.names import metaworld_names
from sim.suite.names import PREFIX as SUITE
from sim.suite.names import suite_names
from sim.task_samplers import TASK_SAMPLERS

if TYPE_CHECKING:
    from policies.settings import Setting
    from robots.world import Family

REGISTRIES = {
    "families": FAMILIES,
    "methods": METHODS,
    "arms": ARMS,
    "engines": ENGINES,
    "samplers": TASK_SAMPLERS,
    "drivers": DRIVERS,
    "trackers": TRACKERS,
    "emulators": EMULATORS,
}
HEADINGS = ("setting", "value", "source", "unit", "meaning")


@dataclass(frozen=True)
class List:
    """List the families, methods, arms, engines, task samplers, drivers, trackers and emulators.

    The tasks of dm_control's suite and of Meta-World are families as well; their names begin with
    suite/ and metaworld/.
    """

    as_json: Json = False

    def run(self) -> dict[str, list[str]]:
        """Print the names of every registry."""
        names = {kind: sorted(table) for kind, table in REGISTRIES.items()}
        for kind, entries in names.items():
            print(f"{kind:<9} {' '.join(entries) or '-'}")
        more_families = {SUITE: suite_names(), METAWORLD: metaworld_names()}
        for prefix, entries in more_families.items():
            names[prefix.rstrip("/")] = entries
            print(f"{prefix:<9} {' '.join(entry.removeprefix(prefix) for entry in entries)}")
        return names


@dataclass(frozen=True)
class Settings:
    """List every setting of a method for a family: value, source, unit and meaning.

    The ranges from which the family's tasks are drawn are listed at the end.

    The source of a value is the default, derived (from the family's shapes and horizon), the
    preset's file, or --set. `pliant train ... --set NAME=VALUE` changes any of them.
    """

    method: Annotated[Positional[str], arg(metavar="METHOD")]
    """Method; `pliant list` names them."""
    family: str
    """Family of tasks, or package.module:Class for one of your own."""
    arm: OptionalName = None
    """Arm of a family that takes one, such as reach. Default: the family's own."""
    preset: str = "cpu"
    """Budget that the preset is tuned for, cpu or paper; or a .toml file of your own."""
    set: Pairs = ()
    """Change a setting, such as sac.hidden=64,64."""
    as_json: Json = False

    def run(self) -> dict[str, object]:
        """Print the settings and the length of a full training."""
        check_name(METHODS, self.method)
        check_name(FAMILIES, self.family)
        check_name(ARMS, self.arm)
        from adaptation.problem import problem_of
        from adaptation.runs import checkpoint
        from adaptation.runs.range_settings import split_ranges
        from policies.config import MethodConfig
        from policies.presets import load_preset, resolve_preset
        from policies.settings import estimate, list_settings

        changes = parse_pairs("--set", self.set)
        budget, changes = resolve_preset(self.method, self.preset, changes)
        family = checkpoint.family_for(self.family, self.arm, changes)
        config = checkpoint.method_config(self.method, family, budget, changes)
        ranges, changes = split_ranges(changes)
        problem = problem_of(family)
        preset = load_preset(self.method, family.name, budget)
        settings = list_settings(type(config), problem, preset, changes)
        sources = {"preset": f"preset {family.name}.toml", "set": "--set"}
        if budget != self.preset:
            sources["set"] = f"{self.preset} or --set"
        entries = [describe_setting(setting, sources) for setting in settings]
        entries += describe_ranges(family, ranges, sources["set"])
        rows = [[format_value(value) for value in entry.values()] for entry in entries]
        print_table(HEADINGS, rows)
        answer: dict[str, object] = {
            "method": self.method,
            "family": self.family,
            "arm": self.arm,
            "preset": self.preset,
            "settings": entries,
            "steps": None,
            "gradient_steps": None,
        }
        if isinstance(config, MethodConfig):  # others do not report their gradient steps
            steps, gradient_steps = estimate(config, problem)
            answer["steps"] = steps
            answer["gradient_steps"] = gradient_steps
            of_environment = counted(steps, "environment step")
            print(f"full training: {of_environment}, {counted(gradient_steps, 'gradient step')}")
        return answer


def describe_setting(setting: "Setting", sources: dict[str, str]) -> dict[str, object]:
    """A setting with the source of its value in words, where ``sources`` names it."""
    return {
        "name": setting.name,
        "value": setting.value,
        "source": sources.get(setting.source, setting.source),
        "unit": setting.unit,
        "meaning": setting.meaning,
    }


def describe_ranges(
    family: "Family", changed: Collection[str], source: str
) -> list[dict[str, object]]:
    """A family's ranges as settings; ``source`` is where those that are changed come from."""
    from sim.randomization import HELDOUT, PREFIX, parameters_of, range_names

    entries: list[dict[str, object]] = []
    for name, parameter in range_names(parameters_of(family)).items():
        drawn = parameter.of("heldout" if name.endswith(HELDOUT) else "train")
        entry: dict[str, object] = {
            "name": f"{PREFIX}.{name}",
            "value": drawn.numbers,
            "source": source if name in changed else "default",
            "unit": parameter.unit,
            "meaning": f"{drawn.distribution}; {parameter.meaning}",
        }
        entries.append(entry)
    return entries


def format_value(value: object) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, tuple | list):
        return ",".join(str(item) for item in value)
    return "none" if value is None else str(value)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain aligned columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*headings)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())
