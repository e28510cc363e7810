"""The one place where a ``Scene`` becomes a ``mujoco.MjModel``."""

import warnings

import mujoco

from robots.arm import ArmSpec, Walker
from robots.scene import Scene

PARTS = ("object_box", "object_bar", "object_disc")


TYPES = (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER)


TABLE = (0.004, 1.0)  # solref of the object on the table: stiff, critically damped


def compiled(scene: Scene) -> mujoco.MjModel:
    """The scene's model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*settotalmass")  # Gymnasium's models still say so
        return build(scene).compile()


def build(scene: Scene) -> mujoco.MjSpec:
    """The scene, to be compiled: the arm's URDF with servos, and the loose object on a table at z = 0.

    Or the walker's MJCF, which has ground and motors.
    """
    arm = scene.body
    if isinstance(arm, Walker):
        spec = mujoco.MjSpec.from_file(str(arm.mjcf))
        spec.option.timestep = scene.timestep
        return spec
    assert isinstance(arm, ArmSpec)
    spec = mujoco.MjSpec.from_file(str(arm.urdf))
    spec.compiler.fusestatic = False
    spec.option.timestep = scene.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    for body in spec.bodies[1:]:
        body.gravcomp = 1
    strikers = [f"{arm.name}_{i}" for i in range(len(spec.geoms))]
    for geom, name in zip(spec.geoms, strikers, strict=True):
        geom.contype = geom.conaffinity = 0  # only the pairs below collide
        geom.name = name
    for i, name in enumerate(arm.joints):
        spec.joint(name).armature = arm.armature[i]
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        servo.gainprm[0] = arm.stiffness[i]
        servo.biasprm[1:3] = -arm.stiffness[i], -arm.damping[i]
        servo.forcelimited, servo.forcerange = True, [-arm.limits.tau[i], arm.limits.tau[i]]
    frame = int(mujoco.mjtObj.mjOBJ_XBODY)
    linear, angular = mujoco.mjtSensor.mjSENS_FRAMELINVEL, mujoco.mjtSensor.mjSENS_FRAMEANGVEL
    spec.add_sensor(name="tool_vel", type=linear, objtype=frame, objname=arm.tool)
    if scene.loose_object:
        spec.worldbody.add_geom(
            name="table",
            type=mujoco.mjtGeom.mjGEOM_PLANE,
            size=[3, 3, 0.1],
            contype=0,
            conaffinity=0,
        )
        body = spec.worldbody.add_body(name="object", pos=[0.5, 0, 0.02])
        body.add_freejoint()
        body.mass, body.inertia, body.explicitinertial, body.ipos = (
            0.3,
            [1e-3, 1.1e-3, 1.2e-3],
            True,
            [1e-3, 0, 0],
        )
        for name, kind in zip(PARTS, TYPES, strict=True):
            body.add_geom(name=name, type=kind, size=[0.02] * 3, contype=0, conaffinity=0)
        for other in ("table", *strikers):
            for name in PARTS:
                pair = spec.add_pair(
                    name=f"{name}_{other}", geomname1=name, geomname2=other, condim=3
                )
                pair.solref = TABLE
        spec.add_sensor(name="object_vel", type=linear, objtype=frame, objname="object")
        spec.add_sensor(name="object_spin", type=angular, objtype=frame, objname="object")
    return spec
