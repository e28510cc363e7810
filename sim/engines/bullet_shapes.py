"""Geoms of a compiled MuJoCo model as PyBullet's collision shapes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mujoco
import numpy as np

from robots.meshes import write_obj
from robots.mujoco_model import read_mesh
from robots.signals import Array
from sim.outlines import HIDDEN

Client = Any  # a pybullet_utils.bullet_client.BulletClient, which has no types

NO_SHAPE = -1
GEOM = mujoco.mjtGeom
MESH = GEOM.mjGEOM_MESH
SUPPORTED = (
    GEOM.mjGEOM_BOX,
    GEOM.mjGEOM_SPHERE,
    GEOM.mjGEOM_CYLINDER,
    GEOM.mjGEOM_CAPSULE,
    MESH,
    GEOM.mjGEOM_PLANE,
    GEOM.mjGEOM_HFIELD,
)


def make_shape(client: Client, model: mujoco.MjModel, geoms: list[int], anchor: Array) -> int:
    """One shape of a body's geoms, in a frame at ``anchor`` (3,) m of the body's.

    Parts that hide inside others, as those of outlines, are left out.
    """
    geoms = [geom for geom in geoms if _is_visible(model, geom)]
    if not geoms:
        return NO_SHAPE
    positions = [(model.geom_pos[geom] - anchor).tolist() for geom in geoms]
    orientations = [xyzw(model.geom_quat[geom]) for geom in geoms]
    frames = {
        "collisionFramePositions": positions,
        "collisionFrameOrientations": orientations,
    }
    return _create(client, model, geoms, **frames)


def make_fixed(client: Client, model: mujoco.MjModel, geom: int, pos: Array, quat: Array) -> int:
    """A body of one geom that does not move, where the world has it; returns Bullet's number."""
    kind = model.geom_type[geom]
    if kind == GEOM.mjGEOM_PLANE:
        shape = client.createCollisionShape(client.GEOM_PLANE)
    elif kind == GEOM.mjGEOM_HFIELD:
        shape, middle = _height_field(client, model, int(model.geom_dataid[geom]))
        pos = pos + rotated(np.array([0.0, 0.0, middle]), quat)
    else:
        shape = _create(client, model, [geom])
    return int(
        client.createMultiBody(
            0.0,
            shape,
            basePosition=pos.tolist(),
            baseOrientation=xyzw(quat),
        )
    )


def _create(
    client: Client, model: mujoco.MjModel, geoms: list[int], **frames: list[list[float]]
) -> int:
    """One shape of some geoms, at ``frames`` as Bullet names them; without them at the origin."""
    with _mesh_files(model, geoms) as files:
        shape = client.createCollisionShapeArray(
            shapeTypes=[_kind(client, model, geom) for geom in geoms],
            # Bullet reads of each kind only what that has
            halfExtents=[model.geom_size[geom].tolist() for geom in geoms],
            radii=[float(model.geom_size[geom, 0]) for geom in geoms],
            lengths=[2 * float(model.geom_size[geom, 1]) for geom in geoms],
            fileNames=files,
            **frames,
        )
    return int(shape)


def _is_visible(model: mujoco.MjModel, geom: int) -> bool:
    """Whether a geom is larger than the parts that outlines hide."""
    return bool(model.geom_size[geom, 0] > HIDDEN)


def _kind(client: Client, model: mujoco.MjModel, geom: int) -> int:
    """Bullet's kind of a geom."""
    kinds = {
        GEOM.mjGEOM_BOX: client.GEOM_BOX,
        GEOM.mjGEOM_SPHERE: client.GEOM_SPHERE,
        GEOM.mjGEOM_CYLINDER: client.GEOM_CYLINDER,
        GEOM.mjGEOM_CAPSULE: client.GEOM_CAPSULE,
        GEOM.mjGEOM_MESH: client.GEOM_MESH,
    }
    return int(kinds[GEOM(model.geom_type[geom])])


def _height_field(client: Client, model: mujoco.MjModel, field: int) -> tuple[int, float]:
    """A height field's shape, and the height of its middle, which is its origin, m."""
    half_x, half_y, elevation, _ = model.hfield_size[field]
    rows = int(model.hfield_nrow[field])
    columns = int(model.hfield_ncol[field])
    start = model.hfield_adr[field]
    heights = elevation * model.hfield_data[start : start + rows * columns]
    spacing = (2 * half_x / (columns - 1), 2 * half_y / (rows - 1), 1.0)
    shape = client.createCollisionShape(
        client.GEOM_HEIGHTFIELD,
        meshScale=spacing,
        heightfieldData=heights.tolist(),
        numHeightfieldRows=columns,  # along x
        numHeightfieldColumns=rows,
    )
    middle = (heights.min() + heights.max()) / 2
    return int(shape), float(middle)


@contextmanager
def _mesh_files(model: mujoco.MjModel, geoms: list[int]) -> Iterator[list[str]]:
    """The file of each geom's mesh; an empty name of any other geom."""
    with TemporaryDirectory(prefix="pliant-") as folder:
        names = []
        for geom in geoms:
            name = ""
            if model.geom_type[geom] == MESH:
                path = Path(folder) / f"mesh{geom}.obj"
                path.write_text(_as_obj(model, int(model.geom_dataid[geom])))
                name = str(path)
            names.append(name)
        yield names


def _as_obj(model: mujoco.MjModel, mesh: int) -> str:
    """A mesh in the format OBJ, of which Bullet takes the convex hull."""
    return write_obj(*read_mesh(model, mesh))


def rotated(vector: Array, quat: Array) -> Array:
    """A vector (3,) turned by a quaternion w, x, y, z."""
    result = np.zeros(3)
    mujoco.mju_rotVecQuat(result, vector, quat)
    return result


def xyzw(quat: Array) -> list[float]:
    """Bullet's order of a quaternion w, x, y, z."""
    w, x, y, z = quat.tolist()
    return [x, y, z, w]
