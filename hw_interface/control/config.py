"""The configuration of the control process."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.world import Family


@dataclass(frozen=True)
class ControlConfig:
    """Everything the control process needs; sent to it once."""

    family: Family
    make_devices: Callable[[], Devices]
    lockstep: bool
    shared: str  # name of the shared memory
    parent: int  # process id of the policy, which may end before the child can query it
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)
