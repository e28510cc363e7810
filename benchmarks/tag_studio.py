"""A box with printed tags, and pictures of it by MuJoCo; ``eyes.py`` measures on them.

The camera stands still (``Studio``), or a Panda carries it (``WristStudio``).
"""

from pathlib import Path
from typing import Any

import cv2
import msgspec
import mujoco
import numpy as np

from robots.catalog.panda import PANDA
from robots.engine_urdf import engine_urdf
from robots.mujoco_model import compile_model
from robots.rotations import quaternion_from_matrix
from robots.signals import Array

WIDTH, HEIGHT = 1280, 720
FIELD = 0.75  # rad, vertical
SIZE = 0.04  # m, a tag's black square
PAPER = 1.25  # edge of the paper, in tags
PAPER_THICKNESS = 1e-4  # m
PRINT = 320  # pixels of a tag in its texture
HALF = np.array([0.06, 0.03, 0.03])  # m, of the box
CAMERA = np.array([0.5, -0.45, 0.7])  # m
AIM = np.array([0.5, 0.0, 0.03])
DICTIONARY = "DICT_APRILTAG_36h11"
UP = np.array([0.0, 0.0, 1.0])
# The camera on the arm: in the frame of the flange, which is MuJoCo's body of this name.
FLANGE = "striker"
ON_FLANGE = np.array([0.07, -0.02, 0.03])  # m
TOWARDS = np.array([0.02, 0.01, 0.43])  # m, a point that it looks at
OVER_THE_BOX = np.array([0.0, -0.3, 0.0, -2.2, 0.0, 1.9, 0.8])  # rad


def look_at(position: Array, target: Array) -> Array:
    """The rotation (3, 3) of the optical frame of a camera that looks at a point."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, UP)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    return np.stack([right, down, forward], axis=1)


def place_tags() -> list[dict[str, Any]]:
    """Two tags on top and one on each side, as the tracker's file has them."""
    x, y, z = (HALF + PAPER_THICKNESS).tolist()
    half = 0.5**0.5
    faces = {
        0: ([-0.03, 0, z], [1, 0, 0, 0]),
        1: ([0.03, 0, z], [1, 0, 0, 0]),
        2: ([0, -y, 0], [half, half, 0, 0]),
        3: ([x, 0, 0], [0.5, 0.5, 0.5, 0.5]),
        4: ([0, y, 0], [0, 0, half, half]),
        5: ([-x, 0, 0], [0.5, 0.5, -0.5, -0.5]),
    }
    return [
        {"id": number, "size": SIZE, "position": position, "quaternion": quaternion}
        for number, (position, quaternion) in faces.items()
    ]


def tracker_table(source: str | int = 0) -> dict[str, Any]:
    """The tracker's file for the camera that stands still."""
    camera = lens_table(WIDTH, HEIGHT) | {
        "source": source,
        "position": CAMERA.tolist(),
        "quaternion": quaternion_from_matrix(look_at(CAMERA, AIM)[None])[0].tolist(),
    }
    return {"dictionary": DICTIONARY, "camera": camera, "tag": place_tags()}


def wrist_table(width: int, height: int) -> dict[str, Any]:
    """The tracker's file for the camera on the flange."""
    rotation = look_at(ON_FLANGE, TOWARDS)
    camera = lens_table(width, height) | {
        "source": 0,
        "mount": "flange",
        "position": ON_FLANGE.tolist(),
        "quaternion": quaternion_from_matrix(rotation[None])[0].tolist(),
    }
    return {"dictionary": DICTIONARY, "camera": camera, "tag": place_tags()}


