"""Look at a family: in a window, or as a video, a picture or a 3-D playback."""

import os
from pathlib import Path

from adaptation.reporting.progress import ProgressReporter
from robots.bodies import make_kinematics
from robots.errors import BadArgumentError
from robots.world import Family
from sim.families import FAMILIES
from sim.rendering import (
    Clip,
    record_trial,
    render_clip,
    show_window,
    write_picture,
    write_video,
)

ENDINGS = (".mp4", ".png", ".html")


def view(name: str, out: Path | None = None, seed: int = 0) -> Path | None:
    """Show one trial of a family under random actions.

    Args:
        name: a registered family.
        out: what to write: a video (.mp4), one frame of it (.png) or a page with a 3-D playback
            (.html). None: a window opens if there is a screen, else NAME.mp4 is written.
        seed: of the task, the actions and the episodes' starts.

    Returns:
        The file that was written; None after a window was closed.

    Raises:
        BadArgumentError: ``out`` ends otherwise or its folder is missing, or the body cannot be
            shown that way.
    """
    family: Family = FAMILIES[name]()
    if out is None and _has_screen():
        show_window(family, seed)
        return None
    out = out or Path(f"{family.name}.mp4")
    if out.suffix not in ENDINGS:
        raise BadArgumentError(f"{out} must end in .mp4, .png or .html")
    if not out.parent.is_dir():
        raise BadArgumentError(f"no folder {out.parent}")
    clips = record_trial(family, seed)
    if out.suffix == ".html":
        _write_page(out, family, clips)
    elif out.suffix == ".png":
        last = clips[-1]
        moment = len(last.t) // 3  # when something is under way
        (image,) = render_clip(family, last, last.t[[moment]])
        write_picture(out, image)
    else:
        frames = []
        with ProgressReporter(f"drawing {family.name}") as show:
            for number, clip in enumerate(clips, start=1):
                frames += render_clip(family, clip, clip.frame_times())
                show(number / len(clips), f"episode {number} of {len(clips)}")
        write_video(out, frames)
    return out


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _write_page(path: Path, family: Family, clips: list[Clip]) -> None:
    """A page with a 3-D playback of an arm.

    Raises:
        BadArgumentError: the body is no arm.
    """
    kinematics = make_kinematics(family.body)
    if kinematics is None:
        raise BadArgumentError(f"{family.name} has no arm to show in 3-D; write a .mp4 or .png")
    from adaptation.reporting.playback import render_playback  # imports viser, which takes a second

    path.write_text(render_playback(kinematics.arm, clips), encoding="utf-8")
