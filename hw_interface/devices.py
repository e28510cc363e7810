"""The devices of one control process: driver, tracker and placer, and how they are built."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from robots.arm import ArmSpec
from robots.driver import Capabilities, Driver, ObjectPlacer, SimulatedArm, Tracker
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.world import Family

DeviceOptions = Any  # a dataclass of the device's own, its class attribute ``Options``


@dataclass(frozen=True)
class Devices:
    """The devices of one arm; each is called from the control process only."""

    driver: Driver
    tracker: Tracker | None = None
    placer: ObjectPlacer | None = None


def check_tracker(family: Family, tracker: object | None) -> None:
    """Refuse an arm that cannot see the object which its family observes.

    Raises:
        BadArgumentError: there is no tracker.
    """
    if family.scene.loose_object and tracker is None:
        raise BadArgumentError(
            f"{family.name} observes an object, which the arm cannot see: give a tracker"
        )


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


@dataclass(frozen=True)
class DevicePlan:
    """How to build the devices; sent to the control process, which builds and owns them."""

    arm: ArmSpec
    scene: Scene
    driver: DriverKind
    driver_options: dict[str, Any]
    tracker: TrackerKind | None = None
    tracker_options: dict[str, Any] | None = None

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
