"""``pliant park``, ``move`` and ``jog``: bring an arm, or its twin, to a pose."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from adaptation.commands.arguments import Flag, Incomplete, Json, check_name, check_positive
from adaptation.commands.arm import DriverOptions
from adaptation.commands.confirming import confirmation
from robots.catalog import ARMS
from robots.errors import BadArgumentError

if TYPE_CHECKING:
    from adaptation.jobs.jog import JogResult
    from adaptation.jobs.move import MoveResult
    from adaptation.jobs.park import ParkResult
    from robots.signals import Array


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
        from adaptation.jobs.arm_options import check_driver
        from adaptation.jobs.park import park

        check_driver(self.arm, self.driver, self.driver_options)
        result = park(self.arm, self.driver, self.driver_options, self.torque_off)
        torque = "off" if result.torque_off else "on"
        print(f"{self.arm} is in its rest pose; its motors are {torque}")
        return result


@dataclass(frozen=True, kw_only=True)
class Move(DriverOptions):
    """Move an arm to a pose, inside its limits and around the table, and let it stand there.

    Before moving, it prints what will move, how far and how fast; a real arm then waits for Enter.
    """

    arm: str
    """Arm to move."""
    to: Annotated[str, arg(metavar="{home,rest,Q1,Q2,...}")]
    """Its home pose, its rest pose, or an angle for each joint, rad."""
    yes: Flag = False
    """Do not wait for Enter."""
    as_json: Json = False

    def run(self) -> "MoveResult | Incomplete":
        """Move the arm."""
        check_name(ARMS, self.arm)
        self.check_names()
        from adaptation.jobs.arm_options import check_driver
        from adaptation.jobs.move import move, parse_pose

        check_driver(self.arm, self.driver, self.driver_options)
        goal = parse_pose(ARMS[self.arm], self.to)
        confirm = confirmation(self.driver, self.yes)
        result = move(self.arm, goal, self.driver, self.driver_options, confirm)
        if not result.moved:
            print(f"{self.arm} has not moved")
            return Incomplete(result)
        print(f"{self.arm} is there; its motors are on")
        return result


@dataclass(frozen=True, kw_only=True)
class Jog(DriverOptions):
    """Move an arm by keys: each key is a small step of a joint or of the tool, inside the limits.

    It prints the keys before; a real arm then waits for Enter. The arm stops when no key is
    pressed, and at once with space or any key that has no meaning. The motors stay on.
    """

    arm: str
    """Arm to move."""
    speed: float = 0.2
    """Largest velocity of a joint, rad/s."""
    tool_speed: float = 0.05
    """Velocity of the tool's steps, m/s."""
    yes: Flag = False
    """Do not wait for Enter."""
    as_json: Json = False

    def run(self) -> "JogResult | Incomplete":
        """Move the arm until q is pressed."""
        check_name(ARMS, self.arm)
        self.check_names()
        check_positive(speed=self.speed, tool_speed=self.tool_speed)
        if not sys.stdin.isatty():
            raise BadArgumentError("jog takes keys, and there is no terminal: use move")
        from adaptation.jobs.arm_options import check_driver
        from adaptation.jobs.jog import describe_keys, jog
        from hw_interface.operator_keys import OperatorKeys

        check_driver(self.arm, self.driver, self.driver_options)
        keys = describe_keys(ARMS[self.arm], self.speed, self.tool_speed)
        if not confirmation(self.driver, self.yes)(keys):
            print(f"{self.arm} has not moved")
            return Incomplete({"moved": False})
        show_pose = _show_pose if sys.stderr.isatty() else None
        with OperatorKeys() as operator:
            result = jog(
                self.arm,
                operator,
                self.driver,
                self.driver_options,
                self.speed,
                self.tool_speed,
                show_pose,
            )
        if show_pose is not None:
            print(file=sys.stderr)  # the pose stays on its line
        angles = " ".join(f"{angle:.3f}" for angle in result.q)
        print(f"{self.arm} stands at {angles} rad; its motors are on")
        return result


def _show_pose(q: "Array") -> None:
    """Show joint positions on one line, which the next ones replace."""
    angles = " ".join(f"{angle:7.3f}" for angle in q.tolist())
    print(f"\r{angles} rad", end="", file=sys.stderr, flush=True)
