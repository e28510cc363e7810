"""Photographs of a stage: by OpenGL, or where there is none by PyBullet's software renderer."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

from sim.rendering.clip import Image
from sim.rendering.opengl import OpenGLCanvas, offscreen_context
from sim.rendering.software import SoftwareCanvas
from sim.rendering.stage import Stage

SIZE = (1280, 720)  # pixels; even numbers, as H.264 requires
NO_OPENGL = (
    "pliant: no OpenGL here: PyBullet draws the pictures, slower and without a text in them; "
    "apt install libegl1 libgl1-mesa-dri, or libosmesa6"
)


class Canvas(Protocol):
    """Takes pictures of one stage."""

    def photograph(self, stage: Stage, text: str) -> Image:
        """A picture (h, w, 3) of what the stage shows, with a text in its corner."""
        ...

    def close(self) -> None:
        """Release the renderer."""
        ...


@contextmanager
def open_canvas(stage: Stage) -> Iterator[Canvas]:
    """A canvas for the length of a ``with`` block."""
    context = offscreen_context()
    canvas: Canvas
    if context is None:
        _say_once(NO_OPENGL)
        canvas = SoftwareCanvas(SIZE)
    else:
        canvas = OpenGLCanvas(context, stage.model, SIZE)
    try:
        yield canvas
    finally:
        canvas.close()


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr)
