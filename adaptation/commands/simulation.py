"""The commands: a dataclass each, whose fields are its options and whose ``run`` gives the JSON answer.

They import what they need when they run, so that help and ``list`` come at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json, Pairs, known, named_values, positive
from adaptation.commands.arm import Deploy, Emulate, Trial
from hw_interface.drivers import DRIVERS
from hw_interface.emulators import EMULATORS
from policies.methods import METHODS
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from sim.engines import ENGINES
from sim.families import FAMILIES


@dataclass(frozen=True)
class List:
    """Name the families, methods, arms, engines, drivers and emulators there are."""

    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """The registries' names."""
        tables = {
            "families": FAMILIES,
            "methods": METHODS,
            "arms": ARMS,
            "engines": ENGINES,
            "drivers": DRIVERS,
        }
        tables["emulators"] = EMULATORS
        names = {kind: sorted(table) for kind, table in tables.items()}
        print("\n".join(f"{kind:<9} {' '.join(found)}" for kind, found in names.items()))
        return names


@dataclass(frozen=True)
class Train:
    """Meta-train a method in simulation, its blind and oracle references beside it.

    Without --iterations and --minutes the method's own schedule is followed. A training bounded by iterations is the
    same bit for bit each time, killed and resumed or not; one bounded by minutes is not.
    """

    method: Positional[str | None] = None
    """A method; `pliant list` names them. Not needed with --resume."""
    family: str | None = None
    """A family of tasks."""
    seed: int = 0
    """Of everything random."""
    out: Path | None = None
    """The run folder; runs/METHOD-FAMILY-SEED unless given."""
    resume: bool = False
    """Go on with the run in --out where its last checkpoint left it."""
    iterations: int | None = None
    """Stop after so many lessons."""
    minutes: float | None = None
    """Stop after so much wall time."""
    engine: str | None = None
    """The physics to train in; the family's own unless given."""
    references: bool = True
    """Also train the blind and oracle policies that results are judged between."""
    save_seconds: float = 20.0
    """Wall time between checkpoints, s."""
    set: Pairs = ()
    """A setting of the method, NAME=VALUE, a nested one as in sac.lr=0.0003; again for each."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Train or resume."""
        settings = self._checked()
        from adaptation.jobs.train import train
        from adaptation.runs.checkpoint import configured, engine_for, family_named
        from adaptation.runs.run import RunConfig

        out = self.out or Path("runs") / f"{self.method}-{self.family}-{self.seed}"
        if self.resume:
            self._agree(out, settings)
            last = train(out)
        else:  # what is impossible is refused before anything is written
            configured(str(self.method), str(self.family), settings)
            engine_for(family_named(str(self.family)), self.engine)
            asked = {
                name: getattr(self, name)
                for name in RunConfig.__struct_fields__
                if hasattr(self, name)
            }
            last = train(out, RunConfig(**asked, settings=settings))
        print(f"trained {out}: {last['iteration']} iterations, {last['seconds']:.1f} s")
        return {"run": str(out), **last}

    def _checked(self) -> dict[str, Any]:
        if not (self.resume and self.out) and (self.method is None or self.family is None):
            raise BadArgumentError(
                "train needs a METHOD and --family FAMILY, or --resume --out RUN"
            )
        for table, name in (
            (METHODS, self.method),
            (FAMILIES, self.family),
            (ENGINES, self.engine),
        ):
            if name is not None:
                known(table, name)
        positive(iterations=self.iterations, minutes=self.minutes, save_seconds=self.save_seconds)
        return named_values("--set", self.set)

    def _agree(self, out: Path, settings: dict[str, Any]) -> None:
        """Refuse to go on with a run as something that it is not."""
        from adaptation.runs.run import read_config

        config, untouched = read_config(out), Train()
        asked = {
            name: getattr(self, name) for name in config.__struct_fields__ if hasattr(self, name)
        }
        changed = {
            name: value for name, value in asked.items() if value != getattr(untouched, name)
        }
        for name, value in (changed | ({"settings": settings} if settings else {})).items():
            if value != getattr(config, name):
                raise BadArgumentError(
                    f"{out} was begun with {name} {getattr(config, name)!r}, not {value!r}"
                )


@dataclass(frozen=True)
class Evaluate:
    """Judge a run in simulation: adapted, frozen, blind and oracle on the same tasks and seeds."""

    folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """The run folder."""
    tasks: int = 64
    """How many tasks."""
    episodes: int | None = None
    """Episodes per task; the family's number unless given."""
    split: Literal["train", "heldout"] = "heldout"
    """Whether the tasks come from the training ranges or from outside them."""
    engine: str | None = None
    """The physics to judge in; the family's own unless given."""
    seed: int = 0
    """Of the tasks and their disturbances."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Evaluate and print the table."""
        if self.engine is not None:
            known(ENGINES, self.engine)
        positive(tasks=self.tasks, episodes=self.episodes)
        from adaptation.jobs.evaluate import evaluate
        from adaptation.reporting.statistics import table

        result = evaluate(
            self.folder, self.tasks, self.episodes, self.split, self.engine, self.seed
        )
        print(table(result))
        return result


@dataclass(frozen=True)
class Report:
    """Render a run or trial folder as one HTML page that needs no network."""

    folder: Annotated[Positional[Path], arg(name="dir", metavar="DIR")]
    """A run folder or a trial folder."""
    out: Path | None = None
    """The page; DIR/report.html unless given."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Write the page."""
        if not self.folder.is_dir():
            raise BadArgumentError(f"no folder {self.folder}")
        from adaptation.reporting.report import report

        page = report(self.folder, self.out or self.folder / "report.html")
        print(f"wrote {page}")
        return {"report": str(page)}


@dataclass(frozen=True)
class View:
    """Look at a family: a video where there is no screen, MuJoCo's viewer where there is one."""

    family: Positional[str]
    """A family of tasks."""
    out: Path | None = None
    """Write a video here instead of opening a window."""
    seed: int = 0
    """Of the task shown."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Show it."""
        known(FAMILIES, self.family)
        from adaptation.jobs.view import view

        shown = view(self.family, self.out, self.seed)
        return {"family": self.family, "video": shown and str(shown)}


@dataclass(frozen=True)
class Recover:
    """Mend a recording that was cut by a kill."""

    file: Positional[Path]
    """An .mcap file."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Rebuild the recording's index."""
        if not self.file.is_file():
            raise BadArgumentError(f"no file {self.file}")
        from hw_interface.recording.recorder import recover

        messages = recover(self.file)
        print(f"{messages} messages in {self.file}")
        return {"file": str(self.file), "messages": messages}


COMMANDS = (List, Train, Evaluate, Deploy, Trial, Report, View, Recover, Emulate)
