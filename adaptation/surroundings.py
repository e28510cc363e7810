"""What a process finds around it: the locale of its streams, the names it is given, a screen."""

import os
import sys
from ctypes.util import find_library
from io import TextIOWrapper

from robots.errors import BadArgumentError
from sim.gl_platforms import GL_LIBRARIES, wanted_platform

# Values of MUJOCO_GL that need no library, and those that turn OpenGL off.
GL_OTHERS = ("", "glfw", "glx", "on", "1", "true", "enable", "enabled")
GL_OFF = ("off", "0", "false", "disable", "disabled")


def hide_present_folder() -> None:
    """Keep files of the present folder, such as a user's ``random.py``, out of helper processes.

    Python puts the present folder first in the path of a program given by ``-c``, which is how
    multiprocessing starts a process.
    """
    os.environ["PYTHONSAFEPATH"] = "1"


def escape_unprintable() -> None:
    """Print characters that the locale does not have, such as bullets in ASCII, as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def check_surroundings() -> None:
    """Refuse settings of the environment under which MuJoCo cannot even be imported.

    Raises:
        BadArgumentError: MUJOCO_GL names what MuJoCo does not know or what is not installed.
    """
    chosen = wanted_platform()
    library = GL_LIBRARIES.get(chosen)
    if library is None:
        if chosen not in GL_OTHERS + GL_OFF:
            allowed = ", ".join(["glfw", *GL_LIBRARIES])
            raise BadArgumentError(f"MUJOCO_GL={chosen} is none of {allowed}: unset it")
    elif find_library(library) is None:
        raise BadArgumentError(
            f"MUJOCO_GL={chosen}, but lib{library} is not installed: install it, or unset MUJOCO_GL"
        )


def check_words(words: list[str]) -> None:
    """Refuse names that are no text in this locale: they could be written into no file.

    Raises:
        BadArgumentError: a word is not UTF-8, or the locale has only ASCII.
    """
    for word in words:
        if not _is_text(word):
            shown = word.encode("ascii", "backslashreplace").decode()
            raise BadArgumentError(
                f"{shown} is not text in this locale: set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
            )


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:  # surrogates, which stand for bytes that could not be decoded
        return False
    return True
