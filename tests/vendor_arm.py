"""A small arm in a URDF as vendors write them, and the files of its meshes.

A turret, a lift and an endless wrist stand on a turned pedestal; a gripper of two fingers, of which
one follows the other, and a pawl that follows both hang on the wrist beside the tool.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import trimesh

from robots.arm import ArmSpec, Limits

JOINTS = ("turret", "lift", "wrist")
BLUE = (0.1, 0.2, 0.8)
RED = (0.8, 0.1, 0.1)
BOX = (0.3, 0.1, 0.2)  # m, of the meshes
URDF = """<?xml version="1.0"?>
<robot name="vendor" xmlns:gazebo="http://example.org/gazebo">
  <mujoco><compiler balanceinertia="true" discardvisual="false"/></mujoco>
  <gazebo reference="turret_link"><material>Gazebo/Orange</material></gazebo>
  <link name="world"/>
  <joint name="mount" type="fixed">
    <parent link="world"/>
    <child link="pedestal"/>
    <origin xyz="0.1 -0.05 0.2" rpy="0 0 0.4"/>
  </joint>
  <link name="pedestal">
    <visual>
      <origin xyz="0 0 -0.1"/>
      <geometry><cylinder length="0.2" radius="0.08"/></geometry>
    </visual>
  </link>
  <joint name="turret" type="revolute">
    <limit effort="60" velocity="3" lower="-2.5" upper="2.5"/>
    <axis xyz="0 0.5 2"/>
    <origin rpy="0.1 -0.2 0.3" xyz="0 0 0.05"/>
    <child link="turret_link"/>
    <parent link="pedestal"/>
    <dynamics damping="5" friction="2"/>
  </joint>
  <link name="turret_link">
    <inertial>
      <mass value="4"/>
      <origin xyz="0.05 0.01 0.1" rpy="0.3 0.4 0.5"/>
      <inertia ixx="0.03" ixy="0.004" ixz="-0.001" iyy="0.04" iyz="0.002" izz="0.025"/>
    </inertial>
    <visual>
      <geometry><mesh filename="package://vendor_arm/meshes/turret.stl" scale="0.001 0.001 0.001"/>
      </geometry>
      <material name="vendor_blue"><color rgba="0.1 0.2 0.8 1"/></material>
    </visual>
    <collision name="shell">
      <origin xyz="0 0 0.1"/>
      <geometry><cylinder length="0.4" radius="0.1"/></geometry>
    </collision>
  </link>
  <joint name="lift" type="prismatic">
    <parent link="turret_link"/>
    <child link="lift_link"/>
    <origin xyz="0.2 0 0.1" rpy="0 0.5 0"/>
    <limit lower="-0.1" upper="0.4" effort="200" velocity="1"/>
  </joint>
  <link name="lift_link">
    <inertial>
      <mass value="2"/>
      <origin xyz="0 0 0.04"/>
      <inertia ixx="0.01" ixy="0" ixz="0" iyy="0.01" iyz="0" izz="0.008"/>
    </inertial>
    <visual>
      <geometry><mesh filename="../meshes/lift.obj"/></geometry>
      <material name="vendor_blue"/>
    </visual>
    <collision>
      <origin xyz="0 0.3 0"/>
      <geometry><mesh filename="package://vendor_arm/meshes/lift.obj"/></geometry>
    </collision>
  </link>
  <joint name="wrist" type="continuous">
    <parent link="lift_link"/>
    <child link="wrist_link"/>
    <origin xyz="0.1 0.02 0.3"/>
    <axis xyz="0 1 0"/>
    <limit effort="20" velocity="4"/>
  </joint>
  <link name="wrist_link">
    <inertial>
      <mass value="1"/>
      <inertia ixx="0.003" ixy="0" ixz="0" iyy="0.003" iyz="0" izz="0.002"/>
    </inertial>
    <visual><geometry><box size="0.1 0.2 0.04"/></geometry></visual>
  </link>
  <joint name="flange" type="fixed">
    <parent link="wrist_link"/><child link="tool0"/><origin xyz="0 0 0.1" rpy="0 1.5707963 0"/>
  </joint>
  <link name="tool0"/>
  <joint name="left_finger_joint" type="prismatic">
    <parent link="tool0"/><child link="left_finger"/>
    <origin xyz="0.02 0 0"/><axis xyz="0 2 0"/>
    <limit lower="0.01" upper="0.04" effort="10" velocity="0.2"/>
  </joint>
  <link name="left_finger">
    <inertial>
      <mass value="0.3"/>
      <inertia ixx="1e-4" ixy="0" ixz="0" iyy="1e-4" iyz="0" izz="1e-4"/>
    </inertial>
    <visual><geometry><sphere radius="0.03"/></geometry></visual>
    <collision><geometry><sphere radius="0.03"/></geometry></collision>
  </link>
  <joint name="right_finger_joint" type="prismatic">
    <parent link="tool0"/><child link="right_finger"/>
    <origin xyz="0.02 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-0.04" upper="0" effort="10" velocity="0.2"/>
    <mimic joint="left_finger_joint" multiplier="-1"/>
  </joint>
  <link name="right_finger">
    <inertial>
      <mass value="0.2"/>
      <inertia ixx="1e-4" ixy="0" ixz="0" iyy="1e-4" iyz="0" izz="1e-4"/>
    </inertial>
  </link>
  <joint name="pawl_joint" type="revolute">
    <parent link="right_finger"/><child link="pawl"/>
    <origin xyz="0.05 0 0" rpy="0 1.5707963 0.2"/><axis xyz="1 0 0"/>
    <mimic joint="right_finger_joint" multiplier="10" offset="0.5"/>
  </joint>
  <link name="pawl">
    <inertial>
      <mass value="0.1"/><origin xyz="0.02 0.03 0"/>
      <inertia ixx="1e-4" ixy="0" ixz="0" iyy="1e-4" iyz="0" izz="1e-4"/>
    </inertial>
  </link>
  <transmission name="t1"><joint name="turret"/></transmission>
