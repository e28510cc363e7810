"""``pliant deploy`` and ``pliant trial``: drive an arm, or its twin, with a trained policy."""

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from adaptation.commands.arguments import (
    Incomplete,
    Json,
    OptionalInt,
    OptionalName,
    OptionalPath,
    Pairs,
    RunFolder,
    check_counts,
    check_name,
    check_positive,
    check_seed,
    open_run,
    parse_numbers,
    parse_pairs,
    read_tried_objects,
)
from adaptation.commands.arm_results import is_complete, print_deployed, print_trial
from hw_interface.drivers import DRIVERS
from hw_interface.trackers import TRACKERS
from robots.catalog import ARMS
from robots.errors import BadArgumentError

if TYPE_CHECKING:
    from adaptation.jobs.deploy import DeployResult
    from adaptation.jobs.trial_folder import TrialConfig
    from adaptation.live.client import LivePage
    from adaptation.runs.records import TrialResult
    from adaptation.runs.run import Run
    from robots.mesh_object import MeshObject
    from robots.world import Family

Clock = Literal["lockstep", "realtime"]
CountOrFolder = Annotated[str, arg(metavar="COUNT|FOLDER")]
DEFAULT_OBJECTS = 20
OptionalPayload = Annotated[str | None, arg(metavar="MASS,X,Y,Z", help_behavior_hint="")]
LIVE_PORT = 8080
LARGEST_PORT = 65_535
OptionalPort = Annotated[tuple[int, ...] | None, arg(metavar="[PORT]", help_behavior_hint="")]
OptionalClock = Annotated[Clock | None, arg(metavar="{lockstep,realtime}", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class DriverOptions:
    """The options of every command that commands an arm."""

    driver: str = "twin"
    """Driver that commands the arm; `pliant list` names them."""
    port: OptionalName = None
    """Port or address of the arm, for a driver that needs one."""
    calibration: OptionalPath = None
    """File with the wiring and zeros of the motors. Default: those of the arm as delivered."""
    payload: OptionalPayload = None
    """Mass in kg and center of mass in m, in the frame of the flange, of tool and load together."""
    driver_set: Pairs = ()
    """Set an option of the driver, such as latency=0.01 of the twin."""

    def check_names(self) -> None:
        """Refuse drivers that do not exist."""
        check_name(DRIVERS, self.driver)

    @property
    def driver_options(self) -> dict[str, Any]:
        """The driver's options that were given."""
        options = parse_pairs("--driver-set", self.driver_set)
        if self.port is not None:
            options.setdefault("port", self.port)
        if self.calibration is not None:
            options.setdefault("calibration", str(self.calibration))
        if self.payload is not None:
            options.setdefault("payload", parse_numbers("--payload", self.payload))
        return options


@dataclass(frozen=True, kw_only=True)
class ArmOptions(DriverOptions):
    """The options of every command that drives an arm with a run's policies."""

    folder: RunFolder
    arm: OptionalName = None
    """Arm to drive. Default: the one that the run was trained for."""
    tracker: OptionalName = None
    """Tracker that measures the object. Default: the driver's own, which a twin has."""
    tracker_set: Pairs = ()
    """Set an option of the tracker."""
    latency: float = 0.0
    """The arm's delay from setpoint to motion, s, over which a method that plans predicts; see
    `pliant calibrate latency`."""
    park: bool = False
    """Bring the arm to its rest pose at the end, as park does; its motors stay on."""
    live: OptionalPort = None
    """Serve a live page at http://127.0.0.1:PORT, on this computer only. Default port: 8080."""

    def check_names(self) -> None:
        """Refuse arms, drivers and trackers that do not exist."""
        super().check_names()
        check_name(ARMS, self.arm)
        check_name(TRACKERS, self.tracker)

    def check(self) -> None:
        """Refuse what can be refused before a run is opened."""
        self.check_names()
        if self.live is not None:
            check_port(self.live)

    def live_page(self, family: "Family", arm: str) -> "AbstractContextManager[LivePage | None]":
        """The page that was asked for; it is served once it is entered."""
        if self.live is None:
            return nullcontext()
        from adaptation.live.client import LivePage
        from adaptation.live.plan import plan_page

        port = self.live[0] if self.live else LIVE_PORT
        return LivePage(plan_page(port, family, arm, self.driver), family)

    @property
    def tracker_options(self) -> dict[str, Any]:
        """The tracker's options that were given."""
        return parse_pairs("--tracker-set", self.tracker_set)


@dataclass(frozen=True, kw_only=True)
class Deploy(ArmOptions):
    """Let a trained policy drive an arm inside the arm's limits and adapt while it acts.

    On a terminal: space holds or releases the arm, s stops it until c clears the fault, q ends
    after the episode. SIGUSR1 to this process stops the arm too.
    """

    seconds: float = 10.0
    """Time to drive, s."""
    clock: Clock = "realtime"
    """realtime; or lockstep, in which time waits for the policy (simulated arms only)."""
    seed: int = 0
    """Random seed of the simulated object."""
    as_json: Json = False

    def run(self) -> "DeployResult | Incomplete":
        """Drive the arm and print what the gate did and how the loop kept time."""
        self.check()
        check_positive(seconds=self.seconds)
        check_seed(self.seed)
        run = open_run(self.folder).with_latency(self.latency)
        from adaptation.jobs.deploy import deploy
        from adaptation.jobs.operator_console import OperatorConsole

        arm = self.arm or run.arm
        with self.live_page(run.family, arm) as page, OperatorConsole(page) as operator:
            result = deploy(
                run,
                arm,
                driver=self.driver,
                seconds=self.seconds,
                clock=self.clock,
                seed=self.seed,
                options=self.driver_options,
                tracker=self.tracker,
                tracker_options=self.tracker_options,
                operator=operator,
                park=self.park,
            )
            print_deployed(result)
        return result if is_complete(result) else Incomplete(result)


@dataclass(frozen=True, kw_only=True)
class Trial(ArmOptions):
    """Try a run on new objects through an arm: one object after another, each with every policy.

    A trial that was stopped resumes when it is started again with the same arguments. Keys and
    signals are those of deploy; also r runs the episode again, and n goes on to the next object.
    """

    objects: CountOrFolder = "20"
    """Number of held-out objects; or a folder of your own objects (objects.toml and meshes)."""
    tasks: OptionalInt = None
    """Number of tasks with a folder, whose objects come up in turn. Default: 20."""
    episodes: OptionalInt = None
    """Episodes per object. Default: the family's number."""
    clock: OptionalClock = None
    """As for deploy. Default: lockstep for a simulated arm, else realtime."""
    realtime_episodes: int = 0
    """Further episodes in real time after a trial in lockstep, to measure the control loop."""
    workers: int = 2
    """Processes that share the objects in lockstep, each with its own twin."""
    seed: int = 0
    """Random seed of the objects."""
    labels: OptionalPath = None
    """Names, masses and photos of the real objects: a TOML file, or a folder of photos."""
    out: OptionalPath = None
    """Trial folder. Default: RUN/trial."""
    as_json: Json = False

    def run(self) -> "TrialResult | Incomplete":
        """Run the trial and print its table."""
        self.check()
        is_count = self.objects.removeprefix("-").isdecimal()
        count = int(self.objects) if is_count else self.tasks or DEFAULT_OBJECTS
        if is_count and self.tasks is not None:
            raise BadArgumentError("--tasks belongs to --objects FOLDER; else give --objects COUNT")
        check_counts(objects=count, tasks=self.tasks, episodes=self.episodes, workers=self.workers)
        check_seed(self.seed)
        if self.realtime_episodes < 0:
            raise BadArgumentError(
                f"--realtime-episodes must not be negative, got {self.realtime_episodes}"
            )
        labels = None
        if self.labels is not None:
            from adaptation.jobs.object_labels import read_labels

            labels = read_labels(self.labels)
        run = open_run(self.folder).with_latency(self.latency)
        own = read_tried_objects(run, None if is_count else Path(self.objects))
        from adaptation.jobs.operator_console import EndedByOperator, OperatorConsole
        from adaptation.jobs.trial import run_trial
        from adaptation.jobs.tried_objects import tried_family

        config = self._config(run, count, own)
        folder = self.out or self.folder / "trial"
        try:
            with (
                self.live_page(tried_family(run, own), config.arm) as page,
                OperatorConsole(page, guides=True) as operator,
            ):
                result = run_trial(run, config, folder, self.workers, operator, labels)
                print_trial(result)
        except EndedByOperator as end:  # no error; finished objects are kept
            print(f"pliant: {end}", file=sys.stderr)
            return Incomplete({"ended": str(end)})
        return result if is_complete(result) else Incomplete(result)

    def _config(self, run: "Run", count: int, own: "tuple[MeshObject, ...]") -> "TrialConfig":
        """What the trial does, with ``count`` objects, or tasks with objects of the user's own."""
        from adaptation.jobs.arm_options import default_clock
        from adaptation.jobs.trial_folder import TrialConfig

        return TrialConfig(
            run=str(self.folder),
            arm=self.arm or run.arm,
            driver=self.driver,
            objects=count,
            own_objects=own,
            episodes=self.episodes,
            clock=self.clock or default_clock(self.driver),
            realtime_episodes=self.realtime_episodes,
            seed=self.seed,
            latency=self.latency,
            options=self.driver_options,
            tracker=self.tracker,
            tracker_options=self.tracker_options,
            park=self.park,
        )


def check_port(given: tuple[int, ...]) -> None:
    """Refuse several ports, or a number that is none.

    Raises:
        BadArgumentError: see above.
    """
    if len(given) > 1:
        raise BadArgumentError(f"--live takes one port, got {len(given)}")
    if given and not 0 <= given[0] <= LARGEST_PORT:
        raise BadArgumentError(f"--live takes a port from 0 to {LARGEST_PORT}, got {given[0]}")
