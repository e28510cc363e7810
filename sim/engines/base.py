"""What a physics engine promises, and the scene it is given. Axes: n worlds, j joints."""

from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from robots.arm import Body
from robots.scene import Scene
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Start, Task

C = TypeVar("C", Setpoint, Torque)


class Engine(Protocol):
    """n independent simulations of one scene, each with its own task parameters.

    The contract, tested for every registered engine: ``read`` is always fresh (after ``reset``, ``write`` and
    ``step`` alike); worlds do not influence each other; the same calls give the same numbers; an error or a NaN
    in one world leaves the others alone and is reported by ``diverged`` until that world is reset.
    """

    n: int
    scene: Scene

    def load(self, scene: Scene, n: int) -> None:
        """Build n simulations; called once."""
        ...

    def write(self, task: Task, mask: NDArray[np.bool_] | None = None) -> None:
        """Set some worlds' ``object.*``, ``joint.*`` and ``actuator.*``, from defaults; other names are ignored."""
        ...

    def reset(self, start: Start, mask: NDArray[np.bool_] | None = None) -> None:
        """Put some worlds (all, without a mask) at rows of ``start``, their clocks at zero."""
        ...

    def step(self, command: Setpoint | Torque, substeps: int) -> None:
        """Hold the joint targets (n, j), or a walker's torques, for some substeps."""
        ...

    def read(self) -> Signals:
        """Fresh measurements; ``marker`` is NaN, an engine knows of no targets."""
        ...

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Worlds whose physics broke down since their last reset, (n,)."""
        ...

    def close(self) -> None: ...


def strength(task: Task, joints: tuple[str, ...]) -> Array:
    """Share of each joint's torque that arrives, (n, j): ``actuator.strength`` of all, ``actuator.JOINT`` of one."""
    share = np.ones((len(task), len(joints)))
    if "actuator.strength" in task.names:
        share *= task["actuator.strength"][:, None]
    for i, joint in enumerate(joints):
        if (name := f"actuator.{joint}") in task.names:
            share[:, i] *= task[name]
    return share


def told(body: Body, command: Setpoint | Torque, kind: type[C]) -> C:
    """The command, of the kind that drives the body; TypeError for the other one."""
    if not isinstance(command, kind):
        raise TypeError(
            f"{body.name} is driven by {kind.__name__}, not by {type(command).__name__}"
        )
    return command
