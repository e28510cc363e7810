"""A small folder of a user's own objects, written by trimesh."""

from pathlib import Path

import trimesh

TABLE = """
[angle]
mesh = "angle.obj"
mass = [0.2, 0.4]
friction = [0.08, 0.12]
restitution = 0.5

[can]
mesh = "can.stl"
scale = 0.001
up = "y"
mass = 0.3
friction = 0.1
center_of_mass = [0.0, 0.004, 0.0]

[wedge]
mesh = "wedge.dae"
mass = 0.25
friction = 0.09
heldout = true
"""


def bars() -> list[trimesh.Trimesh]:
    """Two bars at a right angle, which do not share an edge, m."""
    long = trimesh.creation.box((0.09, 0.04, 0.05))
    short = trimesh.creation.box((0.03, 0.05, 0.048))
    short.apply_translation((-0.03, 0.035, 0.0))
    return [long, short]


def angle() -> trimesh.Trimesh:
    """Both bars: an L."""
    joined = trimesh.util.concatenate(bars())
    assert isinstance(joined, trimesh.Trimesh)
    return joined


def can() -> trimesh.Trimesh:
    """A cylinder that stands along y, mm."""
    solid = trimesh.creation.cylinder(30, 60, sections=32)
    solid.apply_transform(trimesh.transformations.rotation_matrix(1.5707963267948966, (1, 0, 0)))
    return solid


def wedge() -> trimesh.Trimesh:
    """A pyramid with a square base at z = 0, m."""
    return trimesh.creation.cone(0.05, 0.05, sections=4)


def write_folder(folder: Path) -> Path:
    """The three objects and their table; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    angle().export(folder / "angle.obj")
    can().export(folder / "can.stl")
    wedge().export(folder / "wedge.dae")
    (folder / "objects.toml").write_text(TABLE)
    return folder
