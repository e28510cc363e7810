"""A gripper at an arm: one more joint, which does not move the tool, and fingers that do."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robots.appearance import link_poses, moving_joints
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.catalog.panda import PANDA
from robots.catalog.panda_hand import FRANKA_HAND
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import Scene
from robots.signals import Array, Signals
from robots.urdf import read_arm_tree, read_chain
from sim.couplings import place_followers
from sim.scene_model import compile_scene

WITH_GRIPPER = [name for name in ARMS if ARMS[name].gripper is not None]
# axis along the fingers
FORWARD = {
    "panda_hand": 2,
    "fr3_hand": 2,
    "ur5e_2f85": 2,
    "viperx_gripper": 0,
    "so101_gripper": 2,
}
# kg, of the gripper by the makers' numbers, and of the own tool in its place, with its frame
WEIGHTS = {
    "panda_hand": (0.73, 0.2501),
    "fr3_hand": (0.73, 0.2501),
    "ur5e_2f85": (0.925, 0.2501),
    "so101_gripper": (0.0022, 0.0001),
    "viperx_gripper": (0.150986 + 0.008009 + 2 * 0.034796, 0.228587 + 0.0001),
}


@pytest.fixture(params=WITH_GRIPPER)
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ARMS[request.param]


def postures(arm: ArmSpec, n: int) -> Array:
    rng = np.random.default_rng(0)
    return rng.uniform(arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints)))


def edited_gripper(folder: Path, old: str, new: str) -> ArmSpec:
    """The Panda with a Franka Hand in whose URDF a text is replaced."""
    text = FRANKA_HAND.urdf.read_text()
    assert old in text
    path = folder / "edited.urdf"
    path.write_text(text.replace(old, new))
    return PANDA.with_gripper(replace(FRANKA_HAND, urdf=path), "edited")


def test_the_gripper_moves_its_fingers_and_not_the_tool(arm: ArmSpec) -> None:
    model = compile_scene(Scene(arm))
    data = mujoco.MjData(model)
    kinematics = Kinematics(arm)
    assert arm.gripper is not None
    fingers = moving_joints(arm)[len(arm.tool_joints) :]
    assert len(fingers) == 2
    for q in postures(arm, 5):
        data.qpos[: len(q)] = q
        place_followers(model, data.qpos)
        mujoco.mj_forward(model, data)
        (poses,) = link_poses(arm, q[None])
        for link, name in zip(poses[-2:], fingers, strict=True):
            np.testing.assert_allclose(
                link[:3, 3], data.body(model.joint(name).bodyid[0]).xpos, atol=1e-12
            )
        apart = np.linalg.norm(poses[-1, :3, 3] - poses[-2, :3, 3])
        assert apart == pytest.approx(2 * q[-1]), "its position is that of each finger"
        (jacobian,) = kinematics.jacobian(q[None])
        np.testing.assert_array_equal(jacobian[:, -1], np.zeros(6))
        middle = poses[-2:, :3, 3].mean(0)
        tool = kinematics.position(q[None])[0]
        across = np.cross(tool - middle, poses[-2, :3, FORWARD[arm.name]])
        assert np.linalg.norm(across) < 1e-9, "the tool is between the fingertips"


def test_the_arm_carries_the_gripper_instead_of_its_own_tool(arm: ArmSpec) -> None:
    tree = read_arm_tree(arm)
    assert not tree.links.keys() & {"striker", "stylus"}
    bare = ARMS[arm.name.split("_")[0]]
    gripper, own_tool = WEIGHTS[arm.name]
    own = sum(link.mass for link in read_chain(arm).links)
    of_bare = sum(link.mass for link in read_chain(bare).links)
    assert own == pytest.approx(of_bare - own_tool + gripper, abs=1e-6)


def test_every_limit_of_the_motor_is_one_of_the_arms(arm: ArmSpec) -> None:
    gripper = arm.gripper
    assert gripper is not None
    assert arm.joints[-1] == gripper.joint
    for name, value in gripper.limits.items():
        assert getattr(arm.limits, name)[-1] == value
    assert arm.rest[-1] == gripper.opened


def signals_of(q: float, dq: float, tau: float) -> Signals:
    """Signals of a Panda with its hand, of which only the gripper's matter."""
    nothing = np.full((1, 3), np.nan)
    rows = []
    for value in (q, dq, tau):
        row = np.zeros((1, 8))
        row[0, -1] = value
        rows.append(row)
    q_row, dq_row, tau_row = rows
    return Signals(
        q=q_row,
        dq=dq_row,
        tau=tau_row,
        tool_pos=nothing,
        tool_quat=np.full((1, 4), np.nan),
        tool_vel=nothing,
        object_pos=nothing,
        object_quat=np.full((1, 4), np.nan),
        object_vel=np.full((1, 6), np.nan),
        marker=nothing,
        stamp=np.zeros(1),
    )


@pytest.mark.parametrize(
    ("q", "dq", "tau", "holds"),
    [
        (0.015, 0.0, -40.0, True),
        (0.015, 0.0, -5.0, False),  # it hardly presses
        (0.015, -0.03, -40.0, False),  # it still closes
        (0.0, 0.0, -40.0, False),  # the fingers press on each other
        (0.015, 0.0, 40.0, False),  # they press outward
    ],
)
def test_a_grasp_is_detected(q: float, dq: float, tau: float, holds: bool) -> None:
    assert FRANKA_HAND.holds(signals_of(q, dq, tau), force=20.0).tolist() == [holds]


def test_a_squeeze_never_asks_for_more_than_closed_fingers() -> None:
    force = np.array([0.0, 10.0, 1000.0])
    np.testing.assert_allclose(FRANKA_HAND.squeeze(0.02, force), [0.02, 0.015, 0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed": np.inf}, "speed cannot be inf"),
        ({"force": 0.0}, "force must be positive"),
        ({"opened": 0.0}, "opened at 0.0 m, closed at 0.0 m"),
    ],
)
def test_impossible_numbers_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        replace(FRANKA_HAND, **change)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"hand"', '"link3"', "have the same names: link3"),
        ('joint name="finger_left"', 'joint name="thumb"', "no joint 'finger_left'"),
        ('type="prismatic"', 'type="revolute"', "is revolute; the joint of a finger is prismatic"),
        ('upper="0.04"', 'upper="0.03"', "goes from 0 to 0.03, edited asks for 0 to 0.04"),
        ('effort="140"', 'effort="100"', "its effort is 100, edited asks for 140"),
    ],
)
def test_a_gripper_that_does_not_fit_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    arm = edited_gripper(tmp_path, old, new)
    with pytest.raises(BadArgumentError, match=message):
        Kinematics(arm)


def test_an_arm_without_a_flange_is_refused(tmp_path: Path) -> None:
    text = PANDA.urdf.read_text()
    path = tmp_path / "bare.urdf"
    path.write_text(text.replace('"flange"', '"bolted"'))
    arm = replace(PANDA.with_gripper(FRANKA_HAND, "bare"), urdf=path)
    with pytest.raises(BadArgumentError, match=r"bare.urdf: it has no fixed joint 'flange'"):
        Kinematics(arm)
