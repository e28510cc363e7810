"""The devices of one control process: driver, tracker and placer, and how they are built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from robots.arm import ArmSpec
from robots.driver import Capabilities, Driver, ObjectPlacer, SimulatedArm, Tracker
from robots.errors import BadArgumentError
from robots.scene import Scene

CLOCKS = ("lockstep", "realtime")

DeviceOptions = Any  # a dataclass of the device's own, its class attribute ``Options``


@dataclass(frozen=True)
class Devices:
    """The devices of one arm; each is called from the control process only."""

    driver: Driver
    tracker: Tracker | None = None
    placer: ObjectPlacer | None = None


def check_one_object(scene: Scene) -> None:
    """Refuse a scene of several objects: a tracker measures one, and one is placed.

    Raises:
        BadArgumentError: there are several; the message names them.
    """
    if len(scene.objects) > 1:
        raise BadArgumentError(
            f"an arm handles one object, and the task has {len(scene.objects)}: {scene.description}"
        )


def check_scene(scene: Scene, capabilities: Capabilities) -> None:
    """Refuse a scene that an arm cannot handle, or cannot feel as its family observes it.

    Raises:
        BadArgumentError: see ``check_one_object``; also if the scene's wrench is measured, and the
            driver measures none.
    """
    check_one_object(scene)
    if scene.measures_wrench and not capabilities.wrench:
        raise BadArgumentError("the task needs the force at the tool, which the driver lacks")


def check_tracker(scene: Scene, tracker: object | None) -> None:
    """Refuse an arm that cannot see what its family observes.

    Raises:
        BadArgumentError: there is no tracker for the object, or there are several objects.
    """
    check_one_object(scene)
    if scene.objects and tracker is None:
        raise BadArgumentError("the task has an object, which the arm cannot see: give a tracker")


class DriverKind(Protocol):
    """A driver's class, as ``DRIVERS`` lists it."""

    capabilities: Capabilities
    Options: Callable[..., DeviceOptions]

    def __call__(self, arm: ArmSpec, scene: Scene, options: DeviceOptions) -> Driver:
        """Build the driver; touches no hardware."""
        ...


class TrackerKind(Protocol):
    """A tracker's class, as ``TRACKERS`` lists it."""

    Options: Callable[..., DeviceOptions]

    def __call__(self, arm: ArmSpec, options: DeviceOptions) -> Tracker:
        """Build the tracker and let it begin to measure."""
        ...


@runtime_checkable
class BringsPlacer(Protocol):
    """A tracker's class whose options may name what places the object, such as an emulator."""

    Options: Callable[..., DeviceOptions]

    def find_placer(self, options: DeviceOptions) -> ObjectPlacer | None:
        """The placer; None: a person places the object."""
        ...


@dataclass(frozen=True)
class DevicePlan:
    """How to build the devices; sent to the control process, which builds and owns them.

    Raises:
        BadArgumentError: the arm has a gripper, which the driver does not move.
    """

    arm: ArmSpec
    scene: Scene
    driver: DriverKind
    driver_options: dict[str, Any]
    tracker: TrackerKind | None = None
    tracker_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an arm that the driver moves in part only."""
        gripper = self.arm.gripper
        if gripper is not None and not self.driver.capabilities.gripper:
            raise BadArgumentError(
                f"the driver does not move the gripper {gripper.name} of {self.arm.name}"
            )

    def build(self) -> Devices:
        """Build all devices; a simulated arm brings its own tracker and placer."""
        driver = self.driver(self.arm, self.scene, self.driver.Options(**self.driver_options))
        if not driver.capabilities.realtime:
            simulated = cast(SimulatedArm, driver)
            return Devices(simulated, simulated.tracker, simulated.placer)
        if self.tracker is None:
            return Devices(driver)
        options = self.tracker.Options(**(self.tracker_options or {}))
        return Devices(driver, self.tracker(self.arm, options))

    def check_clock(self, clock: str) -> None:
        """Refuse a clock that does not exist or that the driver does not allow.

        Raises:
            BadArgumentError: it is such a clock.
        """
        if clock not in CLOCKS:
            raise BadArgumentError(f"clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
        if clock == "lockstep" and self.driver.capabilities.realtime:
            message = "the driver moves a real arm"
            raise BadArgumentError(f"{message}: use the clock realtime, not lockstep")

    def check_object(self, placer: ObjectPlacer | None) -> None:
        """Refuse objects that cannot be placed or seen, and devices that a simulated arm has.

        Raises:
            BadArgumentError: it is such a device, there is no placer or no tracker, there are
                several objects, or the driver lacks the force at the tool.
        """
        check_scene(self.scene, self.driver.capabilities)
        if self.driver.capabilities.realtime:
            if self.scene.objects and placer is None:
                raise BadArgumentError("the driver cannot place an object: give a placer")
            check_tracker(self.scene, self.tracker)
            return
        if self.tracker is not None or placer is not None:
            raise BadArgumentError("a simulated arm brings its own tracker and placer")
