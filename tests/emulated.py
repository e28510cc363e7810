"""An arm's emulator in a thread of the test, whose clock stands still until the test moves it.

So no test waits, and none is too late on a busy machine.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import mujoco
import numpy as np

from hw_interface.drivers import serial_bus
from hw_interface.drivers.dynamixel import Dynamixel, DynamixelOptions
from hw_interface.emulators import Physics
from hw_interface.emulators.dynamixel import Bus, BusOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.mujoco_model import compile_model
from robots.scene import Scene
from robots.signals import Array, JointState
from sim.plant import STEP, Plant
from sim.scene_model import build_scene

VIPERX: ArmSpec = ARMS["viperx"]
LONG = 2000.0  # ms, which no answer needs however busy the machine is


class Clock:
    """Time, s, that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class PacedDynamixel(Dynamixel):
    """The driver; one of its ticks passes at the bus with each reading."""

    max_round_trip: ClassVar[float] = 1e-3 * LONG
    clock: Clock

    def read(self) -> JointState:
        self.clock.now += self.capabilities.dt
        return super().read()


class BlockablePlant(Plant):
    """An arm whose first joint, which gravity does not load, may meet a wall.

    The wall does not give way: at it the joint stands, and its servo presses.
    """

    def __init__(self, arm: ArmSpec, q: Array | None = None, gravity: bool = True) -> None:
        super().__init__(arm, q, gravity)
        self._goal, _, _ = super().read()
        self._wall = np.inf  # rad

    def block(self, blocked: bool = True) -> None:
        """Put the wall at the joint's present position, or take it away."""
        q, _, _ = super().read()
        self._wall = q[0] if blocked else np.inf
        self.write(self._goal)

    def write(self, q: Array) -> None:
        self._goal = q.copy()
        reached = q.copy()
        reached[0] = min(q[0], self._wall)
        super().write(reached)

    def read(self) -> tuple[Array, Array, Array]:
        q, dq, tau = super().read()
        pressed_in = max(0.0, self._goal[0] - self._wall)  # rad
        pressing = tau.copy()
        pressing[0] += self.arm.stiffness[0] * pressed_in
        return q, dq, pressing


class CeilingPlant(Plant):
    """An arm whose shoulder, which gravity loads, may meet something above it, and carry a load.

    The ceiling does not give way: the joint stands below it, and its servo presses upward.
    """

    shoulder = 1
    blocked = -1.0  # the direction in which the shoulder is blocked: in this one it lifts the arm

    def __init__(self, arm: ArmSpec, q: Array | None = None) -> None:
        super().__init__(arm, q)
        self._goal = arm.home.copy()
        self._end = np.inf  # rad in this direction: the goal with which the joint arrives there

    def block(self) -> None:
        """Put the ceiling where the joint stands."""
        self._end = self.blocked * self._goal[self.shoulder]

    def load(self, mass: float) -> None:
        """Put a load into the hand, kg."""
        self._model.body_mass[-1] += mass

    @property
    def pressing(self) -> float:
        """The servo's torque beyond what holds the arm, N·m."""
        beyond = self.blocked * self._goal[self.shoulder] - self._end
        return float(self.arm.stiffness[self.shoulder] * max(0.0, beyond))

    def write(self, q: Array) -> None:
        self._goal = q.copy()
        reached = q.copy()
        goal = self.blocked * q[self.shoulder]
        reached[self.shoulder] = self.blocked * min(goal, self._end)
        super().write(reached)

    def read(self) -> tuple[Array, Array, Array]:
        q, dq, tau = super().read()
        tau[self.shoulder] += self.blocked * self.pressing
        return q, dq, tau


class FloorPlant(CeilingPlant):
    """The same with something below it: the servo presses downward."""

    blocked = 1.0


