"""Gymnasium's humanoid runs in a hidden direction: one of PEARL's families.

The model is the installed package's own file, driven by torque. An action lasts five steps of
3 ms, as in Gymnasium, and the noise at the start is Gymnasium's. A motor's largest torque is 0.4
times its gear, as in the model. An action's columns are in the order of the joints.

The observation is Gymnasium's positions and velocities (qpos without the root's x and y, then
qvel), with x and y of the center of mass and the cost of contacts appended: a reward is then
computed from observations alone. Gymnasium and PEARL's code also observe the motors' torques, every
contact force, and the bodies' inertias and velocities, which follow from positions and velocities.

The cost of contacts is Gymnasium's: 5e-7 times the sum of all squared contact forces and torques
(``cfrc_ext``), at most 10. PEARL's published results were computed with a MuJoCo 2.0 that gym never
asked for these forces: they were zero there.
"""

import numpy as np

from robots.actions import JointTorque
from robots.arm import FreeWalker
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.gymnasium_bodies import free_positions, model_file, torque_limits
from sim.families.rewards import effort, mean_velocity
from sim.families.splits import interleaved
from sim.randomization import Parameter, uniform, values_at

JOINTS = (
    "abdomen_z",
    "abdomen_y",
    "abdomen_x",
    "right_hip_x",
    "right_hip_z",
    "right_hip_y",
    "right_knee",
    "left_hip_x",
    "left_hip_z",
    "left_hip_y",
    "left_knee",
    "right_shoulder1",
    "right_shoulder2",
    "right_elbow",
    "left_shoulder1",
    "left_shoulder2",
    "left_elbow",
)
# Of the joints in this order, the model's: abdomen, right leg, left leg, right arm, left arm.
LOW = [-45, -75, -35, -25, -60, -110, -160, -25, -60, -110, -160, -85, -85, -90, -60, -60, -90]
HIGH = [45, 30, 35, 5, 35, 20, -2, 5, 35, 20, -2, 60, 60, 50, 85, 85, 50]  # degrees
GEARS = [100, 100, 100, 100, 100, 300, 200, 100, 100, 300, 200, 25, 25, 25, 25, 25, 25]  # N·m
MAX_CONTROL = 0.4  # share of a gear that a motor gives at most

HUMANOID = FreeWalker(
    name="humanoid",
    joints=JOINTS,
    home=np.zeros(len(JOINTS)),
    limits=torque_limits(
        q_low=np.radians(LOW),
        q_high=np.radians(HIGH),
        tau=MAX_CONTROL * np.array(GEARS),
    ),
    mjcf=model_file("humanoid.xml"),
    root_joints=("root",),
)
HEIGHT = 1.4  # m, of the torso at the start, in the model
NOISE = 0.01  # uniform ± m, rad or 1, and m/s or rad/s (Gymnasium's reset)
CONTACT_WEIGHT = 5e-7  # of squared contact forces, N² or (N·m)² (Gymnasium)
MAX_CONTACT_COST = 10.0
EFFORT = 0.1 * MAX_CONTROL**2  # of squared actions: 0.1 of squared controls
SPEED_WEIGHT = 1.25  # PEARL's 0.25·(distance in 5 steps) / (duration of one), Gymnasium's weight
MIN_HEIGHT = 1.0  # m, of the torso; a lower humanoid has fallen
MAX_HEIGHT = 2.0  # m

