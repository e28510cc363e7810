"""A scene of solids, photographed by PyBullet's software renderer, which needs no display."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from sim.engines.bullet import connect

Image = NDArray[np.uint8]  # (h, w, 3)
Point = Sequence[float]  # (3,) m
Color = Sequence[float]  # red, green, blue in [0, 1]

SIZE = (640, 368)  # pixels; even numbers, as H.264 requires
NEAR = 0.1  # m, nothing closer to the camera is drawn
ORIGIN = (0.0, 0.0, 0.0)
NO_COLLISION = -1
UP = (0, 0, 1)


class Canvas:
    """Solids and a camera."""

    def __init__(self, field: float, far: float) -> None:
        """``field`` is the camera's vertical field of view, rad; nothing beyond ``far`` m is drawn.

        Release it by ``close``; ``open_canvas`` does.
        """
        self._client = connect()
        aspect = SIZE[0] / SIZE[1]
        self._projection = self._client.computeProjectionMatrixFOV(
            np.degrees(field), aspect, NEAR, far
        )

    def add(self, kind: str, size: Sequence[float], color: Color, pos: Point = ORIGIN) -> int:
        """Add a solid; returns its number.

        Args:
            kind: box, sphere, cylinder or capsule; the last two lie along z.
            size: m; edges of a box, radius of a sphere, radius and length of the others.
            color: its color.
            pos: its center.
        """
        shape = self._make_shape(kind, size, (*color, 1.0))
        return int(self._client.createMultiBody(0, NO_COLLISION, shape, pos))

    def _make_shape(self, kind: str, size: Sequence[float], rgba: Sequence[float]) -> int:
        client = self._client
        if kind == "box":
            half = [edge / 2 for edge in size]
            shape = client.createVisualShape(client.GEOM_BOX, halfExtents=half, rgbaColor=rgba)
        elif kind == "sphere":
            shape = client.createVisualShape(client.GEOM_SPHERE, radius=size[0], rgbaColor=rgba)
        else:
            kinds = {"cylinder": client.GEOM_CYLINDER, "capsule": client.GEOM_CAPSULE}
            shape = client.createVisualShape(
                kinds[kind],
                radius=size[0],
                length=size[1],
                rgbaColor=rgba,
            )
        return int(shape)

    def move(self, solid: int, pose: Array) -> None:
        """Put a solid at a pose (4, 4)."""
        rotation = pose[None, :3, :3]
        w, x, y, z = quaternion_from_matrix(rotation)[0]
        self._client.resetBasePositionAndOrientation(solid, pose[:3, 3], (x, y, z, w))

    def photograph(self, eye: Point, target: Point) -> Image:
        """The picture that a camera at ``eye`` takes when it looks at ``target``."""
        client = self._client
        width, height = SIZE
        image = client.getCameraImage(
            width,
            height,
            client.computeViewMatrix(eye, target, UP),
            self._projection,
            shadow=1,
            renderer=client.ER_TINY_RENDERER,
        )
        rgba = np.asarray(image[2], dtype=np.uint8)
        return rgba.reshape(height, width, 4)[..., :3]

    def close(self) -> None:
        """Release the renderer."""
        self._client.disconnect()


@contextmanager
def open_canvas(field: float, far: float) -> Iterator[Canvas]:
    """A canvas for the length of a ``with`` block."""
    canvas = Canvas(field, far)
    try:
        yield canvas
    finally:
        canvas.close()
