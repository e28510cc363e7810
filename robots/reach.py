"""How much an arm's tool and links can move with each joint at most, in any configuration.

Axes: j joints. For a hinge a bound is in m/rad, for a prismatic joint a number.
"""

import numpy as np
from numpy.typing import NDArray

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


def point_speed_bound(
    chain: SerialChain, limits: Limits, link: NDArray[np.int64], point: Array
) -> Array:
    """Bounds of |∂p/∂q_k| of points p that are fixed to links, (p, j); 0 where k does not move p.

    Args:
        chain: of the arm.
        limits: with the travel of prismatic joints.
        link: (p,) index of the moving link that carries each point, -1 for the base.
        point: (p, 3) m in the frame of that link.
    """
    travel = np.maximum(np.abs(limits.q_low), np.abs(limits.q_high))
    reach = np.linalg.norm(point, axis=1)  # m, from the frame of link k, once it carries the point
    bound = np.zeros((len(point), len(chain.links)))
    for k in reversed(range(len(chain.links))):
        moved = link >= k
        if chain.links[k].slides:
            bound[moved, k] = 1.0
            reach[moved] += travel[k]
        else:
            bound[moved, k] = reach[moved]
        reach[moved] += np.linalg.norm(chain.links[k].pose[:3, 3])
    return bound


def second_change(bound: Array, displacement: Array) -> Array:
    """A bound of |p''| on the way p(s), 0 <= s <= 1, of points: (..., n) m.

    It is Σ bound_max(i, k)·|Δq_i|·|Δq_k|: the inner one of two joints turns what the outer one does
    and leaves its length.

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
    sums = np.cumsum(np.abs(displacement), 0)
    powers: Array = sums**power
    powers[1:] -= powers[:-1].copy()
    return powers
