"""Laws of GrBAL: the low-rank step is autograd's, it starts at the same weights each time, and knows one episode."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch, stack
from policies.methods.grbal import Grbal, GrbalBelief, GrbalConfig
from policies.models.grbal_dynamics import GrbalDynamics, Window, windows
from policies.planning.icem import IcemConfig
from policies.rl.sac import SacConfig

N, M, K, OBS, A, HORIZON = 3, 4, 3, 3, 2, 8
CONFIG = GrbalConfig(
    hidden=(16, 12),
    past_steps=M,
    future_steps=K,
    inner_lr=0.05,
    planner=IcemConfig(
        horizon=3, num_samples=8, num_elites=3, num_kept_elites=1, iterations=1, cold_iterations=2
    ),
    lr=3e-3,
    meta_batch=8,
    gradient_steps=5,
    schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=2),
)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(hidden_reward: bool = False) -> Problem:
    return Problem(
        family="plane",
        obs_names=("x", "y", "still"),
        obs_low=(-2.0,) * OBS,
        obs_high=(2.0,) * OBS,
        action_names=("u", "v"),
        horizon=HORIZON,
        episodes=2,
        task_names=("gain",),
        task_low=(-1.0,),
        task_high=(1.0,),
        reward=None if hidden_reward else lambda obs, applied, next_obs, task: next_obs[..., 0],
    )


def lived(n: int = N, seed: int = 0, gain: Tensor | None = None) -> TrialBatch:
    """Two episodes of random actions: a point in the plane whose gain is hidden."""
    g = random(seed)
    gain = torch.rand(n, 1, generator=g) * 2 - 1 if gain is None else gain
    episodes = []
    for e in range(2):
        obs, ticks = torch.cat([torch.randn(n, 2, generator=g), torch.full((n, 1), 0.7)], 1), []
        for t in range(HORIZON):
            action = torch.rand(n, A, generator=g) * 2 - 1
            next_obs = obs + torch.cat([0.5 * gain * action, torch.zeros(n, 1)], 1)
            yes = torch.ones(n, dtype=torch.bool)
            ends, begins = yes & (t == HORIZON - 1), yes & (e == t == 0)
            ticks.append(
                Transition(
                    obs, action, action, next_obs[:, 0], next_obs, ~yes, ends, begins, begins, yes
                )
            )
            obs = next_obs
        episodes.append(stack(ticks))
    return TrialBatch(stack(episodes), gain, torch.arange(n), torch.zeros(2, n, dtype=torch.bool))


def taught(hidden_reward: bool = False) -> Grbal:
    method = Grbal(problem(hidden_reward), CONFIG, seed=0)
    method.learn(lived(32, seed=9))
    return method


@pytest.fixture(scope="module")
def method() -> Grbal:
    return taught()


def at(t: Transition, *i: int) -> Transition:
    return t.map(lambda x: x[i])


def observed(method: Grbal, ticks: Transition, belief: GrbalBelief | None = None) -> GrbalBelief:
    """After ticks (T, n, ...)."""
    belief = belief or method.prior(ticks.obs.shape[1])
    for t in range(len(ticks.obs)):
        belief = method.observe(belief, at(ticks, t))
    return belief


def same(a: GrbalBelief, b: GrbalBelief) -> bool:
    """In what is believed of the dynamics; what is not there may be anything."""
    parts = [
        (w.there, w.x * w.there[..., None], w.y * w.there[..., None], fast.errors)
        for w, fast in ((a.window, a.fast), (b.window, b.fast))
    ]
    return all(map(torch.equal, *parts))


# ---- the step ----


def exact(rewarded: bool, seed: int) -> tuple[GrbalDynamics, Window, Tensor, Tensor]:
    """A model in double precision, a window with gaps, and rows to predict with what they ought to give."""
    model = GrbalDynamics(
        OBS, A, rewarded, CONFIG.hidden, M, CONFIG.inner_lr, random(seed)
    ).double()
    g = random(seed + 1)
    for rates in (model.log_rates, model.log_gain_rates):
        rates.data += torch.randn(rates.shape, generator=g, dtype=torch.float64)
    widths = OBS + A, OBS + rewarded
    x, y, new, truth = (
        torch.randn(N, b, w, generator=g, dtype=torch.float64) for b in (M, 5) for w in widths
    )
    return model, Window(x, y, torch.rand(N, M, generator=g) < 0.7), new, truth


def stepped(model: GrbalDynamics, window: Window, world: int) -> dict[str, Tensor]:
    """All the parameters of one world after a step, by autograd."""
    there = window.there[world, :, None]
    error = (model(window.x[world : world + 1])[0] - window.y[world]) * there
    loss = 0.5 * error.square().sum() / M
    found, rates = dict(model.named_parameters()), model.rates()
    gradients = torch.autograd.grad(loss, [found[name] for name in rates], create_graph=True)
    return {
        name: found[name] - rates[name] * gradient
        for name, gradient in zip(rates, gradients, strict=True)
    }


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), rewarded=st.booleans())
def test_the_low_rank_step_is_autograds_in_value_and_in_outer_gradient(
    seed: int, rewarded: bool
) -> None:
    model, window, new, truth = exact(rewarded, seed)
    ours = model(new, model.adapt(window))
    theirs = torch.stack(
        [functional_call(model, stepped(model, window, i), (new[i : i + 1],))[0] for i in range(N)],
    )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(ours, model(new), atol=1e-3)
    learnt = list(model.parameters())
    mine, other = (
        torch.autograd.grad((out - truth).square().mean(), learnt) for out in (ours, theirs)
    )
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
        assert a.abs().max() > 1e-9


def test_the_loss_is_that_of_the_last_ticks_after_a_step_on_the_first(method: Grbal) -> None:
    t = lived(6, seed=5).ticks.map(lambda x: x.flatten(0, 1).transpose(0, 1))
    start = torch.randint(2 * HORIZON, (6, 2), generator=random(3))
    found, belongs = windows(t, torch.ones(6, 2 * HORIZON, dtype=torch.bool), start, M, K)
    loss, (x, y) = method.model.loss(found, belongs), method.model.standardized(found)
    errors, counts = [], 0
    for i in range(len(x)):
        rows = Window(x[i : i + 1, :M], y[i : i + 1, :M], belongs[i : i + 1, :M])
        out = functional_call(method.model, stepped(method.model, rows, 0), (x[i : i + 1, M:],))[0]
        errors.append((0.5 * (out - y[i, M:]).square().sum(-1))[belongs[i, M:]].sum())
        counts += int(belongs[i, M:].sum())
    torch.testing.assert_close(
        loss["error"], torch.stack(errors).sum() / counts, atol=1e-6, rtol=1e-5
    )


def test_a_rollout_is_a_prediction_step_by_step_for_each_world_by_itself(method: Grbal) -> None:
    model, belief = method.model, observed(method, at(lived().ticks, 0))
    obs, tried = (
        torch.randn(N, OBS, generator=random(1)),
        torch.rand(N, 5, 4, A, generator=random(2)) * 2 - 1,
    )
    with torch.no_grad():
        states, _ = model.rollout(obs, tried, belief.fast)
        for i in range(N):
            window = Window(
                *(getattr(belief.window, name)[i : i + 1] for name in ("x", "y", "there"))
            )
            with torch.enable_grad():
                weights = {name: w.detach() for name, w in stepped(model, window, 0).items()}
            now = obs[i].expand(5, -1)
            for t in range(4):
                x = torch.cat([model.obs(now), tried[i, :, t]], -1)[None]
                now = (
                    now
                    + model.outcome.shift
                    + functional_call(model, weights, (x,))[0]
                    / model.outcome.scale
                    * (model.outcome.square > 0)
                )
                torch.testing.assert_close(states[t + 1, i], now, atol=1e-5, rtol=1e-4)
    assert (states[..., 2] == obs[:, 2, None]).all(), "what never changes is not predicted to"


# ---- the belief ----


def test_every_tick_steps_from_the_same_weights_on_the_last_transitions_alone(
    method: Grbal,
) -> None:
    before = [p.clone() for p in method.model.parameters()]
    ticks = at(lived().ticks, 0)
    long, short = observed(method, ticks), observed(method, ticks.map(lambda x: x[-M:]))
    assert same(long, short)
    assert not same(long, observed(method, ticks.map(lambda x: x[-M - 1 : -1])))
    assert all(map(torch.equal, before, method.model.parameters()))
    assert torch.equal(long.fast.errors, method.model.adapt(long.window).errors)


def test_a_tick_that_does_not_count_leaves_the_belief_as_it_was(method: Grbal) -> None:
    ticks = at(lived().ticks, 0)
    belief, tick = (
        observed(method, ticks.map(lambda x: x[:3])),
        at(ticks, 3).map(lambda x: x.clone()),
    )
    tick.valid[0] = False
    tick.next_obs[1, 0] = torch.nan
    after, whole = method.observe(belief, tick), method.observe(belief, at(ticks, 3))
    for name in ("plan", "window", "fast"):
        for key, tensor in vars(getattr(after, name)).items():
            assert torch.equal(tensor[:2], getattr(getattr(belief, name), key)[:2]), (name, key)
            torch.testing.assert_close(tensor[2], getattr(getattr(whole, name), key)[2])
    assert torch.equal(after.at[:2], belief.at[:2])
    assert after.tick.tolist() == [3, 3, 4]
    assert not same(after, belief)


def test_a_window_never_crosses_episodes(method: Grbal) -> None:
    """Neither where ``adapt`` is called between them, nor where it is not, nor in a lesson."""
    one, two = (at(lived().ticks, e) for e in range(2))
    head = two.map(lambda x: x[:2])
    alone = observed(method, head)
    assert same(observed(method, head, method.adapt(observed(method, one), one)), alone)
    assert same(observed(method, head, observed(method, one)), alone)
    assert alone.window.there.tolist() == [[False] * (M - 2) + [True] * 2] * N

    t = lived(5).ticks.map(lambda x: x.flatten(0, 1).transpose(0, 1))  # (n, 2 * HORIZON, ...)
    start = torch.arange(2 * HORIZON).expand(5, -1)
    length = torch.tensor([2 * HORIZON, 2 * HORIZON - 1, HORIZON + 1, HORIZON, 3])
    _, belongs = windows(t, torch.arange(2 * HORIZON) < length[:, None], start, M, K)
    belongs = belongs.view(5, 2 * HORIZON, M + K)
    for task, many in enumerate(length.tolist()):
        for s in range(many):
            column = [s - M + j for j in range(M + K)]
            expected = [0 <= c < many and c // HORIZON == s // HORIZON for c in column]
            assert belongs[task, s].tolist() == expected, (task, s)


def test_a_world_believes_and_plans_alone_as_among_others(method: Grbal) -> None:
    ticks = lived().ticks.map(lambda x: x[0, :5])
    together = observed(method, ticks)
    for i in range(N):
        alone = observed(method, ticks.map(lambda x, i=i: x[:, i : i + 1]))
        torch.testing.assert_close(alone.fast.errors[0], together.fast.errors[i])
        torch.testing.assert_close(alone.plan.mean[0], together.plan.mean[i], atol=1e-4, rtol=1e-4)


def test_what_a_belief_predicts_better_scores_higher(method: Grbal) -> None:
    model = method.model
    belief = observed(method, at(lived().ticks, 0))
    window = belief.window
    found = -(model(window.x, belief.fast) - window.y).square().mean((1, 2))
    ticks = lived().ticks.map(lambda x: x[0, -M:])
    torch.testing.assert_close(method.score(belief, ticks), found.detach(), atol=1e-5, rtol=1e-4)
    assert (method.score(belief, ticks) > method.score(method.prior(N), ticks)).all()


def test_statistics_stand_still_while_a_lesson_goes_on() -> None:
    method = taught()
    before = {name: x.clone() for name, x in method.model.named_buffers()}
    for _ in range(3):
        method.step()
    assert all(torch.equal(x, before[name]) for name, x in method.model.named_buffers())


# ---- learning ----


@pytest.mark.parametrize(("hidden_reward", "share"), [(False, 0.7), (True, 0.9)])
def test_it_learns_to_learn(hidden_reward: bool, share: float) -> None:
    """After a step what comes next is foreseen better than before it, in tasks that were never seen."""
    method = Grbal(problem(hidden_reward), replace(CONFIG, gradient_steps=300), seed=0)
    method.learn(lived(128, seed=1))
    log = method.learn(lived(128, seed=2))
    assert log["error"] < share * log["unadapted"]
    ticks = lived(64, seed=77).ticks
    seen, then = (ticks.map(lambda x, s=s: x[0, s]) for s in (slice(M), slice(M, None)))
    belief = observed(method, seen)
    adapted, unadapted = (-method.score(b, then).mean() for b in (belief, method.prior(64)))
    assert adapted < share * unadapted


@pytest.mark.parametrize("guide", [None, SacConfig(hidden=(8,), meta_batch=4, gradient_steps=2)])
def test_a_resumed_training_is_an_unbroken_one(guide: SacConfig | None) -> None:
    trials = [lived(16, seed=i) for i in range(3)]
    config = replace(CONFIG, terminal_value=guide)
    unbroken, broken = (Grbal(problem(), config, seed=1) for _ in range(2))
    for trial in trials:
        unbroken.learn(trial)
    broken.learn(trials[0])
    resumed = Grbal(problem(), config, seed=2)
    resumed.load_state_dict(broken.state_dict())
    for trial in trials[1:]:
        resumed.learn(trial)
    whole, again = (it.state_dict() for it in (unbroken, resumed))
    for name, tensor in whole["model"].items():
        assert torch.equal(tensor, again["model"][name]), name
    for name, tensor in whole.get("guide", {}).get("net", {}).items():
        assert torch.equal(tensor, again["guide"]["net"][name]), name
