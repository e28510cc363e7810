"""The commands at an arm, or at what stands in for one; see ``commands``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json, Pairs, known, named_values, positive
from hw_interface.drivers import DRIVERS
from hw_interface.emulators import EMULATORS
from robots.catalog import ARMS

Clock = Literal["lockstep", "wall"]


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

    driver_set: Pairs = ()
    """Another option of the driver, NAME=VALUE, as in latency=0.01 of the twin; again for each."""

    @property
    def options(self) -> dict[str, Any]:
        """The driver's options, those that were given."""
        given = {"port": self.port, "calibration": self.calibration and str(self.calibration)}
        return {k: v for k, v in given.items() if v is not None} | named_values(
            "--driver-set", self.driver_set
        )


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
        from adaptation.jobs.trial import deploy

        result = deploy(
            self.folder, self.arm, self.driver, self.seconds, self.clock, self.seed, self.options
        )
        print(
            f"{result['episodes']} episodes, {result['seconds']:.1f} s, verdicts {result['verdicts'] or 'none'}"
        )
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
        from adaptation.jobs.trial import TrialConfig, default_clock, trial
        from adaptation.reporting.statistics import table

        config = TrialConfig(
            run=str(self.folder),
            arm=self.arm,
            driver=self.driver,
            objects=self.objects,
            episodes=self.episodes,
            clock=self.clock or default_clock(self.driver),
            wall_episodes=self.wall_episodes,
            seed=self.seed,
            options=self.options,
        )
        result = trial(config, self.out or self.folder / "trial", self.workers)
        print(table(result))
        return result


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
        from adaptation.jobs.emulate import emulate

        calibration = str(self.calibration) if self.calibration else ""
        result = emulate(self.emulator, self.arm, calibration, self.seconds)
        print(f"{result['goals']} goals came, {result['outside']} of them beyond the arm's limits")
        return result
