"""The joint of a door or drawer: its parameters in a task, and its latch. Axes: n tasks.

A latch is three springs, which every engine has. Each begins at an edge: at the position q it pulls
with its stiffness times the distance by which |q| is beyond the edge. Their sum rises from the
closed position to the latch's torque, falls to nothing at its width, and is nothing beyond: the
second one pushes, which cancels the slope of the others.
"""

import numpy as np

from robots.errors import BadArgumentError
from robots.scene import Joint, SceneObject
from robots.signals import Array
from robots.world import Task

JOINT_PLACE = ("joint_x", "joint_y", "joint_z")  # m, of a joint's axis from the centroid
PEAK = 0.25  # share of the width at which a latch holds most
SPRINGS = 3


def joint_numbers(joint: Joint) -> dict[str, float]:
    """The parameters of a joint, as ``NAME.PARAMETER`` in a task."""
    place = dict(zip(JOINT_PLACE, joint.place, strict=True))
    return place | {
        "joint_friction": joint.friction,
        "joint_damping": joint.damping,
        "joint_latch": joint.latch,
    }


def chosen_joint_numbers(item: SceneObject, task: Task) -> dict[str, Array]:
    """The parameters of the joints that tasks choose, (n,) each.

    Raises:
        BadArgumentError: a task chooses a joint that does not exist.
    """
    name = f"{item.name}.joint"
    codes = task[name] if name in task.names else np.zeros(len(task))
    count = len(item.joints)
    if not np.isin(codes, np.arange(count)).all():
        raise BadArgumentError(f"{name} is the index of one of {count} joints, got {codes}")
    chosen = codes.astype(np.int64)
    numbers = [joint_numbers(joint) for joint in item.joints]
    result = {}
    for name_of_number in numbers[0]:
        of_each_joint = np.array([of_joint[name_of_number] for of_joint in numbers])
        result[name_of_number] = of_each_joint[chosen]
    return result


def has_latch(item: SceneObject) -> bool:
    """Whether an object has a joint with a latch."""
    return any(joint.latch_width for joint in item.joints)


def latch_names(name: str) -> list[str]:
    """The tendons of MuJoCo's model that are the springs of the latch of the object ``name``."""
    return [f"{name}_latch_{spring}" for spring in range(SPRINGS)]


def latch_edges(joint: Joint) -> Array:
    """Where the springs of a joint's latch begin, (3,) rad or m, to either side."""
    return np.array([0.0, PEAK, 1.0]) * joint.latch_width


def latch_stiffness(joint: Joint, latch: Array) -> Array:
    """The stiffness of the springs, (n, 3) N·m/rad or N/m, for latches of (n,) N·m or N."""
    if not joint.latch_width:
        return np.zeros((len(latch), SPRINGS))
    rise = latch / (PEAK * joint.latch_width)
    fall = latch / ((1 - PEAK) * joint.latch_width)
    return np.stack([rise, -rise - fall, fall], -1)
