"""The latency of an arm, told to a run's method that plans."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import pliant
from adaptation.jobs.recording_notes import expected_latency, notes_of
from adaptation.runs.expected_latency import latency_in_decisions, standstill_at_start
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.planning.mpc_method import MpcMethod
from robots.arm import ArmSpec
from robots.errors import BadArgumentError, DamagedError
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint
from sim.families import make_family
from sim.vec_world import VecWorld

# A method that plans, after hardly any training.
SMALL = {
    "gradient_steps": 1,
    "planner.horizon": 1,
    "schedule.meta_batch": 2,
    "schedule.random_trials": 1,
    "schedule.episodes_per_trial": 1,
}


@pytest.mark.parametrize("latency", [-0.1, math.inf, math.nan])
def test_a_latency_that_cannot_be_is_refused(latency: float) -> None:
    run = Run(Path("nowhere"), RunConfig("rebal", "reach"))
    with pytest.raises(BadArgumentError, match="must not be negative"):
        run.with_latency(latency)


def test_a_method_without_a_plan_cannot_expect_a_latency() -> None:
    run = Run(Path("nowhere"), RunConfig("pearl", "reach"))
    assert run.with_latency(0.0).latency == 0.0
    with pytest.raises(BadArgumentError, match="pearl plans with no model"):
        run.with_latency(0.1)


def expected(run: Run) -> float:
    """Decisions of latency that the run's policies expect."""
    name, method = next(run.policies())
    assert name == "adapted"
    assert isinstance(method, MpcMethod)
    latency = method.controller.latency
    return latency.steps + latency.fraction


def test_policies_expect_the_latency_of_their_run_and_no_other_s(tmp_path: Path) -> None:
    """A decision of ``point`` lasts 0.1 s; a copy of the run shares its checkpoints."""
    torch.set_num_threads(1)
    folder = tmp_path / "run"
    settings = SMALL
    run = pliant.train("grbal", "point", folder, iterations=1, settings=settings, references=False)
    late = run.with_latency(0.15)
    assert expected(late) == pytest.approx(1.5)
    assert expected(run) == 0.0
    assert expected(pickle.loads(pickle.dumps(late))) == pytest.approx(1.5), "as a worker has it"
    assert expected_latency(notes_of(late)) == 0.15, "the recording names it, for its replay"


def test_a_policy_of_target_positions_expects_whole_decisions_that_begin_at_the_start(
    tmp_path: Path,
) -> None:
    """A decision of ``carry`` lasts 0.3 s; before the first action its arm stands still."""
    torch.set_num_threads(1)
    folder = tmp_path / "run"
    run = pliant.train("grbal", "carry", folder, iterations=1, settings=SMALL, references=False)
    assert expected(run.with_latency(0.1)) == 0.0
    late = run.with_latency(0.35)
    assert expected(late) == 1.0

    world = VecWorld(run.family)
    world.reset(run.family.sample(np.random.default_rng(0), 1))
    standstill = run.family.action.standstill(world.gate.setpoint)
    _, method = next(late.policies())
    under_way = torch.stack(method.prior(1).under_way).numpy()
    np.testing.assert_allclose(under_way, [standstill, standstill], atol=1e-6)
    assert abs(standstill[0, 2]) > 0.2, "the height of the start is not the middle of its range"

    _, method = next(run.policies())
    assert not method.prior(1).under_way, "the same method, now without a latency"


@pytest.mark.parametrize(
    ("name", "decisions"), [("reach", 0.6), ("cheetah_vel", 0.6), ("carry", 1.0), ("insert", 1.0)]
)
def test_the_mean_of_two_actions_is_for_velocities_and_torques(name: str, decisions: float) -> None:
    family = make_family(name)
    latency = 0.6 * family.dt * family.action_repeat
    assert latency_in_decisions(family, latency) == pytest.approx(decisions)


@pytest.mark.parametrize("name", ["reach", "carry", "insert"])
def test_the_standstill_action_does_not_move_the_tool_at_the_start(name: str) -> None:
    family = make_family(name)
    assert isinstance(family.body, ArmSpec)
    rng = np.random.default_rng(0)
    q = family.start(rng, family.sample(rng, 1)).q
    setpoint = Setpoint(q, np.zeros_like(q), np.zeros_like(q))
    _, _, jacobian = Kinematics(family.body).forward_jacobian(q)

    def speed(action: Array) -> float:
        dq = family.action(action, setpoint)
        return float(np.linalg.norm(jacobian[0, :3] @ dq[0]))

    standstill = standstill_at_start(family).numpy()[None]
    assert speed(standstill) < 1e-3  # m/s
    assert speed(standstill + 0.2) > 0.01


def test_a_recording_without_a_latency_had_none_and_one_that_is_no_number_is_damage() -> None:
    assert expected_latency({}) == 0.0
    with pytest.raises(DamagedError, match="'soon'"):
        expected_latency({"latency": "soon"})
