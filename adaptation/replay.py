"""A scrubbable 3-D replay of an arm's episodes: one HTML page by viser, without a server or a network."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robots.appearance import Shape, placed, shapes
from robots.arm import ArmSpec
from robots.kinematics import quaternion
from robots.signals import Array
from sim import objects

FRAMES = 30  # a second
PAUSE = 0.8  # s at the end of a clip
TARGET, PUCK = (64, 160, 96), (226, 136, 42)


@dataclass(frozen=True)
class Clip:
    """One episode to show, as it was measured."""

    title: str
    task: dict[str, float]  # parameters of its object
    t: Array  # (T,) s
    q: Array  # (T, j) rad
    object_pos: Array  # (T, 3) m
    object_quat: Array  # (T, 4)
    marker: Array  # (3,) m


def replay(arm: ArmSpec, clips: list[Clip], dark: bool = False) -> str:
    """The page; clips follow one another, each with its title over the table."""
    import viser

    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    try:
        scene = server.scene
        scene.set_up_direction("+z")
        server.initial_camera.position = (1.55, -1.25, 0.95)
        server.initial_camera.look_at = (0.6, 0.0, 0.12)
        scene.add_box("/table", (186, 190, 196), (2.0, 1.2, 0.02), position=(0.75, 0.0, -0.011))
        links = [scene.add_frame(f"/arm/{i}", show_axes=False) for i in range(1 + len(arm.joints))]
        for i, shape in enumerate(shapes(arm)):
            _add(scene, f"/arm/{shape.link + 1}/{i}", shape)
        serializer = server.get_scene_serializer()
        for number, clip in enumerate(clips):
            _play(scene, serializer, arm, links, clip, f"/clip{number}")
        return str(serializer.as_html(dark_mode=dark))
    finally:
        server.stop()


def _play(scene: Any, serializer: Any, arm: ArmSpec, links: list[Any], clip: Clip, name: str) -> None:
    times = np.arange(clip.t[0], clip.t[-1], 1 / FRAMES)
    q, pos, quat = (_resample(times, clip.t, x) for x in (clip.q, clip.object_pos, clip.object_quat))
    poses = placed(arm, q)
    title = scene.add_label(f"{name}/title", clip.title, position=(0.75, 0.0, 0.62))
    ring = scene.add_cylinder(f"{name}/target", 0.05, 0.002, TARGET, position=(*clip.marker[:2], 0.001))
    puck = scene.add_frame(f"{name}/object", show_axes=False)
    for i, part in enumerate(object_shapes(clip.task)):
        _add(scene, f"{name}/object/{i}", part)
    for frame in range(len(times)):
        turns = quaternion(poses[frame, :, :3, :3])
        for link, pose, turn in zip(links, poses[frame], turns, strict=True):
            link.position, link.wxyz = pose[:3, 3], turn
        puck.position, puck.wxyz = pos[frame], quat[frame] / np.linalg.norm(quat[frame])
        serializer.insert_sleep(1 / FRAMES)
    serializer.insert_sleep(PAUSE)
    for handle in (title, ring, puck):
        handle.remove()


def object_shapes(task: dict[str, float]) -> list[Shape]:
    """What an object looks like."""
    p = {name: np.array([task.get(name, default)]) for name, default in objects.DEFAULTS.items()}
    made_of, found = objects.parts(p), []
    for k in np.flatnonzero(made_of.used[0]):
        size, pose = made_of.size[0, k], np.eye(4)
        pose[:3, 3] = made_of.pos[0, k]
        numbers = (size[0], 2 * size[1]) if k == 2 else tuple(2 * size)
        colour = tuple(c / 255 for c in PUCK)
        found.append(Shape("cylinder" if k == 2 else "box", tuple(map(float, numbers)), 0, pose, colour))  # type: ignore[arg-type]
    return found


def _add(scene: Any, name: str, shape: Shape) -> None:
    where = {"position": shape.pose[:3, 3], "wxyz": quaternion(shape.pose[None, :3, :3])[0]}
    colour = tuple(round(255 * c) for c in shape.colour)
    if shape.kind == "box":
        scene.add_box(name, colour, shape.size, **where)
    elif shape.kind == "sphere":
        scene.add_icosphere(name, shape.size[0], colour, **where)
    else:
        scene.add_cylinder(name, shape.size[0], shape.size[1], colour, **where)


def _resample(times: Array, t: Array, x: Array) -> Array:
    return np.stack([np.interp(times, t, column) for column in x.T], -1)
