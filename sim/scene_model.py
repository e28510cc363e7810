"""The one place where a ``Scene`` becomes a ``mujoco.MjModel``.

A new kind of body registers its model: ``@body_model.register``.
"""

from functools import singledispatch

import mujoco
import numpy as np

from robots.arm import ArmSpec, Body, FreeWalker, Walker
from robots.engine_urdf import engine_urdf
from robots.errors import BadArgumentError
from robots.mujoco_model import compile_model
from robots.scene import Fixture, LooseObject, Scene
from robots.signals import Array, Mask
from sim.choice_model import add_part_meshes
from sim.motors import order_motors
from sim.objects import mesh_hull, part_kinds

GEOMS = {
    "plane": mujoco.mjtGeom.mjGEOM_PLANE,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
    "height_field": mujoco.mjtGeom.mjGEOM_HFIELD,
}
# solref of an object on a table: time constant in s (MuJoCo requires at least two time steps, which
# are at most 5 ms) and damping ratio
TABLE_CONTACT = (0.010, 1.0)
# How much stiffer friction is than the normal force of a contact: MuJoCo lets a held object slip
# slowly, by 4 mm/s at its default of 1.
GRIP_IMPRATIO = 20.0
# solimp of the coupling of two fingers: at MuJoCo's 0.95 they would part by 6 mm under 20 N.
COUPLING_IMPEDANCE = (0.999, 0.9999)
PLANE_SIZE = (3.0, 3.0, 0.1)  # m, the drawn part of a plane, which itself is infinite
GROUND_DEPTH = 0.1  # m, from the lowest point of a height field to its underside

TOOL_VELOCITY = "tool_vel"  # sensor at the tool's frame; a model without it has no tool
ROOT_ACCELERATION = "root_acceleration"  # sensor; a model with it has a center of mass and contacts

LINEAR = mujoco.mjtSensor.mjSENS_FRAMELINVEL
ANGULAR = mujoco.mjtSensor.mjSENS_FRAMEANGVEL


def compile_scene(scene: Scene) -> mujoco.MjModel:
    """The model of a scene.

    Raises:
        BadArgumentError: this kind of body has no model.
    """
    return compile_model(build_scene(scene))


def build_scene(scene: Scene) -> mujoco.MjSpec:
    """The editable model of a scene: its body, its fixtures and its loose objects.

    An object's body and free joint have its name; its geoms are ``part_names`` and its velocity
    sensor is ``velocity_name``. Sizes, masses and the friction of pairs are placeholders: an engine
    writes those of its task. A fixture's geom has the fixture's name.

    Raises:
        BadArgumentError: this kind of body has no model, or a mesh cannot be read.
    """
    spec = body_model(scene.body)
    spec.option.timestep = scene.timestep
    _strip_visuals(spec)
    body_geoms = _named_geoms(scene.body, spec)
    for fixture in scene.fixtures:
        _add_fixture(spec, fixture, body_geoms)
    # what each object may touch: the fixtures, the body and the objects before it
    others = [fixture.name for fixture in scene.fixtures] + body_geoms
    for item in scene.objects:
        others += _add_object(spec, item, others)
    return spec


def own_grounds(model: mujoco.MjModel) -> Mask:
    """The fixed geoms of a body's own model that the body can touch, (ngeom,).

    For objects they have a friction of 1, because their own friction is meant for the body.
    """
    is_fixed = model.body_weldid[model.geom_bodyid] == 0
    is_touched = (model.geom_contype | model.geom_conaffinity) != 0
    return np.asarray(is_fixed & is_touched)


def part_names(item: LooseObject) -> list[str]:
    """The names of the geoms of an object's parts."""
    count = len(part_kinds(item))
    return [f"{item.name}_{part}" for part in range(count)]


def velocity_name(item: LooseObject) -> str:
    """The sensor of an object's linear velocity; the next three readings are angular velocity."""
    return f"{item.name}_vel"


@singledispatch
def body_model(body: Body) -> mujoco.MjSpec:
    """The model of a body with its actuators, one for each of ``body.joints`` and in that order.

    Its joints are ``body.root`` and then ``body.joints``. A tool has a linear velocity sensor named
    ``tool_vel``.

    Raises:
        BadArgumentError: no model is registered for this kind of body.
    """
    kind = type(body).__name__
    raise BadArgumentError(f"{body.name} has no MuJoCo model: none is registered for a {kind}")


