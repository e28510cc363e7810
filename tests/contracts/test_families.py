"""The contract of every registered family of tasks.

A new family is tested by being registered.
"""

from functools import cache

import numpy as np
import pytest
import torch
from suite_sample import SAMPLE

from robots.errors import BadArgumentError
from robots.signals import Array, Verdict
from robots.world import Family, Step
from sim.engines import ENGINES, engine_for
from sim.engines.base import BODY_PHYSICS
from sim.families import FAMILIES
from sim.vec_world import VecWorld

N = 4
NAMES = (*sorted(FAMILIES), *SAMPLE)
PREFIXES = {"tool", *BODY_PHYSICS, "fixture", "disturbance", "goal", "marker"}
# Published with two tasks in all, each trained on and tested: their splits are the same.
TWO_TASKS = {"ant_fwd_back", "cheetah_fwd_back"}
SOME_STEPS = 200  # enough for a law that holds at every step alike
FEW_STEPS = 20  # enough for numbers that differ by chance to differ
UNITS = ("_m", "_mps", "_rad", "_n", "_s", "_1")
SUPPORTED = [
    (name, engine)
    for name in NAMES
    for engine in sorted(ENGINES)
    if ENGINES[engine].supports(FAMILIES[name]().scene)
]
every_family = pytest.mark.parametrize("name", NAMES)
every_pair = pytest.mark.parametrize(
    ("name", "engine"), SUPPORTED, ids=[f"{name}-{engine}" for name, engine in SUPPORTED]
)


def run_episode(
    name: str, engine: str, steps: int | None = None
) -> tuple[Array, list[Step], VecWorld]:
    """An episode, or its first steps, of random actions that last for four control periods each."""
    family = FAMILIES[name]()
    world = VecWorld(family, engine, N, seed=0)
    rng = np.random.default_rng(1)
    first = world.reset(family.sample(rng, N))
    length = family.horizon if steps is None else min(family.horizon, steps)
    shape = (length, N, len(family.action.spec))
    actions = np.repeat(rng.uniform(-1, 1, shape), 4, 0)
    taken = [world.step(action) for action in actions[:length]]
    world.close()
    return first, taken, world


@cache
def whole_episode(name: str, engine: str) -> tuple[Array, list[Step], VecWorld]:
    """An episode that several tests look at."""
    return run_episode(name, engine)


def default_episode(name: str) -> tuple[Array, list[Step], VecWorld]:
    """The same in the family's own engine."""
    return whole_episode(name, engine_for(FAMILIES[name]().scene))


def all_observations(first: Array, steps: list[Step]) -> Array:
    return np.stack([first, *(step.obs for step in steps)])


