"""Trossen Robotics ViperX-300 6DOF: six joints of Dynamixel X motors, and a stylus with a ball.

Position, velocity and torque limits: Interbotix, vx300s.urdf.xacro, as in the URDF beside this
file. No accelerations or jerks are published for this arm; ours are what the torque limits allow
the outstretched arm, with a margin. Numbers marked "ours" are our own choice. ``dynamixel.json`` is
the vendor's assignment of motors to joints: vx300s.yaml of interbotix_xsarm_control.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.zones import PushZone, ReachZone

VIPERX = ArmSpec(
    name="viperx",
    joints=("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"),
    # The stylus points down, its ball 8 cm above the table.
    home=np.array([0.0, -0.0795, 0.6978, 0.0, 0.9525, 0.0]),
    limits=Limits(
        q_low=np.array([-3.1, -1.85, -1.76, -3.1, -1.86, -3.1]),
        q_high=np.array([3.1, 1.25, 1.6, 3.1, 2.23, 3.1]),
        dq=np.full(6, 3.14159),
        # Ours.
        ddq=np.array([12.0, 12.0, 15.0, 20.0, 20.0, 20.0]),
        # Ours: full acceleration is reached after 2 ms.
        jerk=np.array([6000.0, 6000.0, 7500.0, 10000.0, 10000.0, 10000.0]),
        tau=np.array([10.0, 20.0, 15.0, 2.0, 5.0, 1.0]),
        # Ours: x in front of the base, y, z above the table.
        tool_box=np.array(
            [
                [0.15, 0.65],
                [-0.4, 0.4],
                [0.02, 0.65],
            ]
        ),
        # Ours, as none is published: somewhat below the Panda's. The waist alone moves the tool so
        # fast at its full speed, 0.48 m from its axis.
        tool_speed=1.5,
        # Ours: twice the weight of the working payload of 750 g.
        force=15.0,
        # Ours: two and a half control periods of 0.1 s.
        deadline=0.25,
    ),
    urdf=Path(__file__).parent / "viperx.urdf",
    tool="tool",
    # Servos in simulation, ours. The damping is that of the motor's back EMF: stall torque over
    # no-load speed (XM540-W270 at 12 V: 10.6 N·m over 3.14 rad/s, two of them in shoulder and
    # elbow; XM430-W350: 4.1 N·m over 4.8 rad/s). The stiffness is of the order of a position P gain
    # of 1600.
    stiffness=np.array([100.0, 200.0, 200.0, 100.0, 100.0, 30.0]),
    damping=np.array([3.4, 6.8, 6.8, 3.4, 3.4, 0.9]),
    # Reflected rotor inertia, ours: the gear ratio squared (272.5², 353.5²) times 1 g·cm², the
    # order of a coreless motor.
    armature=np.array([0.0074, 0.0148, 0.0148, 0.0074, 0.0074, 0.0125]),
    # Interbotix, vx300s.yaml: the sleep position of the arm, folded on its cradle.
    rest_pose=np.array([0.0, -1.85, 1.55, 0.0, 0.8, 0.0]),
    # Trossen Robotics, the working payload.
    rated_payload=0.75,
    # Ours: all that it can reach above the table.
    move_box=np.array(
        [
            [-0.8, 0.8],
            [-0.8, 0.8],
            [0.02, 1.0],
        ]
    ),
    # Ours. There is no strike zone: none has been tried on this arm.
    reach_zone=ReachZone(
        ready=np.array([0.0, 0.015, 0.1496, 0.0, 1.4061, 0.0]),
        center=np.array([0.36, 0.0, 0.2]),
        half_range=np.array([0.1, 0.15, 0.08]),
        speed=0.3,
        goal_radius=0.03,
    ),
    # Ours: as far from the base as the reach allows in all of it.
    push_zone=PushZone(
        ready=np.array([0.0, -0.0657, 0.9055, 0.0, 0.7309, 0.0]),
        height=0.03,
        start=0.24,
        tool_box=np.array(
            [
                [0.18, 0.53],
                [-0.15, 0.15],
                [0.02, 0.2],
            ]
        ),
    ),
)
