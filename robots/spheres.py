"""An arm's links, covered by spheres. Axes: j moving links, p spheres."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from robots.appearance import Shape, shapes
from robots.arm import ArmSpec
from robots.rotations import rotation_to_axis
from robots.signals import Array
from robots.urdf import read_chain

PIECE = 0.02  # m, shapes are divided into pieces as long as they are thick, or at least so long
THICKNESS = 0.04  # radius of a link without a shape, as a share of the arm's length
ROUNDING = 1e-9  # of a number of pieces
ROD_COLOR = (0.5, 0.5, 0.5)

BASE = -1  # index of the base among the moving links


@dataclass(frozen=True)
class Spheres:
    """Spheres on an arm's links, in the order of the links."""

    link: NDArray[np.int64]  # (p,) index of the moving link, or BASE
    center: Array  # (p, 3) m in the URDF's frame of that link
    radius: Array  # (p,) m

    @staticmethod
    def cover(arm: ArmSpec) -> "Spheres":
        """Cover the shapes of an arm's URDF; a link that has none is a rod to the next joint.

        Raises:
            BadArgumentError: the URDF has a shape that is not supported, or lacks an element.
        """
        shown = shapes(arm)
        rods = _rods(arm, {shape.link for shape in shown})
        links: list[int] = []
        centers: list[Array] = []
        radii: list[float] = []
        in_order = sorted([*shown, *rods], key=attrgetter("link"))
        for shape in in_order:
            in_shape, radius = _cover(shape)
            rotation = shape.pose[:3, :3]
            in_link = in_shape @ rotation.T + shape.pose[:3, 3]
            count = len(in_link)
            links += [shape.link] * count
            centers += list(in_link)
            radii += [radius] * count
        return Spheres(np.array(links), np.array(centers), np.array(radii))


def _rods(arm: ArmSpec, has_shape: set[int]) -> list[Shape]:
    """A rod from joint to joint, or to the tool, for every moving link without a shape."""
    chain = read_chain(arm)
    poses = [link.pose for link in chain.links[1:]]
    poses.append(chain.tool)
    offsets = []  # m, of the next joint in the URDF's frame of the link
    for link, pose in zip(chain.links, poses, strict=True):
        to_link = link.to_urdf_frame[:3, :3].T
        offsets.append(to_link @ pose[:3, 3])
    lengths = [float(np.linalg.norm(offset)) for offset in offsets]
    radius = THICKNESS * sum(lengths)
    rods = []
    for i, offset in enumerate(offsets):
        if i in has_shape or lengths[i] == 0:
            continue
        middle = rotation_to_axis(offset)
        middle[:3, 3] = offset / 2
        rods.append(Shape("cylinder", (radius, lengths[i]), i, middle, ROD_COLOR))
    return rods


def _cover(shape: Shape) -> tuple[Array, float]:
    """Centers (k, 3) m, in the shape's frame, and radius m of spheres that cover it."""
    if shape.kind == "sphere":
        return np.zeros((1, 3)), shape.size[0]
    if shape.kind == "cylinder":
        radius, length = shape.size
        z = _middles(length, radius)
        zero = np.zeros_like(z)
        half_piece = length / len(z) / 2
        return np.column_stack([zero, zero, z]), float(np.hypot(radius, half_piece))
    if shape.mesh is not None:
        low = shape.mesh.vertices.min(0)
        high = shape.mesh.vertices.max(0)
        grid, radius = _cover_box(high - low)
        return grid + (low + high) / 2, radius
    return _cover_box(np.array(shape.size))


def _cover_box(size: Array) -> tuple[Array, float]:
    """Centers (k, 3) m, from the box's middle, and radius m of spheres that cover a box (3,) m."""
    thickness = float(size.min())
    middles = [_middles(float(side), thickness) for side in size]
    counts = [len(middle) for middle in middles]
    grid = np.stack(np.meshgrid(*middles), -1)
    piece = size / counts
    diagonal = float(np.linalg.norm(piece))
    return grid.reshape(-1, 3), diagonal / 2


def _middles(length: float, thickness: float) -> Array:
    """The middles of the pieces, about as long as they are thick, of a length in m."""
    longest = max(thickness, PIECE)
    count = int(np.ceil(length / longest - ROUNDING))
    place: Array = (np.arange(count) + 0.5) / count - 0.5
    return length * place
