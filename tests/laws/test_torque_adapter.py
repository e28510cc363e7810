"""Laws of the adapter: it learns in hindsight, from what a plant did before, and not by reward."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_grbal import HORIZON, A, make_problem, make_trial, random
from torch import Tensor

from policies.belief import map_tensors
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.methods.torque_adapter import TorqueAdapterConfig, TorqueAdapterMethod
from policies.models.torque_adapter import Plant, TorqueAdapter, last_actions
from policies.rl.sac import SacConfig
from policies.rl.sac_learner import FixedBelief

N, H = 3, 6  # worlds, units of the GRU
CPU = torch.device("cpu")
SCHEDULE = CollectionSchedule(meta_batch=N, episodes_per_trial=2, iterations=4)
CONFIG = TorqueAdapterConfig(
    teacher_iterations=1,
    memory_size=H,
    hidden=(8,),
    adapter_trials=5,
    sac=SacConfig(hidden=(8,), meta_batch=4, batch_per_task=2, gradient_steps=2, schedule=SCHEDULE),
)


def make_method() -> TorqueAdapterMethod:
    """One iteration of the base policy and one of the adapter; the plant is the point's gain."""
    method = TorqueAdapterMethod(make_problem(), CONFIG, 0, CPU)
    method.learn(make_trial(N, seed=1))
    method.learn(make_trial(N, seed=2))
    return method


@pytest.fixture(scope="module")
def method() -> TorqueAdapterMethod:
    return make_method()


def test_one_is_nominal_also_at_the_end_of_a_range() -> None:
    """The ranges are those of samples, which reach their ends almost."""
    low = (0.6, 0.3, 2.0)
    high = (0.9999, 0.5, 4.0)
    names = ("actuator.strength", "object.friction", "object.mass")
    problem = replace(make_problem(), task_names=names, task_low=low, task_high=high)
    assert Plant(problem, CPU).nominal.tolist() == [1.0, 0.0, 0.0]


def test_a_constant_parameter_is_nominally_what_it_always_is() -> None:
    """A latency of 0 is scaled by a width of 1, so that 1 would be in its range, too."""
    names = ("disturbance.latency", "actuator.strength")
    problem = replace(make_problem(), task_names=names, task_low=(0.0, 0.5), task_high=(0.0, 1.5))
    plant = Plant(problem, CPU)
    always = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(plant.nominal, plant.scaled(always))


def sequences(trial: TrialBatch) -> Transition:
    """Trials (n, L, ...)."""
    return trial.sequences().transpose(0, 1)


def gru(adapter: TorqueAdapter, row: Tensor, state: Tensor) -> Tensor:
    """One step of a GRU as it is written (Cho et al. 2014, in torch's variant)."""
    weights = dict(adapter.memory.gru.named_parameters())
    from_row = row @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
    from_state = state @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
    reset_in, update_in, new_in = from_row.chunk(3, -1)
    reset_state, update_state, new_state = from_state.chunk(3, -1)
    reset = (reset_in + reset_state).sigmoid()
    keep = (update_in + update_state).sigmoid()
    new = (new_in + reset * new_state).tanh()
    return (1 - keep) * new + keep * state


def scaled(norm: Any, x: Tensor) -> Tensor:
    out: Tensor = (x - norm.mean) * norm.inv_std
    return out


