"""Measurements and commands as data: SI units, quaternions in the order w, x, y, z.

Axes: n worlds, j joints, k named columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum, IntFlag
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError, UnknownNameError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]

# A NumPy array or a torch tensor. Rewards are written with the operators that both share, so that
# the same lines serve simulation, a planner's imagined states and the arm.
ArrayLike = Any


class Verdict(IntFlag):
    """What was done to a command between the policy and the joints, as flags."""

    OK = 0
    LIMITED = 1  # changed to stay inside a limit
    DROPPED = 2  # not finite, stale or out of order: not used
    HELD = 4  # no usable command: braking to a standstill, or standing
    STOPPED = 8  # controlled stop requested by the operator or by the software
    FAULT = 16  # latched; only the operator clears it
    DIVERGED = 32  # the physics of this world broke down; its numbers are meaningless


@dataclass(frozen=True)
class Spec:
    """Named columns with bounds and units: an observation or an action."""

    names: tuple[str, ...]
    low: Array  # (k,)
    high: Array  # (k,)
    units: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the columns fit together.

        Raises:
            BadArgumentError: lengths differ, a name occurs twice, or low is not below high.
        """
        names = self.names
        columns = (names, self.units, self.low, self.high)
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            raise BadArgumentError(f"names, units, low and high differ in length: {names}")
        if len(set(names)) < len(names):
            raise BadArgumentError(f"a name occurs twice in {names}")
        ordered = np.less(self.low, self.high)
        if not ordered.all():
            raise BadArgumentError(f"low must be below high for each of {names}")

    @classmethod
    def of(cls, *columns: tuple[str, float, float, str]) -> Self:
        """Build from columns (name, low, high, unit)."""
        names = []
        lows = []
        highs = []
        units = []
        for name, low, high, unit in columns:
            names.append(name)
            lows.append(low)
            highs.append(high)
            units.append(unit)
        return cls(
            tuple(names),
            np.array(lows, dtype=np.float64),
            np.array(highs, dtype=np.float64),
            tuple(units),
        )

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The column of a name; UnknownNameError lists the names that exist."""
        if name not in self.names:
            raise UnknownNameError(f"no column {name!r}; there are: {', '.join(self.names)}")
        return self.names.index(name)

    def indices(self, names: Sequence[str]) -> list[int]:
        """The columns of several names."""
        return [self.index(name) for name in names]


@dataclass(frozen=True)
class Pose:
    """The pose at which an object of n worlds is placed."""

    pos: Array  # (n, 3) m
    quat: Array | None = None  # (n, 4) w, x, y, z; None: the identity


@dataclass(frozen=True)
class ObjectMotion:
    """Pose and velocity of one object of n worlds."""

    pos: Array  # (n, 3) m
    quat: Array  # (n, 4) w, x, y, z
    vel: Array  # (n, 6) m/s, rad/s

    def take(self, rows: Mask | NDArray[np.int64]) -> "ObjectMotion":
        """The motion in some worlds, by mask (n,) or indices."""
        return ObjectMotion(self.pos[rows], self.quat[rows], self.vel[rows])


@dataclass(frozen=True)
class Signals:
    """One fresh measurement of n worlds, in the base frame of the arm.

    Fields of a tool or an object are NaN where there is none. A walker's r root joints come before
    the driven joints in q and dq, which are then (n, r + j); the root of a ``FreeWalker`` has 7
    columns in q and 6 in dq.
    """

    q: Array  # (n, j) rad or m
    dq: Array  # (n, j) rad/s or m/s
    tau: Array  # (n, j) N·m or N
    tool_pos: Array  # (n, 3) m
    tool_quat: Array  # (n, 4)
    tool_vel: Array  # (n, 3) m/s
    # of the scene's first object
    object_pos: Array  # (n, 3) m
    object_quat: Array  # (n, 4)
    object_vel: Array  # (n, 6) m/s, rad/s
    marker: Array  # (n, 3) m, position of the visible target
    stamp: Array  # (n,) s since the episode began
    # every object by its name, the first one too
    objects: Mapping[str, ObjectMotion] = field(default_factory=dict)
    # Of a FreeWalker; None of every other body.
    center_of_mass: Array | None = None  # (n, 3) m
    # (n, b, 6) N·m and N, what contacts exert on each of b bodies in this state: torque and force
    # in the world's axes, at the walker's center of mass (MuJoCo's cfrc_ext)
    contact_forces: Array | None = None
    # (n, 6) N and N·m, force and torque of the tool on what it touches, as in ``JointState``; None
    # unless the scene asks for it (``Scene.measures_wrench``)
    wrench: Array | None = None

    def __len__(self) -> int:
        return len(self.stamp)

    def take(self, rows: Mask | NDArray[np.int64]) -> "Signals":
        """The measurements of some worlds, by mask (n,) or indices."""
        objects = {name: motion.take(rows) for name, motion in self.objects.items()}
        taken: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name != "objects":
                taken[each.name] = None if value is None else value[rows]
        return Signals(**taken, objects=objects)


@dataclass(frozen=True)
class Setpoint:
    """Joint targets as they left the gate, (n, j) each; (k, n, j) for k consecutive ticks."""

    q: Array  # rad or m
    dq: Array  # rad/s or m/s
    ddq: Array  # rad/s² or m/s²


@dataclass(frozen=True)
class Torque:
    """Joint torques as they left the gate, (n, j) N·m; (k, n, j) for k consecutive ticks."""

    tau: Array


class Condition(IntEnum):
    """What the arm's own controller reports about itself."""

    READY = 0
    DISABLED = 1
    EXTERNAL_STOP = 2  # emergency or protective stop by the arm's own safety controller
    ERROR = 3  # hardware error of a motor, or a reflex of the controller


def no_wrench() -> Array:
    """The wrench (6,) of an arm that measures none: NaN."""
    return np.full(6, np.nan)


@dataclass(frozen=True)
class JointState:
    """One reading of one arm."""

    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s
    tau: Array  # (j,) N·m; NaN where the arm measures none
    stamp: float  # s on the controller's clock; a stamp that does not advance means a dead link
    condition: Condition = Condition.READY
    # (j,) rad, the motors' target, if the driver knows it: a soft arm sags below it
    target: Array | None = None
    # (6,) force N and torque N·m of the tool on what it touches, without the weight of the tool
    # itself; along the axes of the base frame, at the origin of the tool's frame, or of a
    # Universal Robots arm at the tool point that is set in its controller
    wrench: Array = field(default_factory=no_wrench)

    def __post_init__(self) -> None:
        """Convert a bare number to its ``Condition``; an unknown number is an error."""
        known = self.condition in list(Condition)
        condition = Condition(self.condition) if known else Condition.ERROR
        object.__setattr__(self, "condition", condition)


@dataclass(frozen=True)
class Command:
    """One joint position target for one arm, as it left the gate."""

    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s, feed-forward


@dataclass(frozen=True)
class ObjectState:
    """One reading of the tracked object, in the base frame of the arm."""

    pos: Array  # (3,) m
    quat: Array  # (4,) w, x, y, z
    vel: Array  # (6,) m/s, rad/s
    stamp: float  # s on the tracker's clock
    age: float = 0.0  # s from the measurement until it is read, as far as the tracker knows
