"""Gymnasium's half-cheetah, driven by torque: run at a hidden speed, or with faulty actuators.

The model is the installed package's own file. An action lasts five steps of 10 ms, as in Gymnasium.
The noise at the start is Gymnasium's too. The observation is Gymnasium's (qpos without the root's
x, then qvel) with the root's x appended: as in PEARL's and GrBAL's code, the reward's velocity is
(x after - x before) / dt, and a reward is computed from observations alone.

In MuJoCo the physics are Gymnasium's, to 1e-9 over an episode. PyBullet has the same masses, joints
and springs, but rigid ground and joint stops: see ``sim.engines.bullet_world``.
"""

from importlib.util import find_spec
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robots.actions import JointTorque
from robots.arm import Limits, Walker
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.splits import heldout, interleaved

ONE = np.ones(6)


def _gymnasium_file(path: str) -> Path:
    """A file of the installed Gymnasium, found without importing it."""
    package = find_spec("gymnasium")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / path


CHEETAH = Walker(
    name="half_cheetah",
    joints=("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"),
    home=np.zeros(6),
    limits=Limits(
        q_low=np.array([-0.52, -0.785, -0.4, -1.0, -1.2, -0.5]),  # rad, the model's
        q_high=np.array([1.05, 0.785, 0.785, 0.7, 0.87, 0.5]),
        tau=np.array([120.0, 90.0, 60.0, 120.0, 60.0, 30.0]),  # N·m, the motors' gears
        # The model has no limits of the following kinds: these are beyond what its torques reach.
        dq=100 * ONE,
        ddq=1e5 * ONE,
        jerk=1e8 * ONE,
        tool_box=np.array([[-1e3, 1e3]] * 3),
        tool_speed=1e3,
        force=1e4,
        deadline=0.25,
    ),
    mjcf=_gymnasium_file("envs/mujoco/assets/half_cheetah.xml"),
    root_joints=("rootx", "rootz", "rooty"),
)
NUM_COORDINATES = len(CHEETAH.root) + len(CHEETAH.joints)
NOISE = 0.1  # uniform ± rad or m; standard deviation in rad/s or m/s (Gymnasium's reset)
# Joints that are never faulty together in training, numbered from hip to foot, back leg first: the
# same joint of both legs, and successive numbers. Each joint is in two of the pairs.
HELDOUT_PAIRS = ((0, 3), (1, 4), (2, 5), (0, 1), (2, 3), (4, 5))
EFFORT = 0.05  # weight of squared actions, in the families' sources

OBS = Spec.of(
    ("rootz", -0.6, 0.6, "m"),
    ("rooty", -1.5, 1.5, "rad"),
    ("bthigh", -0.52, 1.05, "rad"),  # the joints' limits
    ("bshin", -0.785, 0.785, "rad"),
    ("bfoot", -0.4, 0.785, "rad"),
    ("fthigh", -1.0, 0.7, "rad"),
    ("fshin", -1.2, 0.87, "rad"),
    ("ffoot", -0.5, 0.5, "rad"),
    ("rootx.velocity", -4, 4, "m/s"),
    ("rootz.velocity", -4, 4, "m/s"),
    ("rooty.velocity", -8, 8, "rad/s"),
    ("bthigh.velocity", -20, 20, "rad/s"),
    ("bshin.velocity", -20, 20, "rad/s"),
    ("bfoot.velocity", -20, 20, "rad/s"),
    ("fthigh.velocity", -20, 20, "rad/s"),
    ("fshin.velocity", -20, 20, "rad/s"),
    ("ffoot.velocity", -20, 20, "rad/s"),
    ("rootx", -10, 30, "m"),
)
VELOCITY = OBS.index("rootx.velocity")
X = OBS.index("rootx")


