"""The pairs of spheres that the gate must keep apart, because design and limits do not.

Axes: p spheres, k configurations, j joints.
"""

from itertools import product

import numpy as np

from robots.arm import Limits
from robots.signals import Array, Indices, Mask
from robots.spheres import MovingSpheres

NEAR = 2  # for links up to so many joints apart, pairs that design or limits keep apart are skipped
# Samples of each joint between two links, including its limits. For two joints 30 steps in a range
# of 6 rad: the lowest distance is missed by a few mm at most, less than the covers exceed shapes.
SAMPLES = {1: 121, 2: 31}


def pairs_to_keep_apart(
    moving: MovingSpheres, limits: Limits, known_poses: Array, margin: float
) -> tuple[Indices, Indices]:
    """Pairs of spheres on different links, as their first and second spheres.

    For links up to ``NEAR`` joints apart, two kinds of pairs are left out. First, links touch by
    design around a joint: a sphere that touches the other link at a known pose is not checked
    against that link. Second, the joint limits keep most pairs apart: the shapes inside these
    spheres touch in no configuration of the joints between the two links.

    Args:
        moving: the spheres.
        limits: of the joints' positions.
        known_poses: (k, j) rad, in which links touch only by design.
        margin: m, spheres that are closer count as touching at a known pose.
    """
    link = moving.spheres.link
    radius = moving.spheres.radius
    known = moving.centers(known_poses[None])[:, 0]  # (p, 3, k)
    first, second = np.triu_indices(len(link), 1)
    first_link = link[first]
    joints_between = link[second] - first_link
    kept = joints_between > NEAR
    links = np.unique(link)
    for inner, count in product(links, range(1, NEAR + 1)):
        of_links = (first_link == inner) & (joints_between == count)
        rows = np.flatnonzero(of_links)
        if not len(rows):
            continue
        a = first[rows]
        b = second[rows]
        touching = radius[a] + radius[b] + margin
        distance = _distances(known, a, b)
        touch = distance.min(1) < touching
        first_at_joint = np.isin(a, a[touch])
        second_at_joint = np.isin(b, b[touch])
        by_design = first_at_joint | second_at_joint
        may_meet = _may_meet(moving, limits, known_poses[0], a, b)
        kept[rows] = may_meet & ~by_design
    return first[kept], second[kept]


def _may_meet(
    moving: MovingSpheres,
    limits: Limits,
    pose: Array,
    first: Indices,
    second: Indices,
) -> Mask:
    """Pairs of two links whose shapes touch in a configuration of the joints between the links.

    The other joints stay as in ``pose`` (j,); they do not matter.
    """
    link = moving.spheres.link
    inside = moving.spheres.inside
    inner = link[first[0]]
    outer = link[second[0]]
    joints = np.arange(inner + 1, outer + 1)
    count = SAMPLES[len(joints)]
    samples = np.linspace(limits.q_low, limits.q_high, count)  # (count, j)
    columns = samples.T[joints]
    grid = np.meshgrid(*columns)
    combinations = np.stack(grid, -1).reshape(-1, len(joints))
    q = np.tile(pose, (len(combinations), 1))
    q[:, joints] = combinations
    center = moving.centers(q[None])[:, 0]
    distance = _distances(center, first, second)
    touching = inside[first] + inside[second]
    may_meet: Mask = distance.min(1) < touching
    return may_meet


def _distances(center: Array, first: Indices, second: Indices) -> Array:
    """Distances m of pairs of spheres, (pairs, k), whose centers are (p, 3, k)."""
    between = center[second] - center[first]
    distance: Array = np.linalg.norm(between, axis=1)
    return distance
