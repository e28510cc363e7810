"""The motion that an arm's driver is told when a policy acts at random: setpoints, jerk, torque."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.mujoco_model import compile_model
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState
from sim.families.reach import Reach
from sim.scene_model import build_scene

STANDING = 0.1  # s after enable, before the first action; and at the end, after the last one
BEGIN = 100.0  # s, on the clock of the controller


class FollowingArm:
    """A Driver of an arm that is always where it was told to be, and notes what it was told."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=0.002, realtime=False, torque=False, holds_weight=True
    )

    def __init__(self, arm: ArmSpec, q: Array) -> None:
        """``q`` (j,) rad: where it stands."""
        self.arm = arm
        self.written: list[Array] = []  # (j,) rad each
        self._q = q
        self._dq = np.zeros_like(q)
        self._stamp = 0.0  # s
        self._condition = Condition.DISABLED

    def connect(self) -> None:
        """Nothing to connect to."""

    def enable(self) -> None:
        """Follow commands from now on."""
        self._condition = Condition.READY

    def read(self) -> JointState:
        """Where it is; it measures no torque."""
        self._stamp += self.capabilities.dt
        unknown = np.full_like(self._q, np.nan)
        return JointState(self._q, self._dq, unknown, self._stamp, self._condition)

    def write(self, command: Command) -> None:
        """Be there at once."""
        self.written.append(command.q.copy())
        self._q = command.q.copy()
        self._dq = command.dq.copy()

    def stop(self) -> None:
        """Ignore commands."""
        self._condition = Condition.DISABLED

    def torque_off(self) -> None:
        """It does not fall."""
        self.stop()

    def disconnect(self) -> None:
        """Nothing to disconnect from."""


class FollowingFranka(FollowingArm):
    """The same at the rate of the driver ``franka``."""

    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=0.004, realtime=False, torque=False, holds_weight=True
    )


DRIVERS = {"fr3": FollowingFranka, "ur5e": FollowingArm}  # with the ticks of franka and ur


def random_actions(family: Reach, rate: int, duration: float, seed: int = 0) -> Array:
    """Actions (k, 3), one after the other at ``rate`` Hz: full speed in random directions.

    They are drawn so that a tool which follows them at once stays in the zone of the goals.
    """
    rng = np.random.default_rng(seed)
    zone = family.zone
    step = zone.speed / rate  # m
    moved = np.zeros(3)  # m, from the center of the zone
    actions = rng.choice([-1.0, 1.0], (round(rate * duration), 3))
    for action in actions:
        leaves = np.abs(moved + step * action) > zone.half_range
        action[leaves] *= -1
        moved += step * action
    return actions


def drive(arm: ArmSpec, rate: int, duration: float, seed: int = 0) -> Array:
    """Positions (n, j) rad that the driver is told, from enable to rest, one each tick.

    Raises:
        RuntimeError: the controller reports a fault, so that the arm did not follow the policy.
    """
    family = Reach(arm)
    driver = DRIVERS[arm.name](arm, family.ready)
    events: list[Event] = []

    def report(event: Event, detail: float) -> None:
        events.append(event)

    controller = ArmController(family, Devices(driver), report, WatchdogConfig())
    controller.start()
    dt = driver.capabilities.dt
    standing = round(STANDING / dt)
    for tick in range(standing):
        controller.tick(BEGIN + tick * dt)

    actions = random_actions(family, rate, duration, seed)
    begin = BEGIN + standing * dt
    controller.watchdog.arm(begin)
    posted = 0
    for tick in range(round(duration / dt)):
        now = begin + tick * dt
        if posted < len(actions) and now >= begin + posted / rate:
            controller.set_action(posted + 1, now, actions[posted])
            posted += 1
        controller.tick(now)

    controller.end_episode()
    end = begin + duration
    while not controller.at_rest:
        controller.tick(end)
        end += dt
    for tick in range(standing):
        controller.tick(end + tick * dt)
    if controller.watchdog.latched:
        raise RuntimeError(f"{arm.name} did not follow the policy: {events}")
    return np.array(driver.written)


@dataclass(frozen=True)
class Motion:
    """What a driver sees of a motion at each of n ticks, (n, j) each; rad, s and N·m."""

    dt: float  # s between two ticks
    q: Array
    velocity: Array
    acceleration: Array
    jerk: Array
    torque: Array
    torque_rate: Array

    def quantities(self) -> dict[str, Array]:
        """What has a limit, by name."""
        return {
            "velocity": self.velocity,
            "acceleration": self.acceleration,
            "jerk": self.jerk,
            "torque": self.torque,
            "torque rate": self.torque_rate,
        }


def difference(values: Array, dt: float) -> Array:
    """The rate of change (n, j) since the tick before; the first row is zero: at rest before."""
    return np.diff(values, axis=0, prepend=values[:1]) / dt


def analyze(arm: ArmSpec, q: Array, dt: float) -> Motion:
    """The motion behind positions (n, j) rad, ``dt`` s apart, that begin at rest."""
    velocity = difference(q, dt)
    acceleration = difference(velocity, dt)
    jerk = difference(acceleration, dt)
    torque = inverse_dynamics(arm, q, velocity, acceleration)
    return Motion(dt, q, velocity, acceleration, jerk, torque, difference(torque, dt))


def inverse_dynamics(arm: ArmSpec, q: Array, dq: Array, ddq: Array) -> Array:
    """Torques (n, j) N·m of the motors that move the arm like this: weight, links and rotors.

    The arm's model has no friction, and its servos' damping is left out.
    """
    spec = build_scene(Scene(arm))
    for link in spec.bodies[1:]:
        link.gravcomp = 0.0
    model = compile_model(spec)
    model.dof_damping[:] = 0.0
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    data = mujoco.MjData(model)

    torque = np.empty_like(q)
    for row in range(len(q)):
        data.qpos[:] = q[row]
        data.qvel[:] = dq[row]
        data.qacc[:] = ddq[row]
        mujoco.mj_inverse(model, data)
        torque[row] = data.qfrc_inverse
    return torque


def shares(motion: Motion, limits: Mapping[str, Array]) -> dict[str, Array]:
    """What each joint uses of its limits, (n, j), by name; 1 is the limit."""
    quantities = motion.quantities()
    return {name: np.abs(quantities[name]) / limit for name, limit in limits.items()}
