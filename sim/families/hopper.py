"""Gymnasium's hopper with hidden physics: see ``sim.families.random_params``."""

import numpy as np

from robots.actions import JointTorque
from robots.arm import Walker
from robots.scene import Scene
from robots.signals import ArrayLike
from sim.families.gymnasium_bodies import model_file, torque_limits
from sim.families.random_params import RandomParams, factors, parameter_names, planar_obs

HOPPER = Walker(
    name="hopper",
    joints=("thigh_joint", "leg_joint", "foot_joint"),
    home=np.zeros(3),
    limits=torque_limits(
        q_low=np.radians([-150, -150, -45]),
        q_high=np.radians([0, 0, 45]),
        tau=np.full(3, 200.0),
    ),
    mjcf=model_file("hopper.xml"),
    root_joints=("rootx", "rootz", "rooty"),
    needs_mujoco=True,
)
LINKS = ("torso", "thigh", "leg", "foot")
GEOMS = ("floor", *(f"{link}_geom" for link in LINKS))
OBS = planar_obs(HOPPER)
Z = OBS.index("rootz")
ANGLE = OBS.index("rooty")


class HopperParams(RandomParams):
    """Hopper-Params: hop forward with hidden masses, inertias, dampings and frictions.

    It is kept as it was published, for comparison with other work. That knowing its parameters is
    worth anything is not shown: planned with them and without, the returns do not clearly differ.
    """

    name = "hopper_params"
    body = HOPPER
    limits = HOPPER.limits
    scene = Scene(HOPPER, timestep=0.004)
    action = JointTorque(HOPPER)
    obs = OBS
    parameters = factors(HOPPER, LINKS, GEOMS)
    task_names = parameter_names(parameters)

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """The torso is at most 0.7 m high, or leans by 0.2 rad or more."""
        return (obs[..., Z] <= 0.7) | (abs(obs[..., ANGLE]) >= 0.2)
