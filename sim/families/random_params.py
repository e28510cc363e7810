"""Gymnasium's planar walkers with a hidden mass, inertia, damping and friction of every part.

As in rand_param_envs (Rothfuss et al. 2019; PEARL's Walker-2D-Params): a factor is drawn for each
body's mass and inertia, each joint's damping and each geom's friction, the floor's too. The time
step is that code's, 4 ms (Gymnasium's is 2 ms), and an action lasts four of them. That code also
draws factors for components without effect in the plane: moments of inertia about other axes,
torsional and rolling friction, and the damping of the root, which is zero. Here one factor scales
all moments of a body, one factor scales all friction of a geom, and the root has none. The
distribution of the physics is the same.

The observation is Gymnasium's (qpos without the root's x, then qvel clipped to ±10) with the root's
x appended: the reward's velocity is (x after - x before) / dt.
"""

import numpy as np

from robots.arm import Walker
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.rewards import effort, mean_velocity
from sim.families.splits import checkerboard
from sim.randomization import Parameter, log_uniform, values_at

SPREAD = 3.0  # a factor is its base to a power between -3 and 3 (rand_param_envs)
BASE = 1.5  # of masses, inertias and frictions: factors from 0.30 to 3.4
DAMPING_BASE = 1.3  # factors from 0.46 to 2.2
NOISE = 0.005  # uniform ± m, rad, m/s or rad/s at the start (Gymnasium's reset)
HEIGHT = 1.25  # m, of the torso at the start, in both models
FACTORS = (0.01, 100.0)  # allowed; others overflow or vanish within an episode
MAX_VELOCITY = 10.0  # m/s or rad/s that is observed at most (Gymnasium)
EFFORT = 1e-3  # weight of squared actions (Gymnasium)


def factors(body: Walker, links: tuple[str, ...], geoms: tuple[str, ...]) -> tuple[Parameter, ...]:
    """The factors: of masses and inertias, then dampings, then frictions."""
    kinds = (
        ("body", "mass", links),
        ("body", "inertia", links),
        ("joint", "damping", body.joints),
        ("geom", "friction", geoms),
    )
    found = []
    for kind, physics, parts in kinds:
        for part in parts:
            found.append(_factor(kind, part, physics))
    return tuple(found)


def _factor(kind: str, part: str, physics: str) -> Parameter:
    """The factor of one physical property of a part."""
    name = f"{kind}.{part}.{physics}_scale"
    base = DAMPING_BASE if physics == "damping" else BASE
    train = log_uniform(base**-SPREAD, base**SPREAD)
    meaning = f"factor of the {physics} of {part}"
    return Parameter(name, train, "1", meaning, FACTORS)


def parameter_names(parameters: tuple[Parameter, ...]) -> tuple[str, ...]:
    """Their names, which are those of a task's values too."""
    return tuple(parameter.name for parameter in parameters)


def planar_obs(body: Walker) -> Spec:
    """The columns of an observation: positions, velocities, and the root's x."""
    angles = []
    rates = []
    limits = body.limits
    for joint, low, high in zip(body.joints, limits.q_low, limits.q_high, strict=True):
        angles.append((joint, low, high, "rad"))
        rates.append((f"{joint}.velocity", -MAX_VELOCITY, MAX_VELOCITY, "rad/s"))
    return Spec.of(
        ("rootz", 0.6, 1.6, "m"),
        ("rooty", -1.5, 1.5, "rad"),
        *angles,
        ("rootx.velocity", -4, 4, "m/s"),
        ("rootz.velocity", -4, 4, "m/s"),
        ("rooty.velocity", -MAX_VELOCITY, MAX_VELOCITY, "rad/s"),
        *rates,
        ("rootx", -5, 15, "m"),
    )


class RandomParams(BaseFamily):
    """Base class of both walkers; a subclass has a body, and defines when it has fallen."""

    body: Walker
    obs: Spec
    dt = 0.016
    tick = 0.016
    horizon = 200
    episodes = 3  # PEARL is evaluated on the third trajectory of a task
    min_speed = 1.0  # m/s, of success; ours, the literature defines none
    task_names: tuple[str, ...]

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Factors of every mass, inertia, damping and friction, each drawn log-uniformly.

        A held-out task lies on a black field of a checkerboard over all factors. With so many
        factors, two tasks of one split are as far apart as two tasks of different splits.
        """
        share = checkerboard(rng, n, len(self.parameters), split)
        values = values_at(self.parameters, share)
        return Task(self.task_names, values, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Upright, with noise on all positions and velocities, as in Gymnasium."""
        body = self.body
        coordinates = len(body.root) + len(body.joints)
        shape = (len(task), coordinates)
        q = rng.uniform(-NOISE, NOISE, shape)
        height = q[:, body.root.index("rootz")]
        height += HEIGHT
        dq = rng.uniform(-NOISE, NOISE, shape)
        return Start(q, dq)

    def observe(self, signals: Signals) -> Array:
        """Gymnasium's positions and clipped velocities, and the root's x."""
        root_x = signals.q[:, :1]
        other_positions = signals.q[:, 1:]
        velocity = np.clip(signals.dq, -MAX_VELOCITY, MAX_VELOCITY)
        return np.concatenate([other_positions, velocity, root_x], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """v + 1 - 0.001·|a|²."""
        x = self.obs.index("rootx")
        velocity = mean_velocity(obs, next_obs, x, self.dt)
        return velocity + 1.0 - EFFORT * effort(applied)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Upright, and forward at more than ``min_speed`` m/s at this instant."""
        fast = self.speed(obs) > self.min_speed
        return fast & ~self.terminated(obs)

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance walked, and forward speed at this instant."""
        x = self.obs.index("rootx")
        return {
            "walked_m": obs[..., x],
            "speed_mps": self.speed(obs),
        }

    def speed(self, obs: ArrayLike) -> ArrayLike:
        """Forward speed at this instant, m/s."""
        column = self.obs.index("rootx.velocity")
        return obs[..., column]