ANGLES = [
    (name, np.radians(low), np.radians(high), "rad")
    for name, low, high in zip(JOINTS, LOW, HIGH, strict=True)
]
JOINT_VELOCITIES = [(f"{name}.velocity", -20.0, 20.0, "rad/s") for name in JOINTS]
OBS = Spec.of(
    ("z", 0.6, 1.6, "m"),
    ("quat.w", -1, 1, "1"),
    ("quat.x", -1, 1, "1"),
    ("quat.y", -1, 1, "1"),
    ("quat.z", -1, 1, "1"),
    *ANGLES,
    ("x.velocity", -3, 3, "m/s"),
    ("y.velocity", -3, 3, "m/s"),
    ("z.velocity", -3, 3, "m/s"),
    ("roll.velocity", -10, 10, "rad/s"),
    ("pitch.velocity", -10, 10, "rad/s"),
    ("yaw.velocity", -10, 10, "rad/s"),
    *JOINT_VELOCITIES,
    ("center_of_mass.x", -5, 5, "m"),
    ("center_of_mass.y", -5, 5, "m"),
    ("contact_cost", 0, 10, "1"),
)
Z = OBS.index("z")
VELOCITY_X = OBS.index("x.velocity")
VELOCITY_Y = OBS.index("y.velocity")
COM_X = OBS.index("center_of_mass.x")
COM_Y = OBS.index("center_of_mass.y")
CONTACT_COST = OBS.index("contact_cost")


class HumanoidDir(BaseFamily):
    """Humanoid-Direc-2D: run in a hidden direction of the plane.

    As in PEARL's code: directions from the full circle, 200 steps. In the literature, test
    directions are more draws from the circle; here held-out directions come from other sixteenths
    of it.
    """

    name = "humanoid_dir"
    body = HUMANOID
    limits = HUMANOID.limits
    scene = Scene(HUMANOID, timestep=0.003)
    action = JointTorque(HUMANOID)
    obs = OBS
    dt = 0.015
    tick = 0.015
    horizon = 200
    episodes = 3  # PEARL is evaluated on the third trajectory of a task
    task_names = ("goal.direction_x", "goal.direction_y")
    parameters = (Parameter("goal.angle", uniform(0, 2 * np.pi), "rad", "from x", (0, 2 * np.pi)),)
    hidden_reward = True
    min_speed = 0.5  # m/s, of success; ours, the literature defines none

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Unit vectors all around."""
        angle = values_at(self.parameters, interleaved(rng, n, split))
        direction = np.concatenate([np.cos(angle), np.sin(angle)], 1)
        return Task(self.task_names, direction, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Upright, with noise on all positions and velocities, as in Gymnasium."""
        n = len(task)
        q = free_positions(rng, n, HEIGHT, len(JOINTS), NOISE)
        dq = rng.uniform(-NOISE, NOISE, (n, COM_X - VELOCITY_X))
        return Start(q, dq)

    def observe(self, signals: Signals) -> Array:
        """Gymnasium's 45 positions and velocities, the center of mass, the cost of contacts."""
        assert signals.contact_forces is not None  # a humanoid is a FreeWalker
        assert signals.center_of_mass is not None
        squared = signals.contact_forces**2
        contact_cost = CONTACT_WEIGHT * squared.sum((1, 2))
        limited = np.minimum(contact_cost, MAX_CONTACT_COST)
        positions = signals.q[:, 2:]
        center = signals.center_of_mass[:, :2]
        return np.concatenate([positions, signals.dq, center, limited[:, None]], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """1.25·v·d - 0.1·|u|² - contact cost + 5, with the direction d and controls u = 0.4·a.

        v is the mean velocity of the center of mass over the step.
        """
        x_velocity = mean_velocity(obs, next_obs, COM_X, self.dt)
        y_velocity = mean_velocity(obs, next_obs, COM_Y, self.dt)
        speed = task[..., 0] * x_velocity + task[..., 1] * y_velocity
        costs = EFFORT * effort(applied) + next_obs[..., CONTACT_COST]
        return SPEED_WEIGHT * speed - costs + 5.0

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """The torso is lower than 1 m or higher than 2 m."""
        height = obs[..., Z]
        return (height < MIN_HEIGHT) | (height > MAX_HEIGHT)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Upright, and faster than ``min_speed`` m/s in the direction at this instant."""
        fast = _speed(obs, task) > self.min_speed
        return fast & ~self.terminated(obs)

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Speed of the torso in the direction at this instant."""
        return {"speed_mps": _speed(obs, task)}


def _speed(obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    x_part = task[..., 0] * obs[..., VELOCITY_X]
    y_part = task[..., 1] * obs[..., VELOCITY_Y]
    return x_part + y_part
