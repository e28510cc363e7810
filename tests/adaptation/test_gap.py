"""Two engines are given the same commands: what differs afterwards is their physics."""

import numpy as np
import pytest
import torch
from test_cli import pliant

from adaptation.jobs.gap import measure_gap
from adaptation.jobs.train import train
from adaptation.open_loop import KNOT_SPACING, SeededWorld, replay, smooth_actions
from adaptation.reporting.correlation import average_ranks, correlate, pearson_r
from adaptation.reporting.gap_table import gap_table
from adaptation.rollout import rollout
from adaptation.runs.gap_records import Divergence, EngineGap
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from robots.errors import BadArgumentError
from robots.rotations import angle_between, quaternion_from_matrix, rotation_about
from robots.signals import Mask
from robots.world import Task
from sim.engines import ENGINES
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES


class Slippery(MujocoEngine):
    """MuJoCo with objects of half the friction."""

    def write(self, task: Task, mask: Mask | None = None) -> None:
        friction = 0.5 * task["object.friction"]
        super().write(task.with_columns({"object.friction": friction}), mask)


def divergence_of(gap: EngineGap, quantity: str) -> Divergence:
    (found,) = [one for one in gap.divergence if one.quantity == quantity]
    return found


def test_an_engine_has_no_gap_to_itself() -> None:
    gap = measure_gap(FAMILIES["slide"](), ("mujoco", "mujoco"), tasks=6)
    quantities = [one.quantity for one in gap.divergence]
    assert quantities == ["joints", "tool", "object", "object turned"]
    for one in gap.divergence:
        assert one.p90 == [0.0] * len(gap.times)
        assert (one.motion[-1] or 0.0) > 0.01
    assert gap.counted == [6] * len(gap.times)
    assert [one.name for one in gap.outcomes] == ["return", "distance_m", "object_way_m"]
    for outcome in gap.outcomes:
        assert outcome.medians[0] == outcome.medians[1]
        assert outcome.pearson.value == pytest.approx(1.0)
        assert outcome.spearman.value == pytest.approx(1.0)
    assert gap.success.agreement == 1.0
    assert gap.success.rates[0] == gap.success.rates[1]
    table = gap_table(gap)
    assert "slide (panda) in mujoco and in mujoco: 6 tasks" in table
    assert "object way, cm (median)" in table


def test_objects_of_less_friction_go_further_and_the_arm_does_not_notice() -> None:
    with ENGINES.temporarily("slippery", "test_gap:Slippery"):
        gap = measure_gap(FAMILIES["slide"](), ("mujoco", "slippery"), tasks=8)
    (way,) = [one for one in gap.outcomes if one.name == "object_way_m"]
    usual, slippery = way.medians
    assert usual is not None
    assert slippery is not None
    assert slippery > 1.4 * usual  # a free object would go twice as far
    assert way.spearman.value is not None
    assert way.spearman.value > 0.8
    apart = divergence_of(gap, "object").median
    assert apart[0] is not None
    assert apart[-1] is not None
    assert apart[-1] > 5 * apart[0]
    assert (divergence_of(gap, "tool").p90[-1] or 0.0) < 1e-3


def test_both_engines_begin_where_the_other_one_does() -> None:
    family = FAMILIES["push"]()
    task = family.sample(np.random.default_rng(0), 3)
    actions = smooth_actions(family, 3, np.random.default_rng(1))
    first, second = [replay(family, engine, task, actions, 5) for engine in ("mujoco", "bullet")]
    np.testing.assert_allclose(first.start.q, second.start.q, atol=1e-9)
    place = first.start.objects["object"]
    other = second.start.objects["object"]
    np.testing.assert_allclose(place.pos[:, :2], other.pos[:, :2], atol=1e-6)
    assert angle_between(place.quat, other.quat).max() < 1e-5
    assert len(first.measured) == family.horizon * family.action_repeat
    assert torch.equal(first.trial.ticks.action, actions)


def test_a_task_that_has_ended_counts_no_longer() -> None:
    """A hopper under random commands falls, some sooner than others."""
    gap = measure_gap(FAMILIES["hopper_params"](), ("mujoco", "mujoco"), tasks=4)
    assert gap.counted[-1] == 0
    assert divergence_of(gap, "body").median[-1] is None
    assert "tasks that have not ended" in gap_table(gap)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = {"hidden": 8, "schedule.meta_batch": 2}
    config = RunConfig("rl2", "reach", iterations=1, references=False, settings=settings)
    run = Run.create(tmp_path_factory.mktemp("run") / "rl2", config)
    train(run)
    return run


def test_the_commands_of_a_run_do_again_what_they_did(run: Run) -> None:
    family = run.family
    task = family.sample(np.random.default_rng(0), 3, "heldout")
    _, policy = next(run.policies())
    world = SeededWorld(family, "mujoco", 3, 7)
    trial = rollout(world, policy, task, 2, explore=True)
    again = replay(family, "mujoco", task, trial.ticks.action, 7)
    assert torch.equal(again.trial.ticks.next_obs, trial.ticks.next_obs)
    assert torch.equal(again.trial.returns, trial.returns)


