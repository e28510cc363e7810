"""Look at a family: MuJoCo's viewer where there is a screen, else a video or a page to scrub through."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptation.reporting.playback import AT, EYE, FIELD, FRAMES, TABLE, Clip, object_shapes, replay
from robots.appearance import link_poses, shapes
from robots.arm import ArmSpec, Walker
from robots.errors import BadArgumentError
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from robots.world import Family
from sim.families import FAMILIES
from sim.vec_world import VecWorld

Image = NDArray[np.uint8]  # (h, w, 3)
SIZE = (640, 368)  # pixels, even numbers as H.264 wants them


def view(name: str, out: Path | None = None, seed: int = 0) -> Path | None:
    """Show one trial of a family under random actions.

    ``out`` ends in .mp4 (video), .png (its last frame) or .html (replay); without it a window opens where there is
    a screen, else NAME.mp4 is written. Returns what was written. BadArgumentError for another ending.
    """
    family: Family = FAMILIES[name]()
    if out is None and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        _window(family, seed)
        return None
    out = out or Path(f"{name}.mp4")
    if out.suffix not in (".mp4", ".png", ".html"):
        raise BadArgumentError(f"{out} must end in .mp4, .png or .html")
    clips = act(family, seed)
    if out.suffix == ".html":
        if not isinstance(family.body, ArmSpec):
            raise BadArgumentError(f"{name} has no arm to show in 3-D; write a .mp4 or .png")
        out.write_text(replay(family.body, clips), encoding="utf-8")
        return out
    if out.suffix == ".png":
        import matplotlib.image

        (last,) = render(family, clips[-1], clips[-1].t[-1:])
        matplotlib.image.imsave(out, last)
    else:
        moments = [np.arange(clip.t[0], clip.t[-1], 1 / FRAMES) for clip in clips]
        write_video(
            out,
            [f for clip, t in zip(clips, moments, strict=True) for f in render(family, clip, t)],
        )
    return out


def act(family: Family, seed: int) -> list[Clip]:
    """One trial under random actions, held for a quarter of a second each."""
    rng = np.random.default_rng(seed)
    world = VecWorld(family, None, 1, seed)
    task = family.sample(rng, 1)
    told = dict(zip(task.names, task.values[0].tolist(), strict=True))
    clips = []
    for episode in range(family.episodes):
        world.reset(task)
        seen = [world.signals]
        for tick in range(family.horizon):
            if tick % max(1, round(0.25 / family.dt)) == 0:
                action = rng.uniform(-1, 1, (1, len(family.action.spec)))
            world.step(action)
            seen.append(world.signals)
        rows = {
            k: np.concatenate([getattr(s, k) for s in seen])
            for k in ("q", "object_pos", "object_quat")
        }
        t = np.arange(len(seen), dtype=np.float64) * family.dt
        clips.append(
            Clip(f"{family.name}, episode {episode + 1}", told, t, marker=seen[0].marker[0], **rows)
        )
    world.close()
    return clips


def render(family: Family, clip: Clip, times: Array) -> list[Image]:
    """Frames at some times: a body by PyBullet's software renderer, which needs no display, a point by a plot."""
    if isinstance(family.body, Walker):
        return _draw_walker(family, clip, times)
    return (
        _draw_arm(family.body, clip, times)
        if isinstance(family.body, ArmSpec)
        else _draw_plane(clip, times)
    )


