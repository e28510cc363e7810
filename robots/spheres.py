"""An arm's links, covered by spheres. Axes: j joints, p spheres, n arms, k configurations."""

from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from robots.appearance import Shape, link_poses, shapes
from robots.arm import ArmSpec
from robots.kinematics import Kinematics
from robots.reach import point_speed_bound
from robots.rotations import rotation_to_axis
from robots.signals import Array, Indices
from robots.urdf import read_chain

PIECE = 0.02  # m, shapes are divided into pieces as long as they are thick, but at least this long
THICKNESS = 0.04  # radius of a link without a shape, as a share of the arm's length
ROUNDING = 1e-9  # tolerance for a number of pieces
ROD_COLOR = (0.5, 0.5, 0.5)

BASE = -1  # index of the base among the moving links


@dataclass(frozen=True)
class Spheres:
    """Spheres on an arm's links, in the order of the links."""

    link: Indices  # (p,) index of the moving link, or BASE
    center: Array  # (p, 3) m in the URDF's frame of that link
    radius: Array  # (p,) m
    inside: Array  # (p,) m, radius of concentric spheres that lie inside the shapes

    @staticmethod
    def cover(arm: ArmSpec) -> "Spheres":
        """Cover the shapes of an arm's URDF; a link without shapes is a rod to the next joint.

        Raises:
            BadArgumentError: the URDF has a shape that is not supported, or lacks an element.
        """
        shown = _with_open_fingers(arm)
        rods = _rods(arm, {shape.link for shape in shown})
        links: list[int] = []
        centers: list[Array] = []
        radii: list[float] = []
        inside: list[float] = []
        in_order = sorted([*shown, *rods], key=attrgetter("link"))
        for shape in in_order:
            in_shape, radius, filled = _cover(shape)
            rotation = shape.pose[:3, :3]
            in_link = in_shape @ rotation.T + shape.pose[:3, 3]
            count = len(in_link)
            links += [shape.link] * count
            centers += list(in_link)
            radii += [radius] * count
            inside += [filled] * count
        return Spheres(
            link=np.array(links),
            center=np.array(centers),
            radius=np.array(radii),
            inside=np.array(inside),
        )


class MovingSpheres:
    """The positions of an arm's spheres, and how fast its joints can move them."""

    def __init__(self, kinematics: Kinematics) -> None:
        """Cover the arm.

        Raises:
            BadArgumentError: the URDF has a shape that is not supported.
        """
        spheres = Spheres.cover(kinematics.arm)
        chain = kinematics.chain
        count = len(spheres.link)
        self.spheres = spheres
        self._kinematics = kinematics
        in_base = spheres.link == BASE
        base_count = int(in_base.sum())  # these spheres come first
        self._base_count = base_count
        self._link = spheres.link[base_count:]
        #: (p, 3) m, in the frame whose z is the axis of the link's joint, or the frame of the base
        self.center = spheres.center.copy()
        for i, link in enumerate(chain.links):
            on_link = spheres.link == i
            rotation = link.to_urdf_frame[:3, :3]
            self.center[on_link] = spheres.center[on_link] @ rotation.T
        ones = np.ones(count)
        homogeneous = np.column_stack([self.center, ones])
        self._moving_center = homogeneous[base_count:, :, None]
        #: (p, j) bounds of how fast each joint moves each sphere, m/rad
        self.speed = point_speed_bound(chain, kinematics.arm.limits, spheres.link, self.center)

    def centers(self, q: Array) -> Array:
        """The spheres' centers in the base frame at ``q`` (n, k, j) rad, (p, n, 3, k) m."""
        n, k, j = q.shape
        configurations = q.reshape(n * k, j)
        poses = self._kinematics.tilted_poses(configurations)
        rows = poses[:-1, :3].reshape(j, 3, n, k, 4)
        by_arm = rows.swapaxes(1, 2)
        flat = by_arm.reshape(j, n * 3 * k, 4)
        moved = flat[self._link] @ self._moving_center

        base = self._base_count
        in_base = self.center[:base]
        center = np.empty((len(self.center), n, 3, k))
        center[:base] = in_base[:, None, :, None]
        center[base:] = moved.reshape(-1, n, 3, k)
        return center


def _with_open_fingers(arm: ArmSpec) -> list[Shape]:
    """The shapes of an arm whose gripper is open, as parts of the link that carries the gripper."""
    (poses,) = link_poses(arm, arm.home[None])
    hand = len(arm.tool_joints) - 1
    result = []
    for shape in shapes(arm):
        if shape.link > hand:
            in_hand = np.linalg.inv(poses[1 + hand]) @ poses[1 + shape.link]
            shape = replace(shape, link=hand, pose=in_hand @ shape.pose)
        result.append(shape)
    return result


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
        if i in has_shape or lengths[i] == 0 or chain.links[i].grips:
            continue
        middle = rotation_to_axis(offset)
        middle[:3, 3] = offset / 2
        rods.append(Shape("cylinder", (radius, lengths[i]), i, middle, ROD_COLOR))
    return rods


def _cover(shape: Shape) -> tuple[Array, float, float]:
    """Spheres that cover a shape.

    Returns:
        Centers (k, 3) m in the shape's frame, the radius m, and the radius m of concentric spheres
        inside the shape.
    """
    if shape.kind == "sphere":
        radius = shape.size[0]
        return np.zeros((1, 3)), radius, radius
    if shape.kind == "cylinder":
        radius, length = shape.size
        z = _middles(length, radius)
        zero = np.zeros_like(z)
        half_piece = length / len(z) / 2
        centers = np.column_stack([zero, zero, z])
        covering = float(np.hypot(radius, half_piece))
        return centers, covering, radius
    if shape.mesh is not None:
        low = shape.mesh.vertices.min(0)
        high = shape.mesh.vertices.max(0)
        middle = (low + high) / 2
        centers, radius, inside = _cover_box(high - low)
        return centers + middle, radius, inside
    return _cover_box(np.array(shape.size))


def _cover_box(size: Array) -> tuple[Array, float, float]:
    """The same for a box (3,) m; centers are from its middle."""
    thickness = float(size.min())
    sides = size.tolist()
    middles = [_middles(side, thickness) for side in sides]
    counts = [len(middle) for middle in middles]
    grid = np.meshgrid(*middles)
    centers = np.stack(grid, -1).reshape(-1, 3)
    piece = size / counts
    diagonal = float(np.linalg.norm(piece))
    smallest_side = float(piece.min())
    return centers, diagonal / 2, smallest_side / 2


def _middles(length: float, thickness: float) -> Array:
    """The middles of the pieces of a ``length`` in m; a piece is about as long as it is thick."""
    longest = max(thickness, PIECE)
    count = int(np.ceil(length / longest - ROUNDING))
    place: Array = (np.arange(count) + 0.5) / count - 0.5
    return length * place
