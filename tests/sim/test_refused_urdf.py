"""URDFs that cannot be used: both engines refuse them in the same words, with what is wrong."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from vendor_arm import edited, write_vendor_arm

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import Scene
from sim.engines import ENGINES


@pytest.fixture
def arm(tmp_path: Path) -> ArmSpec:
    return write_vendor_arm(tmp_path)


WRIST_MASS = '<mass value="1"/>\n      <inertia ixx="0.003" ixy="0" ixz="0" iyy="0.003"'
LIFT_LIMIT = '<limit lower="-0.1" upper="0.4" effort="200" velocity="1"/>'

# What is changed in the URDF, and what every reader says about it after the name of the file.
REFUSED: dict[str, tuple[Mapping[str, str], str]] = {
    "no XML": ({"</robot>": ""}, "is no XML: no element found"),
    "another root": (
        {'<robot name="vendor"': '<sdf name="vendor"', "</robot>": "</sdf>"},
        "is no URDF: it begins with <sdf>, not <robot>",
    ),
    "xacro": (
        {
            'xmlns:gazebo="http://example.org/gazebo"': 'xmlns:xacro="http://ros.org/wiki/xacro"',
            "<transmission": "<xacro:include/><transmission",
        },
        "is a xacro file",
    ),
    "no limit": (
        {LIFT_LIMIT: ""},
        "joint 'lift': it has no <limit>; a joint that is driven needs lower, upper, effort",
    ),
    "no upper limit": (
        {LIFT_LIMIT: LIFT_LIMIT.replace('upper="0.4"', "")},
        "joint 'lift': <limit> has no attribute 'upper'",
    ),
    "no effort": (
        {LIFT_LIMIT: LIFT_LIMIT.replace('effort="200"', "")},
        "joint 'lift': <limit> has no attribute 'effort'",
    ),
    "limits of 0": (
        {LIFT_LIMIT: '<limit lower="0" upper="0" effort="0" velocity="0"/>'},
        "joint 'lift': its effort is 0, vendor asks for 200",
    ),
    "limits that the arm exceeds": (
        {LIFT_LIMIT: LIFT_LIMIT.replace('upper="0.4"', 'upper="0.3"')},
        "joint 'lift': it goes from -0.1 to 0.3, vendor asks for -0.1 to 0.4",
    ),
    "a limit that is no number": (
        {LIFT_LIMIT: LIFT_LIMIT.replace("200", "nan")},
        "joint 'lift': 'nan' should be a finite number",
    ),
    "an unknown joint type": (
        {'name="wrist" type="continuous"': 'name="wrist" type="ball"'},
        "joint 'wrist': it is ball; supported are: revolute, continuous, prismatic, fixed",
    ),
    "an axis without direction": (
        {'<axis xyz="0 0.5 2"/>': '<axis xyz="0 0 0"/>'},
        "joint 'turret': its axis has no direction",
    ),
    "an origin of two numbers": (
        {'xyz="0.2 0 0.1" rpy="0 0.5 0"': 'xyz="0.2 0"'},
        "joint 'lift': '0.2 0' should be 3 finite numbers",
    ),
    "a joint without a link": (
        {'<child link="wrist_link"/>': '<child link="hand"/>'},
        "joint 'wrist': there is no link 'hand', its child",
    ),
    "two bases": ({'<link name="pedestal">': '<link name="x"/><link name="pedestal">'}, "one link"),
    "two joints at one link": (
        {'<child link="left_finger"/>': '<child link="right_finger"/>'},
        "joint 'right_finger_joint': another joint carries its link 'right_finger' already",
    ),
    "two links of a name": ({'<link name="tool0"/>': '<link name="world"/>'}, "there are two"),
    "a circle": (
        {
            '<parent link="world"/>': '<parent link="pawl"/>',
            '<link name="world"/>': "<link "
            'name="world"/><link name="y"/><joint name="z" type="fixed"><parent link="world"/>'
            '<child link="y"/></joint>',
        },
        "these joints form a circle: mount, turret, lift, wrist",
    ),
    "no mass": (
        {
            WRIST_MASS: WRIST_MASS.replace('"1"', '"0"'),
            '<mass value="0.3"/>': '<mass value="0"/>',
            '<mass value="0.2"/>': '<mass value="0"/>',
            '<mass value="0.1"/>': '<mass value="0"/>',
        },
        "joint 'wrist' moves no mass; its link needs an <inertial>",
    ),
    "an impossible inertia": (
        {WRIST_MASS: WRIST_MASS.replace('iyy="0.003"', 'iyy="0.03"')},
        "link 'wrist_link': no body has the principal moments of inertia 0.002, 0.003 and 0.03",
    ),
    "a mimic of a driven joint": (
        {'joint="left_finger_joint"': 'joint="lift"'},
        "joint 'right_finger_joint': it follows 'lift', which vendor drives",
    ),
    "a mimic of no joint": (
        {'joint="left_finger_joint"': 'joint="thumb"'},
        "joint 'right_finger_joint': there is no joint 'thumb', which it follows by <mimic>",
    ),
    "a mimic of itself": (
        {'joint="left_finger_joint"': 'joint="pawl_joint"'},
        "joint 'right_finger_joint': it follows itself by <mimic>",
    ),
    "a driven mimic": (
        {LIFT_LIMIT: LIFT_LIMIT + '<mimic joint="turret"/>'},
        "joint 'lift': it follows another one by <mimic>, vendor drives it",
    ),
    "a shape of no kind": (
        {'<box size="0.1 0.2 0.04"/>': '<cone size="0.1 0.2 0.04"/>'},
        "link 'wrist_link': its <visual> is a <cone>; supported are: sphere, cylinder, box, mesh",
    ),
    "a shape of no size": (
        {'length="0.4" radius="0.1"': 'length="0.4" radius="0"'},
        "link 'turret_link': its <collision> is a cylinder of size [0.0, 0.4] m",
    ),
    "a cylinder without a length": (
        {'length="0.2" radius="0.08"': 'radius="0.08"'},
        "link 'pedestal': <cylinder> has no attribute 'length'",
    ),
    "a mesh without a file": (
        {"../meshes/lift.obj": "../meshes/fork.obj"},
        "link 'lift_link': there is no file of the mesh '../meshes/fork.obj'",
    ),
    "a package without a file": (
        {"vendor_arm/meshes/lift.obj": "vendor_arm/meshes/fork.obj"},
        "link 'lift_link': there is no file of the mesh 'package://vendor_arm/meshes/fork.obj'",
    ),
    "a mesh of an unknown format": (
        {"package://vendor_arm/meshes/lift.obj": "vendor.urdf"},
        "link 'lift_link': the mesh ",
    ),
}


def reason(engine: str, arm: ArmSpec) -> str:
    """Why an engine refuses an arm."""
    with pytest.raises(BadArgumentError) as error:
        ENGINES[engine]().load(Scene(arm), 1)
    return str(error.value)


@pytest.mark.parametrize(("edits", "message"), REFUSED.values(), ids=list(REFUSED))
def test_engines_refuse_a_urdf_in_the_same_words(
    arm: ArmSpec, edits: Mapping[str, str], message: str
) -> None:
    wrong = edited(arm, edits)
    said = reason("mujoco", wrong)
    assert said == reason("bullet", wrong)
    assert "edited.urdf" in said
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"thumb": 0.0}, "vendor holds 'thumb'; joints to hold are: left_finger_joint, "),
        ({"lift": 0.0}, "the joints .* move the link 'tool0', vendor names"),
        ({"left_finger_joint": 0.2}, "vendor holds it at 0.2, it goes from 0.01 to 0.04"),
        ({"right_finger_joint": 0.0}, "vendor holds it, but it follows another joint by <mimic>"),
    ],
)
def test_a_joint_is_held_only_where_it_can_be(
    arm: ArmSpec, held: Mapping[str, float], message: str
) -> None:
    wrong = replace(arm, held=held)
    with pytest.raises(BadArgumentError, match=message):
        Kinematics(wrong)
    assert reason("mujoco", wrong) == reason("bullet", wrong)


def test_a_missing_urdf_is_named(arm: ArmSpec) -> None:
    missing = replace(arm, urdf=arm.urdf.with_name("missing.urdf"))
    said = reason("mujoco", missing)
    assert said == reason("bullet", missing)
    assert "missing.urdf cannot be read: No such file" in said
