"""One model for every engine: what MuJoCo compiles is what PyBullet has, for any model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import trimesh
from same_model import Both, random_model

from robots.arm import FreeWalker, Walker
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.scene import TABLE, Fixture, Scene, SceneObject
from robots.signals import Torque
from robots.world import Start, Task
from sim.engines import ENGINES
from sim.engines.bullet import BulletEngine, connect
from sim.engines.bullet_contacts import geom_contacts, solid_contacts, touching_geoms
from sim.engines.bullet_drives import bullet_drive
from sim.engines.bullet_shapes import Client
from sim.engines.bullet_trees import build_tree, roots
from sim.engines.bullet_world import BulletWorld
from sim.engines.mujoco import MujocoEngine
from sim.engines.object_fields import ObjectFields
from sim.families import FAMILIES, arms_for, make_family
from sim.families.cheetah import CHEETAH
from sim.objects import SIZE_NAMES
from sim.scene_model import compile_scene

ON_BULLET = sorted(name for name in FAMILIES if ENGINES["bullet"].supports(FAMILIES[name]().scene))
LARGEST_MODEL = 50_000  # bytes


@pytest.fixture
def client() -> Iterator[Client]:
    made = connect()
    yield made
    made.disconnect()


def random_scene(seed: int, folder: Path) -> tuple[Scene, Task]:
    """An object of each kind, a fixture of each kind, and a task that changes the objects."""
    rng = np.random.default_rng(seed)
    mesh = folder / "wedge.stl"
    trimesh.creation.cone(0.05, 0.1).export(mesh)
    sizes = rng.uniform(0.02, 0.05, (5, 3))
    objects = [SceneObject("flat", "outline", tuple(sizes[0]))]
    for row, kind in enumerate(("box", "sphere", "cylinder", "capsule")):
        size = sizes[row + 1, : len(SIZE_NAMES[kind])]
        objects.append(SceneObject(f"a_{kind}", kind, tuple(size), mass=rng.uniform(0.1, 1)))
    objects.append(SceneObject("wedge", "mesh", (1.0, 0.5, 2.0), mesh=mesh))
    fixtures = (
        TABLE,
        Fixture("wall", "box", (0.02, 0.4, 0.2), (0.9, 0.0, 0.2), friction=0.5),
        Fixture("post", "cylinder", (0.03, 0.3), (-0.5, 0.5, 0.3)),
        Fixture(
            "hills", "height_field", (0.5, 1.0), (3, 0, 0), heights=rng.uniform(0, 0.1, (5, 7))
        ),
    )
    body = (PANDA, CHEETAH)[seed % 2]
    names = [f"{item.name}.{name}" for item in objects for name in ("mass", "friction", "com_y")]
    names += ["flat.shape", "flat.size_x", "a_box.size_z", "a_sphere.radius", "a_capsule.radius"]
    values = rng.uniform(0.03, 0.06, (1, len(names)))
    values[0, names.index("flat.shape")] = seed % 5
    return Scene(body, tuple(objects), fixtures), Task(tuple(names), values, np.arange(1))


def check_scene(scene: Scene, task: Task) -> None:
    """Both engines have the same of a scene, whatever its task changes."""
    for rotors in {False, bullet_drive(scene.body).rotors}:
        client = connect()
        check_world(scene, task, client, rotors)
        client.disconnect()


def check_world(scene: Scene, task: Task, client: Client, rotors: bool) -> None:
    engine = MujocoEngine(threads=1)
    engine.load(scene, 1)
    engine.write(task)
    model = engine.batch.get_model(0)
    world = BulletWorld(scene, compile_scene(scene), client, rotors)
    world.write({name: getattr(model, name) for name in ObjectFields(scene, model).names})
    bullet_drive(scene.body)(world, compile_scene(scene)).write(task)  # what a payload weighs
    client.setGravity(*model.opt.gravity.tolist())  # which a drive may have switched off
    solids = touching_geoms(model, geom_contacts(model))
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    data.qpos[:] = model.qpos0 + rng.uniform(-1, 1, model.nq)
    loose = {}
    for item, built in zip(scene.objects, world.objects, strict=True):
        root = model.body(item.name).id
        loose[root] = built.tree
    fixed = [root for root in roots(model) if root not in loose]
    for root, tree in [*zip(fixed, world.trees, strict=True), *loose.items()]:
        both = Both(client, model, data, root, tree, solids, rotors and root not in loose)
        both.place()
        both.check()
    check_friction(model, world)


def check_friction(model: mujoco.MjModel, world: BulletWorld) -> None:
    """Bullet multiplies the friction of two solids."""
    for contact in solid_contacts(model, geom_contacts(model)):
        product = 1.0
        for solid in contact.pair:
            product *= world.client.getDynamicsInfo(*world.places[solid])[1]
        assert product == pytest.approx(contact.friction, abs=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_any_tree_of_bodies_is_the_same_in_both_engines(seed: int, client: Client) -> None:
    model = random_model(seed)
    client.setGravity(*model.opt.gravity.tolist())
    data = mujoco.MjData(model)
    every_geom = np.ones(model.ngeom, dtype=bool)
    checked = []
    for root in roots(model):
        tree = build_tree(client, model, root, every_geom, rotors=False)
        checked.append(Both(client, model, data, root, tree, every_geom))
    assert checked
    rng = np.random.default_rng(seed)
    for _ in range(3):
        data.qpos[:] = model.qpos0 + rng.uniform(-1, 1, model.nq)
        for both in checked:
            both.place()
            both.check()


WITH_ARMS = [(name, arm) for name in ON_BULLET for arm in arms_for(name) or [None]]


@pytest.mark.parametrize(("name", "arm"), WITH_ARMS)
def test_every_familys_scene_is_the_same_in_both_engines(name: str, arm: str | None) -> None:
    family = make_family(name, arm)
    task = family.sample(np.random.default_rng(0), 1, "heldout")
    check_scene(family.scene, task)


@pytest.mark.parametrize("seed", range(4))
def test_a_scene_of_everything_is_the_same_in_both_engines(seed: int, tmp_path: Path) -> None:
    check_scene(*random_scene(seed, tmp_path))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_familys_model_is_small(name: str) -> None:
    scene = FAMILIES[name]().scene
    if ENGINES["mujoco"].supports(scene):
        model = compile_scene(scene)
        shared = model.hfield_data.nbytes  # a batch shares height fields among all worlds
        assert mujoco.mj_sizeModel(model) - shared < LARGEST_MODEL


@pytest.mark.parametrize(("kind", "force"), [("hinge", 2.0), ("slide", 20.0)])
def test_a_joint_stops_at_its_limits(kind: str, force: float, client: Client) -> None:
    model = mujoco.MjModel.from_xml_string(f"""
      <mujoco>
        <compiler angle="radian"/>
        <worldbody>
          <body><joint type="{kind}" axis="0 1 0" range="-0.2 0.7" ref="0.1"/>
          <geom size="0.1" pos="0.1 0 0"/></body>
        </worldbody>
      </mujoco>""")
    tree = build_tree(client, model, 1, np.ones(1, dtype=bool), rotors=False)
    client.setJointMotorControl2(tree.body, 0, client.VELOCITY_CONTROL, force=0)
    ends = []
    for push in (-force, force):
        for _ in range(300):
            client.setJointMotorControl2(tree.body, 0, client.TORQUE_CONTROL, force=push)
            client.stepSimulation()
        ends.append(client.getJointState(tree.body, 0)[0] + 0.1)
    assert ends == pytest.approx([-0.2, 0.7], abs=1e-5)


def height_below(model: mujoco.MjModel, x: float, y: float) -> float:
    """Where a ray from above meets MuJoCo's model, m."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    geom = np.zeros(1, np.int32)
    start = np.array([x, y, 2.0])
    down = np.array([0.0, 0.0, -1.0])
    distance = mujoco.mj_ray(model, data, start, down, None, 1, -1, geom)
    return 2.0 - float(distance)


