"""A body's fixed numbers, what it measures and what it is told, and the verbs of whatever drives it."""

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from robots.signals import Array

if TYPE_CHECKING:
    from robots.world import Spec


@dataclass(frozen=True)
class Limits:
    """The bounds no command may leave. No defaults: every number is finite and positive, or there is no arm."""

    q_low: Array  # (j,) rad
    q_high: Array  # (j,) rad
    dq: Array  # (j,) rad/s
    ddq: Array  # (j,) rad/s²
    jerk: Array  # (j,) rad/s³
    tau: Array  # (j,) N·m
    tool_box: Array  # (3, 2) m, where the tool may be
    force: float  # N at the tool
    deadline: float  # s a command may be old

    def __post_init__(self) -> None:
        for f in fields(self):
            value = np.array(getattr(self, f.name), dtype=np.float64)
            if not np.isfinite(value).all():
                raise ValueError(f"limit {f.name} must be finite, got {value}")
            if f.name not in ("q_low", "q_high", "tool_box") and not (value > 0).all():
                raise ValueError(f"limit {f.name} must be positive, got {value}")
            if value.ndim:
                value.setflags(write=False)
                object.__setattr__(self, f.name, value)
        joints = {f: getattr(self, f).shape for f in ("q_low", "q_high", "dq", "ddq", "jerk", "tau")}
        if len(set(joints.values())) > 1 or self.tool_box.shape != (3, 2):
            raise ValueError(f"limits differ in shape: {joints}, tool_box {self.tool_box.shape}")
        if not (self.q_low < self.q_high).all() or not (self.tool_box[:, 0] < self.tool_box[:, 1]).all():
            raise ValueError("a lower limit lies above its upper limit")

    def narrowed(self, tool_box: Array) -> "Limits":
        """The same limits with a smaller box for the tool, (3, 2) m; a wider one is refused."""
        if (tool_box[:, 0] < self.tool_box[:, 0]).any() or (tool_box[:, 1] > self.tool_box[:, 1]).any():
            raise ValueError(f"the box {tool_box.tolist()} reaches out of {self.tool_box.tolist()}")
        return replace(self, tool_box=tool_box)


@dataclass(frozen=True)
class Body:
    """Anything with joints: what an engine loads and a policy is trained for."""

    name: str
    joints: tuple[str, ...]
    home: Array  # (j,) rad
    limits: Limits


@dataclass(frozen=True)
class ArmSpec(Body):
    """A manipulator: one URDF drives every engine and the kinematics."""

    urdf: Path
    tool: str  # link whose origin is the tool frame
    stiffness: Array  # (j,) N·m/rad of the joint servos in simulation
    damping: Array  # (j,) N·m·s/rad
    armature: Array  # (j,) kg·m², reflected rotor inertia


@dataclass(frozen=True)
class Walker(Body):
    """A body on loose ground, driven by torque: ``joints`` are driven, the ``root``'s place it in the world.

    In signals and starts the root's joints come first: q is (n, r + j).
    """

    mjcf: Path
    root: tuple[str, ...]


@dataclass(frozen=True)
class Setpoint:
    """Where the joints are told to be, and how fast: (n, j) each."""

    q: Array
    dq: Array
    ddq: Array


class Condition(IntEnum):
    """What the arm's own controller says of itself."""

    READY = 0
    DISABLED = 1
    EXTERNAL_STOP = 2  # emergency or protective stop, by the arm's own safety controller
    ERROR = 3  # a servo's hardware error, a reflex


@dataclass(frozen=True)
class Torque:
    """What the joints are pushed with: (n, j) N·m."""

    tau: Array


@dataclass(frozen=True)
class JointState:
    """One reading of one arm."""

    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s
    tau: Array  # (j,) N·m
    stamp: float  # s, the controller's own clock: a stamp that does not move is a dead link
    condition: Condition = Condition.READY


@dataclass(frozen=True)
class Command:
    """One joint position target for one arm, as it left the gate."""

    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s, feed-forward


@dataclass(frozen=True)
class ObjectState:
    """One reading of the tracked object, in the arm's base frame."""

    pos: Array  # (3,) m
    quat: Array  # (4,) w, x, y, z
    vel: Array  # (6,) m/s, rad/s
    stamp: float  # s


class Driver(Protocol):
    """The vendor's own client behind few verbs; it lives in the servo process and nowhere else."""

    arm: ArmSpec
    dt: float  # s between two writes

    def connect(self) -> None: ...

    def enable(self) -> None: ...

    def read(self) -> JointState: ...

    def write(self, command: Command) -> None: ...

    def stop(self) -> None: ...

    def disconnect(self) -> None: ...


class ActionMap(Protocol):
    """Turns actions (n, a) in [-1, 1] into what the body's gate takes, (n, j), from where the joints are told to be.

    Joint velocities; torques, of a body that is driven by them.
    """

    spec: "Spec"

    def __call__(self, action: Array, setpoint: Setpoint) -> Array: ...
