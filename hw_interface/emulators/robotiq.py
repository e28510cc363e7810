"""An emulated Robotiq 2F-85 behind Robotiq's URCap, whose fingers are the last simulated joint.

Not emulated: the automatic release, currents, and how FOR acts on fingers that move freely. The
fingers move at the speed of SPE and stop where the force of FOR does not move them on.
"""

import re

import numpy as np

from hw_interface.emulators.fingers import stiff_target
from robots.gripper import Gripper

HIGHEST = 255  # of every variable
COUNTS = (230.0, 3.0)  # POS of the closed and of the open fingers
FORCES = (20.0, 235.0)  # N of each finger, at FOR 0 and 255
SPEEDS = (0.01, 0.075)  # m/s of each finger, at SPE 0 and 255
STANDS = 0.002  # m/s, below which a finger stands
AHEAD = 5e-4  # m, by which the reference is ahead of fingers that are in contact
STROKE_PATIENCE = 2.0  # s, for one stroke of the activation
RESET = 0  # of STA
ACTIVATING = 1
ACTIVE = 3
MOVING = 0  # of OBJ
OPENING_CONTACT = 1
CLOSING_CONTACT = 2
ARRIVED = 3
NOT_ACTIVE = 0x07  # of FLT
ACTIVATION_FAILED = 0x0D
ACKNOWLEDGED = "ack"
WRITABLE = ("ACT", "GTO", "POS", "SPE", "FOR")
SET = re.compile(r"SET( [A-Z]{3} -?\d+)+")


class RobotiqGripper:
    """The gripper's variables, and how its fingers move."""

    def __init__(self, gripper: Gripper, position: float, activated: bool = True) -> None:
        """It stands where its fingers are.

        Args:
            gripper: of the arm.
            position: m, of its fingers.
            activated: whether it is activated.
        """
        self.gripper = gripper
        self.goals = 0  # positions that were requested
        self.outside = 0  # of these, those that are no position
        self.activations = 0  # how often it was activated
        self.fault = 0  # FLT
        self.refuses_activation = False  # fault for tests
        self.stays_inactive = False  # fault for tests: an activation does not end
        self._positions = np.array([gripper.closed, gripper.opened])  # m, at ``COUNTS``
        self._values = dict.fromkeys(WRITABLE, 0)
        self._values["ACT"] = int(activated)
        self._strokes: list[float] = []  # m, goals of the activation that are still to come
        self._stroke_time = 0.0  # s, since the present one began
        self._position = position  # m
        self._velocity = 0.0  # m/s
        self._reference = position  # m, moves to the goal at the speed of SPE
        self.status = ACTIVE if activated else RESET  # STA
        self._values["POS"] = self._count(position)

    def _count(self, position: float) -> int:
        return round(float(np.interp(position, self._positions, COUNTS)))

    def answer(self, line: str) -> str:
        """Execute one line; returns the answer, without the end of the line."""
        request = line.strip()
        if request.startswith("GET "):
            name = request[4:]
            return f"{name} {self._get(name)}"
        if SET.fullmatch(request):
            words = request.split()[1:]
            for name, value in zip(words[::2], words[1::2], strict=True):
                self._set(name, int(value))
            return ACKNOWLEDGED
        return "?"

    def _get(self, name: str) -> int | str:
        shown = {
            "POS": self._count(self._position),
            "PRE": self._values["POS"],
            "STA": self.status,
            "OBJ": self._contact(),
            "FLT": self.fault,
        }
        return (self._values | shown).get(name, "?")

    def _set(self, name: str, value: int) -> None:
        if name not in WRITABLE:
            return
        if name == "POS":
            self.goals += 1
            self.outside += not 0 <= value <= HIGHEST
            if self.status != ACTIVE:
                self.fault = NOT_ACTIVE
        if name == "ACT" and value != self._values["ACT"]:
            self._activate(value)
        self._values[name] = min(max(value, 0), HIGHEST)

    def _activate(self, value: int) -> None:
        """Take the activation bit: 0 resets the gripper, 1 lets it open and close its fingers."""
        self.status = RESET
        self._values["GTO"] = 0
        self._strokes = []
        self.fault = 0
        if value and self.refuses_activation:
            self.fault = ACTIVATION_FAILED
        elif value:
            self.activations += 1
            self.status = ACTIVATING
            self._stroke_time = 0.0
            closed, opened = self._positions
            self._strokes = [opened, closed, opened]

    def reset(self) -> None:
        """Lose the activation, as at a power cut."""
        self._values["ACT"] = 0
        self._activate(0)

    @property
    def _goal(self) -> float | None:
        """Where the fingers go, m; None: they stay."""
        if self._strokes:
            return self._strokes[0]
        if self.status != ACTIVE or not self._values["GTO"]:
            return None
        closed, opened = COUNTS
        return float(np.interp(self._values["POS"], [opened, closed], self._positions[::-1]))

    @property
    def _force(self) -> float:
        """The bound of the motor, N, of both fingers together."""
        return 2 * float(np.interp(self._values["FOR"], (0, HIGHEST), FORCES))

    def _contact(self) -> int:
        """OBJ."""
        goal = self._goal
        if goal is None or self._count(self._position) == self._count(goal):
            return ARRIVED
        ahead = self._reference - self._position
        if abs(self._velocity) > STANDS or abs(ahead) < AHEAD:
            return MOVING
        return CLOSING_CONTACT if ahead < 0 else OPENING_CONTACT

    def advance(self, dt: float, position: float, velocity: float) -> float:
        """Let ``dt`` s pass; returns the target, m, of the fingers' simulated spring.

        Args:
            dt: s.
            position: m, of the fingers.
            velocity: m/s.
        """
        self._position = position
        self._velocity = velocity
        goal = self._goal
        if goal is not None:
            speed = float(np.interp(self._values["SPE"], (0, HIGHEST), SPEEDS))
            step = (SPEEDS[1] if self._strokes else speed) * dt
            self._reference += float(np.clip(goal - self._reference, -step, step))
        self._advance_activation(dt)
        return stiff_target(self.gripper, self._reference, position, self._force)

    def _advance_activation(self, dt: float) -> None:
        if not self._strokes or self.stays_inactive:
            return
        self._stroke_time += dt
        arrived = self._reference == self._strokes[0]
        if not arrived and self._stroke_time < STROKE_PATIENCE:
            return
        self._stroke_time = 0.0
        self._strokes = self._strokes[1:]
        if not self._strokes:
            self.status = ACTIVE
