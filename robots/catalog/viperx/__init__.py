"""Trossen Robotics ViperX-300 6DOF: six joints of Dynamixel X servos, with a stylus whose end is a ball.

Position, velocity and torque limits: Interbotix, vx300s.urdf.xacro, as in the URDF beside this file. Nobody publishes
accelerations or jerks for it; ours are what the torque limits allow the outstretched arm, with room to spare.
``dynamixel.json`` is how the vendor wires its servos: vx300s.yaml of interbotix_xsarm_control.
"""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits

VIPERX = ArmSpec(
    name="viperx",
    joints=("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate"),
    home=np.array(
        [0.0, -0.0795, 0.6978, 0.0, 0.9525, 0.0]
    ),  # the stylus down, its ball 8 cm above the table
    limits=Limits(
        q_low=np.array([-3.1, -1.85, -1.76, -3.1, -1.86, -3.1]),
        q_high=np.array([3.1, 1.25, 1.6, 3.1, 2.23, 3.1]),
        dq=np.full(6, 3.14159),
        ddq=np.array([12.0, 12.0, 15.0, 20.0, 20.0, 20.0]),  # ours
        jerk=np.array(
            [6000.0, 6000.0, 7500.0, 10000.0, 10000.0, 10000.0]
        ),  # ours: full acceleration after 2 ms
        tau=np.array([10.0, 20.0, 15.0, 2.0, 5.0, 1.0]),
        tool_box=np.array(
            [[0.15, 0.65], [-0.4, 0.4], [0.02, 0.65]]
        ),  # ours: in front of the base, above the table
        force=15.0,  # ours: twice the weight of the working payload of 750 g
        deadline=0.25,  # ours: s, two and a half control periods of 0.1 s
    ),
    urdf=Path(__file__).parent / "viperx.urdf",
    tool="tool",
    # Joint servos in simulation: ours. Damping is what the motor's back EMF makes of it, stall torque over no-load
    # speed (XM540-W270 at 12 V: 10.6 N·m over 3.14 rad/s, two of them in shoulder and elbow; XM430-W350: 4.1 N·m over
    # 4.8 rad/s); stiffness is of the order of a position P gain of 1600.
    stiffness=np.array([100.0, 200.0, 200.0, 100.0, 100.0, 30.0]),
    damping=np.array([3.4, 6.8, 6.8, 3.4, 3.4, 0.9]),
    # Reflected rotor inertia: ours, the gear ratio squared (272.5², 353.5²) times 1 g·cm², of a coreless motor's order.
    armature=np.array([0.0074, 0.0148, 0.0148, 0.0074, 0.0074, 0.0125]),
)
