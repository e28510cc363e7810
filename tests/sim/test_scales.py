"""Task parameters that scale MuJoCo's bodies, joints and geoms."""

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.world import Task
from sim.engines import ENGINES
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES

FAMILY = FAMILIES["cheetah_vel"]()


def loaded(n: int) -> MujocoEngine:
    engine = MujocoEngine(threads=1)
    engine.load(FAMILY.scene, n)
    return engine


def task_of(**columns: list[float]) -> Task:
    """A task with parameters whose dots are written as ``__``."""
    names = tuple(name.replace("__", ".") for name in columns)
    values = np.array(list(columns.values())).T
    return Task(names, values, np.arange(len(values)))


@pytest.mark.parametrize(
    ("parameter", "field", "rows"),
    [
        ("body__mass_scale", "body_mass", slice(None)),
        ("body__bshin__mass_scale", "body_mass", slice(3, 4)),
        ("body__bshin__inertia_scale", "body_inertia", slice(3, 4)),
        ("joint__damping_scale", "dof_damping", slice(None)),
        ("joint__bfoot__damping_scale", "dof_damping", slice(5, 6)),
        ("geom__floor__friction_scale", "geom_friction", slice(0, 1)),
    ],
)
def test_a_factor_scales_what_it_names_and_nothing_else(
    parameter: str, field: str, rows: slice
) -> None:
    engine = loaded(2)
    plain = engine.batch.get_model(0)
    engine.write(task_of(**{parameter: [1.0, 2.5]}))
    scaled = engine.batch.get_model(1)
    for name in ("body_mass", "body_inertia", "dof_damping", "geom_friction"):
        expected = getattr(plain, name).copy()
        if name == field:
            expected[rows] *= 2.5
        np.testing.assert_array_equal(getattr(scaled, name), expected)
        np.testing.assert_array_equal(
            getattr(engine.batch.get_model(0), name), getattr(plain, name)
        )
    engine.write(task_of(actuator__strength=[1.0, 1.0]))
    restored = engine.batch.get_model(1)
    np.testing.assert_array_equal(getattr(restored, field), getattr(plain, field))
    assert restored.dof_M0 == pytest.approx(plain.dof_M0)


def test_factors_of_a_whole_and_of_a_part_multiply() -> None:
    engine = loaded(1)
    plain = engine.batch.get_model(0).body_mass.copy()
    engine.write(task_of(body__mass_scale=[2.0], body__torso__mass_scale=[3.0]))
    mass = engine.batch.get_model(0).body_mass
    assert mass[1] == pytest.approx(6 * plain[1])
    np.testing.assert_allclose(mass[2:], 2 * plain[2:])


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
@pytest.mark.parametrize(
    "parameter",
    [
        "body__wing__mass_scale",
        "body__torso__mas_scale",
        "body__torso__mass__scale",
        "body__mass",
        "joint__knee__damping_scale",
        "geom__ceiling__friction_scale",
        "actuator__knee",
    ],
)
def test_physics_that_the_body_has_not_are_refused_by_name(engine: str, parameter: str) -> None:
    simulation = ENGINES[engine]()
    simulation.load(FAMILY.scene, 1)
    name = parameter.replace("__", ".")
    with pytest.raises(BadArgumentError, match=f"{name} is no physics of half_cheetah"):
        simulation.write(task_of(**{parameter: [1.0]}))
    simulation.close()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_an_impossible_factor_is_refused_by_name(value: float) -> None:
    engine = loaded(2)
    with pytest.raises(
        BadArgumentError, match=r"body\.torso\.mass_scale must be finite and positive"
    ):
        engine.write(task_of(body__torso__mass_scale=[1.0, value]))


def test_bullet_refuses_what_only_mujocos_model_has() -> None:
    engine = ENGINES["bullet"]()
    engine.load(FAMILY.scene, 1)
    with pytest.raises(BadArgumentError, match=r"body\.mass_scale is no physics"):
        engine.write(task_of(body__mass_scale=[1.5]))
    engine.close()


@pytest.mark.parametrize("name", ["ant_goal", "humanoid_dir", "hopper_params", "walker_params"])
def test_bullet_refuses_bodies_that_it_cannot_carry_by_name(name: str) -> None:
    scene = FAMILIES[name]().scene
    assert not ENGINES["bullet"].supports(scene)
    with pytest.raises(BadArgumentError, match=scene.body.name):
        ENGINES["bullet"]().load(scene, 1)


def test_a_reading_is_fresh_after_a_mass_was_written() -> None:
    family = FAMILIES["ant_goal"]()
    engine = MujocoEngine(threads=1)
    engine.load(family.scene, 2)
    task = task_of(body__front_left_leg__mass_scale=[1.0, 50.0])
    engine.reset(family.start(np.random.default_rng(0), task))
    before = engine.read().center_of_mass
    engine.write(task)
    after = engine.read().center_of_mass
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after[0], before[0])
    assert np.linalg.norm(after[1] - before[1]) > 0.01  # m
    engine.close()