def test_fixtures_are_as_high_in_both_engines(client: Client, tmp_path: Path) -> None:
    scene, _ = random_scene(0, tmp_path)
    slope = Fixture("slope", "plane", (), (0, 0, -0.3), (0.99, 0.1, 0.0995, 0))
    model = compile_scene(replace(scene, fixtures=(*scene.fixtures, slope)))
    BulletWorld(scene, model, client, rotors=False)
    points = [(0.9, 0.1), (-0.5, 0.51), (0.3, -0.7), (1.5, 1.0)]
    for column in range(1, 6):  # inner points of the height field's grid of 5 x 7
        for row in range(1, 4):
            x = 2.5 + column / 6
            y = -1 + 0.5 * row
            points.append((x, y))
    for x, y in points:
        (hit,) = client.rayTestBatch([[x, y, 2.0]], [[x, y, -2.0]])
        assert hit[3][2] == pytest.approx(height_below(model, x, y), abs=1e-5), (x, y)


# What PyBullet lacks: a part of a model, and what the message calls it.
REFUSED = {
    "equality": (
        '<equality><joint name="tied" joint1="a" joint2="b" polycoef="0 1 1 0 0"/></equality>',
        "'tied'",
    ),
    "tendon": (
        '<tendon><fixed name="cord" stiffness="1"><joint joint="a" coef="1"/></fixed></tendon>',
        "'cord'",
    ),
    "fluid": ('<option density="1000"/>', "a fluid"),
    "wind": ('<option wind="1 0 0"/>', "wind"),
    "shape": (
        '<worldbody><geom name="egg" type="ellipsoid" size="0.1 0.2 0.3"/></worldbody>',
        "'egg': an ellipsoid",
    ),
    "torsion": ('<worldbody><geom name="pad" size="0.1" condim="6"/></worldbody>', "'pad'"),
    "dry friction": (
        '<worldbody><body><joint name="c" frictionloss="1"/><geom size="0.1"/></body></worldbody>',
        "'c'",
    ),
    "activation": (
        '<default><general dyntype="filter" dynprm="0.1"/></default>',
        "'motor a'",
    ),
}


