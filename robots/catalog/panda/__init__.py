"""Franka Emika Panda (FER), 7 joints, with a striker: a rod that ends in a ball.

Joint limits: Franka Control Interface documentation, "Robot and interface specifications", limits
of the Panda in joint space. Numbers marked "ours" are our own choice.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone, StrikeZone

PANDA = ArmSpec(
    name="panda",
    joints=tuple(f"joint{i}" for i in range(1, 8)),
    # The tool points down, its ball 3 cm above the table.
    home=np.array([0.0, 0.0975, 0.0, -2.8583, 0.0, 2.9558, 0.0]),
    limits=Limits(
        q_low=np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973]),
        q_high=np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]),
        dq=np.array([2.1750, 2.1750, 2.1750, 2.1750, 2.6100, 2.6100, 2.6100]),
        ddq=np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0]),
        jerk=np.array([7500.0, 3750.0, 5000.0, 6250.0, 7500.0, 10000.0, 10000.0]),
        tau=np.array([87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.2, 0.8],
                [-0.5, 0.5],
                [0.02, 1.0],
            ]
        ),
        # Franka Control Interface documentation, limits of the Panda in Cartesian space: the
        # translational velocity.
        tool_speed=1.7,
        # Ours: near the low end of the collision thresholds used on this arm, 20 N to 100 N.
        force=30.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "panda.urdf",
    tool="tool",
    # Servos in simulation, ours: stiff and over-damped, of the order of the arm's joint impedance
    # controller.
    stiffness=np.array([4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0]),
    damping=np.array([300.0, 300.0, 200.0, 200.0, 60.0, 60.0, 60.0]),
    # Reflected rotor inertia: of the order that Gaz et al. 2019 (see panda.urdf) identified for the
    # motors behind their gears.
    armature=np.array([0.6, 0.6, 0.5, 0.5, 0.2, 0.2, 0.2]),
    # The ready pose of Franka's examples: libfranka, examples/generate_joint_position_motion.cpp.
    # This arm has brakes and needs no support.
    rest_pose=np.array([0.0, -np.pi / 4, 0.0, -3 * np.pi / 4, 0.0, np.pi / 2, np.pi / 4]),
    # Franka Emika Panda data sheet.
    rated_payload=3.0,
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-1.1, 1.1],
            [-1.1, 1.1],
            [0.02, 1.4],
        ]
    ),
    # Ours.
    reach_zone=ReachZone(
        ready=np.array([0.0, -0.2227, 0.0, -2.2955, 0.0, 2.0728, 0.0]),
        center=np.array([0.475, 0.0, 0.3]),
        half_range=np.array([0.125, 0.25, 0.15]),
        speed=0.5,
        goal_radius=0.05,
    ),
    # Ours: from 0.33 m, where the tool begins, to the mark is about what the limits of acceleration
    # need to reach the highest speed of a strike.
    strike_zone=StrikeZone(
        ready=np.array([0.0, 0.05, 0.0, -2.93, 0.0, 2.98, 0.0]),
        height=0.03,
        mark=0.5,
        tool_box=np.array(
            [
                [0.25, 0.62],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
    # Ours: the lane of the strikes.
    push_zone=PushZone(
        ready=np.array([0.0, 0.059, 0.0, -2.927, 0.0, 2.986, 0.0]),
        height=0.03,
        start=0.33,
        tool_box=np.array(
            [
                [0.25, 0.62],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
