"""``pliant park``: bring an arm, or its twin, to its rest pose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptation.commands.arguments import Json, check_name
from adaptation.commands.arm import DriverOptions
from robots.catalog import ARMS

if TYPE_CHECKING:
    from adaptation.runs.records import ParkResult


@dataclass(frozen=True, kw_only=True)
class Park(DriverOptions):
    """Move an arm to its rest pose, inside its limits and around the table, and let it stand there.

    Its tool may be anywhere when this begins. The motors stay on unless --torque-off is given.
    """

    arm: str
    """Arm to bring to its rest pose."""
    torque_off: bool = False
    """Switch the motors off once the arm is in its rest pose."""
    as_json: Json = False

    def run(self) -> "ParkResult":
        """Park the arm."""
        check_name(ARMS, self.arm)
        self.check_names()
        from adaptation.jobs.park import park

        result = park(self.arm, self.driver, self.driver_options, self.torque_off)
        torque = "off" if result.torque_off else "on"
        print(f"{self.arm} is in its rest pose; its motors are {torque}")
        return result
