"""Trossen Robotics ViperX-300 6DOF with its own gripper, two fingers on a bar.

Travel and masses: Interbotix, vx300s.urdf.xacro, as in the URDF beside this file. Crank, speed and
force: vx300s.yaml of interbotix_xsarm_control has the crank's radius of 22 mm, its rods of 36 mm,
and the firmware's velocity limit of 131 · 0.229 rev/min; by gripper.py of interbotix_xs_modules the
servo holds about 900 mA for some seconds without an overload; an XM430-W350 has 4.1 N·m at 2.3 A
and 12 V (Robotis, e-Manual). Numbers marked "ours" are our own choice.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from robots.catalog.viperx import VIPERX
from robots.gripper import Gripper
from robots.linkage import Crank
from robots.zones import LiftZone

VIPERX_FINGERS = Gripper(
    name="viperx_fingers",
    urdf=Path(__file__).parent / "gripper.urdf",
    joint="finger_left",
    tool="grasp",
    closed=0.0075,
    opened=0.0435,
    # The crank, straight up as at a grasp 3 cm wide, turns with 3.14 rad/s.
    speed=0.069,
    # Ours: full speed after 23 ms, full acceleration after 4 ms. The maker publishes neither.
    acceleration=3.0,
    jerk=750.0,
    # The crank there with 1.6 N·m; both fingers share its force.
    force=72.0,
    # Servo in simulation, ours, as of the Franka Hand.
    stiffness=4000.0,
    damping=120.0,
    armature=0.8,
    # The file's fingers are 13.5 mm farther from the middle, as in the URDF beside this file.
    linkage=Crank(radius=0.022, rod=0.036, inset=0.0135),
)

READY = np.array([-0.3303, 0.0553, 0.1456, 0.0, 1.3699, -0.3303, 0.0435])

VIPERX_GRIPPER = replace(
    VIPERX.with_gripper(VIPERX_FINGERS, "viperx_gripper"),
    # The arm's own home is for a shorter tool.
    home=READY,
    # Ours: two places on the table, 24 cm apart.
    lift_zone=LiftZone(
        ready=READY,
        pick=(0.35, -0.12),
        place=(0.35, 0.12),
        tool_box=np.array(
            [
                [0.2, 0.5],
                [-0.2, 0.2],
                [0.02, 0.25],
            ]
        ),
    ),
)
