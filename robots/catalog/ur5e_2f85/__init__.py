"""Universal Robots UR5e with a Robotiq 2F-85, a gripper with two fingers.

Stroke, speed and force: Robotiq, "2F-85 and 2F-140 Instruction Manual", specifications: 85 mm
between the fingers, which close at 20 to 150 mm/s and hold with 20 to 235 N. Numbers marked "ours"
are our own choice.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from robots.catalog.ur5e import UR5E
from robots.gripper import Gripper
from robots.zones import LiftZone

ROBOTIQ_2F85 = Gripper(
    name="robotiq_2f85",
    urdf=Path(__file__).parent / "gripper.urdf",
    joint="finger_left",
    tool="grasp",
    closed=0.0,
    opened=0.0425,
    # Half of the highest closing speed, to which both fingers contribute.
    speed=0.075,
    # Ours: full speed after 25 ms, full acceleration after 4 ms. The maker publishes neither.
    acceleration=3.0,
    jerk=750.0,
    # Two fingers of 235 N.
    force=470.0,
    # Servo in simulation, ours, as of the Franka Hand.
    stiffness=4000.0,
    damping=120.0,
    armature=0.8,
)

READY = np.array([-0.4978, -1.488, 1.8845, -1.9672, -1.5708, -2.0686, 0.0425])

UR5E_2F85 = replace(
    UR5E.with_gripper(ROBOTIQ_2F85, "ur5e_2f85"),
    # The arm's own home is for a shorter tool.
    home=READY,
    # Ours: two places on the table, 24 cm apart.
    lift_zone=LiftZone(
        ready=READY,
        pick=(0.5, -0.12),
        place=(0.5, 0.12),
        tool_box=np.array(
            [
                [0.35, 0.65],
                [-0.2, 0.2],
                [0.02, 0.25],
            ]
        ),
    ),
)