@pytest.mark.parametrize(("part", "name"), REFUSED.values(), ids=list(REFUSED))
def test_what_pybullet_cannot_carry_is_refused_by_name(
    part: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "walker.xml"
    path.write_text(f"""
      <mujoco>
        {part}
        <worldbody>
          <body><joint name="a"/><geom size="0.1"/>
            <body><joint name="b"/><geom size="0.1"/></body></body>
        </worldbody>
        <actuator>
          <general name="motor a" joint="a"/><general name="motor b" joint="b"/>
        </actuator>
      </mujoco>""")
    one = np.ones(2)
    limits = replace(CHEETAH.limits, q_low=-one, q_high=one, dq=one, ddq=one, jerk=one, tau=one)
    walker = Walker("two-link", ("a", "b"), np.zeros(2), limits, path, ())
    with pytest.raises(BadArgumentError, match=name):
        BulletEngine().load(Scene(walker), 1)


MISFITS = {
    "no motors": ({}, '<motor name="hip" joint="hip" gear="5"/>', "", "it has motors for none"),
    "two motors of a joint": ({}, "<actuator>", '<actuator><motor joint="hip"/>', "hip, hip"),
    "a motor of the root": ({}, 'joint="hip" gear', 'joint="root" gear', "it has motors for root"),
    "a joint too many": ({"joints": ("hip", "knee")}, "", "", "one motor for each of hip, knee"),
    "no root": ({"root_joints": ("pelvis",)}, "", "", "no joint 'pelvis'"),
}


@pytest.mark.parametrize(("fields", "old", "new", "reason"), MISFITS.values(), ids=list(MISFITS))
@pytest.mark.parametrize("engine_name", ["mujoco", "bullet"])
def test_a_walker_whose_model_has_other_motors_or_joints_is_refused(
    tmp_path: Path, engine_name: str, fields: dict[str, Any], old: str, new: str, reason: str
) -> None:
    walker = replace(free_walker(tmp_path), **fields)
    text = walker.mjcf.read_text()
    walker.mjcf.write_text(text.replace(old, new) if old else text)
    with pytest.raises(BadArgumentError, match=reason):
        ENGINES[engine_name]().load(Scene(walker), 1)


def test_a_walker_with_more_joints_than_its_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hinge.xml"
    path.write_text("""
      <mujoco>
        <worldbody><body><joint name="a"/><geom size="0.1"/></body></worldbody>
        <actuator><motor joint="a"/></actuator>
      </mujoco>""")
    one = np.ones(1)
    limits = replace(CHEETAH.limits, q_low=-one, q_high=one, dq=one, ddq=one, jerk=one, tau=one)
    walker = Walker("hinge", ("a",), np.zeros(1), limits, path, ("root",))
    with pytest.raises(BadArgumentError, match=r"hinge has joints \('root', 'a'\)"):
        ENGINES["mujoco"]().load(Scene(walker), 1)


def free_walker(folder: Path) -> Walker:
    """A tumbling body with a leg on a hinge; its center of mass is not at its frame."""
    path = folder / "tumbler.xml"
    path.write_text("""
      <mujoco>
        <option timestep="0.0005" integrator="RK4"/>
        <worldbody>
          <body name="trunk">
            <freejoint name="root"/>
            <geom type="box" size="0.1 0.2 0.05" pos="0.05 0.02 0.1"/>
            <body name="leg" pos="0.1 0.1 0">
              <joint name="hip" axis="0 1 0" pos="0 0 0.05" stiffness="2" damping="0.1"/>
              <geom type="capsule" size="0.03 0.1" pos="0 0 -0.1"/>
            </body>
          </body>
        </worldbody>
        <actuator><motor name="hip" joint="hip" gear="5"/></actuator>
      </mujoco>""")
    one = np.ones(1)
    limits = replace(CHEETAH.limits, q_low=-one, q_high=one, dq=one, ddq=one, jerk=one, tau=5 * one)
    return FreeWalker("tumbler", ("hip",), np.zeros(1), limits, path, ("root",), False)


def test_a_free_root_moves_alike_in_both_engines(tmp_path: Path) -> None:
    scene = Scene(free_walker(tmp_path), timestep=0.0005)
    turn = np.array([0.8, 0.0, 0.6, 0.0])
    start = Start(
        q=np.array([[0.1, -0.2, 1.5, *turn, 0.3]]),
        dq=np.array([[0.5, -1.0, 0.3, 2.0, -1.0, 3.0, -0.5]]),
    )
    ends = []
    for name in ("mujoco", "bullet"):
        engine = ENGINES[name]()
        engine.load(scene, 1)
        engine.write(Task((), np.zeros((1, 0)), np.arange(1)))
        engine.reset(start)
        first = engine.read()
        np.testing.assert_allclose(first.q, start.q, atol=1e-9)
        np.testing.assert_allclose(first.dq, start.dq, atol=1e-9)
        engine.run(Torque(np.full((40, 1, 1), 1.5)), 10)  # 0.2 s
        last = engine.read()
        ends.append((last.q[0], last.dq[0]))
        engine.close()
    (q, dq), (bullet_q, bullet_dq) = ends
    assert np.abs(q[3:7] - turn).max() > 0.1
    np.testing.assert_allclose(bullet_q, q, atol=5e-3)
    np.testing.assert_allclose(bullet_dq, dq, atol=3e-2)
