"""Franka Research 3 (FR3), 7 joints, with a striker: a rod that ends in a ball.

Acceleration and jerk: the maker's libfranka, include/franka/rate_limiting.h. Torque: the maker's
franka_description, as in the URDF beside this file. Payload: the maker's data sheet. Numbers marked
"ours" are our own choice.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone, StrikeZone

FR3 = ArmSpec(
    name="fr3",
    joints=tuple(f"joint{i}" for i in range(1, 8)),
    # The tool points down, its ball 3 cm above the table.
    home=np.array([0.0, 0.2862, 0.0, -2.5219, 0.0, 2.8082, 0.0]),
    limits=Limits(
        # The maker limits the velocity by a function of the position (rate_limiting.h): the nearer
        # a joint is to its end, the slower. Limits here are constant. Ours, so that no joint that
        # brakes before these positions is ever faster than the maker allows: both the ranges and
        # the velocities are narrower than the maker's. The client library franky (2.0) plans with
        # constant maxima: 2.61 rad/s in joints 5 to 7, and 7.5 rad/s² and 3750 rad/s³ in joint 2.
        # Shares of acceleration and jerk, ours: the client needs a reserve to follow the setpoints,
        # and with less jerk the torques change more slowly (docs/safety.md).
        q_low=np.array([-2.5, -1.29, -2.6, -2.58, -2.8, 0.97, -3.0]),
        q_high=np.array([2.5, 1.29, 2.6, -0.61, 2.8, 4.09, 3.0]),
        dq=np.array([2.0, 1.6, 1.5, 2.0, 2.6, 2.5, 2.6]),
        ddq=0.8 * np.array([10.0, 7.5, 10.0, 10.0, 10.0, 10.0, 10.0]),
        jerk=0.25 * np.array([5000.0, 3750.0, 5000.0, 5000.0, 5000.0, 5000.0, 5000.0]),
        tau=np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.2, 0.8],
                [-0.5, 0.5],
                [0.02, 1.0],
            ]
        ),
        # Ours, as of the Panda: the maker allows 3 m/s (rate_limiting.h).
        tool_speed=1.7,
        # Ours, as of the Panda.
        force=30.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "fr3.urdf",
    tool="tool",
    # Servos in simulation, ours: as those of the Panda.
    stiffness=np.array([4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0]),
    damping=np.array([300.0, 300.0, 200.0, 200.0, 60.0, 60.0, 60.0]),
    # Reflected rotor inertia, ours: as of the Panda, whose torques are the same.
    armature=np.array([0.6, 0.6, 0.5, 0.5, 0.2, 0.2, 0.2]),
    # The ready pose of Franka's examples: libfranka, examples/generate_joint_position_motion.cpp.
    # This arm has brakes and needs no support.
    rest_pose=np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4]),
    # Franka Research 3 data sheet.
    rated_payload=3.0,
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-1.1, 1.1],
            [-1.1, 1.1],
            [0.02, 1.4],
        ]
    ),
    # Ours: that of the Panda.
    reach_zone=ReachZone(
        ready=np.array([0.0, -0.2227, 0.0, -2.2954, 0.0, 2.0727, 0.0]),
        center=np.array([0.475, 0.0, 0.3]),
        half_range=np.array([0.125, 0.25, 0.15]),
        speed=0.5,
        goal_radius=0.05,
    ),
    # Ours: the lane of the Panda, 13 cm further out, where the elbow need not bend so far.
    strike_zone=StrikeZone(
        ready=np.array([0.0, 0.2684, 0.0, -2.5545, 0.0, 2.8229, 0.0]),
        height=0.03,
        mark=0.63,
        tool_box=np.array(
            [
                [0.37, 0.75],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
    # Ours: the lane of the strikes.
    push_zone=PushZone(
        ready=np.array([0.0, 0.2684, 0.0, -2.5545, 0.0, 2.8229, 0.0]),
        height=0.03,
        start=0.45,
        tool_box=np.array(
            [
                [0.37, 0.75],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
