"""Actions in effect after a latency: as the simulator delays them, tick by tick."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from hw_interface.late_actions import LateActions
from policies.method import Problem, Transition
from policies.planning.icem import IcemConfig, Plan
from policies.planning.latency import Latency
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import Imagine, TerminalValue
from policies.rl.sac import SacConfig
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
STEP = 0.3  # m, at the largest action
FRICTION = 0.5  # share of the velocity that is left after a decision
STANDSTILL = 0.4  # the action in effect before the first one arrives: the masses drift


def problem(columns: int, horizon: int = HORIZON) -> Problem:
    """A family of so many observed columns and one action, whose model predicts the reward."""
    return Problem(
        family="line",
        obs_names=tuple(f"x{i}" for i in range(columns)),
        obs_low=(-1.0,) * columns,
        obs_high=(1.0,) * columns,
        action_names=("v",),
        horizon=horizon,
        episodes=1,
        task_names=("hidden",),
        task_low=(0.0,),
        task_high=(1.0,),
        reward=None,
    )


def glide(obs: Tensor, action: Tensor) -> Tensor:
    """A point (..., 1) that moves by ``STEP`` times the action."""
    return obs + STEP * action


def coast(obs: Tensor, action: Tensor) -> Tensor:
    """A mass (..., 2) with position and velocity: a linear system that remembers."""
    velocity = FRICTION * obs[..., 1:] + STEP * action
    return torch.cat([obs[..., :1] + velocity, velocity], -1)


Plant = Callable[[Tensor, Tensor], Tensor]


def exact_model(plant: Plant) -> Imagine:
    """The plant itself as the model; the reward is minus the distance of the first column."""

    def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        state = obs[:, None].expand(-1, actions.shape[1], -1)
        states = [state]
        for action in actions.unbind(2):
            state = plant(state, action)
            states.append(state)
        stacked = torch.stack(states)[:, None]  # (H + 1, m = 1, n, P, o)
        return stacked, -stacked[1:, ..., :1].abs()

    return imagine


class SpringValue:
    """Stands for a learned policy and value: a spring toward 0, and minus the distance."""

    config = SacConfig(gamma=0.9)

    def propose(self, obs: Tensor, summary: Tensor, steps: int, imagine: Imagine) -> Tensor:
        """(n, H, a)."""
        return (-obs[:, None, :1]).expand(-1, steps, -1)

    def value(self, obs: Tensor, summary: Tensor) -> Tensor:
        """(m, n, P)."""
        return -obs[..., 0].abs()


def drive(
    plant: Plant,
    obs: Tensor,
    delay: int,
    expected: float,
    horizon: int = HORIZON,
    value: SpringValue | None = None,
    standstill: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Actions sent (T, n, 1) and observations after them (T, n, o), from ``obs`` (n, o) on."""
    n, columns = obs.shape
    planner = IcemConfig(horizon=5, num_samples=64)
    generator = torch.Generator().manual_seed(0)
    learned = cast(TerminalValue | None, value)
    controller = MpcController(problem(columns, horizon), planner, 0.0, generator, learned)
    controller.latency = Latency(expected)
    controller.standstill.fill_(standstill)
    imagine = exact_model(plant)
    summary = torch.zeros(n, 0)

    def search(obs: Tensor, state: PlanState, start: Plan, iterations: int) -> Plan:
        return controller.plan(obs, state, start, iterations, imagine, summary)

    state = controller.begin_episode(n)
    no = torch.zeros(n, dtype=torch.bool)
    sent = [torch.full((n, 1), standstill)] * delay
    found = []
    for _ in range(horizon):
        action = controller.act(obs, state, False, search, summary)
        sent.append(action)
        applied = sent[-1 - delay]
        next_obs = plant(obs, applied)
        tick = Transition(obs, action, applied, no.float(), next_obs, no, no, no, no, ~no)
        state = controller.replan(state, tick, search)
        obs = next_obs
        found.append(obs)
    return torch.stack(sent[delay:]), torch.stack(found)


def distances(delay: int, expected: float) -> list[float]:
    """|x| of a point that starts at 1, in each decision of an episode."""
    _, found = drive(glide, torch.ones(1, 1), delay, expected)
    moved: list[float] = found.abs().flatten().tolist()
    return moved


def test_a_plan_over_the_latency_stops_at_the_goal_and_one_that_ignores_it_swings() -> None:
    """A point 1 m from its goal, 0.3 m a decision: four decisions after the latency it is there."""
    informed = distances(delay=2, expected=2.0)
    assert informed[:2] == [1.0, 1.0], "nothing happens before the latency has passed"
    assert max(informed[5:]) < 0.1
    ignorant = distances(delay=2, expected=0.0)
    assert max(ignorant[5:]) > 0.4
    without = distances(delay=0, expected=0.0)
    assert max(without[3:]) < 0.1


@pytest.mark.parametrize("value", [None, SpringValue()], ids=["plan", "policy and value"])
@pytest.mark.parametrize("delay", [1, 3])
def test_with_an_exact_model_a_known_delay_only_shifts_the_episode(
    delay: int, value: SpringValue | None
) -> None:
    """The delayed plant does what the plant without a delay does, ``delay`` decisions later.

    That one begins where the standstill action has taken the masses by then, and its episode is
    shorter by the delay.
    """
    begin = torch.tensor([[1.0, 0.0], [-0.7, 0.2]])
    sent, delayed = drive(coast, begin, delay, delay, HORIZON, value, STANDSTILL)

    shifted = begin
    for _ in range(delay):
        shifted = coast(shifted, torch.full((2, 1), STANDSTILL))
    actions, prompt = drive(coast, shifted, 0, 0.0, HORIZON - delay, value)

    assert not torch.equal(shifted, begin), "the masses have drifted"
    torch.testing.assert_close(sent[: HORIZON - delay], actions, atol=1e-6, rtol=0)
    torch.testing.assert_close(delayed[delay:], prompt, atol=1e-5, rtol=0)
