"""Kinova Jaco (Jaco 2) with 6 joints, as dm_control has it, with a striker: a rod with a ball.

Limits of position, velocity and torque: as in the URDF beside this file. The maker publishes no
accelerations or jerks; ours are what the torque limits allow the outstretched arm, with a margin.
Numbers marked "ours" are our own choice.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone

JACO = ArmSpec(
    name="jaco",
    joints=tuple(f"joint_{i}" for i in range(1, 7)),
    # The tool points down, its ball 3 cm above the table.
    home=np.array([0.1391, 2.1116, 4.861, 0.1149, -0.4539, 0.0]),
    limits=Limits(
        # Of the continuous joints, ours: one full turn, as of the UR5e.
        q_low=np.array([-np.pi, 0.820305, 0.331613, -np.pi, -np.pi, -np.pi]),
        q_high=np.array([np.pi, 5.462881, 5.951573, np.pi, np.pi, np.pi]),
        dq=np.array([0.6283, 0.6283, 0.6283, 0.8377, 0.8377, 0.8377]),
        # Ours.
        ddq=np.array([4.0, 4.0, 4.0, 8.0, 8.0, 8.0]),
        # Ours, as of the UR5e: full acceleration is reached after 2 ms.
        jerk=np.array([2000.0, 2000.0, 2000.0, 4000.0, 4000.0, 4000.0]),
        tau=np.array([30.5, 30.5, 30.5, 6.8, 6.8, 6.8]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.15, 0.7],
                [-0.45, 0.45],
                [0.02, 0.8],
            ]
        ),
        # Ours: about what a joint does alone.
        tool_speed=0.6,
        # Ours: half the weight of the payload of 2.6 kg.
        force=12.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "jaco.urdf",
    tool="tool",
    # Servos in simulation, ours: as stiff as those of the Gen3 in proportion to the torque limits.
    stiffness=np.array([1500.0, 1500.0, 1500.0, 600.0, 600.0, 600.0]),
    damping=np.array([100.0, 100.0, 100.0, 25.0, 25.0, 25.0]),
    # Reflected rotor inertia, ours: in proportion to the torque limits of the Gen3.
    armature=np.array([0.2, 0.2, 0.2, 0.08, 0.08, 0.08]),
    # Ours: the tool points down, in front of the bent arm.
    rest_pose=np.array([0.1493, 2.5364, 4.9529, 0.2208, -0.8439, 0.0]),
    # Kinova, continuous, in the middle of its reach.
    rated_payload=2.6,
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-1.0, 1.0],
            [-1.0, 1.0],
            [0.02, 1.3],
        ]
    ),
    # Ours.
    reach_zone=ReachZone(
        ready=np.array([0.1454, 2.6629, 4.8468, 0.3044, -1.122, 0.0]),
        center=np.array([0.42, 0.0, 0.27]),
        half_range=np.array([0.1, 0.2, 0.1]),
        speed=0.3,
        goal_radius=0.03,
    ),
    # Ours: closer to the base the wrist is straight, and the tool cannot point down. There is no
    # strike zone: the joints are too slow for strikes.
    push_zone=PushZone(
        ready=np.array([0.1391, 2.1116, 4.861, 0.1149, -0.4539, 0.0]),
        height=0.03,
        start=0.46,
        tool_box=np.array(
            [
                [0.39, 0.68],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
