"""Every registered family as a Gymnasium environment, by Gymnasium's own checker and its rules."""

import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from suite_sample import SAMPLE

import sim.gym
from robots.errors import BadArgumentError
from robots.signals import Array, Verdict
from robots.world import Step, Task
from sim.families import FAMILIES
from sim.gym import environment_id
from sim.gym_trials import TrialVectorWrapper, TrialWrapper

every_family = pytest.mark.parametrize("name", [*sorted(FAMILIES), SAMPLE[1]])
NAMES = ("goal.x", "goal.y")


def play(env: Any, steps: int, **reset: Any) -> list[np.ndarray]:
    """Observations and rewards of some steps under fixed actions."""
    obs, _ = env.reset(**reset)
    rng = np.random.default_rng(1)
    collected = [obs]
    for _ in range(steps):
        obs, reward, *_ = env.step(rng.uniform(-1, 1, env.action_space.shape))
        collected += [obs, np.asarray(reward)]
    return collected


def assert_same(left: list[np.ndarray], right: list[np.ndarray]) -> None:
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b)


def checked(env: gymnasium.Env[Any, Any]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="gymnasium")
        warnings.filterwarnings("ignore", ".*infinity.*")  # an observation has a scale, not a bound
        warnings.filterwarnings("ignore", ".*unwrapped version.*")  # wrappers are checked too
        check_env(env)


@every_family
def test_gymnasiums_own_checker_passes(name: str) -> None:
    if FAMILIES[name]().horizon == 1:
        pytest.skip("the checker refuses an episode of one step")
    env = gymnasium.make(environment_id(name))
    checked(env.unwrapped)
    env.close()


@every_family
def test_a_vector_keeps_the_rules_of_next_step_autoreset(name: str) -> None:
    envs = gymnasium.make_vec(environment_id(name), num_envs=3)
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
        np.testing.assert_array_equal(terminated, family.terminated(obs))
        assert truncated.all() == truncated.any() == (k == family.horizon - 1)
        np.testing.assert_array_equal(info["task"], task)
        assert info["success"].shape == (3,)
        assert info["_success"].all()
        ended = terminated | truncated
        if ended.any():
            break
    before = obs
    obs, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert (reward[ended] == 0).all()
    assert not (terminated | truncated)[ended].any()
    np.testing.assert_array_equal(info["task"][~ended], task[~ended])
    np.testing.assert_array_equal(info["_success"], ~ended)
    assert (obs[ended] != before[ended]).any(1).all()
    envs.close()


def test_a_world_whose_episode_ended_gets_another_task() -> None:
    envs = gymnasium.make_vec("pliant/cheetah_vel-v0", num_envs=3)
    _, info = envs.reset(seed=0)
    task = info["task"]
    for _ in range(FAMILIES["cheetah_vel"]().horizon + 1):
        info = envs.step(np.zeros((3, 6)))[-1]
    assert (info["task"] != task).all()
    envs.close()


def test_a_vector_keeps_the_rules_of_same_step_autoreset() -> None:
    envs = gymnasium.make_vec("pliant/point-v0", num_envs=3, autoreset_mode="SameStep")
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    _, info = envs.reset(seed=0)
    task = info["task"]
    for _ in range(19):
        before, _, _, truncated, info = envs.step(np.ones((3, 2)))
        assert not truncated.any()
        assert "final_obs" not in info
    obs, reward, _, truncated, info = envs.step(np.ones((3, 2)))
    assert truncated.all()
    assert (reward < 0).all()
    last = np.stack(info["final_obs"])
    assert (np.abs(last - before) < 0.15).all()
    assert (np.abs(obs) <= 1).all()  # starts lie in the square, and the actions led out of it
    assert (np.abs(last) > 1).all()
    np.testing.assert_array_equal(info["final_info"]["task"], task)
    assert info["final_info"]["_success"].all()
    assert not info["_success"].any()
    assert (info["task"] != task).all()
    again, reward, _, truncated, _ = envs.step(np.zeros((3, 2)))
    np.testing.assert_allclose(again, obs, atol=0.06)
    assert not truncated.any()
    envs.close()


