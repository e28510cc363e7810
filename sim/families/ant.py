"""Gymnasium's ant, driven by torque: the body, and the common parts of its families.

The model is the installed package's own file. An action lasts five steps of 10 ms, as in Gymnasium,
and the noise at the start is Gymnasium's. An action's columns are in the order of the joints;
Gymnasium's begin with the fourth leg's.

The observation is Gymnasium's positions and velocities (qpos without the root's x and y, then
qvel), with the root's x and y and the cost of contacts appended: a reward is then computed from
observations alone. PEARL's code observes the same positions and velocities on ant_fwd_back; on
ant_goal it also observes the root's x and y, and the single forces whose squares are summed here.

The cost of contacts is Gymnasium's: 5e-4 times the sum of all squared contact forces and torques
(``cfrc_ext``), each clipped to ±1. PEARL's published results were computed with a MuJoCo 2.0 that
gym never asked for these forces: they were zero there. Here they are those of the state that is
observed; Gymnasium's belong to the last stage of the integrator, just before it.
"""

import numpy as np

from robots.actions import JointTorque
from robots.arm import FreeWalker
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.gymnasium_bodies import free_positions, model_file, torque_limits
from sim.families.rewards import mean_velocity

ANT = FreeWalker(
    name="ant",
    joints=(
        "hip_1",
        "ankle_1",
        "hip_2",
        "ankle_2",
        "hip_3",
        "ankle_3",
        "hip_4",
        "ankle_4",
    ),
    home=np.zeros(8),
    limits=torque_limits(
        q_low=np.radians([-30, 30, -30, -70, -30, -70, -30, 30]),
        q_high=np.radians([30, 70, 30, -30, 30, -30, 30, 70]),
        tau=np.full(8, 150.0),
    ),
    mjcf=model_file("ant.xml"),
    root_joints=("root",),
)
HEIGHT = 0.75  # m, of the torso at the start, in the model
NOISE = 0.1  # uniform ± m, rad or 1; standard deviation in m/s or rad/s (Gymnasium's reset)
CONTACT_WEIGHT = 5e-4  # of squared contact forces, each clipped to ±1 N or N·m (Gymnasium)
MIN_HEIGHT = 0.2  # m, of the torso; an ant below has fallen, in families that end episodes early
MAX_HEIGHT = 1.0  # m; an ant above has jumped or turned over

OBS = Spec.of(
    ("z", 0.2, 1.0, "m"),
    ("quat.w", -1, 1, "1"),
    ("quat.x", -1, 1, "1"),
    ("quat.y", -1, 1, "1"),
    ("quat.z", -1, 1, "1"),
    ("hip_1", -0.53, 0.53, "rad"),  # the joints' limits; ankles start at 0, outside
    ("ankle_1", 0.0, 1.23, "rad"),
    ("hip_2", -0.53, 0.53, "rad"),
    ("ankle_2", -1.23, 0.0, "rad"),
    ("hip_3", -0.53, 0.53, "rad"),
    ("ankle_3", -1.23, 0.0, "rad"),
    ("hip_4", -0.53, 0.53, "rad"),
    ("ankle_4", 0.0, 1.23, "rad"),
    ("x.velocity", -4, 4, "m/s"),
    ("y.velocity", -4, 4, "m/s"),
    ("z.velocity", -4, 4, "m/s"),
    ("roll.velocity", -8, 8, "rad/s"),
    ("pitch.velocity", -8, 8, "rad/s"),
    ("yaw.velocity", -8, 8, "rad/s"),
    ("hip_1.velocity", -10, 10, "rad/s"),
    ("ankle_1.velocity", -10, 10, "rad/s"),
    ("hip_2.velocity", -10, 10, "rad/s"),
    ("ankle_2.velocity", -10, 10, "rad/s"),
    ("hip_3.velocity", -10, 10, "rad/s"),
    ("ankle_3.velocity", -10, 10, "rad/s"),
    ("hip_4.velocity", -10, 10, "rad/s"),
    ("ankle_4.velocity", -10, 10, "rad/s"),
    ("x", -10, 10, "m"),
    ("y", -10, 10, "m"),
    ("contact_cost", 0, 0.02, "1"),
)
Z = OBS.index("z")
VELOCITY_X = OBS.index("x.velocity")
X = OBS.index("x")
Y = OBS.index("y")
CONTACT_COST = OBS.index("contact_cost")


class Ant(BaseFamily):
    """Base class of the ant's families; a subclass defines the tasks and the reward."""

    body = ANT
    limits = ANT.limits
    scene = Scene(ANT, timestep=0.01)
    action = JointTorque(ANT)
    obs = OBS
    dt = 0.05
    tick = 0.05
    horizon = 200
    observes_state = True

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Noise on all positions and velocities, as in Gymnasium."""
        n = len(task)
        q = free_positions(rng, n, HEIGHT, len(ANT.joints), NOISE)
        dq = NOISE * rng.standard_normal((n, X - VELOCITY_X))
        return Start(q, dq)

    def state_of(self, obs: Array, task: Task) -> tuple[Task, Start]:
        """Positions with the root's x and y first, and velocities: all of MuJoCo's state."""
        root = obs[:, X : Y + 1]
        positions = obs[:, :VELOCITY_X]
        velocities = obs[:, VELOCITY_X:X]
        return task, Start(np.concatenate([root, positions], 1), velocities)

    def observe(self, signals: Signals) -> Array:
        """Gymnasium's 27 positions and velocities, the root's x and y, the cost of contacts."""
        assert signals.contact_forces is not None  # an ant is a FreeWalker
        clipped = np.clip(signals.contact_forces, -1, 1)
        squared = clipped**2
        contact_cost = CONTACT_WEIGHT * squared.sum((1, 2))
        root = signals.q[:, :2]
        positions = signals.q[:, 2:]
        return np.concatenate([positions, signals.dq, root, contact_cost[:, None]], 1)

    def mean_velocity(self, obs: ArrayLike, next_obs: ArrayLike) -> ArrayLike:
        """Mean velocity of the torso along x over a step, m/s."""
        return mean_velocity(obs, next_obs, X, self.dt)
