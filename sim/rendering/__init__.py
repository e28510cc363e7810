"""Pictures, videos and a live window of a family, for people to look at."""

from sim.rendering.canvas import SIZE
from sim.rendering.clip import FRAME_RATE, Clip, Image, record_trial
from sim.rendering.render import render_clip, render_frame
from sim.rendering.video import write_picture, write_video
from sim.rendering.window import show_window

__all__ = [
    "FRAME_RATE",
    "SIZE",
    "Clip",
    "Image",
    "record_trial",
    "render_clip",
    "render_frame",
    "show_window",
    "write_picture",
    "write_video",
]
