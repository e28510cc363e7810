"""A box with printed tags, and pictures of it by MuJoCo; ``eyes.py`` measures on them."""

from pathlib import Path
from typing import Any

import cv2
import msgspec
import mujoco
import numpy as np

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
    """The tracker's file; a pixel's center is at a whole number."""
    focal = float(HEIGHT / 2 / np.tan(FIELD / 2))
    rotation = look_at(CAMERA, AIM)
    camera = {
        "source": source,
        "width": WIDTH,
        "height": HEIGHT,
        "matrix": [[focal, 0, (WIDTH - 1) / 2], [0, focal, (HEIGHT - 1) / 2], [0, 0, 1]],
        "position": CAMERA.tolist(),
        "quaternion": quaternion_from_matrix(rotation[None])[0].tolist(),
    }
    return {"dictionary": DICTIONARY, "camera": camera, "tag": place_tags()}


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


def build_scene() -> mujoco.MjModel:
    """The box with its papers, on a table, lit from above."""
    spec = mujoco.MjSpec()
    spec.visual.global_.offwidth = WIDTH
    spec.visual.global_.offheight = HEIGHT
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
    camera = world.add_camera(name="eye", pos=CAMERA, fovy=np.degrees(FIELD))
    optical = look_at(CAMERA, AIM)
    camera.quat = quaternion_from_matrix((optical * [1, -1, -1])[None])[0]  # y up, -z forward
    return spec.compile()


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
        self.model = build_scene()
        self.data = mujoco.MjData(self.model)
        self.renderer = mujoco.Renderer(self.model, HEIGHT, WIDTH)

    def photograph(self, pos: Array, quat: Array) -> Any:
        """The gray picture (h, w) of the box at a pose."""
        self.data.mocap_pos[0] = pos
        self.data.mocap_quat[0] = quat
        mujoco.mj_forward(self.model, self.data)
        self.renderer.update_scene(self.data, camera="eye")
        return cv2.cvtColor(self.renderer.render(), cv2.COLOR_RGB2GRAY)
