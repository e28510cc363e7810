"""Bounds on how much an arm's tool and links move with each joint, in any configuration.

Axes: j joints. For a hinge a bound is in m/rad, for a prismatic joint a number.
"""

import numpy as np

from robots.arm import Limits
from robots.signals import Array, Indices
from robots.urdf import SerialChain


def tool_speed_bound(chain: SerialChain, limits: Limits) -> Array:
    """Bounds of the first derivatives |∂p/∂q_k| of the tool's position p, (j,)."""
    last = np.array([len(chain.links) - 1])
    tool = chain.tool[None, :3, 3]
    bound: Array = point_speed_bound(chain, limits, last, tool)[0]
    return bound


def tool_curvature_bound(chain: SerialChain, limits: Limits) -> Array:
    """Bounds of the second derivatives |∂²p/∂q_i∂q_k| of the tool's position p, (j, j).

    A hinge rotates the derivatives of p with respect to itself and to the joints behind it: it
    changes their direction but not their length. A prismatic joint changes neither.
    """
    first = tool_speed_bound(chain, limits)
    j = len(first)
    bound = np.zeros((j, j))
    for i, link in enumerate(chain.links):
        if not link.slides:
            bound[i, i:] = first[i:]
            bound[i:, i] = first[i:]
    return bound


def point_speed_bound(chain: SerialChain, limits: Limits, link: Indices, point: Array) -> Array:
    """Bounds of |∂p/∂q_k| of points p that are fixed to links, (p, j); 0 where k does not move p.

    For a hinge the bound is the point's largest distance from the joint's axis, in m/rad. For a
    prismatic joint it is 1; ``limits`` bound its travel, which changes the distances.

    Args:
        chain: of the arm.
        limits: with the travel of prismatic joints.
        link: (p,) index of the moving link that carries each point, -1 for the base.
        point: (p, 3) m in the frame of that link, whose joint moves about z or along it.
    """
    below = np.abs(limits.q_low)
    above = np.abs(limits.q_high)
    travel = np.maximum(below, above)
    count = len(chain.links)
    bound = np.zeros((len(point), count))
    offset = point.copy()  # m, from joint k to the next joint, or to the point
    reach = np.zeros(len(point))  # m, from there to the point
    for k in reversed(range(count)):
        joint = chain.links[k]
        moved = link >= k
        to_next = offset[moved]
        if joint.grips:
            offset[moved] = to_next @ joint.pose[:3, :3].T + joint.pose[:3, 3]
            continue
        if joint.slides:
            bound[moved, k] = 1.0
            reach[moved] += travel[k]
        else:
            across = np.hypot(to_next[:, 0], to_next[:, 1])  # m, from the joint's axis
            bound[moved, k] = across + reach[moved]
        reach[moved] += np.linalg.norm(to_next, axis=1)
        offset[moved] = joint.pose[:3, 3]
    return bound


def second_change(bound: Array, displacement: Array) -> Array:
    """A bound of |p''| on the way p(s), 0 <= s <= 1, of points: (..., n) m.

    It is Σ bound_max(i, k)·|Δq_i|·|Δq_k|: the inner of two joints rotates the derivative with
    respect to the outer one and keeps its length.

    Args:
        bound: (..., j) of |∂p/∂q_k|.
        displacement: (j, n), the straight line Δq in joint space.
    """
    change: Array = bound @ _growth(displacement, 2)
    return change


def third_change(bound: Array, displacement: Array) -> Array:
    """A bound of |p'''|, as ``second_change``: Σ bound_max(i, k, l)·|Δq_i|·|Δq_k|·|Δq_l|."""
    change: Array = bound @ _growth(displacement, 3)
    return change


def _growth(displacement: Array, power: int) -> Array:
    """What each joint adds to (Σ |Δq|)^power, summed from the base outward: (j, n)."""
    sums = np.abs(displacement).cumsum(0)
    powers: Array = sums**power
    growth = powers.copy()
    growth[1:] -= powers[:-1]
    return growth
