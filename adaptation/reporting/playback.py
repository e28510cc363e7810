"""A 3-D playback of an arm's episodes with a time slider: one HTML page by viser.

The page needs neither a server nor a network once it is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from viser import FrameHandle, SceneApi, SceneNodeHandle, ViserServer

from robots.appearance import Shape, link_poses, shapes
from robots.arm import ArmSpec
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from sim import objects

FRAMES = 30  # a second
PAUSE = 0.8  # s at the end of a clip

# The camera, in the base frame of the arm.
EYE = (1.55, -1.1, 0.8)  # m
AT = (0.55, 0.0, 0.3)  # m, the point it looks at
FIELD = 0.7  # rad, vertical field of view

TABLE = (1.5, 0.9, 0.02)  # m, its top a millimeter below z = 0
TABLE_COLOR = (186, 190, 196)
TARGET_RADIUS = 0.05  # m
TARGET_COLOR = (64, 160, 96)
OBJECT_COLOR = (226 / 255, 136 / 255, 42 / 255)
TITLE_POSITION = (0.6, 0.0, 0.75)  # m, above the table
CYLINDER = 2  # index of the cylinder among an object's parts; the others are boxes

Pose = tuple[Array, Array]  # position (3,) m, quaternion (4,) w, x, y, z


@dataclass(frozen=True)
class Clip:
    """One episode to show, as it was measured at T moments."""

    title: str
    task: dict[str, float]  # parameters of its object
    t: Array  # (T,) s
    q: Array  # (T, j) rad
    object_pos: Array  # (T, 3) m; NaN where no object was measured
    object_quat: Array  # (T, 4) w, x, y, z
    marker: Array  # (3,) m, the visible target


def render_playback(arm: ArmSpec, clips: Sequence[Clip], dark: bool = False) -> str:
    """Render clips as one HTML page.

    Args:
        arm: the arm that all clips show.
        clips: at least one; they follow one another, each with its title above the table.
        dark: use the dark theme.

    Returns:
        The page.
    """
    server = ViserServer(host="127.0.0.1", port=0, verbose=False)
    try:
        _set_up_view(server)
        moments = _play(server.scene, arm, clips)
        first = next(moments)
        recording = server.get_scene_serializer()  # begins with all that is in the scene by now
        recording.insert_sleep(first)
        for duration in moments:
            recording.insert_sleep(duration)
        return recording.as_html(dark_mode=dark)
    finally:
        server.stop()


def _set_up_view(server: ViserServer) -> None:
    camera = server.initial_camera
    camera.position = EYE
    camera.look_at = AT
    camera.fov = FIELD
    server.scene.set_up_direction("+z")
    center = (0.6, 0.0, -TABLE[2] / 2 - 1e-3)
    server.scene.add_box("/table", TABLE_COLOR, TABLE, position=center, cast_shadow=False)


def _play(scene: SceneApi, arm: ArmSpec, clips: Sequence[Clip]) -> Iterator[float]:
    """Move everything to its next moment and yield how long that lasts, s."""
    links = _add_arm(scene, arm)
    for number, clip in enumerate(clips):
        body, *decoration = _add_clip(scene, clip, f"/clip{number}")
        for poses in _frames(arm, clip):
            for handle, (position, quat) in zip((*links, body), poses, strict=True):
                handle.position = position
                handle.wxyz = quat
            yield 1 / FRAMES
        yield PAUSE
        for node in (body, *decoration):
            node.remove()


def _add_arm(scene: SceneApi, arm: ArmSpec) -> list[FrameHandle]:
    """The frames of the base and of the arm's moving links, with their shapes in them."""
    links = [scene.add_frame(f"/arm/{i}", show_axes=False) for i in range(1 + len(arm.joints))]
    for i, shape in enumerate(shapes(arm)):
        _add_shape(scene, f"/arm/{shape.link + 1}/{i}", shape)
    return links


def _add_clip(scene: SceneApi, clip: Clip, name: str) -> list[SceneNodeHandle]:
    """The frame of the object, its target and the title; an unmeasured object has no shape."""
    body = scene.add_frame(f"{name}/object", show_axes=False)
    if np.isfinite(clip.object_pos).all():
        for i, part in enumerate(object_shapes(clip.task)):
            _add_shape(scene, f"{name}/object/{i}", part)
    position = (float(clip.marker[0]), float(clip.marker[1]), 0.001)
    target = scene.add_cylinder(
        f"{name}/target",
        radius=TARGET_RADIUS,
        height=0.002,
        color=TARGET_COLOR,
        position=position,
    )
    title = scene.add_label(f"{name}/title", clip.title, position=TITLE_POSITION)
    return [body, target, title]


def _frames(arm: ArmSpec, clip: Clip) -> Iterator[list[Pose]]:
    """The poses of the base, the links and, last, the object at every moment that is shown."""
    times = np.arange(clip.t[0], clip.t[-1], 1 / FRAMES)
    q = _resample(times, clip.t, clip.q)
    links = link_poses(arm, q)  # (t, 1 + j, 4, 4)
    object_pos = _resample(times, clip.t, clip.object_pos)
    object_quat = _resample(times, clip.t, clip.object_quat)
    object_quat /= np.linalg.norm(object_quat, axis=1, keepdims=True)
    for i in range(len(times)):
        poses = [_split_pose(link) for link in links[i]]
        poses.append((object_pos[i], object_quat[i]))
        yield poses


def _split_pose(pose: Array) -> Pose:
    """Position and quaternion of a pose (4, 4)."""
    rotation = pose[:3, :3]
    return pose[:3, 3], quaternion_from_matrix(rotation[None])[0]


def object_shapes(task: dict[str, float]) -> list[Shape]:
    """The primitives that an object with these parameters consists of."""
    values = objects.DEFAULTS | task
    parts = objects.parts({name: np.array([values[name]]) for name in objects.DEFAULTS})
    found = []
    for k in np.flatnonzero(parts.used[0]):
        extent = 2 * parts.size[0, k]
        pose = np.eye(4)
        pose[:3, 3] = parts.pos[0, k]
        kind = "box"
        size = tuple(extent.tolist())
        if k == CYLINDER:
            kind = "cylinder"
            size = (size[0] / 2, size[1])  # radius, length
        found.append(Shape(kind, size, 0, pose, OBJECT_COLOR))
    return found


def _add_shape(scene: SceneApi, name: str, shape: Shape) -> None:
    red, green, blue = (round(255 * c) for c in shape.color)
    color = (red, green, blue)
    position, quat = _split_pose(shape.pose)
    if shape.kind == "box":
        scene.add_box(name, color, np.array(shape.size), position=position, wxyz=quat)
    elif shape.kind == "sphere":
        scene.add_icosphere(name, shape.size[0], color, position=position, wxyz=quat)
    else:
        radius, length = shape.size
        scene.add_cylinder(name, radius, length, color, position=position, wxyz=quat)


def _resample(times: Array, t: Array, x: Array) -> Array:
    """The columns of x (T, k), measured at t (T,), interpolated at other times (m,)."""
    return np.stack([np.interp(times, t, column) for column in x.T], -1)
