"""A simulated arm for rehearsal: a driver over PyBullet, whose physics differ from training."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState, ObjectState, Setpoint
from robots.world import Start, Task
from sim.engines.bullet import BulletEngine
from sim.joint_faults import JointFaults

DT = 0.004  # s of one tick, which is one step of the physics


@dataclass(frozen=True)
class TwinOptions:
    """How the twin differs from an ideal arm; the numbers are our own choice."""

    latency: float = 0.004  # s from a command to the joints; of the order of industrial controllers
    noise: float = 5e-5  # rad, of a joint reading; below an encoder's resolution after the gears
    tracker_noise: float = 5e-4  # m, of the object's position; a good camera's
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is not possible.

        Raises:
            BadArgumentError: the message names the option.
        """
        for name in ("latency", "noise", "tracker_noise", "seed"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise BadArgumentError(
                    f"the twin's {name} must be finite and not negative, got {value}"
                )


class TwinTracker:
    """A Tracker that measures the simulated object."""

    def __init__(self, twin: "Twin") -> None:
        """``twin`` is the arm beside the object."""
        self._twin = twin

    def read(self) -> ObjectState:
        """The pose now, with noise on its position; NaN before the first object is placed."""
        twin = self._twin
        (pose,) = twin.engine.poses()
        noise = twin.rng.normal(0, twin.options.tracker_noise, 3)
        return ObjectState(
            pos=pose[:3] + noise,
            quat=pose[3:7],
            vel=pose[7:],
            stamp=twin.time,
        )


class TwinPlacer:
    """An ObjectPlacer that replaces the simulated object by the one of the next task."""

    def __init__(self, twin: "Twin") -> None:
        """``twin`` is the arm beside the object."""
        self._twin = twin

    def place(self, task: Task, start: Start) -> None:
        """Put the object of ``task`` (one row) at ``start`` at once; the arm stops where it is.

        From then on the joints have the task's faults.
        """
        twin = self._twin
        twin.engine.write(task)
        q, _, _ = twin.engine.joints()
        twin.faults.begin(task, q, np.ones(1, dtype=bool))
        at_rest = replace(start, q=q, dq=None)
        twin.engine.reset(at_rest)
        twin.hold()


class Twin:
    """A SimulatedArm: one tick of physics passes with every ``read``.

    Commands take effect after a latency and readings are noisy. With low gains the arm sags below
    its commands; once stopped, it holds its load where it is.
    """

    Options = TwinOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=DT, realtime=False, wrench=True, gripper=True
    )

    def __init__(self, arm: ArmSpec, scene: Scene, options: TwinOptions | None = None) -> None:
        """Prepare the scene of a family with the twin's own time step; ``connect`` builds it."""
        self.arm = arm
        options = options or TwinOptions()
        self.options = options
        self.tracker = TwinTracker(self)
        self.placer = TwinPlacer(self)
        self.engine = BulletEngine()
        self.faults = JointFaults(arm, 1)
        self.rng = np.random.default_rng(options.seed)
        self._scene = scene.with_timestep(DT)
        self._latency = round(options.latency / DT)  # ticks
        self._enabled = False
        self._tick = 0
        # setpoints that have not arrived yet, each with the tick at which it arrives, oldest first
        self._queue: list[tuple[int, Setpoint]] = []

    @property
    def time(self) -> float:
        """The twin's clock, s: ticks of physics since it was built."""
        return self._tick * DT

    def connect(self) -> None:
        """Build the physics with the arm in its rest pose."""
        self.engine.load(self._scene, 1)
        self.engine.reset(Start(self.arm.rest[None]))
        self.hold()

    def enable(self) -> None:
        """Follow commands from now on."""
        self._enabled = True

    def read(self) -> JointState:
        """Simulate one tick with the commands that have arrived by now, then read the encoders."""
        while self._queue and self._queue[0][0] <= self._tick:
            _, self._active_setpoint = self._queue.pop(0)
        pulled_to = self.faults(self._active_setpoint)
        assert isinstance(pulled_to, Setpoint)
        self.engine.run(pulled_to, 1)
        self._tick += 1
        (q,), (dq,), (tau,) = self.engine.joints()
        (wrench,) = self.engine.tool_wrenches()
        noise = self.rng.normal(0, self.options.noise, len(q))
        return JointState(
            q=q + noise,
            dq=dq,
            tau=tau,
            stamp=self.time,
            condition=Condition.READY if self._enabled else Condition.DISABLED,
            target=pulled_to.q[0, 0].copy(),
            wrench=wrench,
        )

    def write(self, command: Command) -> None:
        """Send a command; it is ignored while the twin is not enabled."""
        if not self._enabled:
            return
        setpoint = _one_tick(command)
        self._queue.append((self._tick + self._latency, setpoint))

    def stop(self) -> None:
        """Hold the joints where they are and ignore commands until ``enable``; a grip is kept."""
        self._enabled = False
        fingers = self._active_setpoint.q[0, 0, len(self.arm.tool_joints) :]
        self.hold(fingers)

    def torque_off(self) -> None:
        """Like ``stop``: nothing falls, because gravity is compensated and a payload is held."""
        self.stop()

    def hold(self, fingers: Array | None = None) -> None:
        """Hold: set the target with which the joints carry their load at their present position.

        Commands that have not arrived yet are dropped.

        Args:
            fingers: m, target of a gripper's motor, (1,) or none; None: where it is.
        """
        target = self.engine.hold_positions()
        if fingers is not None:
            target[0, len(self.arm.tool_joints) :] = fingers
        self.faults.restart(target)
        self._active_setpoint = _one_tick(Command(target[0], np.zeros_like(target[0])))
        self._queue = []

    def disconnect(self) -> None:
        """End the physics."""
        self._enabled = False
        self.engine.close()


def _one_tick(command: Command) -> Setpoint:
    """A command as an engine's setpoint for one tick of one world, (1, 1, j)."""
    q = command.q[None, None]
    dq = command.dq[None, None]
    return Setpoint(q, dq, np.zeros_like(dq))
