"""Reading an arm's URDF: its required elements, and the errors where one is missing."""

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import numpy as np
import pytest

from robots.appearance import link_poses, moving_joints, shapes
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.rotations import roll_pitch_yaw, rotation_about, rotation_to_axis
from robots.signals import Array
from robots.urdf import read_chain
from robots.urdf_elements import format_numbers, origin_transform


@pytest.fixture(params=list(ARMS))
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ARMS[request.param]


def edited(arm: ArmSpec, folder: Path, old: str, new: str) -> ArmSpec:
    """The arm with every occurrence of a text in its URDF replaced."""
    text = arm.urdf.read_text()
    assert old in text
    path = folder / "edited.urdf"
    path.write_text(text.replace(old, new))
    return replace(arm, urdf=path)


def test_the_chain_carries_the_mass_of_all_links_but_the_base(arm: ArmSpec) -> None:
    chain = read_chain(arm)
    assert len(chain.links) == len(arm.joints)
    assert all(link.mass > 0 for link in chain.links)
    assert chain.tool.shape == (4, 4)


def test_joints_must_be_those_that_the_arm_names(arm: ArmSpec) -> None:
    with pytest.raises(BadArgumentError, match=rf"{arm.urdf.name}: the joints .* names"):
        Kinematics(replace(arm, joints=arm.joints[::-1]))
    with pytest.raises(BadArgumentError, match="there is no link 'no such link'; there are "):
        Kinematics(replace(arm, tool="no such link"))


def test_a_joint_of_another_kind_is_refused(arm: ArmSpec, tmp_path: Path) -> None:
    planar = edited(arm, tmp_path, 'type="revolute"', 'type="planar"')
    with pytest.raises(
        BadArgumentError, match=r"joint '.*': it is planar; supported are: revolute"
    ):
        Kinematics(planar)


def test_a_missing_element_is_named(arm: ArmSpec, tmp_path: Path) -> None:
    incomplete = edited(arm, tmp_path, "<mass value", "<no_mass value")
    with pytest.raises(BadArgumentError, match=r"link '.*': <inertial> has no <mass>"):
        Kinematics(incomplete)


def test_a_shape_of_another_kind_is_refused(arm: ArmSpec, tmp_path: Path) -> None:
    with_cone = edited(arm, tmp_path, "<cylinder radius", "<cone radius")
    with pytest.raises(BadArgumentError, match="<visual> is a <cone>; supported are: sphere, "):
        shapes(with_cone)


def test_shapes_belong_to_links_that_have_a_pose(arm: ArmSpec) -> None:
    q = np.stack([arm.home, arm.home])
    poses = link_poses(arm, q)
    links = len(moving_joints(arm))
    assert poses.shape == (2, 1 + links, 4, 4)
    np.testing.assert_array_equal(poses[:, 0], np.stack([np.eye(4), np.eye(4)]))
    visible = shapes(arm)
    sizes = {"sphere": 1, "cylinder": 2, "box": 3}
    assert {shape.link for shape in visible} <= set(range(-1, links))
    for shape in visible:
        assert len(shape.size) == sizes[shape.kind]
        assert all(0 <= value <= 1 for value in shape.color)


def test_a_rotation_to_an_axis_takes_z_there() -> None:
    rng = np.random.default_rng(0)
    for axis in [*np.eye(3), *-np.eye(3), *rng.normal(size=(20, 3))]:
        rotation = rotation_to_axis(axis)[:3, :3]
        direction = axis / np.linalg.norm(axis)
        np.testing.assert_allclose(rotation @ [0, 0, 1], direction, atol=1e-12)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_rotation_about_an_axis_follows_the_right_hand() -> None:
    quarter_turn = rotation_about(np.array([0.0, 0.0, 1.0]), np.pi / 2)
    np.testing.assert_allclose(quarter_turn @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_roll_pitch_yaw_make_the_rotation_again_also_at_a_right_angle() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(-np.pi, np.pi, (50, 3))
    angles[:20, 1] = np.repeat([np.pi / 2, -np.pi / 2], 10)
    for rpy in angles:
        rotation = fixed_axes(rpy)
        np.testing.assert_allclose(fixed_axes(roll_pitch_yaw(rotation)), rotation, atol=1e-12)


def fixed_axes(rpy: Array) -> Array:
    """The rotation (3, 3) of a URDF's ``rpy``."""
    element = Element("joint")
    SubElement(element, "origin", rpy=format_numbers(rpy))
    return origin_transform(element)[:3, :3]
