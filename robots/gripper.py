"""Grippers: two fingers that one motor moves apart and together, at the flange of an arm.

The motor is the last of the arm's joints, so that the gate, the recorder, the contract and the
engines treat it like every other one. It does not move the tool, whose frame is between the
fingertips.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from robots.errors import BadArgumentError
from robots.linkage import Linkage
from robots.signals import Array, JointState, Mask, Signals

HOLDS = 0.5  # share of the force that is asked for, from which something is between the fingers
STANDS = 0.002  # m/s, below which a finger stands


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper. Its position is the distance of each finger from the middle.

    In simulation a spring and a damper pull the motor to its setpoint, as every other joint. Two
    fingers share the motor's force: a setpoint d beyond the surface of an object presses each of
    them on it with stiffness · d / 2.

    Raises:
        BadArgumentError: a number is not finite and positive, or the fingers cannot move.
    """

    name: str
    urdf: Path  # its base link is mounted at the flange
    joint: str  # the driven finger's; the other finger follows it by <mimic>
    tool: str  # name of the link between the fingertips
    closed: float  # m, position of the closed fingers
    opened: float  # m, position of the open fingers
    speed: float  # m/s, of each finger
    acceleration: float  # m/s²
    jerk: float  # m/s³
    force: float  # N, the motor's: each finger presses with half of it
    stiffness: float  # N/m, of the motor's servo
    damping: float  # N·s/m
    armature: float  # kg, reflected inertia of the motor
    # How a rotating servo moves the fingers, where a driver of servos moves them; None: it cannot.
    linkage: Linkage | None = None

    def __post_init__(self) -> None:
        """Check every number; see the class."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not (np.isfinite(value) and value >= 0):
                raise BadArgumentError(f"gripper {self.name}: {field.name} cannot be {value}")
        for name in ("speed", "acceleration", "jerk", "force", "stiffness"):
            if getattr(self, name) == 0:
                raise BadArgumentError(f"gripper {self.name}: {name} must be positive")
        if self.opened <= self.closed:
            raise BadArgumentError(
                f"gripper {self.name}: opened at {self.opened} m, closed at {self.closed} m"
            )

    @property
    def limits(self) -> dict[str, float]:
        """The limits of its motor, by their names in ``Limits``."""
        return {
            "q_low": self.closed,
            "q_high": self.opened,
            "dq": self.speed,
            "ddq": self.acceleration,
            "jerk": self.jerk,
            "tau": self.force,
        }

    def squeeze(self, half_width: float, force: Array) -> Array:
        """The setpoints (n,) m that press each finger with ``force`` (n,) N on an object.

        Args:
            half_width: m, of the object between the fingers.
            force: N, of each finger.
        """
        beyond = 2 * force / self.stiffness
        return np.maximum(half_width - beyond, self.closed)

    def holds(self, signals: Signals, force: float) -> Mask:
        """Whether something is between the fingers, (n,): they stand and press, not yet closed.

        Args:
            signals: of an arm with this gripper.
            force: N, with which each finger is to press.
        """
        return self._grasps(signals.q[:, -1], signals.dq[:, -1], signals.tau[:, -1], force)

    def has_grasped(self, state: JointState, force: float) -> bool:
        """The same of one reading of an arm."""
        return bool(self._grasps(state.q[-1:], state.dq[-1:], state.tau[-1:], force)[0])

    def _grasps(self, position: Array, velocity: Array, motor: Array, force: float) -> Mask:
        """Whether fingers (n,) hold something: position m, velocity m/s, force of the motor N."""
        presses = -motor / 2 > HOLDS * force
        stands = np.abs(velocity) < STANDS
        grasps: Mask = presses & stands & (position > self.closed)
        return grasps