def test_without_autoreset_an_ended_episode_must_be_reset() -> None:
    envs = gymnasium.make_vec("pliant/point-v0", num_envs=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    for _ in range(20):
        *_, truncated, _ = envs.step(np.zeros((2, 2)))
    assert truncated.all()
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"worlds \[0, 1\]"):
        envs.step(np.zeros((2, 2)))
    envs.reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(gymnasium.error.ResetNeeded, match=r"worlds \[1\]"):
        envs.step(np.zeros((2, 2)))
    envs.reset()
    envs.step(np.zeros((2, 2)))
    envs.close()


@every_family
def test_a_vector_of_one_is_the_single_environment(name: str) -> None:
    single = gymnasium.make(environment_id(name))
    vector = gymnasium.make_vec(environment_id(name), num_envs=1)
    np.testing.assert_array_equal(single.reset(seed=3)[0], vector.reset(seed=3)[0][0])
    rng = np.random.default_rng(0)
    for _ in range(min(5, FAMILIES[name]().horizon)):
        action = rng.uniform(-1, 1, single.action_space.shape).astype(np.float32)
        obs, reward, *_ = single.step(action)
        many, rewards, *_ = vector.step(action[None])
        np.testing.assert_array_equal(obs, many[0])
        assert reward == rewards[0]
    single.close()
    vector.close()


def test_a_world_whose_episode_ends_is_reset_without_the_others() -> None:
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
    np.testing.assert_array_equal(info["_success"], ~over)
    ends = [envs.step(np.zeros((3, 2)))[3].tolist() for _ in range(20)]
    assert ends.index([True, False, True]) == 14
    assert ends.index([False, True, False]) == 19


def test_a_world_whose_physics_diverged_is_truncated(monkeypatch: pytest.MonkeyPatch) -> None:
    envs = sim.gym.FamilyVectorEnv("point", 2, autoreset_mode="SameStep")
    _, info = envs.reset(seed=0)
    task = info["task"]
    step = envs.world.step

    def diverging(action: Array) -> Step:
        return replace(step(action), verdict=np.array([0, int(Verdict.DIVERGED)]))

    monkeypatch.setattr(envs.world, "step", diverging)
    _, _, terminated, truncated, info = envs.step(np.zeros((2, 2)))
    assert truncated.tolist() == [False, True]
    assert not terminated.any()
    assert (info["task"] != task).any(1).tolist() == [False, True]


def test_a_task_can_be_asked_for_and_worlds_reset_by_mask() -> None:
    envs = sim.gym.FamilyVectorEnv("point", 2)
    task = Task(NAMES, np.array([[0.1, 0.2], [0.3, 0.4]]), np.arange(2))
    _, info = envs.reset(seed=0, options={"task": task})
    np.testing.assert_array_equal(info["task"], task.values)
    _, info = envs.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(info["task"][1], task.values[1])
    assert (info["task"][0] != task.values[0]).all()


@every_family
def test_a_repeated_task_gives_bitwise_the_same_episode(name: str) -> None:
    env = gymnasium.make(environment_id(name))
    _, info = env.reset(seed=5)
    assert info["task_names"] == FAMILIES[name]().task_names
    by_name = dict(zip(info["task_names"], info["task"], strict=True))
    steps = min(4, FAMILIES[name]().horizon)
    first = play(env, steps, seed=5)
    play(env, 1, seed=6)  # another task in between
    assert_same(first, play(env, steps, seed=5, options={"task": info["task"]}))
    assert_same(first, play(env, steps, seed=5, options={"task": by_name}))
    env.close()


@every_family
def test_repeated_tasks_give_bitwise_the_same_episodes_in_a_vector(name: str) -> None:
    envs = gymnasium.make_vec(environment_id(name), num_envs=2)
    _, info = envs.reset(seed=5)
    assert info["task_names"].tolist() == 2 * [FAMILIES[name]().task_names]
    first = play(envs, 3, seed=5)
    play(envs, 2, seed=6)
    assert_same(first, play(envs, 3, seed=5, options={"task": info["task"]}))
    envs.close()


def test_a_repeated_task_has_another_start_with_another_seed() -> None:
    env = gymnasium.make("pliant/point-v0")
    obs, info = env.reset(seed=5)
    other, again = env.reset(seed=6, options={"task": info["task"]})
    np.testing.assert_array_equal(again["task"], info["task"])
    assert (other != obs).any()


