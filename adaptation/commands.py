"""The commands: a dataclass each, whose fields are its options and whose ``run`` gives the JSON answer.

They import what they need when they run, so that help and ``list`` come at once.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from adaptation.errors import BadArgumentError
from hw_interface.drivers import DRIVERS
from hw_interface.emulators import EMULATORS
from policies import METHODS
from robots.catalog import ARMS
from robots.registry import Registry
from sim import ENGINES
from sim.families import FAMILIES

Json = Annotated[bool, arg(name="json", help="Print one JSON object as the last line.")]
Clock = Literal["lockstep", "wall"]


@dataclass(frozen=True)
class List:
    """Name the families, methods, arms, engines, drivers and emulators there are."""

    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """The registries' names."""
        tables = {"families": FAMILIES, "methods": METHODS, "arms": ARMS, "engines": ENGINES, "drivers": DRIVERS}
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
    set: tuple[str, ...] = ()
    """Settings of the method, each NAME=VALUE, nested ones as in sac.lr=0.0003."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Train or resume."""
        settings = self._checked()
        from adaptation.checkpoint import configured, engine_for, family_named
        from adaptation.meta_train import train
        from adaptation.run import RunConfig

        out = self.out or Path("runs") / f"{self.method}-{self.family}-{self.seed}"
        if self.resume:
            self._agree(out, settings)
            last = train(out)
        else:  # what is impossible is refused before anything is written
            configured(str(self.method), str(self.family), settings)
            engine_for(family_named(str(self.family)), self.engine)
            asked = {name: getattr(self, name) for name in RunConfig.__struct_fields__ if hasattr(self, name)}
            last = train(out, RunConfig(**asked, settings=settings))
        print(f"trained {out}: {last['iteration']} iterations, {last['seconds']:.1f} s")
        return {"run": str(out), **last}

    def _checked(self) -> dict[str, Any]:
        if not (self.resume and self.out) and (self.method is None or self.family is None):
            raise BadArgumentError("train needs a METHOD and --family FAMILY, or --resume --out RUN")
        for table, name in ((METHODS, self.method), (FAMILIES, self.family), (ENGINES, self.engine)):
            if name is not None:
                known(table, name)
        positive(iterations=self.iterations, minutes=self.minutes, save_seconds=self.save_seconds)
        return _settings(self.set)

    def _agree(self, out: Path, settings: dict[str, Any]) -> None:
        """Refuse to go on with a run as something that it is not."""
        from adaptation.run import read_config

        config, untouched = read_config(out), Train()
        asked = {name: getattr(self, name) for name in config.__struct_fields__ if hasattr(self, name)}
        changed = {name: value for name, value in asked.items() if value != getattr(untouched, name)}
        for name, value in (changed | ({"settings": settings} if settings else {})).items():
            if value != getattr(config, name):
                raise BadArgumentError(f"{out} was begun with {name} {getattr(config, name)!r}, not {value!r}")


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
        from adaptation.evaluate import evaluate
        from adaptation.statistics import table

        result = evaluate(self.folder, self.tasks, self.episodes, self.split, self.engine, self.seed)
        print(table(result))
        return result


