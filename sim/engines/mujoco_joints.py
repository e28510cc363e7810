"""Joints in MuJoCo's models: which fields a task changes, and how."""

from robots.arm import Body
from robots.signals import Array
from robots.world import Task
from sim.engines.base import actuator_strength, joint_damping

FORCE_FIELDS = ("actuator_gainprm", "actuator_biasprm")  # an actuator's force is linear in them
FORCE_RANGE = "actuator_forcerange"
JOINT_FIELDS = ("dof_damping", *FORCE_FIELDS, FORCE_RANGE)


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