def test_one_task_can_be_given_to_every_world() -> None:
    envs = gymnasium.make_vec("pliant/point-v0", num_envs=3)
    _, info = envs.reset(options={"task": [0.1, 0.2]})
    np.testing.assert_array_equal(info["task"], [[0.1, 0.2]] * 3)
    _, info = envs.reset(options={"task": {"goal.y": 0.2, "goal.x": [0.1, 0.3, 0.5]}})
    np.testing.assert_array_equal(info["task"], [[0.1, 0.2], [0.3, 0.2], [0.5, 0.2]])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"goal.x": 0.1}, "a task needs goal.x, goal.y; got goal.x"),
        ({"goal.x": 0.1, "goal.y": 0.2, "goal.z": 0.3}, "got goal.x, goal.y, goal.z"),
        ([0.1, 0.2, 0.3], r"a task must be \(1, 2\) or \(2,\), got \(3,\)"),
        ([0.1, np.nan], "must be finite"),
        (Task(("goal.x",), np.zeros((1, 1)), np.arange(1)), "a task needs goal.x, goal.y"),
    ],
    ids=["missing", "unknown", "shape", "nan", "other"],
)
def test_a_task_that_does_not_fit_is_refused(task: Any, message: str) -> None:
    env = gymnasium.make("pliant/point-v0")
    with pytest.raises(BadArgumentError, match=message):
        env.reset(options={"task": task})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "validation"}, "train.*heldout.*validation"),
        ({"engine": "ode"}, "ode"),
        ({"engine": "bullet"}, "point.*bullet"),
        ({"render_mode": "ansi"}, "rgb_array.*ansi"),
    ],
    ids=lambda x: "" if isinstance(x, str) else next(iter(x.values())),
)
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_an_impossible_argument_is_refused_when_the_environment_is_made(
    arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        gymnasium.make("pliant/point-v0", **arguments)
    with pytest.raises(ValueError, match=message):
        gymnasium.make_vec("pliant/point-v0", num_envs=2, **arguments)


def test_an_impossible_autoreset_mode_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="NextStep, SameStep, Disabled, got 'Later'"):
        gymnasium.make_vec("pliant/point-v0", num_envs=2, autoreset_mode="Later")


def test_heldout_tasks_can_be_asked_for() -> None:
    _, train = gymnasium.make("pliant/point-v0").reset(seed=0)
    _, heldout = gymnasium.make("pliant/point-v0", split="heldout").reset(seed=0)
    assert (train["task"] != heldout["task"]).any()