@dataclass(frozen=True)
class AtArm:
    """What every command says that drives an arm."""

    folder: Annotated[Positional[Path], arg(name="run", metavar="RUN")]
    """The run folder."""
    arm: str
    """The arm to drive."""
    driver: str = "twin"
    """What stands between us and the arm."""
    port: str | None = None
    """Where the arm is plugged in, for a driver that asks."""
    calibration: Path | None = None
    """How its servos are wired and where their zeros lie, for a driver that asks; as it left its maker unless given."""

    @property
    def options(self) -> dict[str, str]:
        """The driver's options, those that were given."""
        given = {"port": self.port, "calibration": self.calibration}
        return {name: str(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Deploy(AtArm):
    """Let a trained policy drive an arm, adapting as it goes, inside the arm's limits."""

    seconds: float = 10.0
    """How long, s."""
    clock: Clock = "wall"
    """Whose time: the wall's, or as fast as the twin's physics goes."""
    seed: int = 0
    """Of the object that the twin draws."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Drive, and say what the gate did and how the loop kept time."""
        known(ARMS, self.arm)
        known(DRIVERS, self.driver)
        positive(seconds=self.seconds)
        from adaptation.trial import deploy

        result = deploy(self.folder, self.arm, self.driver, self.seconds, self.clock, self.seed, self.options)
        print(f"{result['episodes']} episodes, {result['seconds']:.1f} s, verdicts {result['verdicts'] or 'none'}")
        print(f"loop: {result['timing']}")
        return result


@dataclass(frozen=True)
class Trial(AtArm):
    """Try a run on new objects through an arm, one after another, with and without adaptation.

    A trial that was stopped goes on where it was when started again with the same arguments.
    """

    objects: int = 20
    """How many held-out objects."""
    episodes: int | None = None
    """Episodes per object; the family's number unless given."""
    clock: Clock | None = None
    """Whose time: the wall's, or as fast as the twin's physics goes, which a twin does unless told."""
    wall_episodes: int = 0
    """With --clock lockstep: also run so many episodes at the wall's pace, to prove the rates."""
    workers: int = 2
    """Processes that share the objects in lockstep, each with a twin of its own."""
    seed: int = 0
    """Of the objects."""
    out: Path | None = None
    """The trial folder; RUN/trial unless given."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Run the trial and print its table."""
        known(ARMS, self.arm)
        known(DRIVERS, self.driver)
        positive(objects=self.objects, episodes=self.episodes, workers=self.workers)
        from adaptation.statistics import table
        from adaptation.trial import TrialConfig, own_clock, trial

        config = TrialConfig(
            run=str(self.folder),
            arm=self.arm,
            driver=self.driver,
            objects=self.objects,
            episodes=self.episodes,
            clock=self.clock or own_clock(self.driver),
            wall_episodes=self.wall_episodes,
            seed=self.seed,
            options=self.options,
        )
        result = trial(config, self.out or self.folder / "trial", self.workers)
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
        from adaptation.report import report

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
        from adaptation.view import view

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
        from hw_interface.recorder import recover

        messages = recover(self.file)
        print(f"{messages} messages in {self.file}")
        return {"file": str(self.file), "messages": messages}


@dataclass(frozen=True)
class Emulate:
    """Stand in for an arm's controller: its protocol before simulated physics, for whoever has no arm on the desk."""

    emulator: Positional[str]
    """The protocol; `pliant list` names them."""
    arm: str
    """The arm to be."""
    calibration: Path | None = None
    """How its servos are wired and where their zeros lie; as it left its maker unless given."""
    seconds: float | None = None
    """For how long, s; until Ctrl-C unless given."""
    as_json: Json = False

    def run(self) -> dict[str, Any]:
        """Serve, and count what came."""
        known(EMULATORS, self.emulator)
        known(ARMS, self.arm)
        positive(seconds=self.seconds)
        from adaptation.emulate import emulate

        calibration = str(self.calibration) if self.calibration else ""
        result = emulate(self.emulator, self.arm, calibration, self.seconds)
        print(f"{result['goals']} goals came, {result['outside']} of them beyond the arm's limits")
        return result


COMMANDS = (List, Train, Evaluate, Deploy, Trial, Report, View, Recover, Emulate)


def known(table: Registry, name: str) -> None:
    """Refuse a name that is not in a registry, naming what is."""
    if name not in table:
        raise BadArgumentError(f"no {table.kind} named {name!r}; there are: {', '.join(sorted(table))}")


def positive(**numbers: float | None) -> None:
    """Refuse a number that is not above zero."""
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise BadArgumentError(f"--{name.replace('_', '-')} must be above 0, got {value}")


def _settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadArgumentError(f"--set takes NAME=VALUE, got {pair!r}")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    return settings