@body_model.register
def _(body: Walker) -> mujoco.MjSpec:
    """A walker's MJCF, which has ground and motors."""
    spec = mujoco.MjSpec.from_file(str(body.mjcf))
    order_motors(spec, body)
    return spec


@body_model.register
def _(body: FreeWalker) -> mujoco.MjSpec:
    """A walker's MJCF, with a sensor that makes MuJoCo compute the forces of contacts."""
    spec = mujoco.MjSpec.from_file(str(body.mjcf))
    order_motors(spec, body)
    (root,) = body.root_joints
    joint = spec.joint(root)
    if joint is None:
        raise BadArgumentError(f"{body.name}: {body.mjcf} has no joint {root!r}")
    torso = joint.parent.name
    _add_velocity_sensor(spec, ROOT_ACCELERATION, mujoco.mjtSensor.mjSENS_FRAMELINACC, torso)
    return spec


@body_model.register
def _(body: ArmSpec) -> mujoco.MjSpec:
    """An arm's URDF, with gravity compensation and a position servo for each joint."""
    urdf = engine_urdf(body)
    spec = mujoco.MjSpec.from_string(urdf.text, assets=urdf.meshes)
    spec.compiler.fusestatic = False
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    for link in spec.bodies[1:]:
        link.gravcomp = 1
    for i, geom in enumerate(spec.geoms):
        geom.name = f"{body.name}_{i}"
        geom.contype = 0  # an arm collides with nothing but an object
        geom.conaffinity = 0
    for i in range(len(body.joints)):
        _add_servo(spec, body, i)
    for name, (factor, offset) in urdf.followers.items():
        _couple_fingers(spec, body, name, factor, offset)
    _add_velocity_sensor(spec, TOOL_VELOCITY, LINEAR, body.tool)
    return spec


def _add_servo(spec: mujoco.MjSpec, arm: ArmSpec, i: int) -> None:
    """A spring and damper toward the i-th joint's target, its torque limited."""
    name = arm.joints[i]
    stiffness = arm.stiffness[i]
    damping = arm.damping[i]
    limit = arm.limits.tau[i]
    joint = spec.joint(name)
    joint.armature = arm.armature[i]
    servo = spec.add_actuator(name=name, target=name)
    servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
    servo.gaintype = mujoco.mjtGain.mjGAIN_FIXED
    servo.gainprm[0] = stiffness
    servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    servo.biasprm[1] = -stiffness
    servo.biasprm[2] = -damping
    servo.forcelimited = True
    servo.forcerange = [-limit, limit]


def _couple_fingers(
    spec: mujoco.MjSpec, arm: ArmSpec, follower: str, factor: float, offset: float
) -> None:
    """Let a finger follow the driven one: its position is offset + factor · that of the other."""
    spec.option.impratio = GRIP_IMPRATIO
    coupling = spec.add_equality(name=follower, type=mujoco.mjtEq.mjEQ_JOINT)
    coupling.name1 = follower
    coupling.name2 = arm.joints[-1]
    coupling.data[:2] = [offset, factor]
    coupling.solref = TABLE_CONTACT
    coupling.solimp[:2] = COUPLING_IMPEDANCE


def _strip_visuals(spec: mujoco.MjSpec) -> None:
    """Remove visual geoms and meshes, which take half a megabyte of every copy in some models."""
    for geom in spec.geoms:
        geom.material = ""
    for picture in [*spec.materials, *spec.textures]:
        spec.delete(picture)
    spec.compiler.discardvisual = True


def _named_geoms(body: Body, spec: mujoco.MjSpec) -> list[str]:
    """The names of the body's geoms; those without one get one."""
    for i, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"{body.name}_{i}"
    return [geom.name for geom in spec.geoms]