def lens_table(width: int, height: int) -> dict[str, Any]:
    """Size and matrix of MuJoCo's camera; a pixel's center is at a whole number."""
    focal = float(height / 2 / np.tan(FIELD / 2))
    matrix = [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    return {"width": width, "height": height, "matrix": matrix}


def write_config(file: Path, table: dict[str, Any]) -> None:
    """The table as TOML, whose numbers and lists are written as in JSON."""
    lines = [f"dictionary = {msgspec.json.encode(table['dictionary']).decode()}", "[camera]"]
    sections = [("", table["camera"]), *(("[[tag]]", tag) for tag in table["tag"])]
    for header, section in sections:
        lines.append(header)
        lines += [
            f"{key} = {msgspec.json.encode(value).decode()}" for key, value in section.items()
        ]
    file.write_text("\n".join(lines))


def furnish(spec: Any, width: int, height: int) -> None:
    """Add the box with its papers, on a table, lit from above."""
    spec.visual.global_.offwidth = width
    spec.visual.global_.offheight = height
    spec.visual.quality.offsamples = 8
    spec.visual.map.znear = 0.01
    world = spec.worldbody
    world.add_light(pos=[0.3, -0.5, 2.0], dir=[0.1, 0.25, -1.0], castshadow=False)
    world.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1], rgba=[0.5, 0.45, 0.4, 1])
    box = world.add_body(name="box", mocap=True)
    box.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=HALF, rgba=[0.7, 0.6, 0.5, 1])
    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, DICTIONARY))
    for tag in place_tags():
        add_paper(spec, box, family, tag)


def add_camera(body: Any, position: Array, target: Array) -> None:
    """A camera that looks at a point, both in the frame of its body."""
    camera = body.add_camera(name="eye", pos=position, fovy=np.degrees(FIELD))
    optical = look_at(position, target)
    camera.quat = quaternion_from_matrix((optical * [1, -1, -1])[None])[0]  # y up, -z forward


def arm_without_shapes() -> Any:
    """The Panda's links and joints; nothing of it can hide the box."""
    urdf = engine_urdf(PANDA)
    spec = mujoco.MjSpec.from_string(urdf.text, assets=urdf.meshes)
    spec.compiler.fusestatic = False
    spec.compiler.discardvisual = False  # the papers do not collide
    for geom in list(spec.geoms):
        spec.delete(geom)
    return spec


def add_paper(spec: Any, box: Any, family: Any, tag: dict[str, Any]) -> None:
    """A square of paper with a printed tag on the box."""
    name = f"tag{tag['id']}"
    margin = round(PRINT * (PAPER - 1) / 2)
    edge = PRINT + 2 * margin
    paper = np.full((edge, edge), 235, dtype=np.uint8)
    printed = cv2.aruco.generateImageMarker(family, tag["id"], PRINT)
    paper[margin:-margin, margin:-margin] = np.clip(printed, 20, 235)
    # MuJoCo's textures begin at the lower left corner
    colors = np.repeat(np.flipud(paper)[..., None], 3, axis=-1)
    texture = spec.add_texture(
        name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=edge, height=edge, nchannel=3
    )
    texture.data = colors.tobytes()
    material = spec.add_material(name=name, specular=0.0, shininess=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
    half = SIZE * PAPER / 2
    mesh = spec.add_mesh(name=name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    mesh.uservert = [-half, -half, 0, half, -half, 0, half, half, 0, -half, half, 0]
    mesh.usertexcoord = [0, 0, 1, 0, 1, 1, 0, 1]
    mesh.userface = [0, 1, 2, 0, 2, 3]
    box.add_geom(
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=name,
        material=name,
        contype=0,
        conaffinity=0,
        pos=tag["position"],
        quat=tag["quaternion"],
    )


class Studio:
    """Renders the box at poses."""

    def __init__(self) -> None:
        spec = mujoco.MjSpec()
        furnish(spec, WIDTH, HEIGHT)
        add_camera(spec.worldbody, CAMERA, AIM)
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)

    def photograph(self, pos: Array, quat: Array) -> Any:
        """The gray picture (h, w) of the box at a pose."""
        self.data.mocap_pos[0] = pos
        self.data.mocap_quat[0] = quat
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera="eye")
        return cv2.cvtColor(self.renderer.render(), cv2.COLOR_RGB2GRAY)


class WristStudio:
    """Renders the box at AIM as the Panda's camera sees it; MuJoCo moves the links."""

    def __init__(self, width: int, height: int) -> None:
        spec = arm_without_shapes()
        furnish(spec, width, height)
        add_camera(spec.body(FLANGE), ON_FLANGE, TOWARDS)
        self.model = compile_model(spec)
        self.data = mujoco.MjData(self.model)
        self.data.mocap_pos[0] = AIM
        self.renderer = mujoco.Renderer(self.model, height, width)

    def photograph(self, q: Array) -> Any:
        """The gray picture (h, w) with the arm at q (7,) rad."""
        self.data.qpos[: len(q)] = q
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera="eye")
        return cv2.cvtColor(self.renderer.render(), cv2.COLOR_RGB2GRAY)
