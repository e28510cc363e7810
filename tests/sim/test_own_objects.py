"""A user's own objects: what a folder must be like, and that both engines have what it says."""

import sys
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh
from own_objects import angle, bars, can, wedge, write_folder

from robots.errors import BadArgumentError, MissingExtraError
from robots.mesh_object import MeshObject
from robots.signals import Array
from robots.world import Start, Task
from sim import objects
from sim.engines.bullet import BulletEngine
from sim.engines.mujoco import MujocoEngine
from sim.families.push import Push
from sim.families.reach import Reach
from sim.families.slide import Slide
from sim.object_folder import describe_hull, read_objects
from sim.own_objects import object_names, with_objects
from sim.rendering.arm import object_shapes
from sim.vec_world import VecWorld

FAMILIES = (Slide, Push)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[MeshObject, ...]:
    return read_objects(write_folder(tmp_path_factory.mktemp("own") / "things"))


def tensor(solid: trimesh.Trimesh, count: int = 200_000) -> Array:
    """The inertia for a mass of 1 kg of random points in a solid, about their mean."""
    rng = np.random.default_rng(0)
    low, high = solid.bounds
    points = rng.uniform(low, high, (count, 3))
    points = points[solid.contains(points)] if solid.is_convex else points[in_angle(points)]
    points = points - points.mean(0)
    squared = (points**2).sum(-1)[:, None, None] * np.eye(3)
    found: Array = (squared - points[:, :, None] * points[:, None, :]).mean(0)
    return found


def in_angle(points: Array) -> Array:
    """Which points are in one of the two bars of ``angle``."""
    long = (np.abs(points) < (0.045, 0.02, 0.025)).all(-1)
    short = (np.abs(points - (-0.03, 0.035, 0.0)) < (0.015, 0.025, 0.024)).all(-1)
    inside: Array = long | short
    return inside


def test_the_mass_properties_are_those_of_the_mesh_and_not_of_its_hull(
    own: tuple[MeshObject, ...],
) -> None:
    upright = can()
    upright.apply_scale(0.001)
    y_up = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # z, x, y of the file along x, y, z
    rows = (
        (own[0], tensor(angle())),
        (own[1], y_up @ upright.moment_inertia @ y_up.T / upright.volume),
        (own[2], wedge().moment_inertia / wedge().volume),
    )
    for item, expected in rows:
        assert np.allclose(item.inertia, expected, atol=0.03 * expected.max()), item.name
    assert own[0].added_volume == pytest.approx(0.18, abs=0.03)
    assert "not convex" in describe_hull(own[0])
    assert not describe_hull(own[1])


