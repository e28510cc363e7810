"""What every family of tasks promises, for each registered one: a new family is tested by being registered."""

import numpy as np
import pytest
import torch

from robots.signals import Array, Verdict
from robots.world import Family, Step
from sim.engines import ENGINES
from sim.families import FAMILIES
from sim.vec_world import VecWorld

N = 4
every_family = pytest.mark.parametrize("name", sorted(FAMILIES))
CARRIED = [(name, engine) for name in sorted(FAMILIES) for engine in FAMILIES[name].engines]
every_pair = pytest.mark.parametrize(
    ("name", "engine"), CARRIED, ids=[f"{f}-{e}" for f, e in CARRIED]
)


def episode(
    family: Family, engine: str, seed: int = 0, split: str = "train"
) -> tuple[Array, list[Step], VecWorld]:
    """One episode of random actions that last for a few ticks each, so that something happens."""
    world = VecWorld(family, engine, N, seed)
    rng = np.random.default_rng(seed + 1)
    first = world.reset(family.sample(rng, N, split))
    actions = np.repeat(rng.uniform(-1, 1, (family.horizon, N, len(family.action.spec))), 4, 0)[
        : family.horizon
    ]
    steps = [world.step(a) for a in actions]
    world.close()
    return first, steps, world


@every_family
def test_its_numbers_fit_together(name: str) -> None:
    family = FAMILIES[name]()
    assert family.name == name
    assert family.engines
    assert set(family.engines) <= set(ENGINES)
    assert family.horizon >= 1
    assert family.episodes >= 1
    assert (
        len(family.limits.dq) == len(family.body.joints) == len(family.action.spec)
        or len(family.action.spec) <= 6
    )
    for long, short in ((family.dt, family.tick), (family.tick, family.scene.timestep)):
        assert long / short == pytest.approx(round(long / short))
    prefixes = {task_name.split(".")[0] for task_name in family.task_names}
    assert prefixes <= {"object", "joint", "actuator", "disturbance", "goal", "marker"}
    assert family.hidden_reward == any(p == "goal" for p in prefixes)


@every_family
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_tasks_are_the_same_for_a_seed_and_others_for_another(name: str, split: str) -> None:
    family = FAMILIES[name]()
    a, b, c = (family.sample(np.random.default_rng(seed), 16, split) for seed in (5, 5, 6))
    assert a.names == family.task_names
    np.testing.assert_array_equal(a.values, b.values)
    assert np.isfinite(a.values).all()
    kinds = len(np.unique(family.sample(np.random.default_rng(7), 500, split).values, axis=0))
    assert len(np.unique(a.values, axis=0)) == min(16, kinds)
    assert np.array_equal(a.values, c.values) == (kinds == 1)


@every_family
def test_held_out_tasks_are_apart_from_training_ones(name: str) -> None:
    family = FAMILIES[name]()
    train, heldout = (
        family.sample(np.random.default_rng(0), 2000, split).values
        for split in ("train", "heldout")
    )
    train, heldout = train[:, train.std(0) > 0], heldout[:, train.std(0) > 0]
    outside = ((heldout < train.min(0)) | (heldout > train.max(0))).any(-1)
    inside = heldout[~outside]
    if len(inside):  # then they share a range, and must not be drawn from the same density
        scale = train.std(0)
        nearest = np.array(
            [np.linalg.norm((train - x) / scale, axis=1).min() for x in inside[:200]]
        )
        rivals = np.array(
            [np.sort(np.linalg.norm((train - x) / scale, axis=1))[1] for x in train[:200]]
        )
        assert nearest.mean() > 1.2 * rivals.mean()
    with pytest.raises(ValueError, match="heldout"):
        family.sample(np.random.default_rng(0), 2, "test")


@every_pair
def test_an_episode_conforms(name: str, engine: str) -> None:
    family = FAMILIES[name]()
    first, steps, world = episode(family, engine)
    width = len(family.obs)
    assert first.shape == (N, width)
    for k, step in enumerate(steps):
        assert step.obs.shape == (N, width)
        for field in ("reward", "terminated", "truncated", "success", "verdict", "stamp"):
            assert getattr(step, field).shape == (N,), field
        assert step.applied.shape == (N, len(family.action.spec))
        assert step.terminated.dtype == step.truncated.dtype == step.success.dtype == np.bool_
        assert np.isfinite(step.obs).all()
        assert np.isfinite(step.reward).all()
        assert step.stamp == pytest.approx((k + 1) * family.dt)
        assert step.truncated.all() == step.truncated.any() == (k == family.horizon - 1)
        assert not (step.verdict & int(Verdict.DIVERGED)).any()
    assert world.signals.stamp == pytest.approx(family.horizon * family.dt)


