"""URDFs of vendors: both engines and the kinematics read one file alike."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from vendor_arm import BOX, JOINTS, edited, write_vendor_arm

from robots.appearance import link_poses, shapes
from robots.arm import ArmSpec
from robots.kinematics import Kinematics
from robots.scene import FLAT_OBJECT, Scene, SceneObject
from robots.signals import Array
from robots.urdf import read_arm_tree
from sim.engines.bullet import connect
from sim.engines.bullet_trees import BASE
from sim.engines.bullet_world import BulletWorld
from sim.scene_model import compile_scene

SAME = 1e-6  # m or rad; PyBullet reads the numbers of a URDF in single precision


@pytest.fixture
def arm(tmp_path: Path) -> ArmSpec:
    return write_vendor_arm(tmp_path)


def configurations(arm: ArmSpec, n: int) -> Array:
    """Joint positions (n, j) within the limits."""
    rng = np.random.default_rng(0)
    return rng.uniform(arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints)))


class MujocoArm:
    """The arm as MuJoCo simulates it."""

    def __init__(self, arm: ArmSpec, *items: SceneObject) -> None:
        self.model = compile_scene(Scene(arm, items))
        self.data = mujoco.MjData(self.model)
        self.j = len(arm.joints)
        self._armature = arm.armature

    def place(self, q: Array) -> None:
        self.data.qpos[: self.j] = q
        mujoco.mj_forward(self.model, self.data)

    def pose(self, link: str) -> Array:
        body = self.data.body(link)
        return transform(body.xpos, body.xmat.reshape(3, 3))

    def gravity(self) -> Array:
        return self.data.qfrc_bias[: self.j].copy()

    def mass_matrix(self) -> Array:
        full = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, self.data, full)
        return full[: self.j, : self.j] - np.diag(self._armature)


class PybulletArm:
    """The arm as PyBullet simulates it; only what moves has a link there."""

    def __init__(self, arm: ArmSpec, *items: SceneObject) -> None:
        scene = Scene(arm, items)
        model = compile_scene(scene)
        self.client = connect()
        self.world = BulletWorld(scene, model, self.client, rotors=False)
        self.body = self.world.body
        (tree,) = self.world.trees
        self.links = {model.body(body).name: link for body, link in tree.links.items()}

    def place(self, q: Array) -> None:
        self.q = q.tolist()
        self.world.place_joints(q, np.zeros_like(q))

    def pose(self, link: str) -> Array:
        i = self.links[link]
        state = self.client.getLinkState(self.body, i, computeForwardKinematics=True)
        rotation = np.array(self.client.getMatrixFromQuaternion(state[5])).reshape(3, 3)
        return transform(np.array(state[4]), rotation)

    def gravity(self) -> Array:
        zero = [0.0] * len(self.q)
        return np.array(self.client.calculateInverseDynamics(self.body, self.q, zero, zero))

    def mass_matrix(self) -> Array:
        return np.array(self.client.calculateMassMatrix(self.body, self.q))


SIMULATED = {"mujoco": MujocoArm, "bullet": PybulletArm}
every_simulation = pytest.mark.parametrize("simulation", SIMULATED.values(), ids=list(SIMULATED))

# Arms that differ from the one in ``vendor_arm`` by some texts in their URDF, or by what they hold.
VARIANTS: dict[str, Mapping[str, str]] = {
    "as it is": {},
    "no gripper position is 0": {'lower="0.01" upper="0.04"': 'lower="0" upper="0.04"'},
    "no world link": {'"world"': '"floor"'},
    "a rail": {'name="turret" type="revolute"': 'name="turret" type="prismatic"'},
    "a knuckle": {'left_finger_joint" type="prismatic"': 'left_finger_joint" type="revolute"'},
    "a tool on the pawl": {'"tool0"': '"palm"', '"pawl"': '"tool0"'},
}
HELD = {"left_finger_joint": 0.03}


def transform(position: Array, rotation: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3] = rotation
    pose[:3, 3] = position
    return pose


@every_simulation
@pytest.mark.parametrize("held", [{}, HELD], ids=["", "held"])
@pytest.mark.parametrize("edits", VARIANTS.values(), ids=list(VARIANTS))
def test_links_and_masses_are_where_the_kinematics_says(
    arm: ArmSpec,
    edits: Mapping[str, str],
    held: Mapping[str, float],
    simulation: type[MujocoArm] | type[PybulletArm],
) -> None:
    arm = replace(edited(arm, edits), held=held)
    kinematics = Kinematics(arm)
    q = configurations(arm, 5)
    moving = link_poses(arm, q)  # (n, 1 + j, 4, 4)
    gravity = kinematics.gravity(q)
    position, _ = kinematics.forward(q)
    simulated = simulation(arm)
    for i, row in enumerate(q):
        simulated.place(row)
        for link, (index, frame) in read_arm_tree(arm).link_frames(JOINTS).items():
            if index < 0 and simulation is PybulletArm:
                continue
            expected = moving[i, index + 1] @ frame
            np.testing.assert_allclose(simulated.pose(link), expected, atol=SAME, err_msg=link)
        np.testing.assert_allclose(simulated.pose(arm.tool)[:3, 3], position[i], atol=SAME)
        np.testing.assert_allclose(simulated.gravity(), gravity[i], atol=1e-5)


def test_the_engines_have_the_same_mass_matrix(arm: ArmSpec) -> None:
    """So masses and inertias arrive in both; armature is MuJoCo's alone."""
    in_mujoco = MujocoArm(arm)
    in_bullet = PybulletArm(arm)
    for row in configurations(arm, 5):
        in_mujoco.place(row)
        in_bullet.place(row)
        np.testing.assert_allclose(in_mujoco.mass_matrix(), in_bullet.mass_matrix(), atol=1e-5)


