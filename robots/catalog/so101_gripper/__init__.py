"""SO-101 follower arm with its own jaws, of which one turns on a hinge.

Geometry: the maker's SO-ARM100, Simulation/SO101/so101_new_calib.urdf: from the hinge to the frame
between the tips of the jaws it is 74.7 mm, and the jaw turns by 110 degrees. Force: LeRobot allows
the servo of the gripper half of its stall torque, of 2.94 N·m by the maker's README. Numbers marked
"ours" are our own choice. There are no zones: with five joints the hand cannot point straight down.
"""

from dataclasses import replace
from pathlib import Path

from robots.catalog.so101 import SO101
from robots.gripper import Gripper
from robots.linkage import Hinge

SO101_JAWS = Gripper(
    name="so101_jaws",
    urdf=Path(__file__).parent / "gripper.urdf",
    joint="finger_left",
    tool="grasp",
    closed=0.0,
    # Ours: the jaw turns by 56 of its 110 degrees.
    opened=0.035,
    # The hinge turns with 2.7 rad/s then, a little slower than the other joints.
    speed=0.1,
    # Ours: full speed after 33 ms, full acceleration after 4 ms. Nobody publishes either.
    acceleration=3.0,
    jerk=750.0,
    # Half of the stall torque at the closed jaws.
    force=39.0,
    # Servo in simulation, ours, as of the Franka Hand.
    stiffness=4000.0,
    damping=120.0,
    armature=0.8,
    linkage=Hinge(radius=0.0747),
)

SO101_GRIPPER = replace(
    SO101.with_gripper(SO101_JAWS, "so101_gripper"),
    # The turning jaw of the arm's URDF, out of the way.
    held={"gripper": 1.0},
)
