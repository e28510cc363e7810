"""Learning rates fall in the second half of the schedule, if asked to."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from collecting import collect

from adaptation.problem import problem_of
from policies.method import CollectionSchedule
from policies.methods.context_mpc import ContextMPC, ContextMpcConfig
from policies.methods.oracle import Oracle
from policies.methods.pearl import Pearl, PearlConfig
from policies.methods.rma import Rma, RmaConfig
from policies.planning.icem import IcemConfig
from policies.rl.sac import SacConfig
from sim.families.point import Point
from sim.vec_world import VecWorld

CPU = torch.device("cpu")
FAMILY = Point()
PROBLEM = problem_of(FAMILY)
TASKS = 4
SCHEDULE = CollectionSchedule(meta_batch=TASKS, episodes_per_trial=1, iterations=4)
SAC = SacConfig(
    hidden=(16, 16),
    meta_batch=4,
    batch_per_task=4,
    gradient_steps=3,
    lr=1e-2,
    final_lr_share=0.25,
    schedule=SCHEDULE,
)
CONFIGS = {
    Oracle: SAC,
    Pearl: PearlConfig(sac=SAC, encoder_hidden=(16,), encoder_lr=2e-2),
    ContextMPC: ContextMpcConfig(
        planner=IcemConfig(horizon=2, num_samples=4, num_elites=2, num_kept_elites=1, iterations=1),
        gradient_steps=3,
        final_lr_share=0.25,
        schedule=SCHEDULE,
    ),
    Rma: RmaConfig(sac=SAC, teacher_iterations=3, history=40, channels=8, encoder_lr=2e-2),
}
SHARES = [1.0, 1.0, 1.0, 0.625, 0.25, 0.25]  # in six iterations of a schedule of four


def learning_rates(method: Any) -> list[float]:
    learner = method.learner if isinstance(method, Oracle) else method
    return [group["lr"] for group in learner.optimizer.param_groups]


@pytest.mark.parametrize("kind", CONFIGS)
def test_rates_fall_linearly_to_their_final_share_also_after_a_restart(kind: Any) -> None:
    method = kind(PROBLEM, CONFIGS[kind], 0, CPU)
    rates = learning_rates(method)
    world = VecWorld(FAMILY, n=TASKS, seed=0)
    for iteration, share in enumerate(SHARES):
        restarted = kind(PROBLEM, CONFIGS[kind], 1, CPU)
        restarted.load_state_dict(method.state_dict())
        method = restarted
        method.learn(collect(world, method, 0, iteration))
        assert learning_rates(method) == pytest.approx([share * rate for rate in rates])


def test_rates_stay_unless_asked_to_fall() -> None:
    stays = replace(SAC, final_lr_share=1.0)
    assert {stays.lr_share(steps) for steps in range(100)} == {1.0}
