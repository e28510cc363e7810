"""A session with one arm: it runs trials with one object after another and records them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from adaptation.background import Background
from adaptation.jobs.arm_options import (
    check_clock,
    check_fields,
    check_options,
    default_clock,
    task_is_known,
)
from adaptation.jobs.episode_recorder import EpisodeRecorder
from adaptation.jobs.object_labels import Labels, label_of
from adaptation.jobs.operator_console import EndedByOperator, OperatorConsole
from adaptation.jobs.placing import OperatorPlacer
from adaptation.jobs.recording_notes import notes_of, trial_message
from adaptation.jobs.visit import Visit, behind_of
from adaptation.rollout import Policy, rollout
from adaptation.runs.records import EpisodeRecord
from adaptation.runs.run import Run
from hw_interface.arm_world import ArmWorld
from hw_interface.devices import BringsPlacer, check_scene
from hw_interface.drivers import DRIVERS
from hw_interface.final_state import describe_final_state
from hw_interface.recording.process import RecordTo
from hw_interface.trackers import TRACKERS
from robots.catalog import ARMS
from robots.driver import ObjectPlacer
from robots.errors import PliantError
from robots.world import Family, Task
from sim.own_objects import object_names

if TYPE_CHECKING:
    from adaptation.live.client import LivePage  # only where a page was asked for

UPDATE_SHARE = 0.5  # share of a control period for which a tick waits for its own belief update


@dataclass(frozen=True)
class Ending:
    """Errors after a session's last episode; None if there was none."""

    recording_error: str | None = None
    park_error: str | None = None