def written_out(
    adapter: TorqueAdapter, t: Transition, count: int, plant: Tensor, nominal: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Squared errors at each of the first ticks of one trial (L, ...): inverse, residual."""
    state = torch.zeros(H)
    inverse = []
    residual = []
    for k in range(count):
        fresh = k == 0 or bool(t.begins[k])
        last = torch.zeros(A) if fresh else t.applied[k - 1]
        obs = scaled(adapter.obs_norm, t.obs[k])
        change = scaled(adapter.delta_norm, t.next_obs[k] - t.obs[k])
        found = adapter.inverse(torch.cat([obs, last, change, plant]))
        command = adapter.inverse(torch.cat([obs, last, change, nominal])).detach()
        added = adapter.residual(torch.cat([state, obs, last, command]))
        inverse.append((found - t.applied[k]).square().mean())
        residual.append((command + added - t.applied[k]).square().mean())
        state = gru(adapter, torch.cat([obs, t.applied[k], change]), state)
    return inverse, residual


def test_the_losses_are_those_of_every_tick_written_out(method: TorqueAdapterMethod) -> None:
    t = sequences(make_trial(N, seed=5))
    counts = [2 * HORIZON, HORIZON + 3, 1]
    mask = torch.arange(2 * HORIZON) < torch.tensor(counts)[:, None]
    plant = torch.randn(N, 1, generator=random(1))
    nominal = method.plant.nominal
    losses = method.adapter.losses(t, mask, plant, nominal)
    inverse: list[Tensor] = []
    residual: list[Tensor] = []
    for i, count in enumerate(counts):
        of_inverse, of_residual = written_out(method.adapter, t[i], count, plant[i], nominal)
        inverse += of_inverse
        residual += of_residual
    for name, expected in (("inverse", inverse), ("residual", residual)):
        mean = torch.stack(expected).mean()
        torch.testing.assert_close(losses[name], mean, atol=1e-6, rtol=1e-5)


def test_a_segment_s_first_tick_is_learned_from_only_if_an_episode_begins(
    method: TorqueAdapterMethod,
) -> None:
    """Within an episode the action before it is unknown."""
    t = sequences(make_trial(N, seed=5))[:, 1 : 1 + HORIZON]
    mask = torch.ones(N, HORIZON, dtype=torch.bool)
    later = mask.clone()
    later[:, 0] = False
    plant = torch.zeros(N, 1)
    losses = method.adapter.losses(t, mask, plant, method.plant.nominal)
    assert losses == method.adapter.losses(t, later, plant, method.plant.nominal)
    assert mask.all(), "the caller's mask is not changed"


def test_acting_tick_by_tick_is_what_was_learned(method: TorqueAdapterMethod) -> None:
    """The memory goes on from episode to episode; an episode begins without a last action."""
    trial = make_trial(N, seed=5)
    t = sequences(trial)
    with torch.no_grad():
        empty = method.adapter.memory.initial(N)
        hidden, _ = method.adapter.memory.scan(method.adapter.rows(t).transpose(0, 1), empty)
    last = last_actions(t)
    belief = method.prior(N)
    for e in range(2):
        for k in range(HORIZON):
            tick = e * HORIZON + k
            assert torch.equal(belief.last, last[:, tick])
            before = hidden[tick - 1] if tick > 0 else empty
            torch.testing.assert_close(belief.hidden, before)
            belief = method.observe(belief, trial.ticks[e, k])
        belief = method.adapt(belief, trial.ticks[e])
    assert (last[:, HORIZON] == 0).all()
    assert (last[:, HORIZON - 1] != 0).any()


def test_a_command_is_learned_from_earlier_ticks_alone(method: TorqueAdapterMethod) -> None:
    adapter = method.adapter
    t = sequences(make_trial(N, seed=5))
    next_obs = t.next_obs.clone().requires_grad_()
    read: list[Tensor] = []

    def record(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        read.append(inputs[0])

    hook = adapter.residual.register_forward_pre_hook(record)
    mask = torch.ones(N, 2 * HORIZON, dtype=torch.bool)
    plant = torch.zeros(N, 1)
    adapter.losses(replace(t, next_obs=next_obs), mask, plant, method.plant.nominal)
    hook.remove()
    memory = read[0][..., :H]
    k = HORIZON + 2
    (gradient,) = torch.autograd.grad(memory[:, k].sum(), next_obs)
    assert (gradient[:, k:] == 0).all()
    assert (gradient[:, k - 1] != 0).any()
    assert (gradient[:, 0] != 0).any()


def gradients(method: TorqueAdapterMethod, name: str) -> dict[str, bool]:
    """Which parts of the adapter a loss trains."""
    t = sequences(make_trial(N, seed=5))
    mask = torch.ones(N, 2 * HORIZON, dtype=torch.bool)
    method.adapter.zero_grad()
    losses = method.adapter.losses(t, mask, torch.zeros(N, 1), method.plant.nominal)
    losses[name].backward()
    parts = ("memory", "inverse", "residual")
    trains = {}
    for part in parts:
        given = [p.grad for p in getattr(method.adapter, part).parameters()]
        trains[part] = any(g is not None and bool(g.abs().max() > 0) for g in given)
    return trains


def test_each_loss_trains_its_own_networks(method: TorqueAdapterMethod) -> None:
    """Otherwise the inverse model could make commands easy to reproduce, instead of true."""
    of_residual = gradients(method, "residual")
    assert of_residual == {"memory": True, "inverse": False, "residual": True}
    of_inverse = gradients(method, "inverse")
    assert of_inverse == {"memory": False, "inverse": True, "residual": False}


def test_the_base_policy_is_fixed_while_the_adapter_learns() -> None:
    method = make_method()
    base = {name: x.clone() for name, x in method.base.net.state_dict().items()}
    adapter = {name: x.clone() for name, x in method.adapter.named_parameters()}
    method.learn(make_trial(N, seed=3))
    for name, x in method.base.net.state_dict().items():
        assert torch.equal(x, base[name]), name
    for name, x in method.adapter.named_parameters():
        assert not torch.equal(x, adapter[name]), name


def test_rewards_are_not_read(method: TorqueAdapterMethod) -> None:
    tick = make_trial(N, seed=5).ticks[0, 0]
    belief = method.observe(method.prior(N), tick)
    other = method.observe(method.prior(N), replace(tick, reward=tick.reward + 1))
    assert torch.equal(belief.hidden, other.hidden)


def test_it_acts_as_on_the_nominal_plant_plus_a_residual(method: TorqueAdapterMethod) -> None:
    trial = make_trial(N, seed=5)
    obs = trial.ticks.obs[0, 1]
    belief = method.observe(method.prior(N), trial.ticks[0, 0])
    healthy = torch.ones(N, 1)  # a gain of 1, the highest of its range
    command = method.base.act(obs, FixedBelief(healthy), explore=False)
    x = torch.cat([belief.hidden, scaled(method.adapter.obs_norm, obs), belief.last, command], -1)
    with torch.no_grad():
        expected = (command + method.adapter.residual(x)).clamp(-1, 1)
    torch.testing.assert_close(method.act(obs, belief, explore=False), expected)
    taught = method.act(obs, method.taught(trial.task), explore=False)
    known = method.base.act(obs, FixedBelief(method.plant.scaled(trial.task)), explore=False)
    assert torch.equal(taught, known)


def test_an_invalid_tick_is_not_read(method: TorqueAdapterMethod) -> None:
    ticks = make_trial(N, seed=5).ticks[0]
    belief = method.observe(method.prior(N), ticks[0])
    tick = map_tensors(torch.clone, ticks[1])
    tick.valid[0] = False
    tick.next_obs[0] = torch.nan
    after = method.observe(belief, tick)
    for name in ("hidden", "last"):
        assert torch.equal(getattr(after, name)[0], getattr(belief, name)[0])
        assert not torch.equal(getattr(after, name)[1], getattr(belief, name)[1])


def test_the_nominal_plant_has_factors_of_one_and_other_parameters_in_the_middle() -> None:
    """Goals are no part of a plant."""
    names = ("goal.x", "body.link.mass_scale", "disturbance.latency", "marker.y", "gain")
    low = (-1.0, 0.5, 0.0, -1.0, -3.0)
    high = (1.0, 2.5, 0.2, 1.0, 1.0)
    problem: Problem = replace(make_problem(), task_names=names, task_low=low, task_high=high)
    plant = Plant(problem, CPU)
    task = torch.tensor([[0.3, 1.0, 0.1, 0.4, 1.0], [0.3, 2.5, 0.0, 0.4, -3.0]])
    known = plant.scaled(task)
    torch.testing.assert_close(known[0], plant.nominal)
    torch.testing.assert_close(known[1], torch.tensor([1.0, -1.0, -1.0]))
    assert len(plant) == 3
