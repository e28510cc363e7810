"""Actions in effect after a latency: as the simulator delays them, tick by tick."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hw_interface.late_actions import LateActions
from policies.method import Problem, Transition
from policies.planning.icem import IcemConfig, Plan
from policies.planning.latency import Latency
from policies.planning.mpc import MpcController, PlanState
from robots.signals import Array, Spec
from robots.world import Task
from sim.disturbances import Disturbances

N, A = 2, 3
TICKS = 4  # of a decision, which lasts 1 s
LATENCIES = (0.0, 0.25, 1.0, 1.75, 3.0)


def delayed_by_the_simulator(sent: Array, latency: float) -> Array:
    """The mean action in effect in each decision, (T, n, a), after actions (T, n, a)."""
    disturbances = Disturbances(N, Spec.of(("x", -1.0, 1.0, "m")), A, dt=1.0)
    task = Task(("disturbance.latency",), np.full((N, 1), latency), np.arange(N))
    disturbances.begin(task, np.ones(N, dtype=bool), np.zeros((N, A)))
    means = []
    for action in sent:
        disturbances.post(action)
        in_effect = [disturbances.action(tick / TICKS) for tick in range(TICKS)]
        means.append(np.mean(in_effect, 0))
    return np.stack(means)


@pytest.mark.parametrize("latency", LATENCIES)
def test_actions_take_effect_as_late_as_in_the_simulator(latency: float) -> None:
    sent = np.random.default_rng(0).uniform(-1, 1, (9, N, A))
    expected = delayed_by_the_simulator(sent, latency)

    late = LateActions(latency)
    for _ in range(2):  # episodes: nothing of the first one is left in the second
        late.begin(np.zeros((N, A)))
        in_effect = [late.send(action) for action in sent]
        np.testing.assert_allclose(in_effect, expected, atol=1e-12)

    planned = Latency(latency)
    actions = torch.tensor(sent)
    under_way = planned.initial(torch.zeros(N, A, dtype=actions.dtype))
    for action in actions[:5]:
        under_way = planned.send(under_way, action)
    candidates = actions[5:].permute(1, 0, 2)[:, None]  # (n, P = 1, H = 4, a)
    found = planned.in_effect(under_way, candidates)
    ahead = expected[5 : 5 + found.shape[2]]
    np.testing.assert_allclose(found[:, 0, :4].permute(1, 0, 2), ahead, atol=1e-12)
    assert found.shape[2] == 4 + int(latency), "the plan's last action takes effect too"


HORIZON = 12
LINE = Problem(
    family="line",
    obs_names=("x",),
    obs_low=(-1.0,),
    obs_high=(1.0,),
    action_names=("v",),
    horizon=HORIZON,
    episodes=1,
    task_names=("hidden",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=None,
)
STEP = 0.3  # m, at the largest action


def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """The exact model: x moves by ``STEP`` times the action; the reward is minus its distance."""
    moved = STEP * actions.cumsum(2).permute(2, 0, 1, 3)  # (H, n, P, 1)
    begin = obs[None, :, None].expand_as(moved[:1])
    states = torch.cat([begin, begin + moved])[:, None]
    return states, -states[1:].abs()


def distances(delay: int, expected: float) -> list[float]:
    """|x| of a point that starts at 1, in each decision of an episode."""
    planner = IcemConfig(horizon=5, num_samples=64)
    controller = MpcController(LINE, planner, 0.0, torch.Generator().manual_seed(0))
    controller.latency = Latency(expected)

    def search(obs: Tensor, state: PlanState, start: Plan, iterations: int) -> Plan:
        return controller.plan(obs, state, start, iterations, imagine, torch.zeros(1, 0))

    state = controller.begin_episode(1)
    obs = torch.ones(1, 1)
    no = torch.zeros(1, dtype=torch.bool)
    sent = [torch.zeros(1, 1)] * delay
    found = []
    for _ in range(HORIZON):
        action = controller.act(obs, state, False, search, torch.zeros(1, 0))
        sent.append(action)
        applied = sent[-1 - delay]
        next_obs = obs + STEP * applied
        tick = Transition(obs, action, applied, no.float(), next_obs, no, no, no, no, ~no)
        state = controller.replan(state, tick, search)
        obs = next_obs
        found.append(float(obs.abs()))
    return found


def test_a_plan_over_the_latency_stops_at_the_goal_and_one_that_ignores_it_swings() -> None:
    """A point 1 m from its goal, 0.3 m a decision: four decisions after the latency it is there."""
    informed = distances(delay=2, expected=2.0)
    assert informed[:2] == [1.0, 1.0], "nothing happens before the latency has passed"
    assert max(informed[5:]) < 0.1
    ignorant = distances(delay=2, expected=0.0)
    assert max(ignorant[5:]) > 0.4
    without = distances(delay=0, expected=0.0)
    assert max(without[3:]) < 0.1
