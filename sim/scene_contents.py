"""The fixtures and objects of a scene, added to its MuJoCo model."""

import mujoco
import numpy as np

from robots.scene import Fixture, Joint, SceneObject
from robots.signals import Array
from sim.choice_model import add_part_meshes
from sim.object_joints import has_latch, latch_names
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
JOINTS = {
    "hinge": mujoco.mjtJoint.mjJNT_HINGE,
    "slide": mujoco.mjtJoint.mjJNT_SLIDE,
}
# solref of an object on a table: time constant in s (MuJoCo requires at least two time steps, which
# are at most 5 ms) and damping ratio
TABLE_CONTACT = (0.010, 1.0)
PLANE_SIZE = (3.0, 3.0, 0.1)  # m, the drawn part of a plane, which itself is infinite
GROUND_DEPTH = 0.1  # m, from the lowest point of a height field to its underside

LINEAR = mujoco.mjtSensor.mjSENS_FRAMELINVEL
ANGULAR = mujoco.mjtSensor.mjSENS_FRAMEANGVEL


def part_names(item: SceneObject) -> list[str]:
    """The names of the geoms of an object's parts."""
    count = len(part_kinds(item))
    return [f"{item.name}_{part}" for part in range(count)]


def velocity_name(item: SceneObject) -> str:
    """The sensor of an object's linear velocity; the next three readings are angular velocity."""
    return f"{item.name}_vel"


def add_fixture(spec: mujoco.MjSpec, fixture: Fixture, body_geoms: list[str]) -> None:
    """A geom of the world, which touches the moving geoms of the body if ``touches_body``.

    An arm touches by pairs. A walker touches a fixture as it touches a ground in its MJCF, whose
    defaults the fixture has; the larger of the two frictions counts.
    """
    size = fixture.size or PLANE_SIZE
    geom = spec.worldbody.add_geom(name=fixture.name, type=GEOMS[fixture.kind])
    geom.pos = fixture.position
    geom.quat = fixture.quat
    moving = [spec.geom(name) for name in body_geoms if spec.geom(name).parent.id != 0]
    is_walker = any(part.contype or part.conaffinity for part in moving)
    if is_walker and fixture.touches_body:
        geom.friction[0] *= fixture.friction
        geom.contype = 1
        geom.conaffinity = 1
        # The tree that speeds up collisions would keep fixtures where the model has them.
        spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    else:
        geom.friction[0] = fixture.friction
        geom.contype = 0
        geom.conaffinity = 0
    if fixture.heights is None:
        geom.size = _padded(size)
    else:
        _add_heights(spec, fixture, fixture.heights)
        geom.hfieldname = fixture.name
    if is_walker or not fixture.touches_body:
        return
    for part in moving:
        _add_pair(spec, part.name, fixture.name, part.friction[0] * fixture.friction)


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


def add_object(spec: mujoco.MjSpec, item: SceneObject, others: list[str]) -> list[str]:
    """A body that touches only the geoms named in ``others``; returns its own geoms' names.

    It moves freely, or on its joint.
    """
    link = spec.worldbody.add_body(name=item.name, pos=item.position)
    if item.joints:
        _add_joint(link, item.name, item.joints[0])
    else:
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
    if has_latch(item):
        _add_latch(spec, item)
    add_velocity_sensor(spec, velocity_name(item), LINEAR, item.name)
    add_velocity_sensor(spec, f"{item.name}_spin", ANGULAR, item.name)
    return names


def _add_joint(link: mujoco.MjsBody, name: str, joint: Joint) -> None:
    """The hinge or slide of a body."""
    added = link.add_joint(name=name, type=JOINTS[joint.kind], axis=joint.axis, pos=joint.place)
    added.limited = True
    added.range = joint.limits
    added.frictionloss = joint.friction
    added.damping[0] = joint.damping


def _add_latch(spec: mujoco.MjSpec, item: SceneObject) -> None:
    """The springs of an object's latch. An engine writes those of a task."""
    for name in latch_names(item.name):
        spring = spec.add_tendon(name=name)
        spring.wrap_joint(item.name, 1.0)


def _add_meshes(spec: mujoco.MjSpec, item: SceneObject) -> list[str]:
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


def add_velocity_sensor(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtSensor, body: str) -> None:
    """The velocity of a body's frame, in the world's frame."""
    frame = int(mujoco.mjtObj.mjOBJ_XBODY)
    spec.add_sensor(name=name, type=kind, objtype=frame, objname=body)