def hit_from(simulation: MujocoArm | PybulletArm, start: Array, end: Array) -> float:
    """How far from ``start`` a ray to ``end`` meets the arm, m; NaN where it meets nothing."""
    if isinstance(simulation, PybulletArm):
        ((body, _, share, _, _),) = simulation.client.rayTestBatch([start.tolist()], [end.tolist()])
        return share * float(np.linalg.norm(end - start)) if body == simulation.body else np.nan
    direction = end - start
    length = float(np.linalg.norm(direction))
    geom = np.zeros(1, np.int32)
    model, data = simulation.model, simulation.data
    found = mujoco.mj_ray(model, data, start, direction / length, None, 1, -1, geom, None)
    return found if geom[0] >= 0 and found <= length else np.nan


# A point and a direction in the frame of a link that carries a solid, and the distance at which a
# ray from there meets the solid.
RAYS = [
    ("turret_link", (0.5, 0, 0.1), (-1, 0, 0), 0.4),  # the cylinder's radius is 0.1
    ("turret_link", (0, -0.5, 0.1), (0, 1, 0), 0.4),
    ("turret_link", (-0.05, 0, 0.8), (0, 0, -1), 0.5),  # and its length 0.4
    ("turret_link", (-0.15, 0.5, 0.1), (0, -1, 0), np.nan),
    ("lift_link", (0.5, 0.3, 0), (-1, 0, 0), 0.5 - BOX[0] / 2),
    ("lift_link", (0, 0.8, 0), (0, -1, 0), 0.5 - BOX[1] / 2),
    ("lift_link", (0, 0.3, 0.5), (0, 0, -1), 0.5 - BOX[2] / 2),
    ("left_finger", (0, 0, 0.5), (0, 0, -1), 0.47),
]


@every_simulation
def test_what_collides_has_the_size_of_the_file(
    arm: ArmSpec, simulation: type[MujocoArm] | type[PybulletArm]
) -> None:
    simulated = simulation(arm, FLAT_OBJECT)
    simulated.place(arm.home)
    for link, start, direction, distance in RAYS:
        pose = simulated.pose(link)
        begin = pose[:3, :3] @ start + pose[:3, 3]
        end = begin + pose[:3, :3] @ direction
        found = hit_from(simulated, begin, end)
        # PyBullet adds 1 mm around hulls, through which rays enter
        assert found == pytest.approx(distance, abs=2e-3, nan_ok=True), (link, start)


def test_every_link_that_collides_strikes_alike_in_pybullet(arm: ArmSpec) -> None:
    """MuJoCo's pairs give all of them the friction of the object."""
    simulated = PybulletArm(arm, FLAT_OBJECT)
    friction = {}
    for name, link in [("base", BASE), *simulated.links.items()]:
        if simulated.client.getCollisionShapeData(simulated.body, link):
            friction[name] = simulated.client.getDynamicsInfo(simulated.body, link)[1]
    assert friction == {"turret_link": 1.0, "lift_link": 1.0, "left_finger": 1.0}


def test_a_gripper_is_held_at_the_limit_nearest_to_0_and_followers_follow(arm: ArmSpec) -> None:
    frames = read_arm_tree(arm).link_frames(JOINTS)
    _, palm = frames["tool0"]
    _, left = frames["left_finger"]
    _, right = frames["right_finger"]
    to_palm = np.linalg.inv(palm)
    np.testing.assert_allclose((to_palm @ left)[:3, 3], [0.02, 0.01, 0], atol=1e-12)
    np.testing.assert_allclose((to_palm @ right)[:3, 3], [0.02, -0.01, 0], atol=1e-12)
    opened = replace(arm, held={"left_finger_joint": 0.04})
    _, right = read_arm_tree(opened).link_frames(JOINTS)["right_finger"]
    np.testing.assert_allclose((to_palm @ right)[:3, 3], [0.02, -0.04, 0], atol=1e-12)


def test_shapes_have_the_sizes_and_colors_of_the_file(arm: ArmSpec) -> None:
    pedestal, turret, lift, wrist, finger = shapes(arm)
    assert (pedestal.kind, pedestal.size, pedestal.link) == ("cylinder", (0.08, 0.2), -1)
    assert turret.color == lift.color == (0.1, 0.2, 0.8)
    assert pedestal.color == wrist.color == (0.5, 0.5, 0.5)
    assert (finger.kind, finger.size, finger.link) == ("sphere", (0.03,), 2)
    for shape in (turret, lift):
        assert shape.mesh is not None
        np.testing.assert_allclose(np.ptp(shape.mesh.vertices, axis=0), BOX, atol=1e-7)
