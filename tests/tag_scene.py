"""Pictures of tags at known poses: warped prints of the tags, without any renderer."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from hw_interface.trackers.fiducial_config import (
    FiducialConfig,
    lens_of,
    rotation_of,
    tag_corners,
)
from hw_interface.trackers.fiducial_pose import ObjectPose, PoseSolver
from robots.rotations import quaternion_from_matrix, transform
from robots.signals import Array

WIDTH, HEIGHT = 960, 720
PRINT = 160  # pixels of a tag's picture, without its white border: about as large as it is drawn
BORDER = 20  # pixels of white around it
SMOOTHING = 3  # each pixel of a picture is the mean of so many, squared
DICTIONARY = "DICT_APRILTAG_36h11"
DOWN = (0.0, 1.0, 0.0, 0.0)  # a camera that looks down: its y axis is -y of the base
# Two tags on the top of a box of 0.12 x 0.06 m, and one on the side that faces -y.
TOP = [
    {"id": 3, "size": 0.04, "position": [-0.03, 0, 0.03]},
    {"id": 4, "size": 0.04, "position": [0.03, 0, 0.03]},
]
SIDE = {
    "id": 5,
    "size": 0.04,
    "position": [0, -0.03, 0],
    "quaternion": [0.5**0.5, 0.5**0.5, 0, 0],  # x to the right, y up, z towards -y
}


def table(**changes: Any) -> dict[str, Any]:
    """A configuration as its file has it: a camera 0.7 m above the base plane, looking down."""
    camera = {
        "source": 0,
        "width": WIDTH,
        "height": HEIGHT,
        "matrix": [[900.0, 0, 479.5], [0, 900.0, 359.5], [0, 0, 1]],
        "position": [0.5, 0.0, 0.7],
        "quaternion": list(DOWN),
    }
    return {"dictionary": DICTIONARY, "camera": camera, "tag": [*TOP, SIDE], **changes}


def config_of(**changes: Any) -> FiducialConfig:
    return msgspec.convert(table(**changes), FiducialConfig)


def solver_of(config: FiducialConfig) -> Callable[..., ObjectPose | None]:
    """Its PoseSolver, with the camera where the configuration says that it stands."""
    solve = PoseSolver(config)
    camera = transform(rotation_of(config.camera.quaternion), np.array(config.camera.position))

    def solve_here(seen: Mapping[int, Array], last: Array | None = None) -> ObjectPose | None:
        return solve(seen, camera, last)

    return solve_here


def project(config: FiducialConfig, points: Array, pos: Array, quat: Array) -> Array:
    """Pixels (k, 2) of points (k, 3) of the object, by the pinhole's formula; no distortion."""
    in_base = points @ rotation_of(quat).T + pos
    in_camera = (in_base - config.camera.position) @ rotation_of(config.camera.quaternion)
    matrix = lens_of(config.camera).matrix
    pixels = in_camera @ matrix.T
    return np.asarray(pixels[:, :2] / pixels[:, 2:])


def picture_of(
    config: FiducialConfig, pos: Array, quat: Array, hidden: tuple[int, ...] = ()
) -> Any:
    """The picture (h, w) of the object's tags; without hidden tags and backs."""
    s = SMOOTHING
    large = np.full((s * HEIGHT, s * WIDTH), 170, dtype=np.uint8)
    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, config.dictionary))
    edge = PRINT + 2 * BORDER
    # a pixel's center is at a whole number, so that an edge is at one half
    low, high = BORDER - 0.5, BORDER + PRINT - 0.5
    corners = np.array([[low, low], [high, low], [high, high], [low, high]], dtype=np.float32)
    for tag in config.tag:
        if tag.id in hidden:
            continue
        seen = project(config, tag_corners(tag), pos, quat)
        if cv2.contourArea(seen.astype(np.float32), oriented=True) < 0:
            continue  # its back
        paper = np.full((edge, edge), 255, dtype=np.uint8)
        inner = slice(BORDER, BORDER + PRINT)
        paper[inner, inner] = cv2.aruco.generateImageMarker(family, tag.id, PRINT)
        on_large = s * seen + (s - 1) / 2
        warp = cv2.getPerspectiveTransform(corners, on_large.astype(np.float32))
        size = (s * WIDTH, s * HEIGHT)
        drawn = cv2.warpPerspective(paper, warp, size, flags=cv2.INTER_AREA)
        covered = cv2.warpPerspective(np.full_like(paper, 255), warp, size)
        large[covered > 127] = drawn[covered > 127]
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def spoil(picture: Any, rng: np.random.Generator, blur: float, noise: float) -> Any:
    """A picture with Gaussian blur and noise: standard deviations in pixels and gray levels."""
    blurred = cv2.GaussianBlur(picture, (0, 0), blur)
    noisy = blurred + rng.normal(0, noise, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def random_pose(rng: np.random.Generator) -> tuple[Array, Array]:
    """A pose on the table in the picture: any yaw, tilted by up to 0.5 rad."""
    pos = np.array([0.5, 0.0, 0.03]) + rng.uniform(-1, 1, 3) * [0.15, 0.1, 0.02]
    tilt = rng.uniform(-0.35, 0.35, 2)
    turn, _ = cv2.Rodrigues(np.array([*tilt, 0.0]))
    yaw = rng.uniform(-np.pi, np.pi)
    quat = np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])
    return pos, quaternion_from_matrix((rotation_of(quat) @ turn)[None])[0]


def write_config(folder: Path, **changes: Any) -> Path:
    """A configuration file of the scene with changes."""
    given = table(**changes)
    lines = []
    for name, value in given.items():
        if not isinstance(value, dict | list):
            lines.append(f"{name} = {value!r}")
    lines += ["tag = []"] if given["tag"] == [] else []
    lines.append("[camera]")
    lines += [f"{name} = {value!r}" for name, value in given["camera"].items()]
    for tag in given["tag"]:
        lines.append("[[tag]]")
        lines += [f"{name} = {value!r}" for name, value in tag.items()]
    file = folder / "eyes.toml"
    file.write_text("\n".join(lines))
    return file
