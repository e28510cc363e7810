"""``pliant park``: bring an arm, or its twin, to its rest pose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adaptation.commands.arguments import (
    Json,
    OptionalName,
    OptionalPath,
    Pairs,
    check_name,
    parse_pairs,
)
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS

if TYPE_CHECKING:
    from adaptation.runs.records import ParkResult


@dataclass(frozen=True)
class Park:
    """Move an arm to its rest pose, inside its limits and around the table, and let it stand there.

    Its tool may be anywhere when this begins. The motors stay on unless --torque-off is given.
    """

    arm: str
    """Arm to park."""
    driver: str = "twin"
    """Driver that commands the arm; `pliant list` names them."""
    port: OptionalName = None
    """Port or address of the arm, for a driver that needs one."""
    calibration: OptionalPath = None
    """File with the wiring and zeros of the motors. Default: those of the arm as delivered."""
    driver_set: Pairs = ()
    """Set an option of the driver, such as latency=0.01 of the twin."""
    torque_off: bool = False
    """Switch the motors off once the arm is in its rest pose."""
    as_json: Json = False

    def run(self) -> "ParkResult":
        """Park the arm."""
        check_name(ARMS, self.arm)
        check_name(DRIVERS, self.driver)
        from adaptation.jobs.park import park

        result = park(self.arm, self.driver, self.driver_options, self.torque_off)
        torque = "off" if result.torque_off else "on"
        print(f"{self.arm} is in its rest pose; its motors are {torque}")
        return result

    @property
    def driver_options(self) -> dict[str, Any]:
        """The driver's options that were given."""
        options = parse_pairs("--driver-set", self.driver_set)
        if self.port is not None:
            options.setdefault("port", self.port)
        if self.calibration is not None:
            options.setdefault("calibration", str(self.calibration))
        return options