def _draw_arm(arm: ArmSpec, clip: Clip, times: Array) -> list[Image]:
    """The arm's and the object's primitives, placed by our own kinematics."""
    import pybullet as p

    client = p.connect(p.DIRECT)
    try:
        _solid(p, "box", TABLE, (0.73, 0.75, 0.77), (0.6, 0.0, -TABLE[2] / 2 - 1e-3))
        if np.isfinite(clip.marker).all():
            _solid(p, "cylinder", (0.05, 0.002), (0.25, 0.63, 0.38), tuple(clip.marker))
        arm_shapes = [(s, _solid(p, s.kind, s.size, s.color)) for s in shapes(arm)]
        puck = object_shapes(clip.task) if np.isfinite(clip.object_pos).all() else []
        puck_bodies = [(s, _solid(p, s.kind, s.size, s.color)) for s in puck]
        eye = p.computeViewMatrix(EYE, AT, (0, 0, 1))
        lens = p.computeProjectionMatrixFOV(np.degrees(FIELD), SIZE[0] / SIZE[1], 0.1, 5)
        poses = link_poses(arm, _at(times, clip.t, clip.q))
        pos, quat = _at(times, clip.t, clip.object_pos), _at(times, clip.t, clip.object_quat)
        frames = []
        for i in range(len(times)):
            for shape, body in arm_shapes:
                _move(p, body, poses[i, shape.link + 1] @ shape.pose)
            for shape, body in puck_bodies:
                frame = np.eye(4)
                w, x, y, z = quat[i] / np.linalg.norm(quat[i])
                frame[:3, :3] = np.reshape(p.getMatrixFromQuaternion((x, y, z, w)), (3, 3))
                frame[:3, 3] = pos[i]
                _move(p, body, frame @ shape.pose)
            frames.append(_photograph(p, eye, lens))
        return frames
    finally:
        p.disconnect(client)


def _draw_walker(family: Family, clip: Clip, times: Array) -> list[Image]:
    """The walker's capsules, placed by MuJoCo, from a camera that runs beside it past a stripe every metre."""
    import mujoco
    import pybullet as p

    from sim.scene_model import compiled

    model = compiled(family.scene)
    data = mujoco.MjData(model)
    client = p.connect(p.DIRECT)
    try:
        q = _at(times, clip.t, clip.q)
        _solid(p, "box", (200, 2.0, 0.02), (0.73, 0.75, 0.77), (0, 0, -0.011))
        for x in range(int(q[:, 0].min()) - 4, int(q[:, 0].max()) + 5):
            _solid(p, "box", (0.04, 2.0, 0.002), (0.55, 0.58, 0.62), (x, 0, 0))
        limbs = [
            g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_CAPSULE
        ]
        sizes = [(model.geom_size[g, 0], 2 * model.geom_size[g, 1]) for g in limbs]
        solids = [_solid(p, "capsule", size, (0.85, 0.33, 0.12)) for size in sizes]
        lens = p.computeProjectionMatrixFOV(38, SIZE[0] / SIZE[1], 0.1, 12)
        frames = []
        for row in q:
            data.qpos[:] = row
            mujoco.mj_kinematics(model, data)
            for g, solid in zip(limbs, solids, strict=True):
                pose = np.eye(4)
                pose[:3, :3], pose[:3, 3] = data.geom_xmat[g].reshape(3, 3), data.geom_xpos[g]
                _move(p, solid, pose)
            eye = p.computeViewMatrix((row[0], -3.2, 0.9), (row[0], 0, 0.5), (0, 0, 1))
            frames.append(_photograph(p, eye, lens))
        return frames
    finally:
        p.disconnect(client)


def _photograph(p: Any, eye: Any, lens: Any) -> Image:
    image = p.getCameraImage(*SIZE, eye, lens, shadow=1, renderer=p.ER_TINY_RENDERER)
    return np.reshape(np.asarray(image[2], dtype=np.uint8), (SIZE[1], SIZE[0], 4))[..., :3]


def _solid(p: Any, kind: str, size: Any, color: Any, pos: Any = (0, 0, 0)) -> int:
    rgba = (*color, 1.0)
    if kind == "box":
        shape = p.createVisualShape(p.GEOM_BOX, halfExtents=[s / 2 for s in size], rgbaColor=rgba)
    elif kind == "sphere":
        shape = p.createVisualShape(p.GEOM_SPHERE, radius=size[0], rgbaColor=rgba)
    else:
        round_ = p.GEOM_CAPSULE if kind == "capsule" else p.GEOM_CYLINDER
        shape = p.createVisualShape(round_, radius=size[0], length=size[1], rgbaColor=rgba)
    return int(p.createMultiBody(0, -1, shape, pos))


