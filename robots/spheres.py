"""An arm's links, covered by spheres. Axes: j moving links, p spheres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robots.appearance import Shape, shapes
from robots.arm import ArmSpec
from robots.rotations import rotation_to_axis
from robots.signals import Array
from robots.urdf import SerialChain, read_chain

PIECE = 0.02  # m, shapes are divided into pieces of their own thickness, but of this length at least
THICKNESS = 0.04  # radius of a link without a shape, as a share of the arm's length
ROUNDING = 1e-9  # of a number of pieces

BASE = -1  # index of the base among the moving links


@dataclass(frozen=True)
class Spheres:
    """Spheres on an arm's links, in the order of the links."""

    link: NDArray[np.int64]  # (p,) index of the moving link, or BASE
    center: Array  # (p, 3) m in the frame of that link, see ``urdf.MovingLink``
    radius: Array  # (p,) m

    @staticmethod
    def cover(arm: ArmSpec) -> "Spheres":
        """Cover the shapes of an arm's URDF; a link that has none is a rod to the next joint.

        Raises:
            BadArgumentError: the URDF has a shape that is not supported, or lacks an element.
        """
        chain = read_chain(arm)
        links: list[int] = []
        centers: list[Array] = []
        radii: list[float] = []
        for shape in [*_in_link_frames(arm, chain), *_rods(arm, chain)]:
            in_shape, radius = _cover(shape)
            rotation = shape.pose[:3, :3]
            centers += list(in_shape @ rotation.T + shape.pose[:3, 3])
            links += [shape.link] * len(in_shape)
            radii += [radius] * len(in_shape)
        order = np.argsort(links, kind="stable")
        return Spheres(np.array(links)[order], np.array(centers)[order], np.array(radii)[order])


def _in_link_frames(arm: ArmSpec, chain: SerialChain) -> list[Shape]:
    """The shapes of the URDF, in the frames of ``urdf.MovingLink``."""
    result = []
    for shape in shapes(arm):
        frame = np.eye(4) if shape.link == BASE else chain.links[shape.link].to_urdf_frame
        moved = Shape(shape.kind, shape.size, shape.link, frame @ shape.pose, shape.color)
        result.append(moved)
    return result


def _rods(arm: ArmSpec, chain: SerialChain) -> list[Shape]:
    """A rod from joint to joint, or to the tool, for every moving link without a shape."""
    has_shape = {shape.link for shape in shapes(arm)}
    poses = [link.pose for link in chain.links[1:]]
    poses.append(chain.tool)
    offsets = [pose[:3, 3] for pose in poses]  # m, of the next joint
    lengths = [float(np.linalg.norm(offset)) for offset in offsets]
    radius = THICKNESS * sum(lengths)
    rods = []
    for link, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        if link in has_shape or length == 0:
            continue
        pose = np.eye(4)
        pose[:3, :3] = rotation_to_axis(offset)[:3, :3]
        pose[:3, 3] = offset / 2
        rods.append(Shape("cylinder", (radius, length), link, pose, (0.5, 0.5, 0.5)))
    return rods


def _cover(shape: Shape) -> tuple[Array, float]:
    """Centers (k, 3) m, in the shape's frame, and radius m of spheres that cover it."""
    if shape.kind == "sphere":
        return np.zeros((1, 3)), shape.size[0]
    if shape.kind == "cylinder":
        radius, length = shape.size
        z = _middles(length, radius)
        half_piece = length / len(z) / 2
        return z[:, None] * np.array([0.0, 0.0, 1.0]), float(np.hypot(radius, half_piece))
    thickness = min(shape.size)
    middles = [_middles(side, thickness) for side in shape.size]
    grid = np.meshgrid(*middles)
    pieces = [side / len(middle) for side, middle in zip(shape.size, middles, strict=True)]
    return np.stack(grid, -1).reshape(-1, 3), float(np.linalg.norm(pieces)) / 2


def _middles(length: float, thickness: float) -> Array:
    """The middles of the pieces, about as long as they are thick, of a length in m."""
    longest = max(thickness, PIECE)
    count = int(np.ceil(length / longest - ROUNDING))
    place: Array = (np.arange(count) + 0.5) / count - 0.5
    return length * place
