"""PyBullet's software renderer, for machines without any OpenGL."""

from collections.abc import Sequence

import mujoco
import numpy as np

from robots.mujoco_model import read_mesh
from robots.rotations import quaternion_from_matrix
from sim.engines.bullet import connect
from sim.rendering.clip import Image
from sim.rendering.stage import Stage

NEAR = 0.1  # m, nothing closer to the camera is drawn
FAR = 12.0  # m
NO_COLLISION = -1
GROUND_SIZE = (20.0, 20.0, 0.001)  # m, half edges of a plane, which is infinite in MuJoCo
GROUND_COLOR = (0.75, 0.77, 0.79, 1.0)


class SoftwareCanvas:
    """Takes plain pictures: without textures, text and smooth edges."""

    def __init__(self, size: tuple[int, int]) -> None:
        """``size`` is in pixels."""
        self._size = size
        self._client = connect()

    def photograph(self, stage: Stage, text: str) -> Image:
        """A picture (h, w, 3) of what the stage shows; the text is left out."""
        client = self._client
        client.resetSimulation()
        for geom in stage.scene.geoms[: stage.scene.ngeom]:
            self._add(geom, stage.model)
        width, height = self._size
        camera, right_camera = stage.scene.camera  # of two eyes; the picture is for one between
        eye = (camera.pos + right_camera.pos).astype(np.float64) / 2
        target = eye + camera.forward
        field = float(stage.model.vis.global_.fovy)  # degrees
        projection = client.computeProjectionMatrixFOV(field, width / height, NEAR, FAR)
        image = client.getCameraImage(
            width,
            height,
            client.computeViewMatrix(eye.tolist(), target.tolist(), camera.up.tolist()),
            projection,
            shadow=1,
            renderer=client.ER_TINY_RENDERER,
        )
        rgba = np.asarray(image[2], dtype=np.uint8)
        return rgba.reshape(height, width, 4)[..., :3]

    def close(self) -> None:
        """Release the renderer."""
        self._client.disconnect()

    def _add(self, geom: mujoco.MjvGeom, model: mujoco.MjModel) -> None:
        """Add a solid where MuJoCo's scene has it; other geoms, such as lights, are left out."""
        color = geom.rgba.tolist()
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            color = GROUND_COLOR
        is_mesh = geom.type == mujoco.mjtGeom.mjGEOM_MESH
        if is_mesh:
            shape: int | None = self._mesh(geom, model)
        else:
            shape = self._shape(geom.type, geom.size.tolist(), color)
        if shape is None:
            return
        w, x, y, z = quaternion_from_matrix(geom.mat[None].astype(np.float64))[0]
        self._client.createMultiBody(0, NO_COLLISION, shape, geom.pos.tolist(), (x, y, z, w))

    def _mesh(self, geom: mujoco.MjvGeom, model: mujoco.MjModel) -> int:
        """The visual shape of a mesh."""
        vertices, faces = read_mesh(model, model.geom_dataid[geom.objid])
        shape = self._client.createVisualShape(
            self._client.GEOM_MESH,
            vertices=vertices.tolist(),
            indices=faces.ravel().tolist(),
            rgbaColor=geom.rgba.tolist(),
        )
        return int(shape)

    def _shape(self, kind: int, size: Sequence[float], rgba: Sequence[float]) -> int | None:
        """A visual shape; ``size`` is MuJoCo's: half edges, or radius, radius and half length."""
        client = self._client
        types = mujoco.mjtGeom
        round_kinds = {
            types.mjGEOM_SPHERE: client.GEOM_SPHERE,
            types.mjGEOM_CYLINDER: client.GEOM_CYLINDER,
            types.mjGEOM_CAPSULE: client.GEOM_CAPSULE,
        }
        boxes = {types.mjGEOM_BOX: size, types.mjGEOM_PLANE: GROUND_SIZE}
        if kind in boxes:
            half = boxes[kind]
            shape = client.createVisualShape(client.GEOM_BOX, halfExtents=half, rgbaColor=rgba)
        elif kind in round_kinds:
            shape = client.createVisualShape(
                round_kinds[kind],
                radius=size[0],
                length=2 * size[2],
                rgbaColor=rgba,
            )
        else:
            return None
        return int(shape)
