"""The numbers of a catalog entry that an MJCF may have, beside its chain of joints.

Axes: j driven joints.
"""

from typing import TYPE_CHECKING

import numpy as np

from robots.mjcf import joint_index
from robots.signals import Array

if TYPE_CHECKING:
    import mujoco

HOME = "home"  # name of the keyframe with the pose to start from


def entry_numbers(model: "mujoco.MjModel", joints: tuple[str, ...]) -> dict[str, Array]:
    """Fields of ``ArmSpec`` and ``Limits`` by name, (j,) each.

    ``home`` is the keyframe of this name, or the first one; ``tau`` the narrowest limit of each
    joint and its actuators; ``stiffness`` and ``damping`` are those of position actuators, with the
    joints' own damping. A number that one of the joints does not have is left out.

    Args:
        model: the compiled MJCF.
        joints: names of the arm's joints, in its order.
    """
    indices = [joint_index(model, name) for name in joints]
    found = {
        "tau": np.array([_torque(model, joint) for joint in indices]),
        "stiffness": np.array([_servo(model, joint)[0] for joint in indices]),
        "damping": np.array([_servo(model, joint)[1] for joint in indices]),
        "armature": np.array(model.dof_armature[model.jnt_dofadr[indices]]),
    }
    known = {name: value for name, value in found.items() if _is_known(value)}
    if model.nkey:
        known["home"] = _home(model)[model.jnt_qposadr[indices]]
    return known


def _is_known(values: Array) -> bool:
    """Whether every joint has the number: it is finite and positive."""
    return bool(np.isfinite(values).all() and (values > 0).all())


def _home(model: "mujoco.MjModel") -> Array:
    """All joint positions of the keyframe to start from."""
    names = [model.key(i).name for i in range(model.nkey)]
    index = names.index(HOME) if HOME in names else 0
    return np.array(model.key_qpos[index])


def _actuators(model: "mujoco.MjModel", joint: int) -> list[int]:
    """The actuators of a joint."""
    import mujoco

    is_joint = np.isin(
        model.actuator_trntype,
        [mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT],
    )
    indices: list[int] = np.flatnonzero(is_joint & (model.actuator_trnid[:, 0] == joint)).tolist()
    return indices


def _torque(model: "mujoco.MjModel", joint: int) -> float:
    """The narrowest limit of a joint's torque N·m or force N; infinite without one."""
    import mujoco

    limits = []
    if model.jnt_actfrclimited[joint]:
        limits.append(_smaller_side(model.jnt_actfrcrange[joint]))
    for i in _actuators(model, joint):
        gear = abs(model.actuator_gear[i, 0])
        if model.actuator_forcelimited[i]:
            limits.append(gear * _smaller_side(model.actuator_forcerange[i]))
        is_motor = model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE
        if is_motor and model.actuator_ctrllimited[i]:
            gain = abs(model.actuator_gainprm[i, 0])
            limits.append(gear * gain * _smaller_side(model.actuator_ctrlrange[i]))
    return min(limits, default=np.inf)


def _smaller_side(interval: Array) -> float:
    """The largest magnitude that an interval (2,) has in both directions; 0 if 0 is not in it."""
    low, high = interval.tolist()
    return float(max(0.0, min(-low, high)))


def _servo(model: "mujoco.MjModel", joint: int) -> tuple[float, float]:
    """Stiffness and damping of a joint's position actuator; NaN without exactly one."""
    import mujoco

    actuators = _actuators(model, joint)
    if len(actuators) != 1:
        return np.nan, np.nan
    (i,) = actuators
    gain = float(model.actuator_gainprm[i, 0])
    _, position, velocity = model.actuator_biasprm[i, :3].tolist()
    is_affine = model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_AFFINE
    if not is_affine or position != -gain:
        return np.nan, np.nan
    squared = float(model.actuator_gear[i, 0]) ** 2
    passive = float(model.dof_damping[model.jnt_dofadr[joint]].item())
    return squared * gain, passive - squared * velocity
