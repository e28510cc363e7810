"""The half-cheetah of Gymnasium, driven by torque: run at a hidden speed, or run with an actuator dead.

The model is the installed package's own file. Five steps of 10 ms are an action, as in Gymnasium; noise at the start
is its too, and so is what is observed (qpos without the root's x, then qvel), but for the x of the root, which comes
last: velocity in a reward is (x after - x before) / dt, and both are observed, as in PEARL's and GrBAL's code.

In MuJoCo the physics are Gymnasium's, to 1e-9 over an episode. PyBullet has the same masses, joints and springs, but
hard ground and no inertia of rotors: see ``sim.engines.bullet_walker``.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from robots.actions import JointTorque
from robots.arm import Limits, Walker
from robots.scene import Scene
from robots.signals import Array, Signals, Spec
from robots.world import Start, Task
from sim.families.splits import checkerboard, heldout

JOINTS = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
ONE = np.ones(6)


def _gymnasium(path: str) -> Path:
    found = find_spec("gymnasium")  # without importing it
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / path


CHEETAH = Walker(
    name="half_cheetah",
    joints=JOINTS,
    home=np.zeros(6),
    limits=Limits(
        q_low=np.array([-0.52, -0.785, -0.4, -1.0, -1.2, -0.5]),  # rad, the model's
        q_high=np.array([1.05, 0.785, 0.785, 0.7, 0.87, 0.5]),
        tau=np.array([120.0, 90.0, 60.0, 120.0, 60.0, 30.0]),  # N·m, the motors' gears
        dq=100 * ONE,  # from here on beyond what torques can do: the model has no such limits
        ddq=1e5 * ONE,
        jerk=1e8 * ONE,
        tool_box=np.array([[-1e3, 1e3]] * 3),
        force=1e4,
        deadline=0.25,
    ),
    mjcf=_gymnasium("envs/mujoco/assets/half_cheetah.xml"),
    root_joints=("rootx", "rootz", "rooty"),
)
MOVING = (*CHEETAH.root, *JOINTS)
NOISE = (
    0.1  # rad or m, uniform to either side; rad/s or m/s, standard deviation (Gymnasium's reset)
)
EFFORT = 0.05  # price of squared actions, in both families' sources
VX, X = 8, 17  # columns of the observation


class Cheetah:
    """What both families share; a subclass says what differs between tasks and what is paid."""

    body = CHEETAH
    limits = CHEETAH.limits
    scene = Scene(CHEETAH, timestep=0.01)
    engines = ("mujoco", "bullet")
    action = JointTorque(CHEETAH)
    obs = Spec(
        (*MOVING[1:], *(f"{joint}.velocity" for joint in MOVING), MOVING[0]),
        np.array([-0.6, -1.5, *CHEETAH.limits.q_low, -4, -4, -8, *(-20 * ONE), -10]),
        np.array([0.6, 1.5, *CHEETAH.limits.q_high, 4, 4, 8, *(20 * ONE), 30]),
        ("m", *["rad"] * 7, "m/s", "m/s", *["rad/s"] * 7, "m"),
    )
    dt = 0.05
    tick = 0.05
    horizon = 200

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Gymnasium's: all joints and their velocities a little off."""
        n, k = len(task), len(MOVING)
        q, dq = rng.uniform(-NOISE, NOISE, (n, k)), NOISE * rng.standard_normal((n, k))
        return Start(q, dq)

    def marker(self, task: Task) -> Array:
        """There is nothing to be seen."""
        return np.full((len(task), 3), np.nan)

    def observe(self, signals: Signals) -> Array:
        """Gymnasium's 17 numbers and the root's x, (n, 18)."""
        return np.concatenate([signals.q[:, 1:], signals.dq, signals.q[:, :1]], 1)

    def terminated(self, obs: Any) -> Any:
        """Never, not even on its back."""
        return obs[..., 0] != obs[..., 0]

    def velocity(self, obs: Any, next_obs: Any) -> Any:
        """Mean forward velocity over a step, m/s."""
        return (next_obs[..., X] - obs[..., X]) / self.dt


class CheetahVel(Cheetah):
    """HalfCheetah-Vel: run at a speed that is not shown (Finn et al. 2017, as in PEARL's code: U[0, 3] m/s, 200 steps).

    Held-out speeds come from other eighths of the range than training ones, alternately; in the literature both are
    draws from all of it.
    """

    name = "cheetah_vel"
    episodes = 3  # PEARL judges a task by its third trajectory
    task_names = ("goal.velocity",)
    hidden_reward = True
    fastest = 3.0  # m/s

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Speeds from 0 to 3 m/s."""
        return Task(self.task_names, self.fastest * checkerboard(rng, n, 1, split), np.arange(n))

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        """-|v - v*| - 0.05·|a|²."""
        return -abs(self.velocity(obs, next_obs) - task[..., 0]) - EFFORT * (applied**2).sum(-1)

    def success(self, obs: Any, task: Any) -> Any:
        """Within 0.3 m/s of the speed, at this instant; ours, the literature has none."""
        return abs(obs[..., VX] - task[..., 0]) < 0.3


class CheetahCripple(Cheetah):
    """Run forward with one actuator dead (Nagabandi, Clavera et al. 2019, GrBAL).

    As in their code the back thigh's is never dead in training, which leaves it to be held out. There an action is
    one step of 10 ms, and an episode 1000 of them: here it is five and 200, 10 s as well.
    """

    name = "cheetah_cripple"
    episodes = 2
    task_names = tuple(
        f"actuator.{joint}" for joint in JOINTS
    )  # share of the torque that arrives: 0 or 1
    hidden_reward = False

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Which actuator is dead: the back thigh's where held out, else any other."""
        dead = np.zeros(n, dtype=int) if heldout(split) else rng.integers(1, len(JOINTS), n)
        return Task(self.task_names, 1.0 - np.eye(len(JOINTS))[dead], np.arange(n))

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        """v - 0.05·|a|²; what is asked of the dead actuator is paid for too, nobody knows which it is."""
        return self.velocity(obs, next_obs) - EFFORT * (applied**2).sum(-1)

    def success(self, obs: Any, task: Any) -> Any:
        """Forward at 1 m/s, at this instant; ours, the literature has none."""
        return obs[..., VX] > 1.0
