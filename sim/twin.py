"""The arm that is not there: a driver over PyBullet, another physics than the one trained in."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.scene import Scene
from robots.signals import Command, Condition, JointState, ObjectState, Setpoint
from robots.world import Start, Task
from sim.engines.bullet import BulletEngine


@dataclass(frozen=True)
class TwinOptions:
    """How the twin differs from an ideal arm."""

    latency: float = 0.004  # s, from a command to the joints; ours, of the order measured on industrial controllers
    noise: float = (
        5e-5  # rad, of a joint reading; ours, below the encoders' resolution after the gears
    )
    tracker_noise: float = 5e-4  # m, of the object's position; ours, of a good camera
    seed: int = 0


class TwinTracker:
    """The tracker of a twin's object."""

    def __init__(self, twin: "Twin") -> None:
        self._twin = twin

    def read(self) -> ObjectState:
        """The object's pose, with the tracker's noise."""
        return self._twin.track()


class Twin:
    """A Driver that also tracks the object, and can place it: what a person does at a real arm."""

    Options = TwinOptions
    capabilities: ClassVar[Capabilities] = Capabilities(dt=0.002, realtime=False)

    def __init__(self, arm: ArmSpec, scene: Scene, options: TwinOptions | None = None) -> None:
        """``scene`` is the family's; its time step becomes the driver's."""
        self.arm, self.options = arm, options or TwinOptions()
        self.tracker = TwinTracker(self)
        self.placer = self
        self._scene = Scene(scene.body, scene.loose_object, self.capabilities.dt)
        self._rng = np.random.default_rng(self.options.seed)
        self._engine = BulletEngine()
        self._late = round(self.options.latency / self.capabilities.dt)  # ticks
        self._enabled, self._tick = False, 0
        self._queue: list[
            tuple[int, Setpoint]
        ] = []  # commands under way and when they arrive, the oldest first

    def connect(self) -> None:
        """Start the physics with the arm at home."""
        self._engine.load(self._scene, 1)
        away = np.array([[0.5, 0.0, 0.05]])
        self._engine.reset(Start(self.arm.home[None], None, away, np.array([[1.0, 0, 0, 0]])))
        self._hold()

    def enable(self) -> None:
        """Let commands through."""
        self._enabled = True

    def place(self, task: Task, start: Start) -> None:
        """Put a task's object at its start; the arm stays where it is."""
        self._engine.write(task)
        here, _, _ = self._engine.joints()
        self._engine.reset(Start(here, None, start.object_pos, start.object_quat))
        self._hold()

    def read(self) -> JointState:
        """Let one tick of physics pass with the command that has arrived by now, and say what the encoders say."""
        while self._queue and self._queue[0][0] <= self._tick:
            self._told = self._queue.pop(0)[1]
        self._engine.step(self._told, 1)
        self._tick += 1
        (q,), (dq,), (tau,) = self._engine.joints()
        q = q + self._rng.normal(0, self.options.noise, len(q))
        condition = Condition.READY if self._enabled else Condition.DISABLED
        return JointState(q, dq, tau, self._tick * self.capabilities.dt, condition)

    def track(self) -> ObjectState:
        """What the tracker says."""
        (pose,) = self._engine.poses()
        pos = pose[:3] + self._rng.normal(0, self.options.tracker_noise, 3)
        return ObjectState(pos, pose[3:7], pose[7:], self._tick * self.capabilities.dt)

    def write(self, command: Command) -> None:
        """Send a command; one that is not enabled takes none."""
        if self._enabled:
            setpoint = Setpoint(command.q[None], command.dq[None], np.zeros_like(command.dq[None]))
            self._queue.append((self._tick + self._late, setpoint))

    def stop(self) -> None:
        """Take no more commands; the joints hold."""
        self._enabled = False
        self._hold()

    def _hold(self) -> None:
        here, _, _ = self._engine.joints()
        self._told, self._queue = Setpoint(here, np.zeros_like(here), np.zeros_like(here)), []

    def disconnect(self) -> None:
        """End the physics."""
        self._enabled = False
        self._engine.close()