class Cheetah(BaseFamily):
    """What all families share; a subclass defines how tasks differ and what is rewarded."""

    body = CHEETAH
    limits = CHEETAH.limits
    scene = Scene(CHEETAH, timestep=0.01)
    action = JointTorque(CHEETAH)
    obs = OBS
    dt = 0.05
    tick = 0.05
    horizon = 200
    observes_state = True

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Noise on all joint positions and velocities, as in Gymnasium."""
        shape = (len(task), NUM_COORDINATES)
        q = rng.uniform(-NOISE, NOISE, shape)
        dq = NOISE * rng.standard_normal(shape)
        return Start(q, dq)

    def state_of(self, obs: Array, task: Task) -> tuple[Task, Start]:
        """Positions with the root's x first, and velocities: all of MuJoCo's state."""
        root_x = obs[:, X:]
        positions = obs[:, : NUM_COORDINATES - 1]
        velocities = obs[:, VELOCITY:X]
        return task, Start(np.concatenate([root_x, positions], 1), velocities)

    def observe(self, signals: Signals) -> Array:
        """Gymnasium's 17 numbers and the root's x, (n, 18)."""
        root_x = signals.q[:, :1]
        return np.concatenate([signals.q[:, 1:], signals.dq, root_x], 1)

    def mean_velocity(self, obs: ArrayLike, next_obs: ArrayLike) -> ArrayLike:
        """Mean forward velocity over a step, m/s."""
        return (next_obs[..., X] - obs[..., X]) / self.dt


class CheetahVel(Cheetah):
    """HalfCheetah-Vel: run at a hidden speed.

    Finn et al. 2017, as in PEARL's code: U[0, 3] m/s, 200 steps. Training and held-out speeds come
    from different sixteenths of the range, with the same mean and deviation (see ``interleaved``);
    in the literature both are drawn from all of it.
    """

    name = "cheetah_vel"
    episodes = 3  # PEARL is evaluated on the third trajectory of a task
    task_names = ("goal.velocity",)
    hidden_reward = True
    max_speed = 3.0  # m/s
    tolerance = 0.3  # m/s; ours, the literature defines no success

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Speeds from 0 to 3 m/s."""
        speed = self.max_speed * interleaved(rng, n, split)
        return Task(self.task_names, speed, np.arange(n))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """-|v - v*| - 0.05·|a|²."""
        error = abs(self.mean_velocity(obs, next_obs) - task[..., 0])
        return -error - EFFORT * (applied**2).sum(-1)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 0.3 m/s of the goal's speed at this instant."""
        return _speed_error(obs, task) < self.tolerance

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Difference from the goal's speed at this instant."""
        return {"speed_error_mps": _speed_error(obs, task)}


class FaultyCheetah(Cheetah):
    """Run forward with one or two faulty actuators; a subclass defines how faulty.

    In GrBAL's code (Nagabandi, Clavera et al. 2019) one actuator is dead, and held out is one
    joint. Here held-out tasks have two faulty joints that are never faulty together in training.
    Held out are ``HELDOUT_PAIRS``; training has the other 9 pairs, and each joint alone.

    Reward and duration are those of GrBAL's code. There an action lasts one step of 10 ms and an
    episode 1000 actions; here an action lasts five steps and an episode 200 actions.
    """

    episodes = 2
    # factor of each motor's torque: 1 healthy, 0 dead, negative where it turns the other way
    task_names = tuple(f"actuator.{joint}" for joint in CHEETAH.joints)
    hidden_reward = False
    strength: tuple[float, float]  # range of a faulty actuator's factor
    min_speed: float  # m/s, of success; ours, the literature defines none

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """One or two faulty joints, of strengths drawn evenly.

        Two joints that are faulty together in a held-out task never are in training.
        """
        faulty = rng.choice(_faulty_joints(split), n)  # (n, 2)
        strength = rng.uniform(*self.strength, (n, 2))
        rows = np.arange(n)
        values = np.ones((n, len(CHEETAH.joints)))
        values[rows, faulty[:, 0]] = strength[:, 0]
        values[rows, faulty[:, 1]] = strength[:, 1]
        return Task(self.task_names, values, rows)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """v - 0.05·|a|², where the action of a faulty actuator counts in full."""
        return self.mean_velocity(obs, next_obs) - EFFORT * (applied**2).sum(-1)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Forward at more than ``min_speed`` m/s at this instant."""
        return obs[..., VELOCITY] > self.min_speed

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Forward speed at this instant."""
        return {"speed_mps": obs[..., VELOCITY]}


class CheetahCripple(FaultyCheetah):
    """Weak actuators, from dead to half of their torque."""

    name = "cheetah_cripple"
    strength = (0.0, 0.5)
    min_speed = 3.0


class CheetahInverted(FaultyCheetah):
    """Actuators that turn the wrong way, with at least half of their torque.

    A policy that does not know which ones can hardly be robust to that: what drives a healthy
    cheetah forward drives a faulty one back.
    """

    name = "cheetah_inverted"
    strength = (-1.0, -0.5)
    min_speed = 2.0


def _faulty_joints(split: str) -> NDArray[np.int64]:
    """Numbers of the joints that are faulty together, (k, 2); a single one is named twice."""
    if heldout(split):
        return np.array(HELDOUT_PAIRS)
    joints = range(len(CHEETAH.joints))
    every = combinations_with_replacement(joints, 2)
    return np.array([pair for pair in every if pair not in HELDOUT_PAIRS])


def _speed_error(obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    return abs(obs[..., VELOCITY] - task[..., 0])
