"""Gymnasium's walker with hidden physics: see ``sim.families.random_params``."""

import numpy as np

from robots.actions import JointTorque
from robots.arm import Walker
from robots.scene import Scene
from robots.signals import ArrayLike
from sim.families.gymnasium_bodies import model_file, torque_limits
from sim.families.random_params import RandomParams, factors, parameter_names, planar_obs

WALKER = Walker(
    name="walker2d",
    joints=(
        "thigh_joint",
        "leg_joint",
        "foot_joint",
        "thigh_left_joint",
        "leg_left_joint",
        "foot_left_joint",
    ),
    home=np.zeros(6),
    limits=torque_limits(
        q_low=np.radians([-150, -150, -45, -150, -150, -45]),
        q_high=np.radians([0, 0, 45, 0, 0, 45]),
        tau=np.full(6, 100.0),
    ),
    mjcf=model_file("walker2d.xml"),  # of version 4: its left foot alone is rough, as published
    root_joints=("rootx", "rootz", "rooty"),
    needs_mujoco=True,
)
LINKS = ("torso", "thigh", "leg", "foot", "thigh_left", "leg_left", "foot_left")
GEOMS = ("floor", *(f"{link}_geom" for link in LINKS))
OBS = planar_obs(WALKER)
Z = OBS.index("rootz")
ANGLE = OBS.index("rooty")


class WalkerParams(RandomParams):
    """Walker-2D-Params: walk forward with hidden masses, inertias, dampings and frictions."""

    name = "walker_params"
    body = WALKER
    limits = WALKER.limits
    scene = Scene(WALKER, timestep=0.004)
    action = JointTorque(WALKER)
    obs = OBS
    parameters = factors(WALKER, LINKS, GEOMS)
    task_names = parameter_names(parameters)

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """The torso is not between 0.8 and 2 m, or leans by 1 rad or more."""
        height = obs[..., Z]
        has_fallen = (height <= 0.8) | (height >= 2.0)
        return has_fallen | (abs(obs[..., ANGLE]) >= 1.0)
