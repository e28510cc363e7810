"""VecWorld: what happens between a policy and an engine."""

from dataclasses import replace

import numpy as np
import pytest
from push import Push

from robots.signals import Setpoint, Signals, Torque, Verdict
from robots.world import Task
from sim.engines.ideal import IdealEngine
from sim.families import FAMILIES
from sim.families.point import Point
from sim.vec_world import VecWorld

N = 3
TOOL_VELOCITY = Push().obs.indices(["tool.vx", "tool.vy"])


def point(
    n: int = N, names: dict[str, float] | None = None, **world: object
) -> tuple[VecWorld, Task]:
    """A world of points and tasks for it, with some disturbances."""
    family = FAMILIES["point"]()
    task = family.sample(np.random.default_rng(0), n)
    for name, value in (names or {}).items():
        column = np.full((n, 1), value)
        task = Task((*task.names, name), np.concatenate([task.values, column], 1), task.ids)
    return VecWorld(family, n=n, **world), task  # type: ignore[arg-type]


class Breaking(IdealEngine):
    """World 1 breaks down in the third run and reports it, or reads NaN once without a report."""

    silent = False
    runs = 0

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        super().run(command, substeps)
        self.runs += 1
        if self.runs == 3 and not self.silent:
            self._diverged[1] = True

    def read(self) -> Signals:
        signals = super().read()
        if self.runs == 3 and self.silent:
            signals.q[1] = np.nan
        return signals


