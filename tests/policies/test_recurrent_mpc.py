"""Recurrent MPC on a point on a line whose gain, or whose goal, is hidden."""

import pytest
import torch
from test_context_mpc import CONFIG, CPU, N, draw_tasks, last_return, make_problem, random_trial

from policies.methods.recurrent_mpc import RecurrentMPC, RecurrentMpcConfig
from policies.models.recurrent_dynamics import RecurrentDynamicsConfig


@pytest.mark.parametrize("hidden_goal", [False, True], ids=["hidden gain", "hidden goal"])
def test_acting_on_a_memory_is_better_than_on_an_empty_one(hidden_goal: bool) -> None:
    config = RecurrentMpcConfig(
        dynamics=RecurrentDynamicsConfig(
            ensemble_size=2,
            hidden=(32, 32),
            memory_size=24,
            summary_dim=3,
            unroll_steps=2,
            windows_per_task=8,
        ),
        planner=CONFIG.planner,
        lr=5e-3,
        ema_rate=0.02,
        meta_batch=16,
        gradient_steps=150,
        schedule=CONFIG.schedule,
    )
    method = RecurrentMPC(make_problem(hidden_goal), config, 0, CPU)
    for i in range(5):
        method.learn(random_trial(draw_tasks(4 * N, i), i, hidden_goal))
    task = draw_tasks(64, 55)
    adapted = last_return(method, task, 54, hidden_goal)
    no_adaptation = last_return(method, task, 54, hidden_goal, adapt=False)
    assert adapted > 0.7 * no_adaptation  # returns are negative
    torch.testing.assert_close(method.prior(3).task_belief, torch.zeros(3, 24))
