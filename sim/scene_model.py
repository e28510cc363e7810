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
from robots.scene import Scene
from robots.signals import Mask
from sim.motors import order_motors
from sim.scene_contents import LINEAR, TABLE_CONTACT, add_fixture, add_object, add_velocity_sensor

# How much stiffer friction is than the normal force of a contact: MuJoCo lets a held object slip
# slowly, by 4 mm/s at its default of 1.
GRIP_IMPRATIO = 20.0
# solimp of the coupling of two fingers: at MuJoCo's 0.95 they would part by 6 mm under 20 N.
COUPLING_IMPEDANCE = (0.999, 0.9999)

TOOL_VELOCITY = "tool_vel"  # sensor at the tool's frame; a model without it has no tool
TOOL_ACCELERATION = "tool_acceleration"  # sensor; a model with it measures the tool's wrench
ROOT_ACCELERATION = "root_acceleration"  # sensor; a model with it has a center of mass and contacts


def compile_scene(scene: Scene) -> mujoco.MjModel:
    """The model of a scene.

    Raises:
        BadArgumentError: this kind of body has no model.
    """
    return compile_model(build_scene(scene))


def build_scene(scene: Scene) -> mujoco.MjSpec:
    """The editable model of a scene: its body, its fixtures and its objects.

    An object's body and joint have its name; its geoms are ``part_names`` and its velocity
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
        add_fixture(spec, fixture, body_geoms)
    # what each object may touch: the fixtures, the body and the objects before it
    fixtures = [fixture.name for fixture in scene.fixtures]
    others = fixtures + body_geoms
    for item in scene.objects:
        touched = others
        if item.joints:
            touched = [name for name in others if name not in fixtures]
        others += add_object(spec, item, touched)
    if scene.measures_wrench:
        _add_wrench(spec)
    return spec


def own_grounds(model: mujoco.MjModel) -> Mask:
    """The fixed geoms of a body's own model that the body can touch, (ngeom,).

    For objects they have a friction of 1, because their own friction is meant for the body.
    """
    is_fixed = model.body_weldid[model.geom_bodyid] == 0
    is_touched = (model.geom_contype | model.geom_conaffinity) != 0
    return np.asarray(is_fixed & is_touched)


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
    """A walker's MJCF, which has motors and, unless it is left out, ground.

    Raises:
        BadArgumentError: a geom that is to be left out does not exist.
    """
    spec = mujoco.MjSpec.from_file(str(body.mjcf))
    order_motors(spec, body)
    for name in body.left_out:
        geom = spec.geom(name)
        if geom is None:
            raise BadArgumentError(f"{body.name}: {body.mjcf} has no geom {name!r}")
        spec.delete(geom)
    return spec


@body_model.register
def _(body: FreeWalker) -> mujoco.MjSpec:
    """A walker's MJCF, with a sensor that makes MuJoCo compute the forces of contacts."""
    spec = body_model.dispatch(Walker)(body)
    (root,) = body.root_joints
    joint = spec.joint(root)
    if joint is None:
        raise BadArgumentError(f"{body.name}: {body.mjcf} has no joint {root!r}")
    torso = joint.parent.name
    add_velocity_sensor(spec, ROOT_ACCELERATION, mujoco.mjtSensor.mjSENS_FRAMELINACC, torso)
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
    add_velocity_sensor(spec, TOOL_VELOCITY, LINEAR, body.tool)
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


@singledispatch
def tool_geoms(body: Body) -> tuple[str, ...]:
    """The geoms of a body that are its tools, of which a task has one; none if it has no choice."""
    return ()


def _named_geoms(body: Body, spec: mujoco.MjSpec) -> list[str]:
    """The names of the body's geoms; those without one get one."""
    for i, geom in enumerate(spec.geoms):
        geom.name = geom.name or f"{body.name}_{i}"
    return [geom.name for geom in spec.geoms]


def _add_wrench(spec: mujoco.MjSpec) -> None:
    """A sensor that makes MuJoCo compute the forces of contacts.

    Raises:
        BadArgumentError: the body has no tool.
    """
    velocity = spec.sensor(TOOL_VELOCITY)
    if velocity is None:
        raise BadArgumentError("a body without a tool has no wrench that could be measured")
    add_velocity_sensor(
        spec, TOOL_ACCELERATION, mujoco.mjtSensor.mjSENS_FRAMELINACC, velocity.objname
    )
