"""A body's fixed numbers: joints, limits and model file. Axes: j driven joints."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from robots.errors import BadArgumentError
from robots.gripper import Gripper
from robots.signals import Array
from robots.zones import LiftZone, PushZone, ReachZone, StrikeZone

PER_JOINT = ("q_low", "q_high", "dq", "ddq", "jerk", "tau")
SERVOS = ("stiffness", "damping", "armature")  # numbers of an arm for each joint
SIGNED = ("q_low", "q_high", "tool_box")  # the only limits that may be zero or negative


def fill_in(what: str) -> NoReturn:
    """Stands in a new arm's catalog entry for a number that its model does not have.

    Raises:
        BadArgumentError: always. The entry cannot be imported, and so the arm cannot move, until a
            number has been written in every place of this.
    """
    raise BadArgumentError(f"the catalog entry of this arm is not filled in: {what}")


@dataclass(frozen=True)
class Limits:
    """The bounds that every command must keep.

    There are no defaults, and construction fails unless every number makes sense: an arm without
    known limits does not move. The arrays are read-only copies.

    Raises:
        BadArgumentError: a number is not finite, a rate, speed, torque, force or deadline is not
            positive, shapes do not fit together, or a lower limit is not below its upper limit.
    """

    # Of each joint in its own unit: a prismatic joint has m and N where others have rad and N·m.
    q_low: Array  # (j,) rad or m
    q_high: Array  # (j,) rad or m
    dq: Array  # (j,) rad/s or m/s, largest magnitude; so are ddq, jerk and tau
    ddq: Array  # (j,) rad/s² or m/s²
    jerk: Array  # (j,) rad/s³ or m/s³
    tau: Array  # (j,) N·m or N
    tool_box: Array  # (3, 2) m, lowest and highest x, y, z of the tool in the base frame
    tool_speed: float  # m/s, of the tool's frame, largest magnitude
    force: float  # N, of the tool on what it touches; checked if the driver measures the wrench
    deadline: float  # s, the age from which a command is too old to be followed

    def __post_init__(self) -> None:
        """Check every number, and make read-only copies of the arrays."""
        for limit in fields(self):
            name = limit.name
            value = np.array(getattr(self, name), dtype=np.float64)
            if not np.isfinite(value).all():
                raise BadArgumentError(f"limit {name} must be finite, got {value}")
            if name not in SIGNED and not (value > 0).all():
                raise BadArgumentError(f"limit {name} must be positive, got {value}")
            if value.ndim:
                value.setflags(write=False)
                object.__setattr__(self, name, value)
        self._check_shapes()
        self._check_order()

    def _check_shapes(self) -> None:
        shapes = {name: getattr(self, name).shape for name in PER_JOINT}
        box = self.tool_box.shape
        if len(set(shapes.values())) > 1 or box != (3, 2):
            raise BadArgumentError(f"limits differ in shape: {shapes}, tool_box {box}")

    def _check_order(self) -> None:
        low, high = self.tool_box.T
        if not (self.q_low < self.q_high).all():
            raise BadArgumentError(f"q_low {self.q_low} must lie below q_high {self.q_high}")
        if not (low < high).all():
            raise BadArgumentError(f"tool_box must have low < high, got {self.tool_box.tolist()}")

    def narrowed(self, tool_box: Array) -> "Limits":
        """The same limits with a smaller box for the tool, (3, 2) m.

        Raises:
            BadArgumentError: the new box is not inside the present one.
        """
        low, high = tool_box.T
        box_low, box_high = self.tool_box.T
        below = low < box_low
        above = high > box_high
        if below.any() or above.any():
            present = self.tool_box.tolist()
            new = tool_box.tolist()
            raise BadArgumentError(f"the box {new} reaches out of {present}")
        return replace(self, tool_box=tool_box)


@dataclass(frozen=True)
class Body:
    """Anything with joints: what an engine loads and a policy is trained for."""

    name: str
    joints: tuple[str, ...]  # names of the driven joints; this is their order everywhere
    home: Array  # (j,) rad or m, a configuration to start from
    limits: Limits

    @property
    def root(self) -> tuple[str, ...]:
        """Names of undriven joints that place the body in the world; they come first in q and dq.

        Empty for a body on a fixed base.
        """
        return ()


def numbers_of(body: Body) -> dict[str, Any]:
    """The fields of a body by name, from which one of a more special kind is made."""
    return {each.name: getattr(body, each.name) for each in fields(body)}


@dataclass(frozen=True)
class ArmSpec(Body):
    """A manipulator on a fixed base: one URDF serves every engine and the kinematics.

    In simulation each joint is held by a position servo, a spring and a damper between setpoint and
    joint.
    """

    urdf: Path
    tool: str  # name of the link whose frame is the tool frame
    # Of each joint in its own unit, as in Limits.
    stiffness: Array  # (j,) N·m/rad or N/m, of the servos
    damping: Array  # (j,) N·m·s/rad or N·s/m, of the servos
    armature: Array  # (j,) kg·m² or kg, reflected rotor inertia
    rest_pose: Array | None = None  # (j,) the pose in which it rests without torque; None: home
    # (3, 2) m, where the tool may be on a move from rest to rest: wider than ``limits.tool_box``,
    # because the arm may start anywhere. None: the tool box.
    move_box: Array | None = None
    # Where joints of the URDF stay that are not driven, such as a gripper's; rad or m, by name.
    # A joint without an entry stays at 0, or at the limit nearest to 0.
    held: Mapping[str, float] = field(default_factory=dict)
    gripper: Gripper | None = None  # its motor is the last joint; see ``with_gripper``
    rated_payload: float | None = None  # kg, at the flange, tool included; None: not published
    # Room for kinds of tasks. None: the families that need it refuse this arm.
    reach_zone: ReachZone | None = None
    strike_zone: StrikeZone | None = None
    push_zone: PushZone | None = None
    lift_zone: LiftZone | None = None

    @property
    def rest(self) -> Array:
        """The pose (j,) in which the arm is parked and its torque may be switched off."""
        return self.home if self.rest_pose is None else self.rest_pose

    @property
    def move_limits(self) -> Limits:
        """The limits of a move from rest to rest, such as to the start of an episode."""
        if self.move_box is None:
            return self.limits
        return replace(self.limits, tool_box=self.move_box)

    @property
    def tool_joints(self) -> tuple[str, ...]:
        """The joints that move the tool: all but the gripper's."""
        return self.joints if self.gripper is None else self.joints[:-1]

    def with_gripper(self, gripper: Gripper, name: str) -> "ArmSpec":
        """The arm with a gripper in place of its own tool.

        The zones of reach, strike and push are left out: they are for the arm's own tool.

        Args:
            gripper: it is mounted where the URDF's fixed joint ``flange`` carries the own tool.
            name: of the new arm.
        """
        limits = self.limits
        of_motor = gripper.limits
        columns: dict[str, Any] = {}
        for limit in PER_JOINT:
            columns[limit] = np.append(getattr(limits, limit), of_motor[limit])
        servos: dict[str, Any] = {}
        for number in SERVOS:
            servos[number] = np.append(getattr(self, number), getattr(gripper, number))
        return replace(
            self,
            name=name,
            joints=(*self.joints, gripper.joint),
            home=np.append(self.home, gripper.opened),
            rest_pose=np.append(self.rest, gripper.opened),
            limits=replace(limits, **columns),
            tool=gripper.tool,
            gripper=gripper,
            reach_zone=None,
            strike_zone=None,
            push_zone=None,
            **servos,
        )


@dataclass(frozen=True)
class Walker(Body):
    """A body on the ground that is driven by joint torques, from a MuJoCo model."""

    mjcf: Path
    root_joints: tuple[str, ...]  # see ``root``
    # Whether MuJoCo alone can simulate it: for bodies whose rotors weigh much more than their
    # links, and for tasks that change what only MuJoCo's model has.
    needs_mujoco: bool = False
    # Names of the MJCF's geoms that are not built, such as its ground where a scene has another.
    left_out: tuple[str, ...] = ()

    @property
    def root(self) -> tuple[str, ...]:
        """Names of the undriven joints between world and body; they come first in q and dq."""
        return self.root_joints


@dataclass(frozen=True)
class FreeWalker(Walker):
    """A walker whose one root joint is free: it may move and turn in every direction.

    Its 7 positions are x, y, z (m) and a unit quaternion w, x, y, z; its 6 velocities are those of
    MuJoCo: m/s in the world's frame, then rad/s in the body's. Signals of a free walker have its
    center of mass and the forces of its contacts.
    """

    needs_mujoco: bool = True