def test_an_object_stands_on_its_axis_at_the_height_of_its_centroid(
    own: tuple[MeshObject, ...],
) -> None:
    heights = [item.rest_height for item in own]
    assert np.allclose(heights, [0.025, 0.03, 0.05 / 4], atol=1e-6)
    assert np.allclose(own[1].half_extent, (0.03, 0.03, 0.03), atol=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_tasks_have_the_objects_with_their_own_numbers(
    family: type[Slide | Push], own: tuple[MeshObject, ...]
) -> None:
    changed = with_objects(family(), own)
    rng = np.random.default_rng(0)
    train = changed.sample(rng, 200)
    held = changed.sample(rng, 20, "heldout")
    assert set(object_names(changed, train)) == {"angle", "can"}
    assert set(object_names(changed, held)) == {"wedge"}
    is_angle = train["object.shape"] == 0
    assert train["object.mass"][is_angle].min() == pytest.approx(0.2, abs=0.01)
    assert train["object.mass"][is_angle].max() == pytest.approx(0.4, abs=0.01)
    assert set(train["object.mass"][~is_angle]) == {0.3}
    assert set(train["object.com_y"][~is_angle]) == {0.004}
    assert np.ptp(train["marker.x"]) > 0.04
    assert train.names == family().sample(rng, 1).names
    assert not [each.name for each in changed.parameters if each.name.startswith("object.")]
    assert object_names(family(), train) == [None] * 200


def test_a_family_without_objects_draws_what_it_always_drew() -> None:
    family = with_objects(Slide(), ())
    again = family.sample(np.random.default_rng(0), 3, "heldout")
    assert family.own_objects == ()
    assert np.array_equal(
        again.values, Slide().sample(np.random.default_rng(0), 3, "heldout").values
    )
    assert set(family.sample(np.random.default_rng(0), 50)["object.shape"]) == {0, 1}


def test_without_marks_both_splits_have_every_object(own: tuple[MeshObject, ...]) -> None:
    family = with_objects(Slide(), own[:2])
    for split in ("train", "heldout"):
        task = family.sample(np.random.default_rng(1), 4, split)
        assert sorted(task["object.shape"]) == [0, 0, 1, 1]


def test_objects_rest_where_they_stand_and_slide_alike_in_both_engines(
    own: tuple[MeshObject, ...],
) -> None:
    """One model has all of them: each world collides with its own, and with no other."""
    family = with_objects(Slide(), own)
    heights = np.array([item.rest_height for item in own])
    ends = []
    for engine in ("mujoco", "bullet"):
        world = VecWorld(family, engine, len(own), seed=0)
        world.reset(of_each(family, len(own)))
        assert np.allclose(world.signals.object_pos[:, 2], heights, atol=1e-6)
        world.step(np.tile([0.0, 0.0], (len(own), 1)))
        signals = world.signals
        world.close()
        # Bullet's hulls have a margin of 1 mm
        assert np.allclose(signals.object_pos[:, 2], heights, atol=1.2e-3)
        assert np.abs(signals.object_quat[:, 1:3]).max() < 0.01  # none has fallen over
        ends.append(signals.object_pos[:, :2])
    in_mujoco, in_bullet = ends
    way = in_mujoco[:, 0] - family.mark[0]
    assert way.min() > 0.1  # all were struck
    assert np.ptp(way) > 0.02  # and they differ
    assert np.abs(in_mujoco - in_bullet).max() < 0.03


def test_the_inner_corner_of_an_object_of_parts_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ray from above into the corner meets the hull of an L, and the table if it has parts."""
    folder = write_folder(tmp_path)
    hulls = read_objects(folder)
    table = folder / "objects.toml"
    table.write_text(table.read_text().replace("mass = [0.2", "parts = true\nmass = [0.2"))
    monkeypatch.setattr("sim.object_folder.convex_solids", divide)
    own = read_objects(folder)
    assert [len(item.parts) for item in own] == [2, 1, 1]
    assert own[0].added_volume == pytest.approx(0, abs=0.03)  # the bars overlap a little
    assert own[0].inertia == hulls[0].inertia
    centroid = angle().center_mass
    corner = np.array([0.01, 0.03]) - centroid[:2]
    on_bar = np.array([-0.03, 0.05]) - centroid[:2]
    for choices, expected in ((hulls, 0.05), (own, 0.0)):
        found = heights_in_mujoco(choices, corner), heights_in_bullet(choices, corner)
        assert np.allclose(found, expected, atol=2e-3)
        found = heights_in_mujoco(choices, on_bar), heights_in_bullet(choices, on_bar)
        assert np.allclose(found, 0.05, atol=2e-3)


def heights_in_mujoco(own: tuple[MeshObject, ...], place: Array) -> float:
    """What a vertical ray meets beside the centroid of the first object, m over the table."""
    family = with_objects(Slide(), own)
    task = of_each(family, 1)
    engine = MujocoEngine(1)
    engine.load(family.scene, 1)
    engine.write(task)
    model = engine._model
    for name, field in engine._fields.items():
        getattr(model, name)[:] = field[0]
    data = mujoco.MjData(model)
    first = int(model.joint("object").qposadr[0])
    data.qpos[first : first + 3] = (0.0, 0.8, own[0].rest_height)
    mujoco.mj_forward(model, data)
    origin = np.array([place[0], 0.8 + place[1], 1.0])
    hit = np.zeros(1, dtype=np.int32)
    distance = mujoco.mj_ray(model, data, origin, [0.0, 0.0, -1.0], None, 1, -1, hit)
    return 1.0 - float(distance)


def heights_in_bullet(own: tuple[MeshObject, ...], place: Array) -> float:
    """The same."""
    family = with_objects(Slide(), own)
    engine = BulletEngine()
    engine.load(family.scene, 1)
    engine.write(of_each(family, 1))
    position = np.array([[0.0, 0.8, own[0].rest_height]])
    engine.reset(Start(q=family.ready[None], object_pos=position))
    x, y = (place + position[0, :2]).tolist()
    (ray,) = engine._drives[0].world.client.rayTest([x, y, 1.0], [x, y, -1.0])
    engine.close()
    return float(ray[3][2])


def divide(body: trimesh.Trimesh) -> list[trimesh.Trimesh]:
    """The bars of ``angle``, where they are in its mesh."""
    assert np.allclose(body.bounds, angle().bounds)
    return bars()


@pytest.mark.parametrize("closed", [True, False])
def test_a_mesh_is_divided_only_if_it_is_closed_and_coacd_is_there(
    closed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path)
    table = folder / "objects.toml"
    table.write_text(table.read_text().replace("mass = [0.2", "parts = true\nmass = [0.2"))
    monkeypatch.setitem(sys.modules, "coacd", None)
    if closed:
        with pytest.raises(MissingExtraError, match=r"angle: .*'/path/to/pliant\[objects\]'"):
            read_objects(folder)
        return
    opened = angle()
    opened.update_faces(np.arange(1, len(opened.faces)))
    opened.export(folder / "angle.obj")
    with pytest.raises(BadArgumentError, match=r"angle: .*angle\.obj is not closed"):
        read_objects(folder)
    table.write_text(table.read_text().replace("parts = true", "parts = false"))
    assert "is not closed: its convex hull" in describe_hull(read_objects(folder)[0])


@pytest.mark.slow
def test_coacd_divides_an_angle_into_parts_without_its_hole(tmp_path: Path) -> None:
    pytest.importorskip("coacd")
    folder = write_folder(tmp_path)
    table = folder / "objects.toml"
    table.write_text(table.read_text().replace("mass = [0.2", "parts = true\nmass = [0.2"))
    item = read_objects(folder)[0]
    assert len(item.parts) >= 2
    assert item.added_volume is not None
    assert item.added_volume < 0.08
    assert item == read_objects(folder)[0]


def of_each(family: Slide, count: int) -> Task:
    """A task with each object, the same otherwise."""
    one = family.sample(np.random.default_rng(0), 1)
    tasks = Task(one.names, np.repeat(one.values, count, 0), np.arange(count))
    codes = np.arange(count, dtype=np.float64)
    return tasks.with_columns({"object.shape": codes, "object.mass": np.full(count, 0.3)})


def test_both_engines_are_given_the_same_bodies(own: tuple[MeshObject, ...]) -> None:
    family = with_objects(Slide(), own)
    task = of_each(family, len(own))
    in_mujoco = MujocoEngine(1)
    in_mujoco.load(family.scene, len(own))
    in_mujoco.write(task)
    in_bullet = BulletEngine()
    in_bullet.load(family.scene, len(own))
    in_bullet.write(task)
    described = objects.describe(family.scene.objects[0], task)
    body = in_mujoco._model.body("object").id
    for row, drive in enumerate(in_bullet._drives):
        client = drive.world.client
        number = drive.world.objects[0].body
        mass, _, moments = client.getDynamicsInfo(number, -1)[:3]
        assert mass == pytest.approx(in_mujoco._fields["body_mass"][row, body])
        expected = np.sort(in_mujoco._fields["body_inertia"][row, body])
        assert np.allclose(np.sort(moments), expected, rtol=1e-6)
        assert np.allclose(np.sort(described.inertia.moments[row]), expected, rtol=1e-6)
    in_bullet.close()


def test_the_state_of_an_estimated_object_is_that_of_the_nearest_one(
    own: tuple[MeshObject, ...],
) -> None:
    family = with_objects(Slide(), own)
    task = of_each(family, 3).with_columns({"object.shape": np.array([-0.6, 1.2, 7.0])})
    known, start = family.state_of(np.zeros((3, 6)), task)
    assert known["object.shape"].tolist() == [0, 1, 2]
    assert start.object_pos is not None
    assert np.allclose(start.object_pos[:, 2], [item.rest_height for item in own])


def test_an_object_is_drawn_as_what_collides(own: tuple[MeshObject, ...]) -> None:
    (item,) = with_objects(Push(), own).scene.objects
    for code, own_object in enumerate(own):
        (shape,) = object_shapes({"object.shape": float(code)}, item)
        assert shape.mesh is not None
        assert np.allclose(np.abs(shape.mesh.vertices).max(0), own_object.half_extent)


def test_a_shape_that_a_folder_does_not_have_is_refused(own: tuple[MeshObject, ...]) -> None:
    family = with_objects(Slide(), own)
    task = of_each(family, 3).with_columns({"object.shape": np.array([0.0, 0.5, 3.0])})
    with pytest.raises(BadArgumentError, match=r"'angle'.*got \[0\.0, 0\.5, 3\.0\]"):
        objects.describe(family.scene.objects[0], task)


# what is changed in the table of the folder, and what the message says
BROKEN: dict[str, tuple[str, str, str]] = {
    "no mass": ("mass = 0.3", "", r"can: .*missing required field `mass`.*friction"),
    "a negative mass": ("mass = 0.3", "mass = -1", r"can: mass must be a number above 0 kg"),
    "a reversed mass": ("mass = 0.3", "mass = [2, 1]", r"can: mass must be .*\[low, high\]"),
    "a mass in words": ("mass = 0.3", "mass = 'light'", r"can: Expected `float \| array`"),
    "no friction": ("friction = 0.1\n", "\n", r"can: .*missing required field `friction`"),
    "zero friction": (
        "friction = 0.1\n",
        "friction = 0\n",
        r"can: friction must be a number above",
    ),
    "a restitution over 1": (
        "restitution = 0.5",
        "restitution = 1.5",
        r"angle: restitution .*\[0, 1",
    ),
    "an unknown key": ("scale = 0.001", "color = 'red'", r"can: .*unknown field `color`"),
    "a scale of zero": ("scale = 0.001", "scale = 0", r"can: scale must be above 0"),
    "no such axis": ('up = "y"', 'up = "w"', r"can: Invalid enum value 'w'"),
    "no such file": ('"can.stl"', '"tin.stl"', r"can: there is no mesh file .*tin\.stl"),
    "another format": (
        '"can.stl"',
        '"can.ply"',
        r"can: the mesh must be one of \.obj, \.stl, \.dae",
    ),
    "a broken mesh": ('"can.stl"', '"broken.stl"', r"can: the mesh .*broken\.stl cannot be read"),
    "no volume": ('"can.stl"', '"sheet.obj"', r"can: the mesh .*sheet\.obj is flat"),
    "a tip down": ("= 0.09", "= 0.09\nup = '-z'", r"wedge: .*wedge\.dae falls over with -z up"),
    "a lost bracket": ("[can]", "[can", r"Expected ']'"),
    "no table": ("\n[angle]", "tin = 1\n[angle]", r"tin: Expected `object`"),
}


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=list(BROKEN))
def test_a_broken_folder_is_refused_by_file_and_object(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path)
    (folder / "broken.stl").write_bytes(b"solid nothing")
    (folder / "sheet.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf 2 4 3\n")
    table = folder / "objects.toml"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))
    with pytest.raises(BadArgumentError, match=rf"(?s)objects\.toml.*{message}"):
        read_objects(folder)


def test_a_folder_without_objects_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match=r"it has no objects\.toml"):
        read_objects(tmp_path)
    (tmp_path / "objects.toml").write_text("")
    with pytest.raises(BadArgumentError, match="names no object"):
        read_objects(tmp_path)


def test_an_object_that_a_family_has_no_room_for_is_refused(own: tuple[MeshObject, ...]) -> None:
    heavy = MeshObject(**{**fields(own[1]), "mass": (1.0, 9.0)})
    with pytest.raises(BadArgumentError, match=r"can: mass 1 to 9: slide allows .*from 0\.01 to 5"):
        with_objects(Slide(), (heavy,))
    corners = own[1].parts[0].replace("0.03", "0.09")
    large = MeshObject(**{**fields(own[1]), "parts": (corners,)})
    with pytest.raises(BadArgumentError, match=r"can: size_\w 0\.09: push allows .*to 0\.0"):
        with_objects(Push(), (large,))
    held = MeshObject(**{**fields(own[1]), "heldout": True})
    with pytest.raises(BadArgumentError, match="all objects are held out"):
        with_objects(Push(), (held,))
    with pytest.raises(BadArgumentError, match="reach takes no objects of yours"):
        with_objects(Reach(), own)
    with pytest.raises(BadArgumentError, match="the kind 'meshes' alone has choices"):
        replace(Slide().scene.objects[0], choices=own)


def fields(item: MeshObject) -> dict[str, object]:
    return {name: getattr(item, name) for name in item.__struct_fields__}
