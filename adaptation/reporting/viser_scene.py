"""An arm, its table, its target and its object in a scene of viser."""

from collections.abc import Sequence

import numpy as np
from viser import FrameHandle, SceneApi, SceneNodeHandle, ViserServer

from robots.appearance import Shape, link_poses, moving_joints, shapes
from robots.arm import ArmSpec
from robots.camera import Camera
from robots.meshes import Color
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from sim.rendering.arm import (
    TABLE_COLOR,
    TABLE_POSITION,
    TABLE_SIZE,
    TARGET_COLOR,
    TARGET_SIZE,
)

TARGET_HEIGHT = 0.001  # m, just above the table
GHOST_COLOR = (0.16, 0.47, 0.80)
GHOST_OPACITY = 0.22

Pose = tuple[Array, Array]  # position (3,) m, quaternion (4,) w, x, y, z


def set_up_view(server: ViserServer, camera: Camera) -> None:
    """Look through a camera at a table."""
    first = server.initial_camera
    first.position = camera.position
    first.look_at = camera.look_at
    first.fov = camera.field_of_view
    server.scene.set_up_direction("+z")
    server.scene.add_box(
        "/table",
        color=rgb(TABLE_COLOR),
        dimensions=TABLE_SIZE,
        position=TABLE_POSITION,
        cast_shadow=False,
    )


def add_arm(
    scene: SceneApi, arm: ArmSpec, name: str = "/arm", ghost: bool = False
) -> list[FrameHandle]:
    """The frames of the base and of the arm's moving links, with their shapes in them.

    Args:
        scene: gets them.
        arm: what they show.
        name: of the arm in the scene.
        ghost: whether it is drawn transparent, as what is not there but wanted.
    """
    count = 1 + len(moving_joints(arm))
    links = [scene.add_frame(f"{name}/{i}", show_axes=False) for i in range(count)]
    for i, shape in enumerate(shapes(arm)):
        add_shape(scene, f"{name}/{shape.link + 1}/{i}", shape, ghost)
    return links


def add_target(scene: SceneApi, name: str, marker: Array) -> SceneNodeHandle:
    """A disk on the table at a place (3,) m."""
    radius, height = TARGET_SIZE
    return scene.add_cylinder(
        name,
        radius=radius,
        height=height,
        color=rgb(TARGET_COLOR),
        position=(float(marker[0]), float(marker[1]), TARGET_HEIGHT),
    )


def show_pose(handles: Sequence[SceneNodeHandle], poses: Sequence[Pose]) -> None:
    """Move nodes to their poses."""
    for handle, (position, quat) in zip(handles, poses, strict=True):
        handle.position = position
        handle.wxyz = quat


def arm_poses(arm: ArmSpec, q: Array) -> list[Pose]:
    """The poses of the base and the moving links at joint positions (j,) rad."""
    return [split_pose(link) for link in link_poses(arm, q[None])[0]]


def split_pose(pose: Array) -> Pose:
    """Position and quaternion of a pose (4, 4)."""
    rotation = pose[:3, :3]
    return pose[:3, 3], quaternion_from_matrix(rotation[None])[0]


def add_shape(scene: SceneApi, name: str, shape: Shape, ghost: bool = False) -> None:
    """Add one solid below a frame of the scene; transparent as a ``ghost``."""
    color = rgb(GHOST_COLOR if ghost else shape.color)
    opacity = GHOST_OPACITY if ghost else None
    position, quat = split_pose(shape.pose)
    if shape.kind == "box":
        size = np.array(shape.size)
        scene.add_box(name, color, size, opacity=opacity, position=position, wxyz=quat)
    elif shape.kind == "sphere":
        radius = shape.size[0]
        scene.add_icosphere(name, radius, color, opacity=opacity, position=position, wxyz=quat)
    elif shape.mesh is not None:
        scene.add_mesh_simple(
            name,
            shape.mesh.vertices,
            shape.mesh.faces,
            color=color,
            opacity=opacity,
            side="double",
            position=position,
            wxyz=quat,
        )
    else:
        radius, length = shape.size
        scene.add_cylinder(
            name, radius, length, color, opacity=opacity, position=position, wxyz=quat
        )


def rgb(color: Color) -> tuple[int, int, int]:
    """A color in [0, 1] in steps of 1/255."""
    red, green, blue = (round(255 * share) for share in color)
    return red, green, blue
