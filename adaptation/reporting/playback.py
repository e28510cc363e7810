"""A scrubbable 3-D replay of an arm's episodes: one HTML page by viser, without a server or a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from robots.appearance import Shape, link_poses, shapes
from robots.arm import ArmSpec
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from sim import objects

FRAMES = 30  # a second
PAUSE = 0.8  # s at the end of a clip
EYE, AT, FIELD = (1.55, -1.1, 0.8), (0.55, 0.0, 0.3), 0.7  # m; rad, vertically
TABLE = (1.5, 0.9, 0.02)  # m
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
    """The page; clips, of which there is at least one, follow one another, each with its title over the table."""
    import viser

    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    try:
        scene, camera = server.scene, server.initial_camera
        recording: Any = None
        scene.set_up_direction("+z")
        camera.position, camera.look_at, camera.fov = EYE, AT, FIELD
        scene.add_box(
            "/table",
            (186, 190, 196),
            TABLE,
            position=(0.6, 0.0, -TABLE[2] / 2 - 1e-3),
            cast_shadow=False,
        )
        links = [scene.add_frame(f"/arm/{i}", show_axes=False) for i in range(1 + len(arm.joints))]
        for i, shape in enumerate(shapes(arm)):
            _add(scene, f"/arm/{shape.link + 1}/{i}", shape)
        for number, clip in enumerate(clips):
            puck, *rest = _enter(scene, clip, f"/clip{number}")
            for frame in _frames(arm, clip):
                for handle, (pos, quat) in zip((*links, puck), frame, strict=True):
                    handle.position, handle.wxyz = pos, quat
                recording = (
                    recording or server.get_scene_serializer()
                )  # begins with all that is there by now
                recording.insert_sleep(1 / FRAMES)
            recording.insert_sleep(PAUSE)
            for handle in (puck, *rest):
                handle.remove()
        return str(recording.as_html(dark_mode=dark))
    finally:
        server.stop()


def _enter(scene: Any, clip: Clip, name: str) -> tuple[Any, Any, Any]:
    """The object, its target and the title; what was not measured is not there to be seen."""
    puck = scene.add_frame(f"{name}/object", show_axes=False)
    for i, part in enumerate(
        object_shapes(clip.task) if np.isfinite(clip.object_pos).all() else []
    ):
        _add(scene, f"{name}/object/{i}", part)
    target = scene.add_cylinder(
        f"{name}/target", 0.05, 0.002, TARGET, position=(*clip.marker[:2], 0.001)
    )
    return puck, target, scene.add_label(f"{name}/title", clip.title, position=(0.6, 0.0, 0.75))


def _frames(arm: ArmSpec, clip: Clip) -> Iterator[list[tuple[Array, Array]]]:
    """Places and turns of the links and, last, of the object, for every moment that is shown."""
    times = np.arange(clip.t[0], clip.t[-1], 1 / FRAMES)
    q, pos, quat = (
        _resample(times, clip.t, x) for x in (clip.q, clip.object_pos, clip.object_quat)
    )
    for poses, where, turn in zip(link_poses(arm, q), pos, quat, strict=True):
        links = zip(poses[:, :3, 3], quaternion_from_matrix(poses[:, :3, :3]), strict=True)
        yield [*links, (where, turn / np.linalg.norm(turn))]


def object_shapes(task: dict[str, float]) -> list[Shape]:
    """What an object looks like."""
    p = {name: np.array([task.get(name, default)]) for name, default in objects.DEFAULTS.items()}
    made_of, found = objects.parts(p), []
    for k in np.flatnonzero(made_of.used[0]):
        size, pose = made_of.size[0, k], np.eye(4)
        pose[:3, 3] = made_of.pos[0, k]
        numbers = (size[0], 2 * size[1]) if k == 2 else tuple(2 * size)
        color = tuple(c / 255 for c in PUCK)
        found.append(
            Shape("cylinder" if k == 2 else "box", tuple(map(float, numbers)), 0, pose, color)
        )  # type: ignore[arg-type]
    return found


def _add(scene: Any, name: str, shape: Shape) -> None:
    where = {
        "position": shape.pose[:3, 3],
        "wxyz": quaternion_from_matrix(shape.pose[None, :3, :3])[0],
    }
    color = tuple(round(255 * c) for c in shape.color)
    if shape.kind == "box":
        scene.add_box(name, color, shape.size, **where)
    elif shape.kind == "sphere":
        scene.add_icosphere(name, shape.size[0], color, **where)
    else:
        scene.add_cylinder(name, shape.size[0], shape.size[1], color, **where)


def _resample(times: Array, t: Array, x: Array) -> Array:
    return np.stack([np.interp(times, t, column) for column in x.T], -1)
