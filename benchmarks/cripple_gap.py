"""The value of knowing the faults of cripple_arm: scripted controllers that know them or do not.

Nothing is learned here. Both controllers ask for a velocity of the tool toward the goal and turn it
into joint velocities by damped least squares. One knows the joints' gains, so that its Jacobian is
that of what is commanded; the other one takes all gains for 1.

    python benchmarks/cripple_gap.py --tasks 200 --arms panda ur5e viperx --engines mujoco bullet
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.signals import Array, Mask
from sim.families.cripple_arm import CrippleArm
from sim.families.splits import SPLITS
from sim.vec_world import VecWorld

RATE = 4.0  # 1/s, of the tool's way to the goal
DAMPING = 0.02**2 * np.eye(3)  # (m/rad)², of the least squares


def drive(family: CrippleArm, engine: str, n: int, split: str, knows: bool) -> tuple[Mask, Array]:
    """Control an episode of n tasks.

    Args:
        family: with its arm.
        engine: a registered name.
        n: tasks, the same ones for both controllers.
        split: of the tasks.
        knows: whether the controller knows the gains.

    Returns:
        Success (n,) and distance to the goal (n,) m at the end.
    """
    world = VecWorld(family, engine, n, seed=0)
    task = family.sample(np.random.default_rng(0), n, split)
    kinematics = Kinematics(family.body)
    joints = len(family.body.joints)
    gains = np.ones((n, joints))
    if knows:
        gains[:, family.faulty] = task.values[:, : len(family.faulty)]
    obs = world.reset(task)
    for _ in range(family.horizon):
        q = obs[:, :joints]
        tool = obs[:, joints : joints + 3]
        target = obs[:, joints + 6 :]
        _, _, jacobian = kinematics.forward_jacobian(q)
        commanded = jacobian[:, :3] * gains[:, None]
        dq = least_squares(commanded, RATE * (target - tool))
        action = dq / family.action.scale
        largest = np.abs(action).max(1, keepdims=True)
        step = world.step(action / np.maximum(largest, 1))
        obs = step.obs
    world.close()
    return step.success, family.metrics(obs, task.values)["distance_m"]


def least_squares(jacobian: Array, velocity: Array) -> Array:
    """Joint velocities (n, j) rad/s for the tool's (n, 3) m/s, by a Jacobian (n, 3, j)."""
    transposed = jacobian.swapaxes(1, 2)
    system = jacobian @ transposed + DAMPING
    share = np.linalg.solve(system, velocity[..., None])
    return np.asarray((transposed @ share)[..., 0])


def main() -> None:
    """Print success and median distance of both controllers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--arms", nargs="+", default=["panda"])
    parser.add_argument("--engines", nargs="+", default=["mujoco"])
    options = parser.parse_args()
    table = Table("arm", "engine", "tasks", "knows nothing", "knows the gains")
    for arm in options.arms:
        family = CrippleArm(ARMS[arm])
        for engine in options.engines:
            for split in SPLITS:
                cells = []
                for knows in (False, True):
                    success, distance = drive(family, engine, options.tasks, split, knows)
                    share = 100 * success.mean()
                    median = 100 * np.median(distance)
                    cells.append(f"{share:.0f} %, {median:.1f} cm")
                table.add_row(arm, engine, split, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
