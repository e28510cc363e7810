"""The contract of a physics engine, and what engines share. Axes: n worlds, k ticks, j joints."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix
from robots.scene import Scene
from robots.signals import Array, Mask, ObjectMotion, Pose, Setpoint, Signals, Torque
from robots.world import Start, Task

C = TypeVar("C", Setpoint, Torque)
# The widths of the signals that a scene may lack: without a tool or an object they are NaN.
OPTIONAL_SIGNALS = {
    "tool_pos": 3,
    "tool_quat": 4,
    "tool_vel": 3,
    "object_pos": 3,
    "object_quat": 4,
    "object_vel": 6,
    "marker": 3,
}
BODY_PHYSICS = ("joint", "actuator", "body", "geom")  # how the names of a body's physics begin


class Engine(Protocol):
    """n independent simulations of one scene, each with its own task parameters.

    Tested for every registered engine:

    - ``read`` is fresh after ``reset``, ``write`` and ``run`` alike;
    - worlds do not influence each other;
    - the same calls give the same numbers, bit by bit;
    - an error or a NaN in one world leaves the others alone and is reported by ``diverged`` until
      that world is reset.
    """

    @property
    def n(self) -> int:
        """Number of simulations; 0 before ``load``."""
        ...

    @property
    def scene(self) -> Scene:
        """What was loaded."""
        ...

    @staticmethod
    def supports(scene: Scene) -> bool:
        """Whether this engine can simulate a scene; builds and loads nothing."""
        ...

    def load(self, scene: Scene, n: int) -> None:
        """Build n simulations; called once, before every other method.

        Raises:
            BadArgumentError: the engine does not support the scene.
        """
        ...

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Set the physics of some worlds.

        Args:
            task: one row per world. ``NAME.*`` of the scene's objects, ``fixture.*`` (see
                ``fixture_fields``) and the names that begin with one of ``BODY_PHYSICS`` are
                physics; those that the task does not name are set to the scene's own values. Other
                names are ignored.
            mask: (n,) the worlds to set; None: all.

        Raises:
            BadArgumentError: an object has a shape that does not exist, or the engine has nothing
                to write a body's or a fixture's physics to.
        """
        ...

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start, with no torque, clock zero and no longer diverged.

        Args:
            start: one row per world. An object that it does not place is where the scene says.
            mask: (n,) the worlds to put there; None: all.
        """
        ...

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate k consecutive ticks and return when they are done.

        A world whose command or state is not finite is reported by ``diverged``.

        Args:
            command: fields (k, n, j). Joints are to reach a setpoint (rad, rad/s, rad/s²) at the
                end of its tick; torques (N·m) are held during their tick.
            substeps: physics steps of ``scene.timestep`` s in each tick; where an impact on the
                object is due when a tick begins, it has as many more as
                ``scene.contact_timestep`` asks for.

        Raises:
            TypeError: the body is driven by the other kind of command.
        """
        ...

    def read(self) -> Signals:
        """Fresh measurements (n, ...) that no later call changes.

        ``marker`` is NaN: engines do not know the targets.
        """
        ...

    @property
    def diverged(self) -> Mask:
        """Worlds whose physics broke down since their last reset, (n,)."""
        ...

    def close(self) -> None:
        """Release everything; the engine cannot be used afterwards."""
        ...


class Dispatched(Protocol):
    """A function made by ``functools.singledispatch``."""

    def dispatch(self, cls: type) -> Callable[..., Any]:
        """The implementation for a class."""
        ...


def is_registered(function: Dispatched, body: Body) -> bool:
    """Whether a function has an implementation for this kind of body, other than its default."""
    default = function.dispatch(object)
    return function.dispatch(type(body)) is not default


def require_support(engine: Engine, scene: Scene) -> None:
    """Check that an engine supports a scene.

    Raises:
        BadArgumentError: it does not; the message names body and engine.
    """
    if not engine.supports(scene):
        name = type(engine).__name__
        raise BadArgumentError(f"{name} cannot simulate {scene.description}")


def require_command(body: Body, command: Setpoint | Torque, kind: type[C]) -> C:
    """The command itself, if it is of the kind that drives the body.

    Raises:
        TypeError: it is of another kind.
    """
    if not isinstance(command, kind):
        given = type(command).__name__
        raise TypeError(f"{body.name} is driven by {kind.__name__}, not by {given}")
    return command


