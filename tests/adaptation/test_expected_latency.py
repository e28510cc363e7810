"""The latency of an arm, told to a run's method that plans."""

import math
import pickle
from pathlib import Path

import pytest
import torch

import pliant
from adaptation.jobs.recording_notes import expected_latency, notes_of
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.planning.mpc_method import MpcMethod
from robots.errors import BadArgumentError, DamagedError

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


def test_a_recording_without_a_latency_had_none_and_one_that_is_no_number_is_damage() -> None:
    assert expected_latency({}) == 0.0
    with pytest.raises(DamagedError, match="'soon'"):
        expected_latency({"latency": "soon"})
