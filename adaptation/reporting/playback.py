"""A 3-D playback of an arm's episodes with a time slider: one HTML page by viser.

The page needs neither a server nor a network once it is written.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout

import numpy as np
from viser import SceneApi, SceneNodeHandle, ViserServer

from adaptation.reporting.viser_scene import (
    Pose,
    add_arm,
    add_shape,
    add_target,
    set_up_view,
    show_pose,
    split_pose,
)
from robots.appearance import link_poses
from robots.arm import ArmSpec
from robots.camera import Camera
from robots.scene import FLAT_OBJECT, SceneObject
from robots.signals import Array
from sim.rendering import FRAME_RATE, Clip
from sim.rendering.arm import object_shapes
from sim.rendering.camera import camera_for

PAUSE = 0.8  # s at the end of a clip
# Of the camera's distance, above the point that it looks at: just below the upper edge.
TITLE_HEIGHT = 0.3


def render_playback(
    arm: ArmSpec,
    clips: Sequence[Clip],
    item: SceneObject = FLAT_OBJECT,
    camera: Camera | None = None,
) -> str:
    """Render clips as one HTML page.

    Args:
        arm: the arm that all clips show.
        clips: at least one; they follow one another, each with its title above the table.
        item: the object that the tasks of the clips describe.
        camera: where the page is looked at from at first; None: from where the arm is seen well.

    Returns:
        The page.
    """
    with redirect_stdout(io.StringIO()):  # viser prints the address of its short-lived server
        return _serialize(arm, clips, item, camera or camera_for(arm))


def _serialize(arm: ArmSpec, clips: Sequence[Clip], item: SceneObject, camera: Camera) -> str:
    server = ViserServer(host="127.0.0.1", port=0, verbose=False)
    try:
        set_up_view(server, camera)
        moments = _play(server.scene, arm, clips, item, _title_position(camera))
        first = next(moments)
        recording = server.get_scene_serializer()  # begins with all that is in the scene by now
        recording.insert_sleep(first)
        for duration in moments:
            recording.insert_sleep(duration)
        return recording.as_html(dark_mode=False)
    finally:
        server.stop()


def _play(
    scene: SceneApi,
    arm: ArmSpec,
    clips: Sequence[Clip],
    item: SceneObject,
    title_position: Array,
) -> Iterator[float]:
    """Move everything to its next moment and yield how long that lasts, s."""
    links = add_arm(scene, arm)
    for number, clip in enumerate(clips):
        body, *decoration = _add_clip(scene, clip, f"/clip{number}", title_position, item)
        for poses in _frames(arm, clip):
            show_pose((*links, body), poses)
            yield 1 / FRAME_RATE
        yield PAUSE
        for node in (body, *decoration):
            node.remove()


def _title_position(camera: Camera) -> Array:
    """Where a title is in the middle of a picture, near its upper edge, (3,) m."""
    look_at = np.array(camera.look_at)
    distance = np.linalg.norm(look_at - camera.position)
    position: Array = look_at + np.array([0.0, 0.0, TITLE_HEIGHT * distance])
    return position


def _add_clip(
    scene: SceneApi, clip: Clip, name: str, title_position: Array, item: SceneObject
) -> list[SceneNodeHandle]:
    """The frame of the object, its target and the title; an unmeasured object has no shape."""
    body = scene.add_frame(f"{name}/object", show_axes=False)
    if np.isfinite(clip.object_pos).all():
        for i, part in enumerate(object_shapes(clip.task, item)):
            add_shape(scene, f"{name}/object/{i}", part)
    target = add_target(scene, f"{name}/target", clip.marker)
    title = scene.add_label(
        f"{name}/title", clip.title, position=title_position, anchor="top-center"
    )
    return [body, target, title]


def _frames(arm: ArmSpec, clip: Clip) -> Iterator[list[Pose]]:
    """The poses of the base, the links and, last, the object at every moment that is shown."""
    shown = clip.resample(clip.frame_times())
    quats = shown.object_quat / np.linalg.norm(shown.object_quat, axis=1, keepdims=True)
    all_links = link_poses(arm, shown.q)  # (S, 1 + m, 4, 4)
    for links, position, quat in zip(all_links, shown.object_pos, quats, strict=True):
        poses = [split_pose(link) for link in links]
        poses.append((position, quat))
        yield poses