@every_family
def test_an_environment_renders_pictures_that_change(name: str) -> None:
    env = gymnasium.make(environment_id(name), render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for _ in range(min(3, FAMILIES[name]().horizon)):
        env.step(np.ones(env.action_space.shape, dtype=np.float32))
    second = env.render()
    for frame in (first, second):
        assert isinstance(frame, np.ndarray)
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
        assert frame.shape[2] == 3
    assert not np.array_equal(first, second)
    family = FAMILIES[name]()
    decision_time = family.dt * family.action_repeat
    assert env.metadata["render_fps"] == max(1, round(1 / decision_time))
    env.close()


def test_a_vector_renders_a_picture_of_each_world() -> None:
    envs = gymnasium.make_vec("pliant/point-v0", num_envs=2, render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render()
    assert frames is not None
    assert len(frames) == 2
    assert not np.array_equal(frames[0], frames[1])
    assert sim.gym.FamilyEnv("point").render() is None


def test_gymnasium_finds_it_by_the_modules_name_alone() -> None:
    make = "gymnasium.make_vec('sim.gym:pliant/point-v0', num_envs=2)"
    code = f"import gymnasium; print({make}.num_envs)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_a_family_can_be_named_by_its_path() -> None:
    env = gymnasium.make("pliant/point-v0", family="sim.families.point:SparsePoint")
    assert env.unwrapped.world.family.name == "point_sparse"


def test_a_trial_is_several_episodes_of_one_task() -> None:
    env = TrialWrapper(gymnasium.make("pliant/point-v0"), episodes_per_trial=3)
    checked(env)
    obs, info = env.reset(seed=0)
    assert obs.shape == (2 + 2 + 2,)
    np.testing.assert_array_equal(obs[2:], 0)
    assert info["episode"] == 0
    task = info["task"]
    action = np.array([0.5, -0.25], dtype=np.float32)
    for k in range(60):
        before = obs
        obs, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(obs)
        np.testing.assert_array_equal(obs[2:4], action)
        assert obs[4] == np.float32(reward)
        episode_ended = (k + 1) % 20 == 0
        assert obs[5] == episode_ended
        assert info["episode"] == k // 20
        np.testing.assert_array_equal(info["task"], task)
        assert not terminated
        assert truncated == (k == 59)
        jumped = np.abs(obs[:2] - before[:2]).max() > 0.11
        assert jumped == (episode_ended and k < 59)
    _, info = env.reset()
    assert info["episode"] == 0
    assert (info["task"] != task).any()


def test_a_trial_of_a_given_task() -> None:
    env = TrialWrapper(gymnasium.make("pliant/point-v0"), episodes_per_trial=2)
    _, info = env.reset(seed=0, options={"task": {"goal.x": 0.5, "goal.y": -0.5}})
    np.testing.assert_array_equal(info["task"], [0.5, -0.5])
    for _ in range(40):
        *_, info = env.step(np.zeros(2, dtype=np.float32))
        np.testing.assert_array_equal(info["task"], [0.5, -0.5])


def test_a_vector_of_trials_keeps_the_rules_of_same_step_autoreset() -> None:
    envs = gymnasium.make_vec("pliant/point-v0", num_envs=3, autoreset_mode="Disabled")
    trials = TrialVectorWrapper(envs, episodes_per_trial=2)
    obs, info = trials.reset(seed=0)
    assert trials.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert trials.observation_space.contains(obs)
    np.testing.assert_array_equal(obs[:, 2:], 0)
    task = info["task"]
    actions = np.full((3, 2), 0.5)
    for k in range(40):
        obs, reward, terminated, truncated, info = trials.step(actions)
        assert trials.observation_space.contains(obs)
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (k == 39)
        if k < 39:
            np.testing.assert_array_equal(info["task"], task)
            np.testing.assert_array_equal(info["episode"], k // 20)
            np.testing.assert_array_equal(obs[:, 2:4], actions)
            np.testing.assert_array_equal(obs[:, 5], k == 19)
            np.testing.assert_array_equal(obs[:, 4], reward.astype(np.float32))
    last = np.stack(info["final_obs"])
    np.testing.assert_array_equal(last[:, 2:4], actions)
    np.testing.assert_array_equal(last[:, 5], 1)
    np.testing.assert_array_equal(info["final_info"]["task"], task)
    np.testing.assert_array_equal(info["final_info"]["episode"], 1)
    np.testing.assert_array_equal(info["episode"], 0)
    assert (info["task"] != task).all()
    np.testing.assert_array_equal(obs[:, 2:], 0)


def test_trials_that_end_at_different_times_each_keep_their_own_task() -> None:
    envs = sim.gym.FamilyVectorEnv("point", 3, autoreset_mode="Disabled")
    trials = TrialVectorWrapper(envs, episodes_per_trial=2)
    _, info = trials.reset(seed=0)
    envs.world._age[:] = [0, 5, 10]  # ticks by which the first episodes are shorter
    ends = np.array([40, 35, 30])  # of the first trial; every later one lasts 40 ticks
    task = info["task"]
    for k in range(1, 100):
        _, _, _, truncated, info = trials.step(np.zeros((3, 2)))
        over = (k >= ends) & ((k - ends) % 40 == 0)
        np.testing.assert_array_equal(truncated, over)
        changed = (info["task"] != task).any(1)
        np.testing.assert_array_equal(changed, over)
        elapsed = (k - 1 - ends) % 40  # ticks of the trial that is under way, before this one
        np.testing.assert_array_equal(info["episode"][~over], (elapsed // 20)[~over])
        task = info["task"]


def test_a_trial_that_is_impossible_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="at least 1, got 0"):
        TrialWrapper(gymnasium.make("pliant/point-v0"), episodes_per_trial=0)
    with pytest.raises(BadArgumentError, match='autoreset_mode="Disabled"'):
        TrialVectorWrapper(gymnasium.make_vec("pliant/point-v0", num_envs=2))