def imagine(family: Family, lead: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """Observations, actions, next observations and tasks at random, with leading axes."""
    rng = np.random.default_rng(0)
    obs_shape = (*lead, len(family.obs))
    obs = rng.uniform(family.obs.low, family.obs.high, obs_shape)
    next_obs = rng.uniform(family.obs.low, family.obs.high, obs_shape)
    action = rng.uniform(-1, 1, (*lead, len(family.action.spec)))
    count = max(1, int(np.prod(lead)))
    task = family.sample(rng, count).values.reshape(*lead, -1)
    return obs, action, next_obs, task


@every_family
def test_its_numbers_fit_together(name: str) -> None:
    family = FAMILIES[name]()
    assert family.name == name
    assert engine_for(family.scene) in ENGINES
    assert family.horizon >= 1
    assert family.episodes >= 1
    assert family.action_repeat >= 1
    joints = len(family.body.joints)
    actions = len(family.action.spec)
    assert len(family.limits.dq) == joints
    assert joints == actions or actions <= 6
    for long, short in ((family.dt, family.tick), (family.tick, family.scene.timestep)):
        assert long / short == pytest.approx(round(long / short))
    prefixes = {task_name.split(".")[0] for task_name in family.task_names}
    objects = {item.name for item in family.scene.objects}
    assert prefixes <= PREFIXES | objects
    assert family.hidden_reward == ("goal" in prefixes)


@every_family
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_a_seed_repeats_its_tasks_and_another_seed_does_not(name: str, split: str) -> None:
    family = FAMILIES[name]()
    a, b, c = (family.sample(np.random.default_rng(seed), 16, split) for seed in (5, 5, 6))
    assert a.names == family.task_names
    np.testing.assert_array_equal(a.values, b.values)
    assert np.isfinite(a.values).all()
    many = family.sample(np.random.default_rng(7), 500, split).values
    kinds = len(np.unique(many, axis=0))
    drawn = len(np.unique(a.values, axis=0))
    is_finite = kinds < len(many)  # a few tasks in all, of which some are drawn twice
    assert drawn >= min(2, kinds) if is_finite else drawn == 16
    assert np.array_equal(a.values, c.values) == (kinds == 1)


@pytest.mark.parametrize("name", sorted(FAMILIES))  # of the suite's: tests/sim/test_suite.py
def test_held_out_tasks_are_apart_from_training_ones(name: str) -> None:
    family = FAMILIES[name]()
    # two pegs halve the density of tasks of insert
    count = 4000 if name == "insert" else 2000
    train = family.sample(np.random.default_rng(0), count, "train").values
    # From the same seed the two splits would draw the same points, moved by a field.
    heldout = family.sample(np.random.default_rng(1), 2000, "heldout").values
    if name in TWO_TASKS:
        np.testing.assert_array_equal(np.unique(train), np.unique(heldout))
        assert len(np.unique(train)) == 2
        return
    varies = train.std(0) > 0
    train = train[:, varies]
    heldout = heldout[:, varies]
    outside = ((heldout < train.min(0)) | (heldout > train.max(0))).any(-1)
    inside = heldout[~outside]
    if len(inside):  # then they share a range, and must not be drawn from the same density
        if name == "latch":  # all drawers are outside: doors are compared with doors
            train = train[train[:, 0] == inside[0, 0]][:, 1:]
            inside = inside[:, 1:]
        scale = train.std(0)

        def distances(x: Array) -> Array:
            return np.sort(np.linalg.norm((train - x) / scale, axis=1))

        nearest = np.array([distances(x)[0] for x in inside[:200]])
        among_trained = np.array([distances(x)[1] for x in train[:200]])
        typical = np.median([distances(x) for x in train[:200]])
        is_apart = nearest.mean() > 1.2 * among_trained.mean()
        # Tasks of many parameters are all far from one another, whatever their split.
        assert is_apart or nearest.mean() > 0.3 * typical


@every_family
def test_a_split_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(BadArgumentError, match="train or heldout"):
        FAMILIES[name]().sample(np.random.default_rng(0), 2, "test")


@every_pair
def test_an_episode_conforms(name: str, engine: str) -> None:
    family = FAMILIES[name]()
    first, steps, world = whole_episode(name, engine)
    width = len(family.obs)
    decision_time = family.dt * family.action_repeat
    assert first.shape == (N, width)
    for k, step in enumerate(steps):
        assert step.obs.shape == (N, width)
        for field in ("reward", "terminated", "truncated", "success", "verdict", "stamp"):
            assert getattr(step, field).shape == (N,), field
        for field in ("terminated", "truncated", "success"):
            assert getattr(step, field).dtype == np.bool_, field
        assert step.applied.shape == (N, len(family.action.spec))
        assert np.isfinite(step.obs).all()
        assert np.isfinite(step.reward).all()
        assert step.stamp == pytest.approx((k + 1) * decision_time)
        is_last = k == family.horizon - 1
        assert step.truncated.all() == step.truncated.any() == is_last
        assert not (step.verdict & int(Verdict.DIVERGED)).any()
    assert world.signals.stamp == pytest.approx(family.horizon * decision_time)


@every_pair
def test_an_episode_is_the_same_for_a_seed(name: str, engine: str) -> None:
    first_a, a, _ = whole_episode(name, engine)
    first_b, b, _ = run_episode(name, engine, FEW_STEPS)
    np.testing.assert_array_equal(first_a, first_b)
    for x, y in zip(a[:FEW_STEPS], b, strict=True):
        np.testing.assert_array_equal(x.obs, y.obs)
        np.testing.assert_array_equal(x.reward, y.reward)


@every_family
def test_every_column_of_the_observation_varies(name: str) -> None:
    family = FAMILIES[name]()
    first, steps, _ = default_episode(name)
    spread = all_observations(first, steps).std((0, 1))
    assert (spread > 1e-6).all(), dict(zip(family.obs.names, spread, strict=True))


@every_family
def test_observations_lie_roughly_in_the_ranges_that_scale_them(name: str) -> None:
    family = FAMILIES[name]()
    first, steps, _ = default_episode(name)
    middle = (family.obs.high + family.obs.low) / 2
    half = (family.obs.high - family.obs.low) / 2
    distance = np.abs(all_observations(first, steps[:SOME_STEPS]) - middle)
    assert (distance <= 3 * half).all()


@every_family
def test_reward_depends_on_the_observation_and_on_the_task_alone(name: str) -> None:
    family = FAMILIES[name]()
    first, steps, world = default_episode(name)
    assert world.task is not None
    task = world.task.values
    obs = first
    for step in steps:
        again = family.reward(obs, step.applied, step.obs, task)
        np.testing.assert_allclose(again, step.reward, atol=1e-12)
        np.testing.assert_array_equal(family.success(step.obs, task), step.success)
        obs = step.obs


@every_family
@pytest.mark.parametrize("lead", [(), (N,), (3, 2, N)])
def test_reward_is_the_same_in_torch_as_in_numpy_with_any_leading_axes(
    name: str, lead: tuple[int, ...]
) -> None:
    family = FAMILIES[name]()
    arrays = imagine(family, lead)
    tensors = [torch.from_numpy(x) for x in arrays]
    _, _, next_obs, task = arrays
    _, _, next_obs_tensor, task_tensor = tensors
    pairs = [
        (family.success(next_obs, task), family.success(next_obs_tensor, task_tensor)),
        (family.terminated(next_obs), family.terminated(next_obs_tensor)),
    ]
    assert all(tensor.dtype == torch.bool for _, tensor in pairs)
    pairs.append((family.reward(*arrays), family.reward(*tensors)))
    metrics = family.metrics(next_obs, task)
    tensor_metrics = family.metrics(next_obs_tensor, task_tensor)
    assert metrics.keys() == tensor_metrics.keys()
    pairs += [(metrics[key], tensor_metrics[key]) for key in metrics]
    for array, tensor in pairs:
        assert np.shape(array) == tuple(tensor.shape) == lead
        np.testing.assert_allclose(array, tensor.numpy(), atol=1e-12)


@every_family
def test_metrics_name_their_units_and_are_finite(name: str) -> None:
    family = FAMILIES[name]()
    _, steps, world = default_episode(name)
    assert world.task is not None
    metrics = family.metrics(steps[-1].obs, world.task.values)
    assert metrics
    for key, value in metrics.items():
        assert key.endswith(UNITS), key
        assert np.shape(value) == (N,)
        assert np.isfinite(value).all()


@every_family
def test_a_state_that_is_not_a_number_does_not_terminate(name: str) -> None:
    family = FAMILIES[name]()
    obs = np.full((2, len(family.obs)), np.nan)
    assert family.terminated(obs).tolist() == [False, False]


@every_family
def test_tasks_differ_in_their_rewards_or_in_their_observations(name: str) -> None:
    family = FAMILIES[name]()
    # at one end of the actions' range a tool may touch nothing of what differs
    assert any(count_kinds(family, level) == 8 for level in (0.9, -0.9))


def count_kinds(family: Family, level: float) -> int:
    """How many of 8 tasks differ in rewards, or in what is observed under constant actions.

    Nothing is simulated where they all differ in rewards.
    """
    task = family.sample(np.random.default_rng(3), 8)
    action = np.full((8, len(family.action.spec)), level)
    rng = np.random.default_rng(0)
    shape = (500, 1, len(family.obs))
    obs = rng.uniform(family.obs.low, family.obs.high, shape)
    next_obs = rng.uniform(family.obs.low, family.obs.high, shape)
    reward = np.broadcast_to(family.reward(obs, action, next_obs, task.values), (500, 8)).T
    if len(np.unique(reward, axis=0)) == 8:
        return 8
    world = VecWorld(family, n=8, seed=0)
    first = world.reset(task)
    steps = [world.step(action) for _ in range(min(family.horizon, SOME_STEPS))]
    observed = np.concatenate(all_observations(first, steps), 1)
    world.close()
    return len(np.unique(np.concatenate([observed, reward], 1), axis=0))


@every_pair
def test_an_action_that_is_nan_moves_nothing_else_and_is_reported(name: str, engine: str) -> None:
    family = FAMILIES[name]()
    n, hit = 3, 1  # a world before and one after the one that is hit
    world = VecWorld(family, engine, n)
    task = family.sample(np.random.default_rng(1), n)
    action = np.full((n, len(family.action.spec)), 0.5)
    bad = action.copy()
    bad[hit] = np.nan
    others = np.arange(n) != hit
    # with a latency an action is still in effect when the next one is posted
    is_late = "disturbance.latency" in task.names and task["disturbance.latency"][hit] > 0
    # where a single decision takes an episode, which is long to simulate, the first one is NaN
    steps, bad_step = (4, 1) if family.horizon > 1 else (2, 0)

    def episode(actions: list[Array]) -> list[Step]:
        world.rng = np.random.default_rng(0)
        world.reset(task)
        return [world.step(each) for each in actions]

    well = episode([action] * steps)
    hurt = episode([bad if k == bad_step else action for k in range(steps)])
    for k, (x, y) in enumerate(zip(hurt, well, strict=True)):
        np.testing.assert_array_equal(x.obs[others], y.obs[others])
        np.testing.assert_array_equal(x.reward[others], y.reward[others])
        is_dropped = (x.verdict[hit] & int(Verdict.DROPPED)) > 0
        assert is_dropped == (k == bad_step or (k == bad_step + 1 and is_late))
        for value in (x.obs, x.reward, x.applied):
            assert np.isfinite(value).all()
    world.close()
