"""``pliant gap``: how much two physics engines differ on a family."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import (
    Json,
    OptionalName,
    OptionalPath,
    check_counts,
    check_name,
    check_seed,
    open_run,
)
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from sim.engines import ENGINES
from sim.families import FAMILIES, full_name

if TYPE_CHECKING:
    from adaptation.runs.gap_records import EngineGap
    from robots.world import Family

Engines = Annotated[tuple[str, ...], arg(metavar="NAME NAME", help_behavior_hint="")]


@dataclass(frozen=True)
class Gap:
    """Give the same commands to the same tasks in two engines: how far apart do they end?

    Tasks, starts and commands are the same, and nothing corrects on the way. The table shows how
    far joints, tool and objects are apart over time, and how outcomes correlate across tasks.
    """

    family: Annotated[Positional[str], arg(metavar="FAMILY")]
    """Family of tasks, or package.module:Class for one of your own."""
    arm: OptionalName = None
    """Arm of a family that takes one, such as reach. Default: the family's own."""
    engines: Engines = ()
    """Two physics engines. Default: the first two that support the family's scene."""
    tasks: int = 32
    """Number of tasks."""
    split: Literal["train", "heldout"] = "heldout"
    """Tasks from the training ranges, or from held-out ranges."""
    seed: int = 0
    """Random seed of the tasks, their starts and the random commands."""
    folder: Annotated[OptionalPath, arg(name="run", metavar="RUN")] = None
    """Replay what this run's adapted policy does in the first engine. Default: random commands."""
    as_json: Json = False

    def run(self) -> "EngineGap":
        """Simulate in both engines and print the table."""
        check_name(FAMILIES, self.family)
        check_name(ARMS, self.arm)
        for name in self.engines:
            check_name(ENGINES, name)
        check_seed(self.seed)
        check_counts(tasks=self.tasks)
        from adaptation.jobs.gap import measure_gap
        from adaptation.reporting.gap_table import gap_table
        from sim.families import make_family

        run = None if self.folder is None else open_run(self.folder)
        family: Family = make_family(self.family, self.arm)
        if run is not None:
            trained = full_name(run.config.family, run.config.arm)
            if run.config.family != self.family or run.arm != family.body.name:
                asked = full_name(self.family, self.arm)
                raise BadArgumentError(f"{self.folder} was trained on {trained}, not on {asked}")
            family = run.family  # with the run's ranges
        gap = measure_gap(family, self.engines, self.tasks, self.split, self.seed, run)
        print(gap_table(gap))
        return gap
