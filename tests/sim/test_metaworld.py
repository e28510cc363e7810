"""Families that are benchmarks of Meta-World do what metaworld's own environments do."""

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robots.errors import BadArgumentError, MissingExtraError, UnknownNameError
from robots.signals import Array
from robots.world import Task
from sim.engines import engine_for
from sim.families import FAMILIES
from sim.families.metaworld import Metaworld
from sim.metaworld import package
from sim.metaworld.environment import published_places
from sim.metaworld.names import MANY, TASKS, metaworld_names
from sim.vec_world import VecWorld

OBSERVED = 39
FIRST_GOALS = 5
REACH = "metaworld/ML1-reach"
PUSH = "metaworld/ML1-push"
ML10 = "metaworld/ML10"
SPLITS = ("train", "heldout")


@pytest.fixture(scope="module")
def metaworld() -> Any:
    """The package, repaired for this MuJoCo."""
    found = pytest.importorskip("metaworld", reason=package.INSTALL)
    package.environment_classes()
    return found


def make(name: str) -> Metaworld:
    family: Metaworld = FAMILIES[name]()
    return family


def one_goal(family: Metaworld, task: str, goal: int) -> Task:
    """The training goal of a number, in one world."""
    values = np.array([TASKS.index(task), *published_places(task, seed=0)[goal]])
    return Task(family.task_names, values[None], np.zeros(1, dtype=np.int64))


