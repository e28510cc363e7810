"""Move an arm by keys, in small steps, through the gate and the control process."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np

from adaptation.jobs.park import NoTask, open_arm
from hw_interface.arm_world import ArmWorld
from hw_interface.published_signals import published_setpoint
from robots.actions import JointVelocity
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import ArmError
from robots.kinematics import Kinematics
from robots.signals import Array, Spec
from robots.world import Start, Task

TURN_UP = "1234567"  # keys of the joints in order, in their positive direction
TURN_DOWN = "asdfghj"  # in their negative direction
TOOL_UP = "xyz"  # keys of the tool's axes
TOOL_DOWN = "XYZ"
END = "q"
ESCAPE = "\x1b"  # begins what a terminal sends for a special key; letters of motion may follow it
PERIODS = 2  # control periods that a key moves: 0.2 s
WAIT = 0.05  # s that simulated time waits for a key
DAMPING = 1e-4  # m², of the least squares near a singularity


class JogResult(msgspec.Struct, frozen=True):
    """Where an arm stands after it was moved by keys."""

    arm: str
    q: list[float]  # rad, the joints as they were measured
    steps: int  # that keys have asked for


class Keys(Protocol):
    """Where keys come from, see ``OperatorKeys``."""

    def read(self, timeout: float) -> tuple[str, bool]:
        """Wait at most ``timeout`` s; returns the keys pressed and whether to stop the arm."""
        ...


class Jog(NoTask):
    """A family without a task, in which joint velocities are commanded from where the arm is."""

    name = "jog"
    horizon = 2**30

    def __init__(self, arm: ArmSpec, speed: float) -> None:
        """Describe one arm; no joint turns faster than ``speed`` rad/s or its own limit."""
        super().__init__(arm)
        self.limits = arm.move_limits
        self.action = JointVelocity(arm, np.minimum(speed, arm.limits.dq))
        low = arm.limits.q_low.tolist()
        high = arm.limits.q_high.tolist()
        columns = zip(arm.joints, low, high, ["rad"] * len(low), strict=True)
        self.obs = Spec.of(*columns)
        self.begin = arm.rest[None]  # (1, j) rad

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Where the arm is."""
        return Start(self.begin)


class Steps:
    """What the keys ask for: the velocities of the present step."""

    def __init__(self, arm: ArmSpec, tool_speed: float) -> None:
        """``tool_speed`` is that of a step of the tool, m/s; at most the arm's own limit."""
        self.count = 0  # steps that were asked for
        self._kinematics = Kinematics(arm)
        self._tool_speed = min(tool_speed, arm.limits.tool_speed)
        self._joints = len(arm.tool_joints)
        self._key = ""
        self._remaining = 0  # control periods of the present step

    def press(self, key: str) -> bool:
        """Begin the step of a key; a key that moves nothing ends the present one.

        Returns:
            Whether the key moves something.
        """
        is_joint = key in TURN_UP[: self._joints] + TURN_DOWN[: self._joints]
        moves = is_joint or key in TOOL_UP + TOOL_DOWN
        self._key = key
        self._remaining = PERIODS if moves else 0
        self.count += moves
        return moves

    def action(self, q: Array, scale: Array) -> Array:
        """The action (1, j) in [-1, 1] of one control period.

        Args:
            q: (j,) rad, the setpoint.
            scale: (j,) rad/s at an action of 1.
        """
        action = np.zeros((1, len(q)))
        if self._remaining == 0:
            return action
        self._remaining -= 1
        if self._key in TURN_UP:
            action[0, TURN_UP.index(self._key)] = 1.0
        elif self._key in TURN_DOWN:
            action[0, TURN_DOWN.index(self._key)] = -1.0
        else:
            action[0] = self._tool_action(q, scale)
        return action

    def _tool_action(self, q: Array, scale: Array) -> Array:
        """The action (j,) that moves the tool along one axis, or slower in that direction."""
        up = self._key in TOOL_UP
        axis = (TOOL_UP if up else TOOL_DOWN).index(self._key)
        velocity = np.zeros(3)
        velocity[axis] = self._tool_speed if up else -self._tool_speed
        jacobian = self._kinematics.jacobian(q[None])[0, :3]  # (3, j)
        damped = jacobian @ jacobian.T + DAMPING * np.eye(3)
        action: Array = jacobian.T @ np.linalg.solve(damped, velocity) / scale
        return action / max(1.0, float(np.abs(action).max()))


def describe_keys(arm: ArmSpec, speed: float, tool_speed: float) -> str:
    """Which key does what, and how fast."""
    lines = []
    for joint, up, down in zip(arm.tool_joints, TURN_UP, TURN_DOWN, strict=False):
        lines.append(f"{up} {down}  {joint}")
    for up, down in zip(TOOL_UP, TOOL_DOWN, strict=True):
        lines.append(f"{up} {down}  the tool along {up}")
    speed = min(speed, float(arm.limits.dq.max()))
    tool_speed = min(tool_speed, arm.limits.tool_speed)
    bounds = f"at most {speed:g} rad/s, the tool {tool_speed:g} m/s"
    lines.append(f"each key is a step of 0.2 s, {bounds}; {END} ends, any other key stops")
    return "\n".join(lines)


def jog(
    arm: str,
    keys: Keys,
    driver: str = "twin",
    options: dict[str, Any] | None = None,
    speed: float = 0.2,
    tool_speed: float = 0.05,
    tell: Callable[[Array], None] | None = None,
) -> JogResult:
    """Move an arm by keys until ``END`` is pressed, and leave it there with its motors on.

    Args:
        arm: a name in ``ARMS``.
        keys: where keys come from.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        speed: rad/s, the largest of any joint.
        tool_speed: m/s, of the tool's steps.
        tell: gets the joints (j,) rad after each control period; None: nobody.

    Raises:
        BadArgumentError: an option does not exist.
        ArmError: the arm did not come up, or is in a fault; the message says which.
    """
    spec = ARMS[arm]
    family = Jog(spec, speed)
    with open_arm(arm, driver, options, family) as world:
        family.begin = published_setpoint(world.control.state).q
        world.reset(family.sample(world.rng, 1))
        steps = Steps(spec, tool_speed)
        _follow(world, keys, steps, family.action.scale, tell)
        q = world.control.state["q"]
    return JogResult(arm=arm, q=q.tolist(), steps=steps.count)


def _plain(pressed: str) -> str:
    """Keys up to the first special one, such as Shift-Tab, which is a key without a meaning."""
    before, escape, _ = pressed.partition(ESCAPE)
    return before + escape


def _follow(
    world: ArmWorld,
    keys: Keys,
    steps: Steps,
    scale: Array,
    tell: Callable[[Array], None] | None,
) -> None:
    """Obey the keys, one control period after another, until ``END``."""
    pause = 0.0 if world.clock == "realtime" else WAIT
    while True:
        pressed, stop = keys.read(pause)
        if stop:
            world.stop()
        for key in _plain(pressed):
            if key == END:
                return
            steps.press(key)
        setpoint = published_setpoint(world.control.state).q[0]
        world.step(steps.action(setpoint, scale))
        if world.is_latched:
            raise ArmError(f"the arm is in {world.control.explain_mode()}")
        if tell is not None:
            tell(world.control.state["q"])
