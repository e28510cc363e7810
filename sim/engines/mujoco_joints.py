"""Joints in MuJoCo's models: which fields a task changes, and how."""

from robots.arm import Body
from robots.signals import Array
from robots.world import Task
from sim.engines.base import actuator_strength, joint_damping

ACTUATOR_FIELDS = ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
JOINT_FIELDS = ("dof_damping", *ACTUATOR_FIELDS)


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
    for name in ACTUATOR_FIELDS:
        values[name] *= strength[..., None]
