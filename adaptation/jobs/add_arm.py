"""A new arm from its model: a folder with the model, an entry to fill in, and a picture."""

import keyword
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.meshes import find_mesh
from robots.mjcf import is_mjcf
from robots.model_files import find_model
from robots.new_arm import Draft, convert_new_arm, read_new_arm, write_entry
from robots.scene import Scene
from robots.urdf_elements import errors_about, required_attribute
from sim.rendering import Clip, Image, write_picture
from sim.rendering.render import draw

MESHES = "meshes"  # the folder of the arm's meshes
LICENSES = ("LICENSE", "NOTICE")  # files beside a model that go with every copy of it
MATERIALS = ".mtl"  # of an OBJ file: its colors


class NewArm(msgspec.Struct, frozen=True):
    """What was written for a new arm."""

    arm: str
    joints: list[str]  # that move the tool, from the base
    tool: str  # name of the link
    files: list[str]
    missing: dict[str, str]  # what the user has to fill in: field and meaning
    entry_point: str  # the line for the user's pyproject.toml


def add_arm(name: str, model: str, tool: str | None, package: Path) -> NewArm:
    """Write a new arm's folder.

    Args:
        name: of the arm, its folder and, in capitals, its constant.
        model: its URDF or MJCF; see ``find_model``.
        tool: name of the link whose frame is the tool frame, of an MJCF the body or site; None: the
            last link of the arm.
        package: the folder in which the arm's folder is made.

    Returns:
        What was written, and what the user has to fill in.

    Raises:
        MissingExtraError: the model is in a package that is not installed.
        BadArgumentError: the name is taken or cannot be a module's, the folder exists or cannot be
            made, or the model cannot be used: see ``read_new_arm`` and ``convert_new_arm``.
    """
    folder = package / name
    check_place(name, folder, package)
    file = find_model(model)
    with TemporaryDirectory(prefix=f".{name}-", dir=package) as temporary:
        new = Path(temporary) / name
        new.mkdir()
        draft = _read_model(name, file, tool, new / f"{name}.urdf")
        arm = draft.arm
        source = file.name if Path(model) == file else model
        (new / "__init__.py").write_text(write_entry(draft, source), encoding="utf-8")
        copy_licenses(file, new)
        write_picture(new / f"{name}.jpg", picture(arm))
        new.rename(folder)
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    return NewArm(
        arm=name,
        joints=list(arm.joints),
        tool=arm.tool,
        files=files,
        missing=dict(draft.missing),
        entry_point=f'{name} = "{module_name(folder)}:{name.upper()}"',
    )


def _read_model(name: str, model: Path, tool: str | None, urdf: Path) -> Draft:
    """The arm of a model, which becomes the file ``urdf``, with its meshes beside it."""
    if is_mjcf(model):
        return convert_new_arm(name, model, tool, urdf)
    draft = read_new_arm(name, model, tool)
    _copy_model(model, urdf)
    return replace(draft, arm=replace(draft.arm, urdf=urdf))


def copy_licenses(model: Path, folder: Path) -> None:
    """Copy the licenses that lie beside a model."""
    for file in sorted(model.parent.iterdir()):
        if file.is_file() and file.stem.upper() in LICENSES:
            shutil.copyfile(file, folder / file.name)


def check_place(name: str, folder: Path, package: Path) -> None:
    """Refuse a name or a folder that cannot be the arm's."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise BadArgumentError(f"{name!r} cannot be the name of a Python module, as an arm's is")
    if name in ARMS:
        raise BadArgumentError(f"there is an arm named {name!r} already")
    if folder.exists():
        raise BadArgumentError(f"{folder} exists already")
    if not package.is_dir():
        raise BadArgumentError(f"there is no folder {package}")


def _copy_model(model: Path, copy: Path) -> None:
    """Copy a URDF with its meshes, and make it refer to them by relative paths."""
    tree = ElementTree.parse(model)
    copied: dict[Path, str] = {}
    with errors_about(str(model)):
        for mesh in tree.iter("mesh"):
            source = find_mesh(required_attribute(mesh, "filename"), model)
            if source not in copied:
                copied[source] = f"{MESHES}/{len(copied)}_{source.name}"
                _copy_mesh(source, copy.parent / copied[source])
            mesh.attrib["filename"] = copied[source]
    if copied:
        tree.write(copy, encoding="utf-8", xml_declaration=True)
    else:
        shutil.copyfile(model, copy)  # unlike ``tree.write``, this keeps comments


def _copy_mesh(source: Path, copy: Path) -> None:
    """Copy the file of a mesh and, if there is one, the material file of the same name."""
    copy.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, copy)
    materials = source.with_suffix(MATERIALS)
    if materials.is_file():
        shutil.copyfile(materials, copy.parent / materials.name)


def picture(arm: ArmSpec) -> Image:
    """The arm in its home pose, (h, w, 3)."""
    clip = Clip(
        title=arm.name,
        task={},
        t=np.zeros(1),
        q=arm.home[None],
        object_pos=np.full((1, 3), np.nan),  # no object
        object_quat=np.full((1, 4), np.nan),
        marker=np.full(3, np.nan),
    )
    (image,) = draw(Scene(arm), clip, clip.t)
    return image


def module_name(folder: Path) -> str:
    """The dotted name by which Python imports a folder, with its parent packages."""
    folder = folder.resolve()
    names = [folder.name]
    while (folder.parent / "__init__.py").is_file():
        folder = folder.parent
        names.insert(0, folder.name)
    return ".".join(names)