def stack_ticks(commands: Sequence[Setpoint | Torque]) -> Setpoint | Torque:
    """One command with fields (k, n, j) from k ticks' commands of one kind, (n, j) each."""
    kind = type(commands[0])
    ticks = [vars(command) for command in commands]
    columns = {name: [tick[name] for tick in ticks] for name in ticks[0]}
    return kind(**{name: np.array(column) for name, column in columns.items()})


def count_ticks(command: Setpoint | Torque) -> int:
    """k of a command with fields (k, n, j)."""
    columns = vars(command)
    first = next(iter(columns.values()))
    return len(first)


def take_tick(command: Setpoint | Torque, tick: int) -> Setpoint | Torque:
    """One of k ticks, with fields (1, n, j)."""
    kind = type(command)
    columns = vars(command)
    return kind(**{name: column[tick : tick + 1] for name, column in columns.items()})


def world_indices(mask: Mask | None, n: int) -> NDArray[np.int64]:
    """The indices of the worlds in a mask (n,); all without one."""
    return np.arange(n) if mask is None else np.flatnonzero(mask)


def require_known_physics(body: Body, task: Task, also: Collection[str]) -> None:
    """Check that an engine can write all of a task's physics of the body.

    Args:
        body: whose physics they are.
        task: what is to be written.
        also: names that this engine knows beside ``joint.damping``, ``actuator.strength`` and
            ``actuator.JOINT``.

    Raises:
        BadArgumentError: the message names the first unknown parameter.
    """
    actuators = [f"actuator.{joint}" for joint in body.joints]
    known = {"joint.damping", "actuator.strength", *actuators, *also}
    for name in task.names:
        kind, _, _ = name.partition(".")
        if kind in BODY_PHYSICS and name not in known:
            names = ", ".join(sorted(known))
            raise BadArgumentError(f"{name} is no physics of {body.name} here; there are: {names}")


def actuator_strength(task: Task, joints: tuple[str, ...]) -> Array:
    """Factor of each joint's torque, (n, j): 1 as commanded, 0 none, negative the other way.

    It is the product of ``actuator.strength``, which all joints have in common, and the joint's own
    ``actuator.JOINT``.
    """
    shape = (len(task), len(joints))
    share = np.ones(shape)
    if "actuator.strength" in task.names:
        common = task["actuator.strength"]
        share *= common[:, None]
    for i, joint in enumerate(joints):
        name = f"actuator.{joint}"
        if name in task.names:
            share[:, i] *= task[name]
    return share


def joint_damping(task: Task) -> Array:
    """What ``joint.damping`` adds to each joint, (n,) N·m·s/rad; zero if the task has none."""
    if "joint.damping" in task.names:
        return task["joint.damping"]
    return np.zeros(len(task))


def start_velocity(start: Start) -> Array:
    """The joint velocities of a start, (n, j) rad/s; zero if it has none."""
    if start.dq is None:
        return np.zeros_like(start.q)
    return start.dq


def start_pose(start: Start, scene: Scene, i: int) -> Pose | None:
    """Where the scene's i-th object is put; None: where the scene says."""
    given = start.objects or {}
    name = scene.objects[i].name
    if name in given:
        return given[name]
    if i == 0 and start.object_pos is not None:
        return Pose(start.object_pos, start.object_quat)
    return None


def missing_signals(n: int) -> dict[str, Array]:
    """NaN for each of ``OPTIONAL_SIGNALS``, (n, width)."""
    return {name: np.full((n, width), np.nan) for name, width in OPTIONAL_SIGNALS.items()}


def first_object(objects: Mapping[str, ObjectMotion]) -> dict[str, Array]:
    """The signals of a scene's first object; none without one."""
    motions = list(objects.values())
    if not motions:
        return {}
    first = motions[0]
    return {"object_pos": first.pos, "object_quat": first.quat, "object_vel": first.vel}


def tool_signals(kinematics: Kinematics, q: Array, dq: Array) -> dict[str, Array]:
    """The signals of the tool of joints at ``q`` with velocities ``dq``, (n, j) each."""
    pos, rotation, jacobian = kinematics.forward_jacobian(q)
    linear = jacobian[:, :3]
    velocity = np.einsum("nij,nj->ni", linear, dq)
    quat = quaternion_from_matrix(rotation)
    return {"tool_pos": pos, "tool_quat": quat, "tool_vel": velocity}