def _move(p: Any, body: int, pose: Array) -> None:
    w, x, y, z = quaternion_from_matrix(pose[None, :3, :3])[0]
    p.resetBasePositionAndOrientation(body, pose[:3, 3], (x, y, z, w))


def _draw_plane(clip: Clip, times: Array) -> list[Image]:
    """A point in the plane or on a line, its way so far and its goal."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    axes.set(xlim=(-3, 3), ylim=(-1.7, 1.7), aspect="equal", title=clip.title)
    (way,) = axes.plot([], [], color="#8a8f98")
    (here,) = axes.plot([], [], "o", color="#d9541e")
    axes.plot(clip.task.get("goal.x", 0), clip.task.get("goal.y", 0), "x", color="#2f7d4f")
    q, frames = np.pad(_at(times, clip.t, clip.q), ((0, 0), (0, 1))), []  # a line's y is 0
    for i in range(len(times)):
        way.set_data(q[: i + 1, 0], q[: i + 1, 1])
        here.set_data(q[i : i + 1, 0], q[i : i + 1, 1])
        canvas.draw()
        frames.append(np.asarray(canvas.buffer_rgba())[: SIZE[1], : SIZE[0], :3].copy())
    return frames


def _at(times: Array, t: Array, x: Array) -> Array:
    return np.stack([np.interp(times, t, column) for column in x.T], -1)


def write_video(path: Path, frames: list[Image]) -> None:
    """H.264 in the container that the path's ending names."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FRAMES)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        for frame in frames:
            image = np.ascontiguousarray(frame, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _window(family: Family, seed: int) -> None:
    """MuJoCo's own viewer, in real time, until it is closed."""
    import time

    import mujoco
    import mujoco.viewer

    from sim.scene_model import build

    if not isinstance(family.body, ArmSpec | Walker):
        raise BadArgumentError(
            f"{family.name} has nothing to show in a window; name a .mp4 or .png with --out"
        )
    spec, kinds = build(family.scene), mujoco.mjtGeom
    for shape in shapes(family.body) if isinstance(family.body, ArmSpec) else []:
        body = (
            spec.joint(family.body.joints[shape.link]).parent if shape.link >= 0 else spec.worldbody
        )
        kind = kinds.mjGEOM_SPHERE if shape.kind == "sphere" else kinds.mjGEOM_CYLINDER
        size = (*shape.size[:1], *(s / 2 for s in shape.size[1:]), 0, 0)[:3]
        if shape.kind == "box":
            kind, size = kinds.mjGEOM_BOX, tuple(s / 2 for s in shape.size)
        turn = quaternion_from_matrix(shape.pose[None, :3, :3])[0]
        look = {"rgba": (*shape.color, 1), "contype": 0, "conaffinity": 0}
        body.add_geom(type=kind, size=size, pos=shape.pose[:3, 3], quat=turn, **look)
    model = spec.compile()
    data, rng, world = (
        mujoco.MjData(model),
        np.random.default_rng(seed),
        VecWorld(family, None, 1, seed),
    )
    with mujoco.viewer.launch_passive(model, data) as window:
        while window.is_running():
            world.reset(family.sample(rng, 1))
            for _ in range(family.horizon):
                world.step(rng.uniform(-1, 1, (1, len(family.action.spec))))
                seen = (
                    world.signals.q[0],
                    world.signals.object_pos[0],
                    world.signals.object_quat[0],
                )
                data.qpos[:] = np.concatenate(seen)[: model.nq]
                mujoco.mj_forward(model, data)
                window.sync()
                time.sleep(family.dt)