class ArmSession:
    """An arm that a driver commands, paced by a clock; a context manager that opens and closes it.

    Attributes:
        family: what the arm is to do.
        clock: ``lockstep`` (time waits for the policy, simulated arms only) or ``realtime``.
        world: the open arm.
    """

    world: ArmWorld

    def __init__(
        self,
        family: Family,
        arm: str,
        driver: str = "twin",
        clock: str | None = None,
        options: dict[str, Any] | None = None,
        seed: int = 0,
        record_to: Path | None = None,
        tracker: str | None = None,
        tracker_options: dict[str, Any] | None = None,
        run: Run | None = None,
        operator: OperatorConsole | None = None,
        park: bool = False,
        labels: Labels | None = None,
    ) -> None:
        """Check that the arm can be opened this way; nothing is connected and nothing moves.

        Args:
            family: what the arm is to do.
            arm: a name in ``ARMS``.
            driver: a name in ``DRIVERS``.
            clock: None: the driver's own, see ``default_clock``.
            options: of the driver; a driver that draws random numbers gets ``seed`` besides.
            seed: of episode starts, and of the driver.
            record_to: folder that gets the next ``recording-N.mcap``; None: no recording.
            tracker: a name in ``TRACKERS``; None: none, or the own one of a simulated arm.
            tracker_options: of the tracker.
            run: of the policies; for the recording, and for the latency that they expect.
            operator: the person at the arm; None: nobody holds, stops or watches it.
            park: whether to move to the rest pose after a session without an error.
            labels: how the person at the arm calls the objects.

        Raises:
            UnknownNameError: no arm or driver of this name.
            MissingExtraError: the driver needs a package that is not installed.
            BadArgumentError: an option or the clock is not possible, or there are several objects.
        """
        self.family = family
        self.clock = clock or default_clock(driver)
        self._arm = ARMS[arm]
        self._driver = driver
        self._options = check_options(driver, options or {}, seed)
        self._seed = seed
        self._record_to: RecordTo | None = None
        if record_to is not None:
            notes = {"driver": driver, "seed": str(seed), "run": "", **notes_of(run)}
            self._record_to = RecordTo(record_to, notes)
        self._tracker = tracker
        self._tracker_options = tracker_options
        self._operator = operator
        self._park = park
        self._latency = 0.0 if run is None else run.latency
        self._labels = labels or Labels()
        self._parked = False
        self._park_error: str | None = None
        kind = DRIVERS[driver]
        check_scene(family.scene, kind.capabilities)
        check_clock(driver, self.clock)
        kind(self._arm, family.scene, kind.Options(**self._options))

    def __enter__(self) -> Self:
        """Connect the arm.

        Raises:
            ArmError: the arm did not come up.
            BadArgumentError: the tracker has no such option.
        """
        operator = self._operator
        ask = input if operator is None else operator.ask
        needs_placer = bool(self.family.scene.objects) and not task_is_known(self._driver)
        self.world = ArmWorld(
            self.family,
            self._arm,
            driver=self._driver,
            driver_options=self._options,
            clock=self.clock,
            record_to=self._record_to,
            seed=self._seed,
            placer=self._find_placer(ask) if needs_placer else None,
            tracker=self._tracker,
            tracker_options=self._tracker_options,
            latency=self._latency,
        )
        if operator is not None:
            operator.attach(self.world)
        return self

    def _find_placer(self, ask: Callable[[str], object]) -> ObjectPlacer:
        """What the tracker's options name, such as an emulator; else the person at the arm."""
        placer = None
        if self._tracker is not None:
            kind = TRACKERS[self._tracker]
            options = self._tracker_options or {}
            check_fields(f"the tracker {self._tracker!r}", kind.Options, options)
            if isinstance(kind, BringsPlacer):
                placer = kind.find_placer(kind.Options(**options))
        return placer or OperatorPlacer(self.family, ask, self._labels)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Park the arm if that was asked for, see ``ending``, then stop and disconnect it."""
        # all of these are called, in reverse order, even if Ctrl-C interrupts one of them
        with ExitStack() as steps:
            if self._operator is not None:
                steps.callback(self._report_end, self._operator)
            steps.callback(self.world.close)
            if self._operator is not None:
                steps.callback(self._operator.detach)
            in_order = error is None or issubclass(error, EndedByOperator)
            if self._park and in_order:
                self._park_arm()

    def _park_arm(self) -> None:
        """Move to the rest pose, once an operator who holds the arm has released it."""
        wait_until_free = self.world.wait_for_operator
        try:
            if wait_until_free is not None:
                wait_until_free()
            self.world.moves.park()
            self._parked = True
        except PliantError as error:
            self._park_error = str(error)
        except KeyboardInterrupt:
            if self._operator is None or not self._operator.end_requested:
                raise
            self._park_error = "the operator asked for the end before"

    @property
    def ending(self) -> Ending:
        """What went wrong at the end of a session that is closed."""
        return Ending(self.world.recorder.failure, self._park_error)

    def _report_end(self, operator: OperatorConsole) -> None:
        control = self.world.control
        status = control.process.exitcode
        end = describe_final_state(control.final_state, status, self._arm.gripper)
        if self._parked:
            end += ", parked"
        if self._park_error is not None:
            end += f", not parked: {self._park_error}"
        recorder = self.world.recorder
        operator.report_end(end, recorder.path, recorder.failure is None)

    def run_object(
        self,
        name: str,
        policy: Policy[Any],
        task: Task,
        explore: list[bool],
        number: int = 0,
        must_count: bool = True,
    ) -> list[EpisodeRecord]:
        """Run one trial with one object.

        Args:
            name: of the policy, for the records.
            policy: what to act by.
            task: the object, one task.
            explore: whether each episode explores.
            number: of the object among the trial's, for the records.
            must_count: whether any fault invalidates the trial, even if the operator cleared it.

        Returns:
            One record per episode; fewer than requested if the operator ended the trial.

        Raises:
            ArmError: the arm went into FAULT; the trial is cut short and does not count.
        """
        operator = self._operator
        if operator is not None:
            real_arm = DRIVERS[self._driver].capabilities.realtime
            operator.begin_object(number, waits_for_clear=not must_count, real_arm=real_arm)
        decorrelate_rng(policy, number, len(task.names))
        with pace(policy, self.world) as paced:
            recorder = EpisodeRecorder(self.world, paced)
            self.world.recorder.log(f"object {number}, policy {name}")
            self.world.recorder.write("/trial", trial_message(name, task, explore, number))
            page = self._begin_page(number, name, policy, task)
            behind = behind_of(paced)
            visit = Visit(self.world, task, recorder, behind, operator, page)
            trial = rollout(
                self.world,
                recorder.policy,
                task,
                len(explore),
                explore,
                visit.follow,
                visit.after_episode,
            )
            recorder.collect_events()
        recorder.judge_belief(policy, trial.ticks[-1])
        if must_count or self.world.is_latched:
            recorder.refuse_fault(must_count)
        most_stale = paced.most_stale if isinstance(paced, Background) else 0
        return visit.describe(name, number, trial, self.clock, most_stale)

    def _begin_page(
        self, number: int, name: str, policy: Policy[Any], task: Task
    ) -> "LivePage | None":
        """Announce an object on the live page, where there is one."""
        page = None if self._operator is None else self._operator.page
        if page is not None:
            (object_name,) = object_names(self.family, task)
            called = str(label_of(self._labels, number)) or object_name
            shown = str(number + 1) if called is None else f"{number + 1} ({called})"
            page.begin(shown, name, policy, task)
        return page


def decorrelate_rng(policy: Policy[Any], number: int, task_dim: int) -> None:
    """Advance a policy's random stream by the object's number.

    Every object then has its own random numbers, independent of the objects before it.
    """
    n = number + 2
    policy.prior(n, torch.zeros(n, task_dim) if policy.privileged else None)


@contextmanager
def pace(policy: Policy[Any], world: ArmWorld) -> Iterator[Policy[Any]]:
    """The policy: unchanged in lockstep; in real time its belief updates run in the background."""
    if world.clock == "lockstep":
        yield policy
        return
    with Background(policy, UPDATE_SHARE * world.dt) as background:
        yield background
