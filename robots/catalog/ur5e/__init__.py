"""Universal Robots UR5e, 6 joints, with a striker: a rod that ends in a ball.

Velocity and torque limits, and the position limits in the URDF: the maker's
Universal_Robots_ROS2_Description, which has them from the user manual and the article "Max. joint
torques". Payload: the maker's data sheet. The maker publishes no accelerations and no jerks.
Numbers marked "ours" are our own choice.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone, StrikeZone

UR5E = ArmSpec(
    name="ur5e",
    joints=("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3"),
    # The tool points down, its ball 3 cm above the table.
    home=np.array([-0.323, -1.423, 2.3481, -2.496, -1.5708, 0.0]),
    limits=Limits(
        # Ours, one full turn of the maker's two: it reaches every posture, and shorter ways are
        # easier to plan. The lift's turn ends straight down, where the table is in the way: an arm
        # that was found beyond would have no way back.
        q_low=np.array([-np.pi, -1.5 * np.pi, -np.pi, -np.pi, -np.pi, -np.pi]),
        q_high=np.array([np.pi, 0.5 * np.pi, np.pi, np.pi, np.pi, np.pi]),
        dq=np.full(6, 3.14159),
        # Ours: for the shoulder, what four fifths of its torque limit allow the outstretched arm,
        # whose weight takes 60 N·m and whose inertia is 5 kg·m² with the rotors. The elbow could do
        # more.
        ddq=np.array([12.0, 12.0, 18.0, 20.0, 20.0, 20.0]),
        # Ours: full acceleration is reached after 2 ms.
        jerk=np.array([6000.0, 6000.0, 9000.0, 10000.0, 10000.0, 10000.0]),
        tau=np.array([150.0, 150.0, 150.0, 28.0, 28.0, 28.0]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.2, 0.8],
                [-0.5, 0.5],
                [0.02, 0.9],
            ]
        ),
        # Ours, as we found none published: somewhat below the Panda's, as of the ViperX.
        tool_speed=1.5,
        # Ours, as of the Panda.
        force=30.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "ur5e.urdf",
    tool="tool",
    # Servos in simulation, ours: stiff and over-damped, as those of the Panda.
    stiffness=np.array([4500.0, 4500.0, 3500.0, 1000.0, 1000.0, 1000.0]),
    damping=np.array([300.0, 300.0, 200.0, 40.0, 40.0, 40.0]),
    # Reflected rotor inertia, ours: of the order of those of the Panda, whose motors are as strong.
    armature=np.array([0.6, 0.6, 0.5, 0.1, 0.1, 0.1]),
    # Ours: the tool points down, in front of the folded arm. This arm has brakes.
    rest_pose=np.array([0.0, -2.0, 2.0, -np.pi / 2, -np.pi / 2, 0.0]),
    # UR5e data sheet.
    rated_payload=5.0,
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-1.1, 1.1],
            [-1.1, 1.1],
            [0.02, 1.3],
        ]
    ),
    # Ours.
    reach_zone=ReachZone(
        ready=np.array([-0.2845, -1.649, 1.7681, -1.6899, -1.5708, 0.0]),
        center=np.array([0.475, 0.0, 0.3]),
        half_range=np.array([0.125, 0.25, 0.15]),
        speed=0.5,
        goal_radius=0.05,
    ),
    # Ours: the lane of the Panda, 9 cm further out. Nearer to the base the folded arm needs so fast
    # joints that it could not brake on a straight way above the table.
    strike_zone=StrikeZone(
        ready=np.array([-0.323, -1.423, 2.3481, -2.496, -1.5708, 0.0]),
        height=0.03,
        mark=0.59,
        tool_box=np.array(
            [
                [0.34, 0.71],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
    # Ours: the lane of the strikes.
    push_zone=PushZone(
        ready=np.array([-0.323, -1.423, 2.3481, -2.496, -1.5708, 0.0]),
        height=0.03,
        start=0.42,
        tool_box=np.array(
            [
                [0.34, 0.71],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
