"""Gymnasium's half-cheetah, driven by torque: the body, and the common parts of its families.

The model is the installed package's own file. An action lasts five steps of 10 ms, as in Gymnasium.
The noise at the start is Gymnasium's too. The observation is Gymnasium's (qpos without the root's
x, then qvel) with the root's x appended: as in PEARL's and GrBAL's code, the reward's velocity is
(x after - x before) / dt, and a reward is computed from observations alone.

In MuJoCo the physics are Gymnasium's, to 1e-9 over an episode. PyBullet has the same masses, joints
and springs, but rigid ground and joint stops: see ``sim.engines.bullet_world``.
"""

import numpy as np

from robots.actions import JointTorque
from robots.arm import Walker
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.gymnasium_bodies import model_file, torque_limits
from sim.families.rewards import effort, mean_velocity

CHEETAH = Walker(
    name="half_cheetah",
    joints=("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"),
    home=np.zeros(6),
    limits=torque_limits(
        q_low=np.array([-0.52, -0.785, -0.4, -1.0, -1.2, -0.5]),
        q_high=np.array([1.05, 0.785, 0.785, 0.7, 0.87, 0.5]),
        tau=np.array([120.0, 90.0, 60.0, 120.0, 60.0, 30.0]),
    ),
    mjcf=model_file("half_cheetah.xml"),
    root_joints=("rootx", "rootz", "rooty"),
)
NUM_COORDINATES = len(CHEETAH.root) + len(CHEETAH.joints)
NOISE = 0.1  # uniform ± rad or m; standard deviation in rad/s or m/s (Gymnasium's reset)
EFFORT = 0.05  # weight of squared actions, in the families' sources


def cheetah_obs(
    height: tuple[float, float] = (-0.6, 0.6), lean: tuple[float, float] = (-1.5, 1.5)
) -> Spec:
    """The columns of an observation.

    Args:
        height: m, the range that scales the root's height.
        lean: rad, the range that scales the root's angle.
    """
    return Spec.of(
        ("rootz", *height, "m"),
        ("rooty", *lean, "rad"),
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


OBS = cheetah_obs()
VELOCITY = OBS.index("rootx.velocity")
X = OBS.index("rootx")


class Cheetah(BaseFamily):
    """Base class of the half-cheetah's families; a subclass defines the tasks and the reward."""

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
        return mean_velocity(obs, next_obs, X, self.dt)


class ForwardCheetah(Cheetah):
    """Run forward, as fast as possible; a subclass defines what is hidden."""

    min_speed: float  # m/s, of success; ours, the literature defines none
    effort_weight = EFFORT

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """v - w·|a|², where w is 0.05, in ``cheetah_params`` 0.1.

        The action of a faulty actuator counts in full.
        """
        return self.mean_velocity(obs, next_obs) - self.effort_weight * effort(applied)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Forward at more than ``min_speed`` m/s at this instant."""
        return obs[..., VELOCITY] > self.min_speed

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Forward speed at this instant."""
        return {"speed_mps": obs[..., VELOCITY]}
