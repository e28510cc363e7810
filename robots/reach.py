"""How much an arm's tool can move with each joint at most, in any configuration.

Axes: j joints.
"""

import numpy as np

from robots.arm import Limits
from robots.signals import Array
from robots.urdf import SerialChain


def tool_speed_bound(chain: SerialChain, limits: Limits) -> Array:
    """Bounds of the first derivatives |∂p/∂q_k| of the tool's position p, (j,).

    For a hinge that is the largest distance of the tool from the joint's axis, in m/rad; for a
    prismatic joint, whose travel ``limits`` bound, 1.
    """
    travel = np.maximum(np.abs(limits.q_low), np.abs(limits.q_high))
    poses = [link.pose for link in chain.links[1:]]
    poses.append(chain.tool)  # each in the frame of the link before it
    bound = np.ones(len(poses))
    reach = 0.0  # m, from the next joint to the tool
    for k in reversed(range(len(poses))):
        offset = poses[k][:3, 3]  # m, from joint k, which moves about z or along it
        if chain.links[k].slides:
            reach += travel[k]
        else:
            bound[k] = np.hypot(offset[0], offset[1]) + reach
        reach += float(np.linalg.norm(offset))
    return bound


def tool_curvature_bound(chain: SerialChain, limits: Limits) -> Array:
    """Bounds of the second derivatives |∂²p/∂q_i∂q_k| of the tool's position p, (j, j).

    A hinge turns what it and the joints behind it do to the tool, which changes the direction of
    their derivative but not its length. A prismatic joint changes neither.
    """
    first = tool_speed_bound(chain, limits)
    j = len(first)
    bound = np.zeros((j, j))
    for i, link in enumerate(chain.links):
        if not link.slides:
            bound[i, i:] = first[i:]
            bound[i:, i] = first[i:]
    return bound