</robot>
"""


def write_vendor_arm(folder: Path) -> ArmSpec:
    """Write the package of the arm; returns the arm."""
    package = folder / "vendor_arm"
    meshes = package / "meshes"
    urdfs = package / "urdf"
    meshes.mkdir(parents=True)
    urdfs.mkdir()
    box = trimesh.creation.box(BOX)
    box.export(meshes / "lift.obj")
    box.apply_scale(1000)
    box.export(meshes / "turret.stl")
    urdf = urdfs / "vendor.urdf"
    urdf.write_text(URDF)
    return ArmSpec(
        name="vendor",
        joints=JOINTS,
        home=np.array([0.2, 0.1, 0.3]),
        limits=Limits(
            q_low=np.array([-2.5, -0.1, -6.0]),
            q_high=np.array([2.5, 0.4, 6.0]),
            dq=np.array([3.0, 1.0, 4.0]),
            ddq=np.array([10.0, 5.0, 10.0]),
            jerk=np.array([5000.0, 2500.0, 5000.0]),
            tool_speed=3.0,
            tau=np.array([60.0, 200.0, 20.0]),
            tool_box=np.array([[-2.0, 2.0], [-2.0, 2.0], [-2.0, 2.0]]),
            force=20.0,
            deadline=0.25,
        ),
        urdf=urdf,
        tool="tool0",
        stiffness=np.array([400.0, 4000.0, 200.0]),
        damping=np.array([30.0, 300.0, 10.0]),
        armature=np.array([0.1, 1.0, 0.05]),
    )


def edited(arm: ArmSpec, edits: Mapping[str, str]) -> ArmSpec:
    """The arm with every occurrence of some texts in its URDF replaced."""
    text = arm.urdf.read_text()
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    path = arm.urdf.with_name("edited.urdf")
    path.write_text(text)
    return replace(arm, urdf=path)
