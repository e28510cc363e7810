"""UFACTORY xArm 7, 7 joints, with a striker: a rod that ends in a ball.

The tool's speed: UFACTORY, user manual, "Robot specifications", range of motion parameters of
xArm 5/6/7, which are 1 m/s, 1145 degrees/s² and 28647 degrees/s³. Velocity and torque: as in the
URDF beside this file. Numbers marked "ours" are our own choice.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone

XARM7 = ArmSpec(
    name="xarm7",
    joints=tuple(f"joint{i}" for i in range(1, 8)),
    # The tool points down, its ball 3 cm above the table.
    home=np.array([0.0, 0.0472, 0.0, 0.4228, 0.0, 0.3756, 0.0]),
    limits=Limits(
        # Of the joints with a range of two turns, ours: one full turn, as of the UR5e.
        q_low=np.array([-np.pi, -2.059, -np.pi, -0.19198, -np.pi, -1.69297, -np.pi]),
        q_high=np.array([np.pi, 2.0944, np.pi, 3.927, np.pi, np.pi, np.pi]),
        # The limits of the maker's planners, xarm_description/config/xarm7/joint_limits.yaml of
        # xarm_ros2; the joints can do 3.14.
        dq=np.full(7, 2.14),
        # Ours, below the maker's 20 rad/s², which the torque limits do not allow every posture: of
        # the shoulder's 50 N·m the weight takes up to 35 N·m, and in the zones 20 N·m, where the
        # inertia is 1.5 kg·m² with the rotor.
        ddq=np.array([10.0, 10.0, 10.0, 10.0, 15.0, 15.0, 15.0]),
        # Ours, as of the UR5e: full acceleration is reached after 2 ms. The maker's 500 rad/s³
        # bound a setting of its planner, which is not used when setpoints are streamed to the arm.
        jerk=np.array([5000.0, 5000.0, 5000.0, 5000.0, 7500.0, 7500.0, 7500.0]),
        tau=np.array([50.0, 50.0, 30.0, 30.0, 30.0, 20.0, 20.0]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.15, 0.7],
                [-0.5, 0.5],
                [0.02, 0.8],
            ]
        ),
        tool_speed=1.0,
        # Ours, as of the Panda: the arm's payload weighs 35 N.
        force=30.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "xarm7.urdf",
    tool="tool",
    # Servos in simulation, ours: as stiff as those of the Panda in proportion to the torque limits.
    stiffness=np.array([3000.0, 3000.0, 2000.0, 2000.0, 1500.0, 1000.0, 1000.0]),
    damping=np.array([200.0, 200.0, 120.0, 120.0, 60.0, 40.0, 40.0]),
    # Reflected rotor inertia, ours: half of the Panda's, whose motors are twice as strong.
    armature=np.array([0.3, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1]),
    # Ours: the tool points down, in front of the folded arm. This arm has brakes.
    rest_pose=np.array([0.0, -0.6, 0.0, 0.5, 0.0, 1.1, 0.0]),
    # UFACTORY xArm user manual.
    rated_payload=3.5,
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-0.9, 0.9],
            [-0.9, 0.9],
            [0.02, 1.2],
        ]
    ),
    # Ours.
    reach_zone=ReachZone(
        ready=np.array([0.0, -0.1853, 0.0, 0.998, 0.0, 1.1833, 0.0]),
        center=np.array([0.42, 0.0, 0.27]),
        half_range=np.array([0.1, 0.2, 0.12]),
        speed=0.5,
        goal_radius=0.05,
    ),
    # Ours. There is no strike zone: strikes are faster than the tool's speed limit.
    push_zone=PushZone(
        ready=np.array([0.0, -0.0055, 0.0, 0.3542, 0.0, 0.3598, 0.0]),
        height=0.03,
        start=0.32,
        tool_box=np.array(
            [
                [0.24, 0.61],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
