"""What of a compiled MuJoCo model PyBullet cannot carry."""

from collections.abc import Collection

import mujoco

from robots.errors import BadArgumentError
from robots.scene import SceneObject
from sim.couplings import is_coupling
from sim.engines.bullet_shapes import SUPPORTED
from sim.object_joints import latch_names

HINGE_OR_SLIDE = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


def require_carried(model: mujoco.MjModel, rotors: bool, objects: tuple[SceneObject, ...]) -> None:
    """Check that PyBullet can simulate a model.

    Args:
        model: compiled.
        rotors: whether links are to carry their joints' rotors.
        objects: the scene's, which may be on joints with dry friction and a latch.

    Raises:
        BadArgumentError: it cannot; the message names the first part that is to blame.
    """
    names = [item.name for item in objects]
    latches = [spring for name in names for spring in latch_names(name)]
    parts = [
        *_features(model, latches),
        *_geoms(model),
        *_joints(model, rotors, names),
        *_actuators(model),
    ]
    if parts:
        raise BadArgumentError(f"PyBullet cannot carry {parts[0]}")


def _features(model: mujoco.MjModel, latches: Collection[str]) -> list[str]:
    """Constraints, tendons, flexible bodies and fluids."""
    found = []
    for i in range(model.neq):
        if is_coupling(model, i):
            continue
        name = model.equality(i).name
        found.append(f"the equality constraint {name!r}")
    for i in range(model.ntendon):
        name = model.tendon(i).name
        pulls = model.tendon_stiffness[i] or model.tendon_damping[i]
        if name not in latches and (pulls or model.tendon_limited[i]):
            found.append(f"the tendon {name!r}")
    if model.nflex:
        found.append("flexible bodies")
    if model.opt.density or model.opt.viscosity:
        found.append("a fluid")
    if model.opt.wind.any():
        found.append("wind")
    return found


def _geoms(model: mujoco.MjModel) -> list[str]:
    """Geoms of a kind that Bullet lacks, and their contacts."""
    found = []
    for i in range(model.ngeom):
        name = model.geom(i).name
        kind = mujoco.mjtGeom(model.geom_type[i])
        collides = model.geom_contype[i] or model.geom_conaffinity[i]
        if collides and kind not in SUPPORTED:
            kind_name = kind.name.removeprefix("mjGEOM_").lower()
            found.append(f"the geom {name!r}: an {kind_name}")
        if collides and model.geom_condim[i] > 3:
            found.append(f"the torsional friction of the geom {name!r}")
    return found


def _joints(model: mujoco.MjModel, rotors: bool, objects: Collection[str]) -> list[str]:
    """Joints with forces that Bullet lacks."""
    found = []
    for i in range(model.njnt):
        name = model.joint(i).name
        is_scalar = mujoco.mjtJoint(model.jnt_type[i]) in HINGE_OR_SLIDE
        degree = model.jnt_dofadr[i]
        if model.dof_frictionloss[degree] and name not in objects:
            found.append(f"the dry friction of the joint {name!r}")
        is_hinge = model.jnt_type[i] == mujoco.mjtJoint.mjJNT_HINGE
        if rotors and not is_hinge and model.dof_armature[degree]:
            found.append(f"the armature of the joint {name!r}, which is no hinge")
        if not is_scalar and (model.jnt_stiffness[i] or model.dof_damping[degree]):
            found.append(f"the spring or damper of the joint {name!r}")
        if not is_scalar and model.jnt_limited[i]:
            found.append(f"the limit of the ball joint {name!r}")
    return found


def _actuators(model: mujoco.MjModel) -> list[str]:
    """Actuators that are neither motors nor position servos of a joint."""
    joint = mujoco.mjtTrn.mjTRN_JOINT
    found = []
    for i in range(model.nu):
        is_plain = (
            model.actuator_trntype[i] == joint
            and model.actuator_dyntype[i] == mujoco.mjtDyn.mjDYN_NONE
            and model.actuator_gaintype[i] == mujoco.mjtGain.mjGAIN_FIXED
        )
        if not is_plain:
            name = model.actuator(i).name
            found.append(f"the actuator {name!r}")
    return found
