"""Emulated arms in processes of their own, on which ``fault_matrix.py`` provokes faults."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from fault_rows import driver_of
from standstill import SAMPLING, WalledPlant

from hw_interface.control.pacing import become_realtime
from hw_interface.emulators import EMULATORS
from robots.signals import Array, Command, Condition, JointState
from sim.twin import Twin, TwinOptions

NAMESPACE = "fault_matrix"  # of the arm under ros2_control
ADDRESS = "127.43.0.1"  # of the emulated controllers that are reached by one
TURN = 652  # ticks, 1 rad
RADIAN = 1.0  # by which a wild reading is wrong
HOUR = 3600.0  # s
PUSH = 60.0  # N, above every arm's ``Limits.force``


class FaultyPlant(WalledPlant):
    """An arm that may meet a wall, and whose first joint may be stuck."""

    stuck = False
    shift = 0.0  # rad added to the positions that are reported
    slip: float | Array = 0.0  # rad by which the motors' own sensors are wrong

    def write(self, q: Array) -> None:
        """Set the joints' target; a stuck joint stays."""
        target = q.copy()
        if self.stuck:
            target[0] = self._data.ctrl[0]
        super().write(target - self.slip)

    @property
    def speed(self) -> Array:
        """That of the joints, (j,) rad/s."""
        speed: Array = self._data.qvel[self._dq]
        return speed

    def jam(self, jammed: bool) -> None:
        """Keep the fingers from opening any further, or let them open again."""
        gripper = self.arm.gripper
        assert gripper is not None
        finger = self._model.joint(gripper.joint)
        finger.range[1] = self._data.qpos[self._q[-1]] if jammed else gripper.opened

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        q, dq, tau = super().read()
        return q + self.shift, dq, tau

    def meet_wall(self) -> None:
        """Put the wall where the first joint is."""
        self.wall = float(self._data.qpos[0])


@dataclass(frozen=True)
class FaultyTwinOptions(TwinOptions):
    """The twin's, and a file with the name of the fault that is on."""

    faults: str = ""


class FaultyTwin(Twin):
    """The twin, with faults of the arm and of its readings; it counts its commands beside them."""

    Options = FaultyTwinOptions
    _wall = np.inf  # rad
    _goals = 0
    _outside = 0
    _last: JointState | None = None

    @property
    def _fault(self) -> str:
        assert isinstance(self.options, FaultyTwinOptions)
        return Path(self.options.faults).read_text()

    def write(self, command: Command) -> None:
        """Send a command, and count it."""
        limits = self.arm.limits
        self._goals += len(command.q)
        self._outside += int((~((limits.q_low <= command.q) & (command.q <= limits.q_high))).sum())
        assert isinstance(self.options, FaultyTwinOptions)
        if self._fault == "stuck" and self._last is not None:
            q = command.q.copy()
            q[0] = self._last.q[0]
            command = Command(q, command.dq)
        super().write(command)

    def read(self) -> JointState:
        """One tick, and what a fault leaves of its reading.

        Raises:
            OSError: the link is cut.
        """
        fault = self._fault
        if fault == "cut":
            raise OSError("the link is cut")
        if fault == "hang":
            time.sleep(20.0)
        state = super().read()
        self._tell(state)
        self._put_wall(fault == "contact", state)
        if fault not in ("lost", "silent", "frozen") or self._last is None:
            self._last = _spoiled(fault, state)
        return self._last

    def _tell(self, state: JointState) -> None:
        """Write when, s, how many targets arrived and were outside, and the true speeds, rad/s."""
        assert isinstance(self.options, FaultyTwinOptions)
        numbers = [time.monotonic(), self._goals, self._outside, *state.dq]
        unfinished = Path(f"{self.options.faults}.new")
        unfinished.write_text(" ".join(map(str, numbers)))
        unfinished.replace(f"{self.options.faults}.told")

    def _put_wall(self, there: bool, state: JointState) -> None:
        wall = min(self._wall, state.q[0]) if there else np.inf
        if wall == self._wall:
            return
        self._wall = wall
        (drive,) = self.engine._drives
        world = drive.world
        limits = self.arm.limits
        low, high = limits.q_low[0], min(wall, limits.q_high[0])
        joint = world.joints[0]
        world.client.changeDynamics(world.body, joint, jointLowerLimit=low, jointUpperLimit=high)


