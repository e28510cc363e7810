"""The platforms on which MuJoCo draws without a screen; ``MUJOCO_GL`` chooses one of them."""

import os

# Values of MUJOCO_GL that need a library, and the library.
GL_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


def wanted_platform() -> str:
    """The value of MUJOCO_GL, as MuJoCo reads it; empty if it is not set."""
    return os.environ.get("MUJOCO_GL", "").lower().strip()
