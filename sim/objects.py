"""Loose objects as data: which parameters one has, what it is made of, and what it weighs. Pure NumPy.

An object is a flat body of up to three parts: two boxes and an upright cylinder. Parts that a shape does not need
hide, tiny, inside the first one. Axes: n objects, 3 parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from robots.world import Task

SHAPES = ("box", "cross", "cylinder", "L", "T")
DEFAULTS = {
    "object.shape": 0.0,  # index into SHAPES
    "object.size_x": 0.05,  # m, half the extent; a cylinder's radius
    "object.size_y": 0.05,  # m, half the extent
    "object.size_z": 0.02,  # m, half the height
    "object.mass": 0.3,  # kg
    "object.friction": 0.15,  # Coulomb's coefficient against the table and the tool
    "object.restitution": 0.3,  # of a blow by the tool
    "object.com_x": 0.0,  # m, centre of mass from the centroid
    "object.com_y": 0.0,  # m
}
HIDDEN = 1e-3  # m, half size of a part that is not needed
ARM = 0.4  # width of a bar of a cross, an L or a T, as a share of the extent


@dataclass(frozen=True)
class Parts:
    """What n objects are made of: part 0 and 1 are boxes, part 2 a cylinder along z; the frame is the centroid's."""

    size: Array  # (n, 3, 3) m, half extents; of the cylinder radius, half height, 0
    pos: Array  # (n, 3, 3) m
    used: NDArray[np.bool_]  # (n, 3)


@dataclass(frozen=True)
class Inertia:
    """Mass properties of n objects: principal moments in a frame at the centre of mass."""

    mass: Array  # (n,) kg
    com: Array  # (n, 3) m
    moments: Array  # (n, 3) kg·m²
    quat: Array  # (n, 4) w, x, y, z


def parameters(task: Task) -> dict[str, Array]:
    """All of ``DEFAULTS``, (n,) each, from the task where it names them."""
    return {
        name: task[name] if name in task.names else np.full(len(task), default)
        for name, default in DEFAULTS.items()
    }


def parts(p: dict[str, Array]) -> Parts:
    """The parts of objects with parameters (n,); ValueError for a shape code that does not exist."""
    code = p["object.shape"].astype(int)
    if ((code < 0) | (code >= len(SHAPES))).any():
        raise ValueError(
            f"object.shape must be one of {dict(enumerate(SHAPES))}, got {sorted(set(code.tolist()))}"
        )
    x, y, z = p["object.size_x"], p["object.size_y"], p["object.size_z"]
    n, zero, no = len(x), np.zeros(len(x)), np.full(len(x), HIDDEN)
    bar_x, bar_y = ARM * x, ARM * y
    shape = [SHAPES[c] for c in code]
    #            first box: half x, half y, centre x, y; second box: the same; cylinder's radius
    table = {
        "box": (x, y, zero, zero, no, no, zero, zero, no),
        "cross": (x, bar_y, zero, zero, bar_x, y, zero, zero, no),
        "cylinder": (no, no, zero, zero, no, no, zero, zero, x),
        "L": (bar_x, y, -x + bar_x, zero, x - bar_x, bar_y, bar_x, -y + bar_y, no),
        "T": (bar_x, y, -x + bar_x, zero, x - bar_x, bar_y, bar_x, zero, no),
    }
    row = np.stack([np.stack(table[s], 0)[:, i] for i, s in enumerate(shape)])  # (n, 9)
    size, pos = np.empty((n, 3, 3)), np.zeros((n, 3, 3))
    size[:, 0, :2], pos[:, 0, :2], size[:, 1, :2], pos[:, 1, :2] = (
        row[:, 0:2],
        row[:, 2:4],
        row[:, 4:6],
        row[:, 6:8],
    )
    size[:, 2, 0] = row[:, 8]
    used = size[..., 0] > HIDDEN
    size[:, :2, 2] = np.where(used[:, :2], z[:, None], HIDDEN)
    size[:, 2, 1:] = np.stack([np.where(used[:, 2], z, HIDDEN), zero], -1)
    pos = np.where(used[..., None], pos, pos[np.arange(n), used.argmax(-1)][:, None])
    centroid = (area(size)[..., None] * used[..., None] * pos).sum(1) / (area(size) * used).sum(1)[
        :, None
    ]
    return Parts(size, pos - centroid[:, None], used)


def area(size: Array) -> Array:
    """Footprint of parts (n, 3, 3), m² (n, 3)."""
    return np.concatenate([4 * size[:, :2, 0] * size[:, :2, 1], np.pi * size[:, 2:, 0] ** 2], 1)


def inertia(p: dict[str, Array], made_of: Parts) -> Inertia:
    """Mass properties at uniform density; the offset of the centre of mass shifts them as they are.

    Where two bars of a cross overlap, the overlap counts twice: a hub.
    """
    size, mass = made_of.size, p["object.mass"]
    share = area(size) * made_of.used
    m = mass[:, None] * share / share.sum(1, keepdims=True)  # (n, 3)
    x, y, z = size[..., 0], size[..., 1], size[..., 2]
    box = np.stack([y**2 + z**2, x**2 + z**2, x**2 + y**2], -1) / 3
    radius, half = size[..., 0], size[..., 1]
    round_ = np.stack([radius**2 / 4 + half**2 / 3] * 2 + [radius**2 / 2], -1)
    own = m[..., None] * np.where(np.arange(3)[None, :, None] < 2, box, round_)
    pos = made_of.pos
    apart = (pos**2).sum(-1)[..., None, None] * np.eye(3) - pos[..., :, None] * pos[..., None, :]
    tensor = (own[..., None] * np.eye(3) + m[..., None, None] * apart).sum(1)  # about the centroid
    moments, axes = np.linalg.eigh(tensor)
    axes[..., 2] *= np.sign(np.linalg.det(axes))[:, None]  # a rotation, not a reflection
    com = np.stack([p["object.com_x"], p["object.com_y"], np.zeros(len(mass))], -1)
    return Inertia(mass, com, moments, quaternion_from_matrix(axes))


def damping_ratio(restitution: Array) -> Array:
    """Damping ratio of a spring-damper contact that gives a coefficient of restitution in (0, 1)."""
    log = np.log(np.clip(restitution, 1e-3, 0.999))
    return -log / np.sqrt(np.pi**2 + log**2)