def _spoiled(fault: str, state: JointState) -> JointState:
    """A reading with a fault."""
    if fault == "nan":
        return replace(state, q=np.full_like(state.q, np.nan))
    if fault in ("glitch", "jump"):
        return replace(state, q=state.q + RADIAN)
    if fault == "estop":
        return replace(state, condition=Condition.EXTERNAL_STOP)
    if fault == "error":
        return replace(state, condition=Condition.ERROR)
    if fault == "force":
        return replace(state, wrench=np.array([PUSH, 0.0, 0.0, 0.0, 0.0, 0.0]))
    if fault in ("ahead", "back"):
        return replace(state, stamp=state.stamp + (HOUR if fault == "ahead" else -HOUR))
    return state


@dataclass
class Motion:
    """What was seen at the arm since a moment."""

    stood: float  # s after that moment, when it came to rest first
    moved: float  # s after it, when it moved last
    fastest: float  # share of a joint's velocity limit
    goals: int  # position targets that arrived since the arm was started, one for each joint
    outside: int  # of these, those outside the arm's limits
    holds: bool = False  # whether a gripper holds its object


Provocations = dict[str, Callable[[Any, FaultyPlant], None]]


def emulate(pipe: Connection, column: str, arm_name: str) -> None:
    """The arm's process: serves its controller, and takes calls from the pipe."""
    driver = driver_of(column)
    become_realtime()  # an arm does not wait for other programs
    from fault_grippers import HALF_WIDTH, arm_of, family_of, holds, mend
    from fault_provocations import PROVOCATIONS

    arm = arm_of(arm_name)
    kind = EMULATORS[driver]
    plant = FaultyPlant(arm, family_of(arm_name).ready, gravity=not kind.holds_weight)
    if arm.gripper is not None:
        plant.put_between(HALF_WIDTH)
    emulator = kind(arm, plant, kind.Options(**emulator_options(driver)))
    samples: list[tuple[float, float, float]] = []  # s, rad/s, share of the limit

    def sample() -> None:
        while True:
            speed = np.abs(plant.speed)
            samples.append((time.monotonic(), speed.max(), (speed / arm.limits.dq).max()))
            time.sleep(SAMPLING)

    def answer() -> None:
        while True:
            name, since = pipe.recv()
            if name == "motion":
                counted = emulator.goals, emulator.outside
                motion = summarize(samples, since, counted)
                motion.holds = arm.gripper is not None and holds(plant)
                pipe.send(motion)
            else:
                now = time.monotonic()
                PROVOCATIONS[driver][name](emulator, plant)
                if name == "mend" and arm.gripper is not None:
                    mend(driver, emulator, plant)
                pipe.send(now)

    threading.Thread(target=sample, daemon=True).start()
    threading.Thread(target=answer, daemon=True).start()
    pipe.send(driver_options(column, emulator.port))
    emulator.serve()
    time.sleep(60.0)  # the joints can still be asked for when the port is closed


def emulator_options(driver: str) -> dict[str, Any]:
    """Where the emulator is served."""
    if driver in ("ur", "franka"):
        return {"port": ADDRESS}
    return {"namespace": NAMESPACE} if driver == "ros2" else {}


def driver_options(column: str, port: str) -> dict[str, Any]:
    """How a driver reaches it."""
    options = {"port": port}
    if driver_of(column) == "ros2":
        options["namespace"] = NAMESPACE
    if column == "ros2-trajectory":
        options["stream"] = "trajectory"
    return options


def summarize(
    samples: list[tuple[float, float, float]], since: float, counted: tuple[int, int]
) -> Motion:
    """What samples say about the motion since a moment."""
    from standstill import STANDING, standing_since

    later = [sample for sample in samples if sample[0] > since]
    moving = [stamp - since for stamp, speed, _ in later if speed > STANDING]
    fastest = max((share for _, _, share in later), default=0.0)
    return Motion(standing_since(moving), max(moving, default=0.0), float(fastest), *counted)
