"""The half-cheetah: Gymnasium's own, with tasks as in the literature."""

import warnings
from dataclasses import replace
from itertools import combinations

import gymnasium
import numpy as np
import pytest

from robots.signals import Array, Torque
from robots.world import Task
from sim.engines import ENGINES
from sim.engines.base import Engine
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.families.cheetah import CHEETAH, NUM_COORDINATES
from sim.scene_model import compile_scene
from sim.vec_world import VecWorld


def gymnasium_env(state: Array) -> gymnasium.Env:
    """Gymnasium's environment in the state qpos, qvel (18,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make("HalfCheetah-v5").unwrapped
    env.reset(seed=0)
    env.set_state(state[:9], state[9:])
    return env


def test_it_moves_as_in_gymnasium_and_is_rewarded_for_the_same_velocity() -> None:
    n = 3
    family = FAMILIES["cheetah_vel"]()
    rng = np.random.default_rng(0)
    world = VecWorld(family, "mujoco", n, 0)
    task = family.sample(rng, n)
    before = world.reset(task)
    envs = [gymnasium_env(np.r_[obs[17], obs[:17]]) for obs in before]
    for _ in range(family.horizon):
        action = rng.uniform(-1, 1, (n, 6))
        step = world.step(action)
        for i, env in enumerate(envs):
            obs, _, _, _, info = env.step(action[i])
            np.testing.assert_allclose(step.obs[i, :17], obs, rtol=0, atol=1e-9)
            assert step.obs[i, 17] == pytest.approx(info["x_position"], abs=1e-9)
            effort = 0.05 * (action[i] ** 2).sum()
            expected = -abs(info["x_velocity"] - task.values[i, 0]) - effort
            assert step.reward[i] == pytest.approx(expected, abs=1e-9)
    world.close()


def test_it_starts_as_in_gymnasium() -> None:
    family = FAMILIES["cheetah_vel"]()
    start = family.start(np.random.default_rng(0), family.sample(np.random.default_rng(0), 4000))
    assert start.dq is not None
    assert start.q.shape == start.dq.shape == (4000, NUM_COORDINATES)
    assert np.abs(start.q).max() <= 0.1
    np.testing.assert_allclose(start.q.std(0), 0.1 / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(start.dq.std(0), 0.1, rtol=0.05)
    env = gymnasium_env(np.zeros(18))
    obs = np.stack([env.reset(seed=seed)[0] for seed in range(300)])
    np.testing.assert_allclose(obs.std(0), np.r_[start.q.std(0)[1:], start.dq.std(0)], rtol=0.2)


def test_the_body_is_what_the_models_file_says() -> None:
    model = compile_scene(FAMILIES["cheetah_vel"]().scene)
    assert tuple(model.actuator(i).name for i in range(model.nu)) == CHEETAH.joints
    np.testing.assert_array_equal(model.actuator_gear[:, 0], CHEETAH.limits.tau)
    np.testing.assert_array_equal(
        model.jnt_range[3:].T, [CHEETAH.limits.q_low, CHEETAH.limits.q_high]
    )
    assert (model.opt.timestep, model.body_mass.sum()) == pytest.approx((0.01, 14.0))


def test_standing_still_costs_the_goals_speed() -> None:
    family = FAMILIES["cheetah_vel"]()
    n = 8
    world = VecWorld(family, "mujoco", n, 0)
    task = family.sample(np.random.default_rng(0), n)
    world.reset(task)
    total = sum(world.step(np.zeros((n, 6))).reward for _ in range(family.horizon))
    np.testing.assert_allclose(total, -family.horizon * task.values[:, 0], atol=3)
    world.close()


def test_speeds_cover_their_range_and_held_out_ones_differ() -> None:
    family = FAMILIES["cheetah_vel"]()
    rng = np.random.default_rng
    train = family.sample(rng(0), 4000, "train").values[:, 0]
    heldout = family.sample(rng(0), 4000, "heldout").values[:, 0]
    for speeds in (train, heldout):
        assert speeds.min() >= 0
        assert speeds.max() <= 3
        assert np.histogram(speeds, 4, (0, 3))[0].min() > 900
    field = np.histogram_bin_edges([], 16, (0, 3))
    assert not set(np.digitize(train, field)) & set(np.digitize(heldout, field))


def faulty_joints(values: Array) -> list[frozenset[int]]:
    """The joints of each task whose actuator is not healthy."""
    return [frozenset(np.flatnonzero(row != 1).tolist()) for row in values]


FAULTY = pytest.mark.parametrize("name", ["cheetah_cripple", "cheetah_inverted"])


@FAULTY
def test_joints_that_are_faulty_together_in_held_out_tasks_never_are_in_training(
    name: str,
) -> None:
    family = FAMILIES[name]()
    assert family.task_names == tuple(f"actuator.{joint}" for joint in CHEETAH.joints)
    rng = np.random.default_rng(0)
    train = set(faulty_joints(family.sample(rng, 2000, "train").values))
    heldout = set(faulty_joints(family.sample(rng, 2000, "heldout").values))
    singles = {frozenset([joint]) for joint in range(6)}
    pairs = {frozenset(pair) for pair in combinations(range(6), 2)}
    assert train | heldout == singles | pairs
    assert not train & heldout
    assert singles <= train
    assert len(heldout) == 6


@FAULTY
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_joint_is_faulty_as_often_and_strengths_cover_their_range(
    name: str, split: str
) -> None:
    family = FAMILIES[name]()
    values = family.sample(np.random.default_rng(0), 6000, split).values
    share_by_joint = (values != 1).mean(0)
    np.testing.assert_allclose(share_by_joint, share_by_joint.mean(), rtol=0.1)
    low, high = {"cheetah_cripple": (0, 0.5), "cheetah_inverted": (-1, -0.5)}[name]
    faulty = values[values != 1]
    counts, _ = np.histogram(faulty, 5, (low, high))
    assert counts.sum() == len(faulty)
    np.testing.assert_allclose(counts / len(faulty), 0.2, atol=0.02)


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_an_inverted_actuator_turns_the_other_way(engine: str) -> None:
    """The inverted cheetah under inverted actions is the healthy one under the actions."""
    family = FAMILIES["cheetah_inverted"]()
    rng = np.random.default_rng(0)
    task = family.sample(rng, 4, "heldout")
    signs = replace(task, values=np.sign(task.values))
    healthy = Task(signs.names, np.ones_like(signs.values), signs.ids)
    a = VecWorld(family, engine, 4, 0)
    b = VecWorld(family, engine, 4, 0)
    a.reset(signs)
    b.reset(healthy)
    for _ in range(20):
        action = rng.uniform(-1, 1, (4, 6))
        step = a.step(action)
        np.testing.assert_array_equal(step.obs, b.step(signs.values * action).obs)
        np.testing.assert_array_equal(a.signals.tau, b.signals.tau)
    a.close()
    b.close()


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_actions_of_a_dead_actuator_have_no_effect(engine: str) -> None:
    family = FAMILIES["cheetah_cripple"]()
    rng = np.random.default_rng(0)
    a = VecWorld(family, engine, 6, 0)
    b = VecWorld(family, engine, 6, 0)
    dead = rng.permutation(6)
    task = Task(family.task_names, 1 - np.eye(6)[dead], np.arange(6))
    a.reset(task)
    b.reset(task)
    for _ in range(20):
        action = rng.uniform(-1, 1, (6, 6))
        other = action.copy()
        other[np.arange(6), dead] = rng.uniform(-1, 1, 6)
        np.testing.assert_array_equal(a.step(action).obs, b.step(other).obs)
        assert (a.signals.tau[np.arange(6), dead] == 0).all()
        assert (a.signals.tau != 0).sum() == 30
    a.close()
    b.close()


def test_in_bullet_it_stands_much_the_same_and_kicks_the_same_way() -> None:
    engines: list[Engine] = [ENGINES[name]() for name in ("mujoco", "bullet")]
    family = FAMILIES["cheetah_vel"]()
    task = family.sample(np.random.default_rng(0), 1)
    start = family.start(np.random.default_rng(0), task)
    stands, kicked = [], []
    for engine in engines:
        engine.load(family.scene, 1)
        engine.write(task)
        engine.reset(start)
        for _ in range(40):
            engine.run(Torque(np.zeros((1, 1, 6))), 5)
        stands.append(engine.read().q[0])
        engine.reset(start)
        engine.run(Torque(CHEETAH.limits.tau[None, None]), 5)
        kicked.append(engine.read().q[0] - start.q[0])
        engine.close()
    stand, stand_in_bullet = stands
    kick, kick_in_bullet = kicked
    np.testing.assert_allclose(stand[1:3], stand_in_bullet[1:3], atol=0.05)  # m; harder ground
    np.testing.assert_allclose(stand[3:], stand_in_bullet[3:], atol=0.12)  # rad
    assert (np.sign(kick[3:]) == np.sign(kick_in_bullet[3:])).all()
    np.testing.assert_allclose(kick[3:], kick_in_bullet[3:], atol=0.25)


def test_loading_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MujocoEngine().load(FAMILIES["cheetah_vel"]().scene, 1)
    assert capfd.readouterr() == ("", "")
