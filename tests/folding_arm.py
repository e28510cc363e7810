"""An arm in one plane whose links can fold onto each other, as those of many arms can."""

from pathlib import Path

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.kinematics import Kinematics
from robots.signals import Array

RADIUS = 0.04  # m, of the links
LENGTHS = {"upper": 0.4, "lower": 0.35, "hand": 0.3}  # m
HEIGHT = 1.5  # m, of the shoulder: far from the table
NEAR_JOINT = 0.15  # m, along a link: here neighbors touch by design
LINK = """
  <link name="{name}">
    <inertial>
      <mass value="1"/>
      <inertia ixx="0.01" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.01"/>
    </inertial>
    <visual>
      <origin xyz="{middle} 0 0" rpy="0 1.5707963 0"/>
      <geometry><cylinder radius="{radius}" length="{length}"/></geometry>
    </visual>
  </link>
  <joint name="{name}_joint" type="revolute">
    <parent link="{parent}"/>
    <child link="{name}"/>
    <origin xyz="{x} 0 {z}"/>
    <axis xyz="0 1 0"/>
    <limit lower="-3.1" upper="3.1" effort="50" velocity="2"/>
  </joint>"""
TOOL = """
  <link name="tool"/>
  <joint name="tool_joint" type="fixed">
    <parent link="hand"/>
    <child link="tool"/>
    <origin xyz="{x} 0 0"/>
  </joint>
</robot>"""


def folding_arm(folder: Path, range_of_joints: float = 3.0) -> ArmSpec:
    """The arm, whose joints turn by ``range_of_joints`` rad to both sides."""
    text = '<?xml version="1.0"?>\n<robot name="folding">\n  <link name="base"/>'
    parent = "base"
    x = 0.0
    z = HEIGHT
    for name, length in LENGTHS.items():
        text += LINK.format(
            name=name,
            parent=parent,
            middle=length / 2,
            length=length,
            radius=RADIUS,
            x=x,
            z=z,
        )
        parent = name
        x = length
        z = 0.0
    urdf = folder / "folding.urdf"
    urdf.write_text(text + TOOL.format(x=x))
    joints = tuple(f"{name}_joint" for name in LENGTHS)
    ones = np.ones(len(joints))
    return ArmSpec(
        name="folding",
        joints=joints,
        home=0.5 * ones,
        limits=Limits(
            q_low=-range_of_joints * ones,
            q_high=range_of_joints * ones,
            dq=2 * ones,
            ddq=10 * ones,
            jerk=5000 * ones,
            tau=50 * ones,
            tool_box=np.array([[-2.0, 2.0], [-2.0, 2.0], [0.1, 4.0]]),
            tool_speed=5.0,
            force=20.0,
            deadline=0.25,
        ),
        urdf=urdf,
        tool="tool",
        stiffness=400 * ones,
        damping=30 * ones,
        armature=0.1 * ones,
    )


def distance_of_links(arm: ArmSpec, q: Array, first: int, second: int) -> float:
    """The distance m of the surfaces of two links at ``q`` (j,), without their common joint."""
    frames = Kinematics(arm).frames(q[None])[0]
    lengths = list(LENGTHS.values())
    end = lengths[first]
    begin = 0.0
    if second == first + 1:
        end -= NEAR_JOINT
        begin += NEAR_JOINT
    on_first = _on_axis(frames[first], 0.0, end)
    on_second = _on_axis(frames[second], begin, lengths[second])
    between = on_first[:, None] - on_second
    distance = np.linalg.norm(between, axis=-1)
    return float(distance.min()) - 2 * RADIUS


def _on_axis(frame: Array, begin: float, end: float) -> Array:
    """Places (k, 3) m on the axis of a link."""
    x = np.linspace(begin, end, 80)
    direction = frame[:3, 0]
    return frame[:3, 3] + x[:, None] * direction
