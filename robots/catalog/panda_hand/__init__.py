"""Franka Emika Panda (FER) with the Franka Hand, a parallel gripper with two fingers.

Travel, speed and forces: Franka Robotics, "Franka Hand Product Manual": 80 mm between the fingers,
50 mm/s of each finger, 70 N of continuous grasping force. Numbers marked "ours" are our own choice.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from robots.catalog.panda import PANDA
from robots.gripper import Gripper
from robots.zones import LiftZone, ReachZone

FRANKA_HAND = Gripper(
    name="franka_hand",
    urdf=Path(__file__).parent / "hand.urdf",
    joint="finger_left",
    tool="grasp",
    closed=0.0,
    opened=0.04,
    speed=0.05,
    # Ours: full speed after 25 ms, full acceleration after 4 ms. The maker publishes neither.
    acceleration=2.0,
    jerk=500.0,
    # Two fingers of 70 N.
    force=140.0,
    # Servo in simulation, ours: 15 mm beyond an object's surface press each finger with 30 N.
    stiffness=4000.0,
    damping=120.0,
    # Ours: the servo is then critically damped, with the fingers.
    armature=0.8,
)

PANDA_HAND = replace(
    PANDA.with_gripper(FRANKA_HAND, "panda_hand"),
    # Ours: the middle of the zone of the Panda, with the hand pointing down in its center.
    reach_zone=ReachZone(
        ready=np.array([0.0, -0.1839, 0.0, -2.3536, 0.0, 2.1698, 0.0, 0.04]),
        center=np.array([0.475, 0.0, 0.3]),
        half_range=np.array([0.1, 0.2, 0.1]),
        speed=0.5,
        goal_radius=0.05,
    ),
    # Ours: two places on the table, 24 cm apart.
    lift_zone=LiftZone(
        ready=np.array([-0.1387, 0.0458, -0.1209, -2.5108, 0.0101, 2.5562, -0.2679, 0.04]),
        pick=(0.45, -0.12),
        place=(0.45, 0.12),
        tool_box=np.array(
            [
                [0.3, 0.6],
                [-0.2, 0.2],
                [0.02, 0.25],
            ]
        ),
    ),
)
