"""Kinova Gen3 with 7 joints, without the vision module, with a striker: a rod that ends in a ball.

Acceleration: Kinova, Gen3 user guide EN-UG-014 r9.1, 297.94 and 572.95 degrees/s², as quoted in
roahmlab/RAPTOR, Examples/Kinova/KinovaConstants.h. Velocity and torque: as in the URDF beside this
file. The maker publishes no jerks. Numbers marked "ours" are our own choice.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone

KINOVA_GEN3 = ArmSpec(
    name="kinova_gen3",
    joints=tuple(f"joint_{i}" for i in range(1, 8)),
    # The tool points down, its ball 3 cm above the table.
    home=np.array([-0.0691, 0.6124, 0.0, 2.1469, 0.0, 0.3823, 0.0]),
    limits=Limits(
        # Of the continuous joints, ours: one full turn, as of the UR5e.
        q_low=np.array([-np.pi, -2.24, -np.pi, -2.57, -np.pi, -2.09, -np.pi]),
        q_high=np.array([np.pi, 2.24, np.pi, 2.57, np.pi, 2.09, np.pi]),
        dq=np.array([1.3963, 1.3963, 1.3963, 1.3963, 1.2218, 1.2218, 1.2218]),
        ddq=np.array([5.2, 5.2, 5.2, 5.2, 10.0, 10.0, 10.0]),
        # Ours, as of the UR5e: full acceleration is reached after 2 ms.
        jerk=np.array([2600.0, 2600.0, 2600.0, 2600.0, 5000.0, 5000.0, 5000.0]),
        tau=np.array([39.0, 39.0, 39.0, 39.0, 9.0, 9.0, 9.0]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.15, 0.7],
                [-0.5, 0.5],
                [0.02, 0.8],
            ]
        ),
        # Ours: the maker's limit of 0.5 m/s is one of its Cartesian modes, and joints are commanded
        # here. It is about what a joint does alone.
        tool_speed=1.0,
        # Ours: half the weight of the mid-range payload of 4 kg.
        force=20.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "kinova_gen3.urdf",
    tool="tool",
    # Servos in simulation, ours: as stiff as those of the Panda in proportion to the torque limits.
    stiffness=np.array([2000.0, 2000.0, 1500.0, 1500.0, 800.0, 800.0, 800.0]),
    damping=np.array([130.0, 130.0, 90.0, 90.0, 30.0, 30.0, 30.0]),
    # Reflected rotor inertia, ours: in proportion to the torque limits of the Panda.
    armature=np.array([0.25, 0.25, 0.2, 0.2, 0.1, 0.1, 0.1]),
    # Ours: the tool points down, in front of the folded arm. This arm has no brakes, its maker's
    # rest pose leans on the base.
    rest_pose=np.array([-0.0829, 0.1246, 0.0, 2.1148, 0.0, 0.9023, 0.0]),
    # Gen3 user guide, in the middle of its reach; 2 kg at full reach.
    rated_payload=4.0,
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
        ready=np.array([-0.0592, 0.3004, 0.0, 1.6254, 0.0, 1.2158, 0.0]),
        center=np.array([0.42, 0.0, 0.27]),
        half_range=np.array([0.1, 0.2, 0.12]),
        speed=0.4,
        goal_radius=0.05,
    ),
    # Ours. There is no strike zone: the joints are too slow for strikes.
    push_zone=PushZone(
        ready=np.array([-0.0732, 0.5919, 0.0, 2.2114, 0.0, 0.3383, 0.0]),
        height=0.03,
        start=0.34,
        tool_box=np.array(
            [
                [0.26, 0.63],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