@every_pair
def test_an_episode_is_the_same_for_a_seed(name: str, engine: str) -> None:
    family = FAMILIES[name]()
    (first_a, a, _), (first_b, b, _) = episode(family, engine), episode(family, engine)
    np.testing.assert_array_equal(first_a, first_b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.obs, y.obs)
        np.testing.assert_array_equal(x.reward, y.reward)


@every_family
def test_every_column_of_the_observation_tells_something(name: str) -> None:
    family = FAMILIES[name]()
    first, steps, _ = episode(family, family.engines[0])
    seen = np.stack([first, *(step.obs for step in steps)])
    assert (seen.std((0, 1)) > 1e-6).all(), dict(
        zip(family.obs.names, seen.std((0, 1)), strict=True)
    )


@every_family
def test_observations_lie_about_in_the_ranges_that_scale_them(name: str) -> None:
    family = FAMILIES[name]()
    first, steps, _ = episode(family, family.engines[0])
    seen = np.stack([first, *(step.obs for step in steps)])
    half = (family.obs.high - family.obs.low) / 2
    assert (np.abs(seen - (family.obs.high + family.obs.low) / 2) <= 3 * half).all()


@every_family
def test_reward_depends_on_what_is_seen_and_on_the_task_alone(name: str) -> None:
    family = FAMILIES[name]()
    first, steps, world = episode(family, family.engines[0])
    assert world.task is not None
    before = first
    for step in steps:
        again = family.reward(before, step.applied, step.obs, world.task.values)
        np.testing.assert_allclose(again, step.reward, atol=1e-12)
        np.testing.assert_array_equal(family.success(step.obs, world.task.values), step.success)
        before = step.obs


@every_family
@pytest.mark.parametrize("lead", [(), (N,), (3, 2, N)])
def test_reward_is_the_same_in_torch_as_in_numpy_with_any_leading_axes(
    name: str, lead: tuple[int, ...]
) -> None:
    family, rng = FAMILIES[name](), np.random.default_rng(0)
    obs, nxt = (
        rng.uniform(family.obs.low, family.obs.high, (*lead, len(family.obs))) for _ in range(2)
    )
    act = rng.uniform(-1, 1, (*lead, len(family.action.spec)))
    task = family.sample(rng, max(1, int(np.prod(lead)))).values.reshape(*lead, -1)
    arrays, tensors = (obs, act, nxt, task), [torch.from_numpy(x) for x in (obs, act, nxt, task)]
    pairs = (
        (family.reward(*arrays), family.reward(*tensors)),
        (family.success(nxt, task), family.success(tensors[2], tensors[3])),
        (family.terminated(nxt), family.terminated(tensors[2])),
    )
    for array, tensor in pairs:
        assert np.shape(array) == tuple(tensor.shape) == lead
        np.testing.assert_allclose(array, tensor.numpy(), atol=1e-12)
    assert pairs[1][1].dtype == pairs[2][1].dtype == torch.bool


@every_family
def test_tasks_differ_in_what_they_pay_or_in_what_they_show(name: str) -> None:
    family = FAMILIES[name]()
    world = VecWorld(family, n=8, seed=0)
    task = family.sample(np.random.default_rng(3), 8)
    first = world.reset(task)
    action = np.full((8, len(family.action.spec)), 0.9)
    shown = [first, *(world.step(action).obs for _ in range(family.horizon))]
    rng = np.random.default_rng(0)
    obs, nxt = (
        rng.uniform(family.obs.low, family.obs.high, (500, 1, len(family.obs))) for _ in range(2)
    )
    paid = np.broadcast_to(family.reward(obs, action, nxt, task.values), (500, 8))
    assert len(np.unique(np.concatenate([*shown, paid.T], 1), axis=0)) == 8
    world.close()


@every_pair
def test_a_policy_that_says_nan_moves_nothing_else_and_is_reported(name: str, engine: str) -> None:
    family = FAMILIES[name]()
    hurt, well = (VecWorld(family, engine, N, 0) for _ in range(2))
    task = family.sample(np.random.default_rng(1), N)
    hurt.reset(task)
    well.reset(task)
    action = np.full((N, len(family.action.spec)), 0.5)
    bad = action.copy()
    bad[2] = np.nan
    others = np.arange(N) != 2
    for k in range(6):
        x, y = hurt.step(bad if k == 2 else action), well.step(action)
        np.testing.assert_array_equal(x.obs[others], y.obs[others])
        np.testing.assert_array_equal(x.reward[others], y.reward[others])
        assert (not x.verdict[2] & int(Verdict.DROPPED)) == (k != 2)
        assert np.isfinite(x.obs).all()
        assert np.isfinite(x.reward).all()
        assert np.isfinite(x.applied).all()
    hurt.close()
    well.close()