def _add_fixture(spec: mujoco.MjSpec, fixture: Fixture, body_geoms: list[str]) -> None:
    """A geom of the world, which touches the moving geoms of the body if ``touches_body``."""
    size = fixture.size or PLANE_SIZE
    geom = spec.worldbody.add_geom(name=fixture.name, type=GEOMS[fixture.kind])
    geom.pos = fixture.position
    geom.quat = fixture.quat
    geom.friction[0] = fixture.friction
    geom.contype = 0
    geom.conaffinity = 0
    if fixture.heights is None:
        geom.size = _padded(size)
    else:
        _add_heights(spec, fixture, fixture.heights)
        geom.hfieldname = fixture.name
    if not fixture.touches_body:
        return
    for name in body_geoms:
        if spec.geom(name).parent.id != 0:  # the world's own geoms do not move
            friction = spec.geom(name).friction[0]
            _add_pair(spec, name, fixture.name, friction * fixture.friction)


def _add_heights(spec: mujoco.MjSpec, fixture: Fixture, heights: Array) -> None:
    """A height field's grid. MuJoCo stretches its data to 0 at the lowest and 1 at the highest."""
    lowest = heights.min()
    rows, columns = heights.shape
    field = spec.add_hfield(name=fixture.name, nrow=rows, ncol=columns)
    above = heights - lowest
    field.size = [*fixture.size, above.max(), GROUND_DEPTH]
    field.userdata = above.ravel()
    up = np.array([0.0, 0.0, lowest])
    turn = np.array(fixture.quat)
    shift = np.zeros(3)
    mujoco.mju_rotVecQuat(shift, up, turn)
    spec.geom(fixture.name).pos = fixture.position + shift


def _add_object(spec: mujoco.MjSpec, item: LooseObject, others: list[str]) -> list[str]:
    """A free body that touches only the geoms named in ``others``; returns its own geoms' names."""
    link = spec.worldbody.add_body(name=item.name, pos=item.position)
    link.add_freejoint(name=item.name)
    link.mass = item.mass
    link.inertia = [1e-3, 1.1e-3, 1.2e-3]
    link.ipos = [1e-3, 0, 0]
    link.explicitinertial = True
    link.simple = 0  # a task may move the center of mass, which MuJoCo's simple bodies do not allow
    names = part_names(item)
    meshes = _add_meshes(spec, item)
    for name, kind in zip(names, part_kinds(item), strict=True):
        geom = link.add_geom(name=name, type=GEOMS[kind], contype=0, conaffinity=0)
        if kind == "mesh":
            geom.meshname = meshes.pop(0)
        else:
            geom.size = [0.02] * 3
        geom.friction[0] = item.friction
    for other in others:
        touched = spec.geom(other)
        is_ground = touched.parent.id == 0 and (touched.contype or touched.conaffinity)
        factor = 1.0 if is_ground else touched.friction[0]
        for name in names:
            _add_pair(spec, name, other, item.friction * factor)
    _add_velocity_sensor(spec, velocity_name(item), LINEAR, item.name)
    _add_velocity_sensor(spec, f"{item.name}_spin", ANGULAR, item.name)
    return names


def _add_meshes(spec: mujoco.MjSpec, item: LooseObject) -> list[str]:
    """The convex meshes of an object's parts; returns their names."""
    if item.kind == "meshes":
        return add_part_meshes(spec, item)
    if item.kind != "mesh":
        return []
    solid = mesh_hull(item)
    mesh = spec.add_mesh(name=item.name)
    mesh.uservert = solid.vertices.ravel()
    mesh.userface = solid.faces.ravel()
    return [item.name]


def _add_pair(spec: mujoco.MjSpec, first: str, second: str, friction: float) -> None:
    """Let two geoms touch, with Coulomb's friction."""
    pair = spec.add_pair(name=f"{first}_{second}", geomname1=first, geomname2=second)
    pair.condim = 3
    pair.solref = TABLE_CONTACT
    pair.friction[:2] = friction


def _padded(size: tuple[float, ...]) -> Array:
    """MuJoCo's size of a geom, which has three numbers."""
    result = np.zeros(3)
    result[: len(size)] = size
    return result


def _add_velocity_sensor(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtSensor, body: str) -> None:
    """The velocity of a body's frame, in the world's frame."""
    frame = int(mujoco.mjtObj.mjOBJ_XBODY)
    spec.add_sensor(name=name, type=kind, objtype=frame, objname=body)
