"""MuJoCo's own renderer, without a screen: through EGL, or OSMesa, which computes on the CPU."""

import atexit
import os
from ctypes.util import find_library
from functools import cache
from typing import Protocol

import mujoco
import numpy as np

from sim.gl_platforms import GL_LIBRARIES, wanted_platform
from sim.rendering.clip import Image
from sim.rendering.stage import Stage

BUFFER_SAMPLES = 4  # per pixel


class Context(Protocol):
    """An OpenGL context, as MuJoCo makes them."""

    def make_current(self) -> None:
        """Draw into it from now on."""
        ...

    def free(self) -> None:
        """Release it."""
        ...


def find_platform() -> str | None:
    """The platform that MUJOCO_GL names, else one whose library is installed; None: neither."""
    wanted = wanted_platform()
    if wanted:
        return wanted if wanted in GL_LIBRARIES else None
    for platform, library in GL_LIBRARIES.items():
        if find_library(library) is not None:
            return platform
    return None


@cache
def offscreen_context() -> Context | None:
    """The one context of this process; None where OpenGL cannot be used."""
    platform = find_platform()
    if platform is None:
        return None
    os.environ.setdefault("PYOPENGL_PLATFORM", platform)  # read when OpenGL is imported
    from OpenGL.error import Error

    try:
        context = _make_context(platform)
        context.make_current()
    except (ImportError, AttributeError, RuntimeError, Error):  # a library without a driver
        return None
    atexit.register(context.free)
    return context


def _make_context(platform: str) -> Context:
    """A new context. MuJoCo draws into framebuffers of its own, so the size of this is free."""
    context: Context
    if platform == "egl":
        from mujoco.egl import GLContext as EGLContext

        context = EGLContext(64, 64)
    else:
        from mujoco.osmesa import GLContext as OSMesaContext

        context = OSMesaContext(64, 64)
    return context


class OpenGLCanvas:
    """Takes pictures of a model that hold up in print: shadows, smooth edges, a text."""

    def __init__(self, context: Context, model: mujoco.MjModel, size: tuple[int, int]) -> None:
        """Load the model onto the GPU, or what stands in for it; ``size`` is in pixels."""
        width, height = size
        model.vis.global_.offwidth = width
        model.vis.global_.offheight = height
        model.vis.quality.offsamples = BUFFER_SAMPLES
        self._context = context
        self._viewport = mujoco.MjrRect(0, 0, width, height)
        context.make_current()
        self._renderer = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_150.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._renderer)

    def photograph(self, stage: Stage, text: str) -> Image:
        """A picture (h, w, 3) of what the stage shows, with a text in its corner."""
        self._context.make_current()
        mujoco.mjr_render(self._viewport, stage.scene, self._renderer)
        mujoco.mjr_overlay(
            mujoco.mjtFont.mjFONT_NORMAL.value,
            mujoco.mjtGridPos.mjGRID_TOPLEFT.value,
            self._viewport,
            text,
            "",
            self._renderer,
        )
        pixels = np.empty((self._viewport.height, self._viewport.width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, self._viewport, self._renderer)
        return pixels[::-1].copy()  # OpenGL's rows begin at the bottom

    def close(self) -> None:
        """Release what was loaded; the context is kept for the next picture."""
        self._context.make_current()
        self._renderer.free()
