"""A body's fixed numbers: joints, limits, model file."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array


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
                raise BadArgumentError(f"limit {f.name} must be finite, got {value}")
            if f.name not in ("q_low", "q_high", "tool_box") and not (value > 0).all():
                raise BadArgumentError(f"limit {f.name} must be positive, got {value}")
            if value.ndim:
                value.setflags(write=False)
                object.__setattr__(self, f.name, value)
        joints = {
            f: getattr(self, f).shape for f in ("q_low", "q_high", "dq", "ddq", "jerk", "tau")
        }
        if len(set(joints.values())) > 1 or self.tool_box.shape != (3, 2):
            raise BadArgumentError(
                f"limits differ in shape: {joints}, tool_box {self.tool_box.shape}"
            )
        if (
            not (self.q_low < self.q_high).all()
            or not (self.tool_box[:, 0] < self.tool_box[:, 1]).all()
        ):
            raise BadArgumentError("a lower limit lies above its upper limit")

    def narrowed(self, tool_box: Array) -> "Limits":
        """The same limits with a smaller box for the tool, (3, 2) m; a wider one is refused."""
        if (tool_box[:, 0] < self.tool_box[:, 0]).any() or (
            tool_box[:, 1] > self.tool_box[:, 1]
        ).any():
            raise BadArgumentError(
                f"the box {tool_box.tolist()} reaches out of {self.tool_box.tolist()}"
            )
        return replace(self, tool_box=tool_box)


@dataclass(frozen=True)
class Body:
    """Anything with joints: what an engine loads and a policy is trained for."""

    name: str
    joints: tuple[str, ...]  # driven joints, in order
    home: Array  # (j,) rad
    limits: Limits

    @property
    def root(self) -> tuple[str, ...]:
        """Undriven joints that place the body in the world; they come first in q and dq."""
        return ()


@dataclass(frozen=True)
class ArmSpec(Body):
    """A manipulator on a fixed base: one URDF serves every engine and the kinematics."""

    urdf: Path
    tool: str  # link whose origin is the tool frame
    stiffness: Array  # (j,) N·m/rad of the joint servos in simulation
    damping: Array  # (j,) N·m·s/rad
    armature: Array  # (j,) kg·m², reflected rotor inertia


@dataclass(frozen=True)
class Walker(Body):
    """A body on the ground that is driven by joint torques."""

    mjcf: Path
    root_joints: tuple[str, ...]

    @property
    def root(self) -> tuple[str, ...]:
        """Undriven joints that place the body in the world; they come first in q and dq."""
        return self.root_joints
