"""Geometry and mass properties of objects, against brute force."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from toys.body import CART

from robots.errors import BadArgumentError
from robots.scene import FLAT_OBJECT, Scene, SceneObject
from robots.signals import Array
from robots.world import Task
from sim import contact_spring, objects
from sim.outlines import DISC, HIDDEN, SHAPES
from sim.scene_model import build_scene


def of_shape(name: str, **changes: float) -> dict[str, Array]:
    values = objects.defaults(FLAT_OBJECT) | {"shape": SHAPES.index(name)} | changes
    return {key: np.array([float(value)]) for key, value in values.items()}


def cloud(p: dict[str, Array], n: int = 200_000) -> Array:
    """Points of uniform density in the footprint of an object; twice as many in overlaps."""
    made = objects.parts(FLAT_OBJECT, p)
    rng = np.random.default_rng(0)
    weight = (objects.volume(made.kinds, made.size) * made.used)[0]
    points = []
    for k in np.flatnonzero(made.used[0]):
        size = made.size[0, k]
        count = int(n * weight[k] / weight.sum())
        if k < DISC:
            inside = rng.uniform(-1, 1, (count, 3)) * size
        else:
            angle = rng.uniform(0, 2 * np.pi, count)
            radius = size[0] * np.sqrt(rng.random(count))
            height = size[1] * rng.uniform(-1, 1, count)
            inside = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)
        points.append(inside + made.pos[0, k])
    return np.concatenate(points)


@pytest.mark.parametrize("name", SHAPES)
def test_the_frame_is_the_centroids_and_the_inertia_is_that_of_its_points(name: str) -> None:
    p = of_shape(name, size_x=0.05, size_y=0.04, size_z=0.02, mass=0.3)
    points = cloud(p)
    assert np.abs(points.mean(0)).max() < 3e-4
    inertia = objects.inertia(FLAT_OBJECT, p, objects.parts(FLAT_OBJECT, p))
    squared = (points**2).sum(-1)[:, None, None] * np.eye(3)
    outer = points[:, :, None] * points[:, None, :]
    tensor = 0.3 * (squared - outer).mean(0)
    assert np.allclose(np.sort(inertia.moments[0]), np.linalg.eigvalsh(tensor), rtol=0.01)
    assert inertia.mass[0] == 0.3
    x, y, z = inertia.moments[0]
    assert x < y + z
    assert y < x + z
    assert z < x + y


@pytest.mark.parametrize("name", SHAPES)
def test_an_object_fills_its_size_and_hides_parts_that_it_does_not_use(name: str) -> None:
    p = of_shape(name, size_x=0.05, size_y=0.04)
    made = objects.parts(FLAT_OBJECT, p)
    is_box = np.arange(3)[:, None] < DISC
    half = np.where(is_box, made.size[..., :2], made.size[..., :1])
    center = made.pos[..., :2]
    low = (center - half)[made.used]
    high = (center + half)[made.used]
    extent = high.max(0) - low.min(0)
    assert np.allclose(extent, (0.1, 0.1 if name == "cylinder" else 0.08))
    hidden = ~made.used[0]
    assert (made.size[0, hidden, :1] <= HIDDEN).all()
    inside = made.pos[0, made.used[0].argmax()]
    assert (made.pos[0, hidden] == inside).all()


def test_a_shape_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="cylinder"):
        objects.parts(FLAT_OBJECT, of_shape("box") | {"shape": np.array([9.0])})


def test_a_contact_of_the_given_damping_gives_back_its_restitution() -> None:
    for restitution in (0.2, 0.5, 0.8):
        ratio = float(contact_spring.damping_ratio(np.array(restitution)))
        omega = 300.0
        dt = 1e-6
        x = 0.0
        v = -1.0
        while x <= 0:  # a mass on the spring-damper, from touch to release
            v += dt * (-2 * ratio * omega * v - omega**2 * x)
            x += dt * v
        assert abs(v - restitution) < 0.02


SIZES = {
    "box": (0.03, 0.05, 0.02),
    "sphere": (0.04,),
    "cylinder": (0.03, 0.06),
    "capsule": (0.03, 0.06),
    "mesh": (1.0, 2.0, 0.5),
}


@pytest.mark.parametrize("kind", SIZES)
def test_every_kind_has_the_inertia_and_the_box_that_mujoco_gives_it(
    kind: str, tmp_path: Path
) -> None:
    mesh = None
    if kind == "mesh":
        mesh = tmp_path / "cone.stl"
        trimesh.creation.cone(0.05, 0.1).export(mesh)
    item = SceneObject("thing", kind, SIZES[kind], mass=0.7, mesh=mesh)
    described = objects.describe(item, Task((), np.zeros((1, 0)), np.arange(1)))
    spec = build_scene(Scene(CART, (item,)))
    (geom,) = spec.body("thing").geoms
    geom.mass = 0.7
    if kind != "mesh":
        geom.size[: len(item.size)] = item.size
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_TRUE
    model = spec.compile()
    body = model.body("thing").id
    found = np.sort(model.body_inertia[body])
    np.testing.assert_allclose(found, np.sort(described.inertia.moments[0]), rtol=1e-5)
    np.testing.assert_allclose(model.body_ipos[body], 0, atol=1e-7)
    if kind != "mesh":  # whose box in MuJoCo lies along its principal axes
        box = described.parts.half_extent()[0, 0]
        np.testing.assert_allclose(model.geom_aabb[model.body_geomadr[body], 3:], box, atol=1e-9)


def test_a_mesh_that_is_missing_or_flat_is_refused_by_its_file(tmp_path: Path) -> None:
    nothing = Task((), np.zeros((1, 0)), np.arange(1))
    missing = SceneObject("thing", "mesh", (1.0, 1.0, 1.0), mesh=tmp_path / "absent.stl")
    with pytest.raises(BadArgumentError, match=r"absent\.stl"):
        objects.describe(missing, nothing)
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 3, 2]])
    sheet.export(tmp_path / "sheet.stl")
    flat = SceneObject("thing", "mesh", (1.0, 1.0, 1.0), mesh=tmp_path / "sheet.stl")
    with pytest.raises(BadArgumentError, match=r"sheet\.stl is flat"):
        objects.describe(flat, nothing)