@pytest.mark.parametrize("silent", [False, True])
def test_a_world_that_diverges_is_reported_and_earns_nothing(silent: bool) -> None:
    engine = Breaking()
    engine.silent = silent
    world, task = point(engine=engine)
    before = world.reset(task)
    action = np.full((N, 2), 0.5)
    for k in range(4):
        step = world.step(action)
        broken = k == 2 or (k > 2 and not silent)
        assert ((step.verdict & int(Verdict.DIVERGED)) > 0).tolist() == [False, broken, False]
        if broken:
            assert step.reward[1] == 0
            assert not step.success[1]
            np.testing.assert_array_equal(step.obs[1], before[1])
        assert np.isfinite(step.obs).all()
        before = step.obs
    assert world.reset(task)[1] is not None
    assert not (world.step(action).verdict & int(Verdict.DIVERGED)).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_counts_as_diverged(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, task = point()
    world.reset(task)
    reward = np.array([1.0, value, 2.0])
    monkeypatch.setattr(Point, "reward", lambda *_: reward)
    step = world.step(np.zeros((N, 2)))
    assert ((step.verdict & int(Verdict.DIVERGED)) > 0).tolist() == [False, True, False]
    assert step.reward.tolist() == [1.0, 0.0, 2.0]
    assert not step.success[1]


def test_a_point_moves_by_its_action_times_the_time() -> None:
    world, task = point()
    before = world.reset(task)
    step = world.step(np.tile([1.0, -0.5], (N, 1)))
    np.testing.assert_allclose(step.obs - before, np.tile([0.1, -0.05], (N, 1)), atol=1e-9)


def test_an_action_outside_its_range_counts_as_the_nearest_inside() -> None:
    a, task = point()
    b, _ = point()
    a.reset(task)
    b.reset(task)
    x = a.step(np.full((N, 2), 7.0))
    y = b.step(np.ones((N, 2)))
    np.testing.assert_array_equal(x.obs, y.obs)
    np.testing.assert_array_equal(x.applied, np.ones((N, 2)))


@pytest.mark.parametrize("bad", [(np.nan, np.nan), (np.nan, 0.5)])
def test_an_action_that_is_nan_counts_as_a_standstill_in_its_world_alone(
    bad: tuple[float, float],
) -> None:
    family = Push()  # its tool's range begins at zero speed: action 0 pushes forward
    task = family.sample(np.random.default_rng(0), 3)
    world = VecWorld(family, "mujoco", 3)
    world.reset(task)
    for _ in range(2):
        step = world.step(np.array([(0.2, 0.3), bad, (9.0, -np.inf)]))
        np.testing.assert_allclose(step.applied, [(0.2, 0.3), (-1, 0), (1, -1)])
        dropped = (step.verdict & int(Verdict.DROPPED)) > 0
        assert dropped.tolist() == [False, True, False]
    assert np.isfinite(step.obs).all()
    assert np.abs(step.obs[1, TOOL_VELOCITY]).max() < 0.01 < step.obs[0, TOOL_VELOCITY[0]]
    world.close()


def test_an_arm_stands_until_its_first_action_arrives() -> None:
    family = Push()
    task = family.sample(np.random.default_rng(0), 2)
    task = Task(
        (*task.names, "disturbance.latency"), np.c_[task.values, [0.0, 2 * family.dt]], task.ids
    )
    world = VecWorld(family, "mujoco", 2)
    for _ in range(2):  # what an earlier episode posted is forgotten
        world.reset(task)
        steps = [world.step(np.full((2, 2), 0.5)) for _ in range(3)]
        np.testing.assert_allclose([s.applied[1] for s in steps], [(-1, 0), (-1, 0), (0.5, 0.5)])
        prompt, late = steps[1].obs[:, TOOL_VELOCITY]
        assert np.abs(late).max() < 0.01 < prompt[0]
    world.close()


def test_late_actions_arrive_late_and_are_applied_as_they_arrive() -> None:
    world, task = point(names={"disturbance.latency": 0.2})
    start = world.reset(task)
    actions = [np.full((N, 2), a) for a in (0.5, -0.25, 1.0, 0.0, 0.0)]
    steps = [world.step(a) for a in actions]
    assert [step.applied[0, 0] for step in steps] == [0, 0, 0.5, -0.25, 1.0]
    np.testing.assert_allclose(steps[1].obs, start, atol=1e-12)
    assert (np.abs(steps[2].obs - start) > 0.01).all()


def test_a_latency_of_less_than_a_control_period_holds_the_action_back_for_some_ticks() -> None:
    family = FAMILIES["reach"]()
    task = family.sample(np.random.default_rng(0), 2)
    late = Task(
        (*task.names, "disturbance.latency"), np.c_[task.values, [0.0, family.tick]], task.ids
    )
    world = VecWorld(family, "ideal", 2)
    world.reset(late)
    step = world.step(np.ones((2, 3)))
    np.testing.assert_allclose(step.applied[:, 0], [1.0, 1 - family.tick / family.dt])
    assert step.obs[1, 0] < step.obs[0, 0]


def test_noise_has_its_size_and_reward_does_not_see_it() -> None:
    n = 2000
    noisy, task = point(n, {"disturbance.noise": 0.1})
    clean, plain = point(n)
    a = noisy.reset(task)
    b = clean.reset(plain)
    assert np.std(a - b) == pytest.approx(0.1 * 2, rel=0.1)  # of half the range, 2 m
    x = noisy.step(np.zeros((n, 2)))
    y = clean.step(np.zeros((n, 2)))
    np.testing.assert_array_equal(x.reward, y.reward)
    assert (x.obs != y.obs).all()


def test_a_coarse_observation_lies_on_its_grid() -> None:
    world, task = point(100, {"disturbance.quantum": 0.05})
    steps = world.reset(task) / (0.05 * 2)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert len(np.unique(np.round(steps))) > 5


def test_a_lost_observation_repeats_the_last_one() -> None:
    n = 1000
    world, task = point(n, {"disturbance.dropout": 0.3})
    before = world.reset(task)
    step = world.step(np.ones((n, 2)))
    lost = (step.obs == before).all(-1)
    assert lost.mean() == pytest.approx(0.3, abs=0.05)
    certain, task = point(2, {"disturbance.dropout": 1.0})
    first = certain.reset(task)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(certain.step(np.ones((2, 2))).obs, first)


def test_worlds_can_be_reset_one_by_one() -> None:
    world, task = point(names={"disturbance.latency": 0.1})
    world.reset(task)
    for _ in range(3):
        last = world.step(np.ones((N, 2)))
    fresh = replace(task, values=task.values[::-1].copy(), ids=task.ids + 10)
    mask = np.array([False, True, False])
    obs = world.reset(fresh, mask)
    np.testing.assert_array_equal(obs[~mask], last.obs[~mask])
    assert world.task is not None
    np.testing.assert_array_equal(world.task.values[~mask], task.values[~mask])
    np.testing.assert_array_equal(world.task.values[mask], fresh.values[mask])
    np.testing.assert_array_equal(world.task.ids, np.where(mask, fresh.ids, task.ids))
    step = world.step(np.ones((N, 2)))
    np.testing.assert_allclose(step.stamp, [0.4, 0.1, 0.4])
    assert step.applied[:, 0].tolist() == [1, 0, 1]  # what the old episode posted is forgotten


def test_arguments_that_do_not_fit_are_refused_by_name() -> None:
    world, task = point()
    with pytest.raises(RuntimeError, match="reset"):
        world.step(np.zeros((N, 2)))
    with pytest.raises(ValueError, match="2 tasks"):
        world.reset(task.take([0, 1]))
    world.reset(task)
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        world.step(np.zeros((N, 3)))
    with pytest.raises(ValueError, match="point runs on ideal, not on mujoco"):
        point(engine="mujoco")
    negative, task = point(names={"disturbance.noise": -1.0})
    with pytest.raises(ValueError, match="negative"):
        negative.reset(task)


def test_a_tick_that_does_not_divide_the_control_period_is_refused() -> None:
    family = FAMILIES["point"]()
    family.tick = 0.03
    with pytest.raises(ValueError, match=r"0\.1 s is not a whole number of 0\.03 s"):
        VecWorld(family, n=1)


class Repeated(Push):
    """An action is held for four control periods, through a latency of one and a half."""

    action_repeat = 4
    horizon = 5


@pytest.mark.parametrize("latency", [0.0, 0.15])
def test_a_repeated_action_is_the_same_as_posting_it_as_often(latency: float) -> None:
    task = Push().sample(np.random.default_rng(0), 2)
    disturbed = np.c_[task.values, np.full(2, latency)]
    task = Task((*task.names, "disturbance.latency"), disturbed, task.ids)
    repeated = VecWorld(Repeated(), "mujoco", 2, seed=3)
    posted = VecWorld(Push(), "mujoco", 2, seed=3)
    np.testing.assert_array_equal(repeated.reset(task), posted.reset(task))
    for action in (np.array([[0.6, 0.1], [-0.2, 0.0]]), np.array([[-1.0, 0.0], [1.0, -0.5]])):
        once = repeated.step(action)
        steps = [posted.step(action) for _ in range(4)]
        np.testing.assert_array_equal(once.obs, steps[-1].obs)
        mean = np.mean([step.applied for step in steps], 0)
        np.testing.assert_allclose(once.applied, mean)
        assert once.verdict.tolist() == np.bitwise_or.reduce([s.verdict for s in steps]).tolist()
        np.testing.assert_allclose(once.stamp, steps[-1].stamp)
    np.testing.assert_allclose(once.reward, sum(step.reward for step in steps))
    repeated.close()
    posted.close()


def test_a_viewer_sees_every_control_period_and_changes_nothing() -> None:
    family = Repeated()
    task = family.sample(np.random.default_rng(0), 2)
    seen: list[Signals] = []

    def keep(world: VecWorld) -> None:
        seen.append(world.signals)

    ends = []
    for viewer in (None, keep):
        world = VecWorld(family, "mujoco", 2)
        world.on_frame = viewer
        world.reset(task)
        ends.append(world.step(np.full((2, 2), 0.5)))
        world.close()
    np.testing.assert_array_equal(ends[0].obs, ends[1].obs)
    np.testing.assert_allclose([s.stamp[0] for s in seen], family.dt * np.arange(1, 5))
    np.testing.assert_array_equal(family.observe(seen[-1])[:, 0], ends[1].obs[:, 0])
