"""Move an arm to its rest pose, through the gate and the control process like every motion."""

from contextlib import closing
from typing import Any

import msgspec
import numpy as np

from adaptation.jobs.arm_options import check_options, default_clock
from hw_interface.arm_world import ArmWorld
from robots.actions import JointVelocity
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily


class ParkResult(msgspec.Struct, frozen=True):
    """Where an arm was parked."""

    arm: str
    q: list[float]  # rad, the joints as they were measured
    torque_off: bool  # whether the motors are off


class NoTask(BaseFamily):
    """A family without a task: the arm moves from rest to rest, and no policy acts."""

    name = "no_task"
    dt = 0.1
    tick = 0.05
    horizon = 1
    episodes = 1
    task_names = ("goal.none",)

    def __init__(self, arm: ArmSpec) -> None:
        """Describe one arm."""
        self.body = arm
        self.limits = arm.limits
        self.scene = Scene(arm)
        self.action = JointVelocity(arm)
        columns = [(name, -1.0, 1.0, "rad") for name in arm.joints]
        self.obs = Spec.of(*columns)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Tasks without content."""
        return Task(self.task_names, np.zeros((n, 1)), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """In the rest pose."""
        return Start(np.tile(self.body.rest, (len(task), 1)))

    def observe(self, signals: Signals) -> Array:
        """The joints, (n, j)."""
        return signals.q

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Zero reward."""
        return 0.0 * obs[..., 0]

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Always a success."""
        return obs[..., 0] == obs[..., 0]

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """No metrics."""
        return {}


def open_arm(
    arm: str, driver: str, options: dict[str, Any] | None, family: NoTask | None = None
) -> closing[ArmWorld]:
    """Connect and enable an arm without a policy; it is closed on exit.

    Args:
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        family: what is commanded; None: only moves from rest to rest.

    Raises:
        BadArgumentError: an option does not exist.
        ArmError: the arm did not come up; the message says why.
    """
    spec = ARMS[arm]
    world = ArmWorld(
        family or NoTask(spec),
        spec,
        driver=driver,
        driver_options=check_options(driver, options or {}, 0),
        clock=default_clock(driver),
    )
    return closing(world)


def park(
    arm: str,
    driver: str = "twin",
    options: dict[str, Any] | None = None,
    torque_off: bool = False,
) -> ParkResult:
    """Move an arm to its rest pose, and stand there.

    Args:
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        torque_off: whether the motors are switched off at the end.

    Raises:
        BadArgumentError: an option does not exist.
        ArmError: the arm did not come up or did not arrive; the message says why.
    """
    with open_arm(arm, driver, options) as world:
        world.moves.park(torque_off)
        q = world.control.state["q"].tolist()
    return ParkResult(arm=arm, q=q, torque_off=torque_off)
