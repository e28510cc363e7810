"""Show a family: in a window, or as a video, a picture or a 3-D playback."""

import os
import warnings
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from adaptation.reporting.progress import ProgressReporter
from adaptation.runs.files import check_writable, whole_file
from robots.bodies import make_kinematics
from robots.errors import BadArgumentError
from robots.scene import FLAT_OBJECT
from robots.world import Family
from sim.families import file_name, make_family
from sim.rendering import (
    Clip,
    Image,
    record_trial,
    render_clip,
    show_window,
    write_picture,
    write_video,
)
from sim.rendering.camera import camera_of

ENDINGS = (".mp4", ".png", ".html")


def view(
    name: str,
    out: Path | None = None,
    seed: int = 0,
    arm: str | None = None,
    camera: str | None = None,
) -> Path | None:
    """Show one trial of a family under random actions.

    Args:
        name: a registered family.
        out: the file to write: a video (.mp4), one frame of it (.png) or a page with a 3-D playback
            (.html). None: a window opens if there is a screen, else NAME.mp4 is written, or
            NAME-ARM.mp4.
        seed: of the task, the actions and the episodes' starts.
        arm: of the family; None: its own.
        camera: one of the family's scene; None: see ``Scene.cameras``.

    Returns:
        The file that was written; None after a window was closed.

    Raises:
        BadArgumentError: ``out`` ends otherwise or its folder is missing, the body cannot be shown
            that way, or there is no such camera.
    """
    family = make_family(name, arm)
    if out is None and not _has_screen():
        out = Path(f"{file_name(family.name, arm)}.mp4")
    check_shown(out, family, camera)
    show_clips(out, family, [record_trial(family, seed)], camera)
    return out


def check_shown(out: Path | None, family: Family, camera: str | None) -> None:
    """Refuse a file, a window or a camera that is not possible, before anything slow is done.

    Args:
        out: the file to write; None: a window.
        family: what is shown.
        camera: one of the family's scene; None: see ``Scene.cameras``.

    Raises:
        BadArgumentError: see ``check_writable`` and ``check_screen``; or there is no such camera,
            or it is a 3-D playback of a body that is no arm.
    """
    family.scene.seen_by(camera)
    if out is None:
        check_screen()
        return
    check_writable(out, ENDINGS)
    if out.suffix == ".html" and make_kinematics(family.body) is None:
        raise BadArgumentError(f"{family.name} has no arm to show in 3-D; write a .mp4 or .png")


def show_clips(
    out: Path | None, family: Family, columns: Sequence[Sequence[Clip]], camera: str | None = None
) -> None:
    """Show a trial in a window, or write it to a file; the ending of its name selects the format.

    Args:
        out: the file; see ``check_shown``.
        family: the family of the trial.
        columns: the episodes of each policy; in a picture and a video the policies are side by
            side, in a window and a 3-D playback one after the other.
        camera: one of the family's scene; None: see ``Scene.cameras``.

    Raises:
        BadArgumentError: there is no such camera.
    """
    in_turn = [clip for clips in columns for clip in clips]
    if out is None:
        show_window(family, in_turn, camera)
        return
    with whole_file(out) as new:
        if out.suffix == ".html":
            _write_page(new, family, in_turn, camera)
        elif out.suffix == ".png":
            write_picture(new, _draw_picture(family, columns, camera))
        else:
            write_video(new, _draw(family, columns, camera))


def _draw_picture(family: Family, columns: Sequence[Sequence[Clip]], camera: str | None) -> Image:
    """A moment of every policy's last episode."""
    images = []
    for clips in columns:
        last = clips[-1]
        moment = len(last.t) // 3  # when something is under way
        images += render_clip(family, last, last.t[[moment]], camera)
    return np.concatenate(images, 1)


def _draw(family: Family, columns: Sequence[Sequence[Clip]], camera: str | None) -> list[Image]:
    """The frames of a video; a policy whose episode ends before the others' is frozen."""
    frames = []
    episodes = list(zip(*columns, strict=True))
    with ProgressReporter(f"drawing {family.name}") as show:
        for number, clips in enumerate(episodes, start=1):
            drawn = [render_clip(family, clip, clip.frame_times(), camera) for clip in clips]
            for images in zip_longest(*drawn):
                still = [own[-1] for own in drawn]
                shown = [
                    last if image is None else image
                    for image, last in zip(images, still, strict=True)
                ]
                frames.append(np.concatenate(shown, 1))
            show(number / len(episodes), f"episode {number} of {len(episodes)}")
    return frames


def check_screen() -> None:
    """Refuse to open a window if that is impossible: MuJoCo's viewer would end the process.

    Raises:
        BadArgumentError: there is no screen, it does not answer, or it shows no OpenGL.
    """
    if not _has_screen():
        raise BadArgumentError(
            "a window needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY names one"
        )
    import glfw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", glfw.GLFWError)
        if not glfw.init():
            raise BadArgumentError(
                "the screen that DISPLAY or WAYLAND_DISPLAY names does not answer: unset it, or "
                "name a file with --out"
            )
        glfw.window_hint(glfw.VISIBLE, glfw.FALSE)
        window = glfw.create_window(64, 64, "pliant", None, None)
        glfw.default_window_hints()
        if not window:
            raise BadArgumentError(
                "the screen that DISPLAY or WAYLAND_DISPLAY names shows no OpenGL, which a window "
                "needs: unset it, or name a file with --out"
            )
        glfw.destroy_window(window)


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _write_page(path: Path, family: Family, clips: Sequence[Clip], camera: str | None) -> None:
    """A page with a 3-D playback of an arm."""
    kinematics = make_kinematics(family.body)
    assert kinematics is not None, "check_shown refuses other bodies"
    from adaptation.reporting.playback import render_playback  # imports viser, which takes a second

    scene = family.scene.seen_by(camera)
    item = next(iter(scene.objects), FLAT_OBJECT)
    first_view = camera_of(scene)
    page = render_playback(kinematics.arm, clips, item=item, camera=first_view)
    path.write_text(page, encoding="utf-8")
