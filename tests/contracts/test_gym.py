"""Every registered family as a Gymnasium environment, by Gymnasium's own checker and its rules for vectors."""

import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import sim.gym
from robots.world import Task
from sim.families import FAMILIES

every_family = pytest.mark.parametrize("name", sorted(FAMILIES))


@every_family
def test_gymnasiums_own_checker_passes(name: str) -> None:
    env = gymnasium.make(f"pliant/{name}-v0")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="gymnasium")
        warnings.filterwarnings("ignore", ".*infinity.*")  # an observation has a scale, not a bound
        check_env(env.unwrapped)
    env.close()


@every_family
def test_a_vector_keeps_the_rules_of_next_step_autoreset(name: str) -> None:
    envs = gymnasium.make_vec(f"pliant/{name}-v0", num_envs=3)
    family = FAMILIES[name]()
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    envs.action_space.seed(0)
    obs, info = envs.reset(seed=0)
    assert envs.observation_space.contains(obs)
    task = info["task"]
    for k in range(family.horizon):
        obs, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(obs)
        assert reward.shape == terminated.shape == truncated.shape == (3,)
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (k == family.horizon - 1)
        np.testing.assert_array_equal(info["task"], task)
        assert info["success"].shape == (3,)
    obs, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert (reward == 0).all()
    assert not (terminated | truncated).any()
    assert not np.array_equal(info["task"], task)
    envs.close()


@every_family
def test_a_vector_of_one_is_the_single_environment(name: str) -> None:
    single, vector = (
        gymnasium.make(f"pliant/{name}-v0"),
        gymnasium.make_vec(f"pliant/{name}-v0", num_envs=1),
    )
    np.testing.assert_array_equal(single.reset(seed=3)[0], vector.reset(seed=3)[0][0])
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-1, 1, single.action_space.shape).astype(np.float32)
        (obs, reward, *_), (many, rewards, *_) = single.step(action), vector.step(action[None])
        np.testing.assert_array_equal(obs, many[0])
        assert reward == rewards[0]
    single.close()
    vector.close()


def test_a_world_that_is_over_alone_begins_anew_alone() -> None:
    envs = sim.gym.FamilyVectorEnv("point", 3)
    envs.reset(seed=0)
    over = np.array([False, True, False])
    for _ in range(4):
        before = envs.step(np.ones((3, 2)))[0]
    envs._over = over
    task = envs.world.task
    obs, reward, _, _, info = envs.step(np.zeros((3, 2)))
    assert task is not None
    np.testing.assert_array_equal(info["task"][~over], task.values[~over])
    assert (info["task"][over] != task.values[over]).all()
    assert (np.abs(obs - before)[~over] < 0.06).all()
    assert reward[1] == 0
    ends = [envs.step(np.zeros((3, 2)))[3].tolist() for _ in range(20)]
    assert ends.index([True, False, True]) == 14
    assert ends.index([False, True, False]) == 19


def test_a_task_can_be_asked_for_and_worlds_reset_by_mask() -> None:
    envs = sim.gym.FamilyVectorEnv("point", 2)
    wish = Task(("goal.x", "goal.y"), np.array([[0.1, 0.2], [0.3, 0.4]]), np.arange(2))
    _, info = envs.reset(seed=0, options={"task": wish})
    np.testing.assert_array_equal(info["task"], wish.values)
    _, info = envs.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(info["task"][1], wish.values[1])
    assert (info["task"][0] != wish.values[0]).all()


def test_gymnasium_finds_it_by_the_modules_name_alone() -> None:
    code = "import gymnasium; print(gymnasium.make_vec('sim.gym:pliant/point-v0', num_envs=2).num_envs)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "2\n"
    )
