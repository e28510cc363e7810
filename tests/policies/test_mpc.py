"""The plan that a controller carries from tick to tick, each world's on its own."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from policies.method import Problem, Transition
from policies.planning.icem import IcemConfig, Plan
from policies.planning.mpc import MpcController, PlanState

N, H = 3, 4
PROBLEM = Problem(
    family="line",
    obs_names=("x",),
    obs_low=(-1.0,),
    obs_high=(1.0,),
    action_names=("u",),
    horizon=8,
    episodes=1,
    task_names=("hidden",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=None,
)
OBS = torch.arange(N)[:, None] / 10
NEXT_OBS = OBS + 0.5


class Recorder:
    """A search that changes nothing, and remembers where it was asked to start."""

    def __init__(self) -> None:
        self.starts: list[Plan] = []

    def __call__(self, obs: Tensor, belief: PlanState, start: Plan, iterations: int) -> Plan:
        self.starts.append(start)
        return start


@pytest.fixture
def controller() -> MpcController:
    return MpcController(PROBLEM, IcemConfig(horizon=H), 0.1, torch.Generator().manual_seed(0))


def planned(controller: MpcController) -> PlanState:
    """A belief with a plan for ``OBS``, the mean of whose actions is 1, 2, 3, 4."""
    state = controller.begin_episode(N)
    mean = 1 + torch.arange(H).expand(N, H)[..., None].float()
    plan = Plan(mean, state.plan.best, torch.full((N,), 5))
    return replace(state, plan=plan, planned_obs=OBS)


def transition() -> Transition:
    no = torch.zeros(N, dtype=torch.bool)
    action = torch.zeros(N, 1)
    return Transition(
        obs=OBS,
        action=action,
        applied=action,
        reward=torch.zeros(N),
        next_obs=NEXT_OBS,
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )


def test_a_plan_is_continued_one_step_later(controller: MpcController) -> None:
    search = Recorder()
    later = controller.replan(planned(controller), transition(), search)
    (start,) = search.starts
    assert start.mean[:, :, 0].tolist() == [[2.0, 3.0, 4.0, 4.0]] * N
    assert start.tick.tolist() == [6] * N
    assert torch.equal(later.planned_obs, NEXT_OBS)
    assert later.tick.tolist() == [1] * N


def test_a_world_without_a_plan_for_what_it_saw_starts_anew_and_no_other_world(
    controller: MpcController,
) -> None:
    belief = planned(controller)
    planned_obs = OBS.clone()
    planned_obs[1] = torch.nan  # it never had one
    planned_obs[2] = 9.0  # it had one for another place
    search = Recorder()
    controller.replan(replace(belief, planned_obs=planned_obs), transition(), search)
    (start,) = search.starts
    assert start.mean[0, :, 0].tolist() == [2.0, 3.0, 4.0, 4.0]
    assert not start.mean[1:].any()


def test_a_world_whose_transition_is_not_valid_stays_as_it_is(controller: MpcController) -> None:
    belief = planned(controller)
    t = transition()
    valid = torch.tensor([True, False, True])
    later = controller.replan(belief, replace(t, valid=valid), Recorder())
    assert later.tick.tolist() == [1, 0, 1]
    assert torch.equal(later.planned_obs[1], belief.planned_obs[1])
    assert torch.equal(later.plan.mean[1], belief.plan.mean[1])


def test_nothing_is_searched_for_where_every_world_is_at_its_end(
    controller: MpcController,
) -> None:
    t = transition()
    over = replace(t, truncated=torch.tensor([True, False, False]), terminated=~t.valid)
    search = Recorder()
    controller.replan(planned(controller), over, search)
    assert len(search.starts) == 1
    all_over = replace(over, terminated=torch.tensor([False, True, True]))
    later = controller.replan(planned(controller), all_over, search)
    assert len(search.starts) == 1
    assert later.tick.tolist() == [1] * N


def test_the_noise_of_a_search_does_not_depend_on_the_seed(controller: MpcController) -> None:
    other = MpcController(PROBLEM, IcemConfig(horizon=H), 0.1, torch.Generator().manual_seed(1))
    tick = torch.tensor([0, 3])
    assert torch.equal(controller.planner.noise(tick), other.planner.noise(tick))