class WallPlant(Plant):
    """An arm whose tool, a ball, may meet a wall of MuJoCo: several joints press on it."""

    radius = 0.02  # m, of the ball
    thickness = 0.02  # m, half of the wall's
    wrist = 4

    def __init__(self, arm: ArmSpec, q: Array) -> None:
        super().__init__(arm, q)
        spec = build_scene(Scene(arm, timestep=STEP))
        box = mujoco.mjtGeom.mjGEOM_BOX
        sides = [self.thickness, 0.5, 0.5]
        spec.worldbody.add_geom(name="wall", type=box, size=sides, pos=[9.0, 0.0, 0.0])
        hand = spec.bodies[-1]
        at_zero = mujoco.MjData(compile_model(spec))
        mujoco.mj_kinematics(at_zero.model, at_zero)
        pose = at_zero.body(hand.name)
        (tool,) = Kinematics(arm).position(np.zeros((1, len(arm.joints))))
        offset = pose.xmat.reshape(3, 3).T @ (tool - pose.xpos)
        ball = mujoco.mjtGeom.mjGEOM_SPHERE
        hand.add_geom(type=ball, size=[self.radius, 0.0, 0.0], pos=offset, mass=0.0)
        self._model = compile_model(spec)
        self._data = mujoco.MjData(self._model)
        self._data.qpos[:] = q
        self._data.ctrl[:] = q

    def block(self) -> None:
        """Put the wall just before the tool, along x."""
        (tool,) = Kinematics(self.arm).position(self._data.qpos[None])
        self._model.geom("wall").pos[0] = tool[0] + self.radius + self.thickness + 1e-3

    @property
    def force(self) -> float:
        """That of the tool on the wall, N."""
        total = 0.0
        wrench = np.zeros(6)
        for number in range(self._data.ncon):
            mujoco.mj_contactForce(self._model, self._data, number, wrench)
            total += wrench[0]
        return float(total)


class PulledPlant(Plant):
    """An arm whose joints may be pulled, as by a load that its URDF does not have."""

    def pull(self, joint: int, torque: float) -> None:
        """Pull a joint with a torque, N·m."""
        self._data.qfrc_applied[joint] = torque


def seconds_to_rest(bus: Bus, clock: Clock, longest: float = 5.0) -> float:
    """How long the joints behind a bus go on moving when nobody speaks to it any more, s."""
    step = 0.002
    standing = 5e-3  # rad/s
    needed = round(0.05 / step)  # steps at rest in a row
    steps_at_rest = 0
    elapsed = 0.0
    while steps_at_rest < needed and elapsed < longest:
        clock.now += step
        bus.pass_time()
        elapsed += step
        _, dq, _ = bus.physics.read()
        at_rest = np.abs(dq).max() < standing
        steps_at_rest = steps_at_rest + 1 if at_rest else 0
    return elapsed - needed * step


@contextmanager
def emulated_bus(
    arm: ArmSpec = VIPERX, physics: Physics | None = None, **options: Any
) -> Iterator[tuple[Bus, Clock]]:
    """A bus that answers as soon as it can."""
    clock = Clock()
    bus = Bus(arm, physics or Plant(arm), BusOptions(**{"wire": False, **options}), clock)
    serving = threading.Thread(target=bus.serve)
    serving.start()
    try:
        yield bus, clock
    finally:
        bus.close()
        serving.join()


@contextmanager
def patient_driver(margin: float = LONG) -> Iterator[None]:
    """The driver waits for every answer at least this long, ms."""
    before = serial_bus.REPLY_MARGIN
    serial_bus.REPLY_MARGIN = margin
    try:
        yield
    finally:
        serial_bus.REPLY_MARGIN = before


@contextmanager
def emulated_arm(
    physics: Physics | None = None, calibration: str = "", arm: ArmSpec = VIPERX
) -> Iterator[tuple[PacedDynamixel, Bus]]:
    """A driver that is not yet connected, and its bus; no goal outside the limits may reach it."""
    with patient_driver(), emulated_bus(arm, physics, calibration=calibration) as (bus, clock):
        driver = PacedDynamixel(arm, None, DynamixelOptions(bus.port, calibration))
        driver.clock = clock
        try:
            yield driver, bus
        finally:
            driver.disconnect()
        assert bus.outside == 0
