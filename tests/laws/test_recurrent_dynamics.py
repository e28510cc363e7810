"""Laws of the recurrent dynamics: the memory reads a trial once, in order, and only the past."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_dynamics import OBS, A, make_ticks, random
from torch import Tensor

from policies.belief import map_tensors
from policies.method import Problem, TrialBatch, stack
from policies.methods.recurrent_mpc import RecurrentMPC, RecurrentMpcConfig
from policies.models.recurrent_dynamics import RecurrentDynamics, RecurrentDynamicsConfig

SEGMENT = 4
CONFIG = RecurrentDynamicsConfig(
    ensemble_size=2,
    hidden=(16,),
    memory_size=6,
    summary_dim=3,
    unroll_steps=1,
    windows_per_task=5,
)
CPU = torch.device("cpu")


def make_model(**changes: Any) -> RecurrentDynamics:
    model = RecurrentDynamics(OBS, A, False, replace(CONFIG, **changes), random(0))
    model.update(make_ticks((64,), seed=9))
    return model


def test_observing_tick_by_tick_is_the_scan() -> None:
    model = make_model()
    t = make_ticks((2, 7))
    hidden = [model.memory.initial(2)]
    for i in range(7):
        hidden.append(model.observe(hidden[-1], t[:, i]))
    with torch.no_grad():
        torch.testing.assert_close(torch.stack(hidden), model.scan(t))


def test_an_invalid_transition_is_not_read() -> None:
    model = make_model()
    broken = map_tensors(torch.clone, make_ticks((2, 1))[:, 0])
    broken.valid[0] = False
    broken.next_obs[0] = torch.nan
    hidden = model.observe(model.memory.initial(2), broken)
    assert torch.equal(hidden[0], torch.zeros(CONFIG.memory_size))
    assert not torch.equal(hidden[1], hidden[0])


def test_no_window_is_predicted_from_a_memory_that_has_read_it() -> None:
    """Windows of one tick: nothing that the memory reads of a trial's last tick has a gradient."""
    model = make_model()
    read: list[Tensor] = []

    def record(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        read.append(inputs[0])
        inputs[0].requires_grad_()

    model.embed.register_forward_pre_hook(record)
    t = make_ticks((1, 6))
    model.loss(t, torch.ones(1, 6, dtype=torch.bool), random(3))["nll"].backward()
    gradient = read[0].grad
    assert gradient is not None
    assert (gradient[0, :3].abs().sum(-1) > 0).all()
    assert torch.equal(gradient[0, -1], torch.zeros_like(gradient[0, -1]))


def make_method(segment: int) -> RecurrentMPC:
    problem = Problem(
        family="line",
        obs_names=("x", "y", "z"),
        obs_low=(-2.0,) * OBS,
        obs_high=(2.0,) * OBS,
        action_names=("u", "v"),
        horizon=5,
        episodes=2,
        task_names=("gain",),
        task_low=(-1.0,),
        task_high=(1.0,),
        reward=None,
    )
    config = RecurrentMpcConfig(dynamics=replace(CONFIG, segment=segment), gradient_steps=2)
    return RecurrentMPC(problem, config, 0, CPU)


def stored(method: RecurrentMPC, n: int = 3) -> TrialBatch:
    """A trial of two episodes of five ticks in n worlds, learned from; world 0 ended early."""
    episodes = []
    for e in range(2):
        ticks = make_ticks((n, 5), seed=e).transpose(0, 1)
        valid = torch.ones(5, n, dtype=torch.bool)
        valid[2:, 0] = False
        episodes.append(replace(ticks, valid=valid))
    success = torch.zeros(2, n, dtype=torch.bool)
    trial = TrialBatch(stack(episodes), torch.zeros(n, 1), torch.arange(n), success)
    method.learn(trial)
    return trial


@pytest.mark.parametrize("segment", [SEGMENT, 20])
def test_beliefs_for_the_policy_are_those_of_consecutive_transitions(segment: int) -> None:
    """Each is what observing some consecutive transitions gives, none or all of them included."""
    method = make_method(segment)
    trial = stored(method)
    sequence = trial.sequences()
    for world in range(3):
        length = int(sequence.valid[:, world].sum())
        possible = {}
        for begin in range(max(0, length - segment) + 1):
            hidden = method.initial_task_belief(1)
            for count in range(min(segment, length) + 1):
                possible[(begin, count)] = method.summarize_task(hidden)[0].detach()
                if count < min(segment, length):
                    tick = sequence[begin + count, world : world + 1]
                    hidden = method.update_task_belief(hidden, tick)
        found = method.infer(torch.full((300,), world))
        counts = set()
        for z in found:
            matches = [k for k, one in possible.items() if torch.allclose(one, z, atol=1e-5)]
            assert matches
            counts.add(matches[0][1])
        assert {0, min(segment, length)} <= counts


def test_the_model_learns_from_all_of_a_long_trial_however_short_others_are() -> None:
    """World 0 has four ticks, the others ten; segments have three."""
    method = make_method(3)
    stored(method)
    slots = torch.arange(3).repeat(100)
    ticks, exists = method.draw_trials(slots)
    assert exists.shape == (300, 3)
    whole, lengths = method.replay.trials(torch.arange(3))
    for world in range(3):
        seen = set(ticks.reward[slots == world].flatten().tolist())
        assert seen == set(whole.reward[world][lengths[world]].tolist())


def test_all_members_imagine_under_the_memory_s_summary() -> None:
    method = make_method(20)
    hidden = torch.randn(4, CONFIG.memory_size, generator=random(0))
    z = method.hypotheses(hidden)
    assert z.shape == (CONFIG.ensemble_size, 4, CONFIG.summary_dim)
    for own in z:
        assert torch.equal(own, method.summarize_task(hidden))


def test_the_memory_outlives_an_episode_and_the_plan_does_not() -> None:
    method = make_method(20)
    trial = stored(method)
    belief = method.prior(3)
    for t in range(5):
        belief = method.observe(belief, trial.ticks[0, t])
    after = method.adapt(belief, trial.ticks[0])
    assert torch.equal(after.task_belief, belief.task_belief)
    assert torch.equal(after.tick, torch.zeros_like(after.tick))
    assert after.planned_obs.isnan().all()