@pytest.fixture(scope="module")
def ml1(metaworld: Any) -> Any:
    """metaworld's benchmark of one task, with the first of its 50 goals: it draws them slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metaworld, "_N_GOALS", FIRST_GOALS)
        return metaworld.ML1("push-v3", seed=0)


def test_an_episode_is_metaworlds_up_to_its_time_limit(ml1: Any) -> None:
    family = make(PUSH)
    task = one_goal(family, "push", 3)
    env = ml1.train_classes["push-v3"]()
    env.set_task(ml1.train_tasks[3])
    world = VecWorld(family, n=1)
    for steps in (500, 5):  # the second episode begins like the first
        obs, _ = env.reset()
        np.testing.assert_allclose(world.reset(task)[0, :OBSERVED], obs, rtol=0, atol=1e-9)
        rng = np.random.default_rng(1)
        for action in rng.uniform(-1, 1, (steps, 1, 4)):
            step = world.step(action)
            obs, reward, terminated, truncated, info = env.step(action[0])
            np.testing.assert_allclose(step.obs[0, :OBSERVED], obs, rtol=0, atol=1e-9)
            assert step.reward[0] == pytest.approx(reward, rel=0, abs=1e-9)
            assert step.success[0] == bool(info["success"])
            assert bool(step.terminated[0]) == terminated
            assert bool(step.truncated[0]) == truncated
    world.close()


def test_its_quaternions_are_scipys() -> None:
    rotations = Rotation.random(200, np.random.default_rng(0))
    found = [package.Rotation.from_matrix(one).as_quat() for one in rotations.as_matrix()]
    expected = [Rotation.from_matrix(one).as_quat() for one in rotations.as_matrix()]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_its_goals_are_those_of_ml1(ml1: Any) -> None:
    family = make(PUSH)
    splits = {"train": ml1.train_tasks, "heldout": ml1.test_tasks}
    for seed, (split, theirs) in enumerate(splits.items()):
        published = published_places("push", seed)
        first = [pickle.loads(task.data)["rand_vec"] for task in theirs]
        np.testing.assert_array_equal(published[:FIRST_GOALS], first)
        drawn = family.sample(np.random.default_rng(0), 1000, split).columns(*family.task_names[1:])
        np.testing.assert_array_equal(np.unique(drawn, axis=0), np.unique(published, axis=0))


def test_a_task_has_the_same_number_in_every_draw_and_no_other_task_has_it() -> None:
    pytest.importorskip("metaworld")
    family = make(REACH)
    draws = [family.sample(np.random.default_rng(i % 2), 300, s) for i, s in enumerate(SPLITS * 2)]
    values = np.concatenate([draw.values for draw in draws])
    ids = np.concatenate([draw.ids for draw in draws])
    numbered = np.unique(np.column_stack([ids, values]), axis=0)
    assert len(numbered) == len(np.unique(ids)) == len(np.unique(values, axis=0)) == 100


def test_tasks_and_splits_are_the_packages(metaworld: Any) -> None:
    from metaworld import env_dict

    assert list(TASKS) == [name.removesuffix("-v3") for name in env_dict.ALL_V3_ENVIRONMENTS]
    for benchmark, splits in MANY.items():
        theirs = vars(env_dict)[f"{benchmark}_V3"]
        for ours, split in zip(splits, ("train", "test"), strict=True):
            assert {f"{task}-v3" for task in ours} == set(theirs[split])


def test_in_ml10_tasks_are_held_out(metaworld: Any) -> None:
    family = make(ML10)
    drawn = {}
    for split, count in (("train", 10), ("heldout", 5)):
        task = family.sample(np.random.default_rng(0), 1000, split)
        numbers, counts = np.unique(task["fixture.task"], return_counts=True)
        assert counts.min() > 0.6 * 1000 / count
        drawn[split] = {TASKS[int(number)] for number in numbers}
    assert drawn == {split: set(MANY["ML10"][i]) for i, split in enumerate(("train", "heldout"))}


def test_every_goal_is_drawn_once_before_any_is_drawn_twice() -> None:
    pytest.importorskip("metaworld", reason=package.INSTALL)
    ids = make(REACH).sample(np.random.default_rng(0), 120, "heldout").ids
    for drawn in (ids[:50], ids[50:100]):
        assert len(np.unique(drawn)) == 50
    assert len(np.unique(ids[100:])) == 20


def test_worlds_of_different_tasks_do_what_each_does_alone(metaworld: Any) -> None:
    family = make(ML10)
    rng = np.random.default_rng(3)
    task = family.sample(rng, 3)
    later = family.sample(rng, 3)  # the tasks of the same worlds are exchanged
    assert len(np.unique(task["fixture.task"])) == 3
    actions = rng.uniform(-1, 1, (10, 3, 4))
    together = VecWorld(family, n=3)
    results = [episode(together, each, actions) for each in (later, task)]
    for i in range(3):
        alone = VecWorld(family, n=1)
        own = episode(alone, task.take([i]), actions[:, i : i + 1])
        np.testing.assert_array_equal(results[1][:, i], own[:, 0])
        alone.close()
    together.close()


def episode(world: VecWorld, task: Task, actions: Array) -> Array:
    """Observations, with success and reward as the last columns."""
    first = world.reset(task)
    return np.stack([first, *(world.step(action).obs for action in actions)])


def test_the_goal_is_not_observed(metaworld: Any) -> None:
    family = make(REACH)
    task = family.sample(np.random.default_rng(0), 2)
    object_x, goal_x = (f"fixture.place_{i}" for i in (0, 3))
    task.values[1] = task.values[0]
    task.values[1, family.task_names.index(goal_x)] *= -1
    observed = episode(VecWorld(family, n=2), task, np.full((5, 2, 4), 0.3))
    goal = family.obs.indices(["goal_x", "goal_y", "goal_z"])
    assert not observed[..., goal].any()
    np.testing.assert_array_equal(observed[:, 0, :OBSERVED], observed[:, 1, :OBSERVED])
    assert (observed[1:, 0, -1] != observed[1:, 1, -1]).all()  # the rewards
    task.values[1] = task.values[0]
    task.values[1, family.task_names.index(object_x)] *= -1
    moved = episode(VecWorld(family, n=2), task, np.full((5, 2, 4), 0.3))
    assert (moved[:, 0, :OBSERVED] != moved[:, 1, :OBSERVED]).any()


@pytest.mark.filterwarnings("ignore:Constant")  # the experts' large gains, which are meant
@pytest.mark.parametrize("task", ["reach", "push", "door-open"])
def test_metaworlds_scripted_expert_solves_it(metaworld: Any, task: str) -> None:
    from metaworld.policies import ENV_POLICY_MAP

    family = make(f"metaworld/ML1-{task}")
    expert = ENV_POLICY_MAP[f"{task}-v3"]()
    world = VecWorld(family, n=1)
    for goal in range(2):
        told = one_goal(family, task, goal)
        obs = world.reset(told)
        observed = []
        for _ in range(150):
            told_obs = obs[0, :OBSERVED].copy()
            told_obs[-3:] = world.engine.worlds[0].env._target_pos  # type: ignore[attr-defined]
            step = world.step(expert.get_action(told_obs)[None])
            obs = step.obs
            observed.append(obs)
            if step.success[0]:
                break
        metrics = family.metrics(np.stack(observed), told.values)
        means = {name: np.mean(value, 0) for name, value in metrics.items()}
        assert family.episode_success(means).all()
    world.close()


def test_an_episode_is_a_success_if_any_action_was() -> None:
    family = make(REACH)
    solved = np.zeros((500, 2))
    solved[100, 1] = 1
    means = {"solved_share_1": solved.mean(0), "reward_1": np.zeros(2)}
    assert family.episode_success(means).tolist() == [False, True]


def test_physics_that_break_down_are_reported_until_the_reset(metaworld: Any) -> None:
    family = make(PUSH)
    world = VecWorld(family, n=2)
    task = family.sample(np.random.default_rng(0), 2)
    world.reset(task)
    before = world.step(np.zeros((2, 4)))
    world.engine.worlds[0].env.data.qvel[:] = np.nan  # type: ignore[attr-defined]
    broken = world.step(np.zeros((2, 4)))
    assert world.engine.diverged.tolist() == [True, False]
    np.testing.assert_array_equal(broken.obs[0], before.obs[0])
    assert np.isfinite(broken.obs).all()
    obs = world.reset(task, mask=np.array([True, False]))
    assert not world.engine.diverged.any()
    assert world.signals.stamp.tolist() == [0.0, 2 * family.dt]
    np.testing.assert_array_equal(obs[1], broken.obs[1])  # the other world goes on
    world.close()


def test_impossible_places_are_refused_by_name(metaworld: Any) -> None:
    family = make(REACH)
    world = VecWorld(family)
    task = family.sample(np.random.default_rng(0), 1)
    with pytest.raises(BadArgumentError, match=r"fixture\.place_3 of reach must be from -0.1 to"):
        world.reset(task.with_columns({"fixture.place_3": np.ones(1)}))
    with pytest.raises(BadArgumentError, match=r"fixture\.task must be a whole number below 50"):
        world.reset(task.with_columns({"fixture.task": np.full(1, 1.5)}))
    push = make(PUSH)
    task = push.sample(np.random.default_rng(0), 1)
    above = {f"fixture.place_{i + 3}": task[f"fixture.place_{i}"] for i in range(2)}
    above["fixture.place_4"][:] = 0.8
    above["fixture.place_1"] = np.full(1, 0.7)
    with pytest.raises(BadArgumentError, match="push: object and goal are too close"):
        VecWorld(push).reset(task.with_columns(above))


def test_it_runs_in_an_engine_of_its_own() -> None:
    family = make(REACH)
    assert engine_for(family.scene) == "metaworld"
    with pytest.raises(BadArgumentError, match="ML1-reach runs on metaworld, not on mujoco"):
        engine_for(family.scene, "mujoco")


def test_there_is_a_family_of_each_task_and_benchmark() -> None:
    names = metaworld_names()
    assert len(names) == 52
    assert all(name in FAMILIES and make(name).name == name for name in names)
    for wrong in ("metaworld/ML1", "metaworld/ML25", "metaworld/ML1-reach-v3"):
        assert wrong not in FAMILIES
        with pytest.raises(UnknownNameError, match=r"of Meta-World there are:.*metaworld/ML45"):
            FAMILIES[wrong]


def test_without_the_package_the_way_to_install_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name.partition(".")[0])

    monkeypatch.setattr(package, "import_module", missing)
    package.environment_classes.cache_clear()
    published_places.cache_clear()
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps metaworld==3\.1\.1"):
        make(REACH).sample(np.random.default_rng(0), 1)
