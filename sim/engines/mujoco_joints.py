"""Joints in MuJoCo's models: their columns, and which fields a task changes, and how."""

from typing import NamedTuple

import mujoco

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.engines.base import actuator_strength, joint_damping

FORCE_FIELDS = ("actuator_gainprm", "actuator_biasprm")  # an actuator's force is linear in them
FORCE_RANGE = "actuator_forcerange"
JOINT_FIELDS = ("dof_damping", *FORCE_FIELDS, FORCE_RANGE)


class JointColumns(NamedTuple):
    """Where a body's joints are in a model's state; an object comes after them."""

    positions: slice  # of qpos: root joints, then driven joints
    velocities: slice  # of qvel: the same joints
    driven: slice  # of qvel: the driven joints alone


def joint_columns(model: mujoco.MjModel, body: Body) -> JointColumns:
    """The columns of a body's joints.

    Raises:
        BadArgumentError: the model's joints are not those that the body names.
    """
    names = body.root + body.joints
    count = len(names)
    modeled = tuple(model.joint(i).name for i in range(min(count, model.njnt)))
    if modeled != names:
        raise BadArgumentError(f"{body.name} has joints {names}, its model {modeled}")
    is_all = count == model.njnt
    position_count = model.nq if is_all else int(model.jnt_qposadr[count])
    velocity_count = model.nv if is_all else int(model.jnt_dofadr[count])
    first_driven = int(model.jnt_dofadr[len(body.root)])
    return JointColumns(
        positions=slice(position_count),
        velocities=slice(velocity_count),
        driven=slice(first_driven, velocity_count),
    )


def set_joints(values: dict[str, Array], body: Body, driven: slice, task: Task) -> None:
    """Change model fields to the tasks' damping and strength.

    Args:
        values: each of ``JOINT_FIELDS``, (n, ...) for n worlds; changed in place.
        body: whose joints they are.
        driven: the driven joints among the degrees of freedom.
        task: n rows.
    """
    added = joint_damping(task)
    damping = values["dof_damping"]
    damping[:, driven] += added[:, None]
    strength = actuator_strength(task, body.joints)
    factor = strength[..., None]
    for name in FORCE_FIELDS:
        values[name] *= factor
    values[FORCE_RANGE] *= abs(factor)  # low and high stay in order where a force is inverted
