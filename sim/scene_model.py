"""The one place where a ``Scene`` becomes a ``mujoco.MjModel``.

A new kind of body registers its model: ``@body_model.register``.
"""

from functools import singledispatch

import mujoco

from robots.arm import ArmSpec, Body, FreeWalker, Walker
from robots.engine_urdf import engine_urdf
from robots.errors import BadArgumentError
from robots.mujoco_model import compile_model
from robots.scene import Scene
from sim.objects import DEFAULT_POSITION

# The parts of a loose object, in the order of ``sim.objects.Parts``. Sizes, masses and the friction
# of the pairs below are placeholders: an engine writes those of its task.
PARTS = {
    "object_box": mujoco.mjtGeom.mjGEOM_BOX,
    "object_bar": mujoco.mjtGeom.mjGEOM_BOX,
    "object_disc": mujoco.mjtGeom.mjGEOM_CYLINDER,
}
# solref of object and table: time constant in s, of which MuJoCo asks for two time steps of at most
# 5 ms, and damping ratio
TABLE_CONTACT = (0.010, 1.0)

OBJECT = "object"  # body and free joint
TOOL_VELOCITY = "tool_vel"  # sensor at the tool's frame; a model without it has no tool
OBJECT_VELOCITY = "object_vel"  # sensor; its readings are followed by those of OBJECT_SPIN
OBJECT_SPIN = "object_spin"
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
    """The editable model of a scene: its body, and the loose object on a table at z = 0.

    Raises:
        BadArgumentError: this kind of body has no model.
    """
    spec = body_model(scene.body)
    spec.option.timestep = scene.timestep
    if scene.loose_object:
        _add_object(spec)
    return spec


@singledispatch
def body_model(body: Body) -> mujoco.MjSpec:
    """The model of a body with its actuators, one for each of ``body.joints`` and in that order.

    Its joints are ``body.root`` and then ``body.joints``. A tool has a linear velocity sensor named
    ``tool_vel``. Geoms that a loose object may touch are named.

    Raises:
        BadArgumentError: no model is registered for this kind of body.
    """
    kind = type(body).__name__
    raise BadArgumentError(f"{body.name} has no MuJoCo model: none is registered for a {kind}")


@body_model.register
def _(body: Walker) -> mujoco.MjSpec:
    """A walker's MJCF, which has ground and motors."""
    spec = mujoco.MjSpec.from_file(str(body.mjcf))
    _order_motors(spec, body)
    return spec


@body_model.register
def _(body: FreeWalker) -> mujoco.MjSpec:
    """A walker's MJCF, with a sensor that makes MuJoCo compute the forces of contacts."""
    spec = mujoco.MjSpec.from_file(str(body.mjcf))
    _order_motors(spec, body)
    (root,) = body.root_joints
    torso = spec.joint(root).parent.name
    _add_velocity_sensor(spec, ROOT_ACCELERATION, mujoco.mjtSensor.mjSENS_FRAMELINACC, torso)
    return spec


def _order_motors(spec: mujoco.MjSpec, body: Walker) -> None:
    """Put the motors into the order of the joints that they drive."""
    driven = tuple(motor.target for motor in spec.actuators)
    if driven == body.joints:
        return
    motors = {motor.target: motor for motor in spec.actuators}
    for joint in body.joints:
        old = motors[joint]
        copied = {
            "gear": old.gear.copy(),
            "ctrllimited": old.ctrllimited,
            "ctrlrange": old.ctrlrange.copy(),
        }
        spec.delete(old)
        motor = spec.add_actuator(name=joint, target=joint, **copied)
        motor.set_to_motor()
        motor.trntype = mujoco.mjtTrn.mjTRN_JOINT


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


def _add_object(spec: mujoco.MjSpec) -> None:
    """A table at z = 0 and an object on it, which touches the table and the body's geoms alone."""
    body_geoms = [geom.name for geom in spec.geoms]
    table = spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE)
    table.size = [3, 3, 0.1]
    table.contype = 0
    table.conaffinity = 0
    item = spec.worldbody.add_body(name=OBJECT, pos=DEFAULT_POSITION)
    item.add_freejoint()
    item.mass = 0.3
    item.inertia = [1e-3, 1.1e-3, 1.2e-3]
    item.ipos = [1e-3, 0, 0]
    item.explicitinertial = True
    for name, kind in PARTS.items():
        item.add_geom(name=name, type=kind, size=[0.02] * 3, contype=0, conaffinity=0)
    for other in ("table", *body_geoms):
        for name in PARTS:
            pair = spec.add_pair(name=f"{name}_{other}", geomname1=name, geomname2=other)
            pair.condim = 3
            pair.solref = TABLE_CONTACT
    _add_velocity_sensor(spec, OBJECT_VELOCITY, LINEAR, OBJECT)
    _add_velocity_sensor(spec, OBJECT_SPIN, ANGULAR, OBJECT)


def _add_velocity_sensor(spec: mujoco.MjSpec, name: str, kind: mujoco.mjtSensor, body: str) -> None:
    """The velocity of a body's frame, in the world's frame."""
    frame = int(mujoco.mjtObj.mjOBJ_XBODY)
    spec.add_sensor(name=name, type=kind, objtype=frame, objname=body)