def test_the_command_replays_a_run(capfd: pytest.CaptureFixture[str], run: Run) -> None:
    status, answer, _ = pliant(
        capfd,
        "gap",
        "reach",
        "--tasks",
        "3",
        "--engines",
        "mujoco",
        "ideal",
        "--run",
        str(run.path),
    )
    assert status == 0
    assert answer["commands"] == str(run.path)
    assert answer["engines"] == ["mujoco", "ideal"]
    assert answer["outcomes"][0]["pearson"]["value"] > 0.9
    status, answer, _ = pliant(capfd, "gap", "slide", "--run", str(run.path))
    assert status == 2
    assert answer["error"] == f"{run.path} was trained on reach, not on slide"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            "gap reach --engines mujoco warp",
            "no engine named 'warp'; there are: bullet",
        ),
        ("gap slide --engines mujoco ideal", "panda with object runs on mujoco, bullet, not on"),
        ("gap slide --engines mujoco", "--engines takes two engines, got mujoco"),
        ("gap walker_params", "walker_params runs on mujoco alone"),
        ("gap walker_params --engines mujoco bullet", "families that run on two: carry, cheetah_"),
        ("gap reach --tasks 0", "--tasks must be above 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(
    capfd: pytest.CaptureFixture[str], words: str, reason: str
) -> None:
    status, answer, _ = pliant(capfd, *words.split())
    assert status == 2
    assert reason in answer["error"]


def test_random_commands_are_smooth() -> None:
    family = FAMILIES["cheetah_vel"]()
    actions = smooth_actions(family, 50, np.random.default_rng(0))
    assert actions.shape == (1, family.horizon, 50, len(family.action.spec))
    assert actions.abs().max() <= 1
    steps = actions.diff(dim=1).abs()
    assert steps.max() <= 2 * family.dt / KNOT_SPACING + 1e-6
    assert actions[0, 100].std() > 0.5  # of uniform values: 0.58


def test_correlation_agrees_with_its_definition_and_its_known_spread() -> None:
    rng = np.random.default_rng(0)
    n = 200
    x = rng.normal(size=n)
    y = 0.75 * x + rng.normal(size=n)
    pearson, spearman = correlate(x, y, np.arange(n))
    r = float(np.corrcoef(x, y)[0, 1])
    assert pearson.value == pytest.approx(r)
    low, high = np.tanh(np.arctanh(r) + np.array([-1.96, 1.96]) / np.sqrt(n - 3))  # Fisher's z
    assert pearson.interval == pytest.approx((low, high), abs=0.04)
    ranks = np.argsort(np.argsort(x)), np.argsort(np.argsort(y))
    assert spearman.value == pytest.approx(np.corrcoef(*ranks)[0, 1])
    _, of_powers = correlate(x, np.exp(3 * x), np.arange(n))
    assert of_powers.value == pytest.approx(1.0)
    assert of_powers.interval == pytest.approx((1.0, 1.0))


def test_a_resample_counts_as_the_repeated_trials_would() -> None:
    x = np.array([3.0, 1.0, 1.0, 2.0])
    y = np.array([1.0, 0.0, 2.0, 5.0])
    times = np.array([2, 1, 0, 3])
    chosen = np.repeat(np.arange(4), times)
    assert pearson_r(x, y, times[None])[0] == pytest.approx(np.corrcoef(x[chosen], y[chosen])[0, 1])
    # 1, 2 2 2, 3 3 have the ranks 1, 3 3 3, 5.5 5.5
    np.testing.assert_allclose(average_ranks(x, times[None])[0, [0, 1, 3]], [5.5, 1.0, 3.0])
    once = np.ones((1, 4), dtype=np.int64)
    np.testing.assert_allclose(average_ranks(x, once)[0], [4.0, 1.5, 1.5, 3.0])


def test_a_constant_outcome_and_a_single_task_have_no_correlation_or_no_interval() -> None:
    constant, _ = correlate(np.full(5, 0.1), np.arange(5.0), np.arange(5))
    assert constant.value is None
    assert constant.interval is None
    unknown, _ = correlate(np.full(5, np.nan), np.arange(5.0), np.arange(5))
    assert unknown.value is None
    repeated, _ = correlate(np.arange(5.0), np.arange(5.0) ** 2, np.zeros(5, dtype=np.int64))
    assert repeated.value is not None
    assert repeated.interval is None


@pytest.mark.parametrize("angle", [0.0, 1e-7, 0.5, 3.0, np.pi])
def test_the_angle_between_rotations(angle: float) -> None:
    axis = np.array([0.6, 0.0, 0.8])
    first = rotation_about(np.array([0.0, 1.0, 0.0]), 0.7)
    second = first @ rotation_about(axis, angle)
    a, b = quaternion_from_matrix(np.stack([first, second]))
    assert angle_between(a, b) == pytest.approx(angle, rel=1e-6, abs=1e-12)
    assert angle_between(a, -b) == pytest.approx(angle, rel=1e-6, abs=1e-12)


def test_a_family_that_runs_on_one_engine_has_no_second() -> None:
    with pytest.raises(BadArgumentError, match="point runs on ideal alone"):
        measure_gap(FAMILIES["point"]())
