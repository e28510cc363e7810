"""Laws of GrBAL: the low-rank step is autograd's, it starts at the same weights each time, and
uses one episode only."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from policies.belief import map_tensors
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch, stack
from policies.methods.grbal import Grbal, GrbalBelief, GrbalConfig
from policies.models.grbal_dynamics import GrbalDynamics, Window
from policies.models.windows import episode_windows
from policies.planning.icem import IcemConfig
from policies.rl.sac import SacConfig
from robots.signals import ArrayLike

N, M, K = 3, 4, 3  # worlds, past steps, future steps
OBS, A, HORIZON = 3, 2, 8
CPU = torch.device("cpu")
CONFIG = GrbalConfig(
    hidden=(16, 12),
    past_steps=M,
    future_steps=K,
    inner_lr=0.05,
    planner=IcemConfig(
        horizon=3,
        num_samples=8,
        num_elites=3,
        num_kept_elites=1,
        iterations=1,
        cold_iterations=2,
    ),
    lr=3e-3,
    meta_batch=8,
    gradient_steps=5,
    schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=2),
)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def reward(obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    return next_obs[..., 0]


def make_problem(hidden_reward: bool = False) -> Problem:
    return Problem(
        family="plane",
        obs_names=("x", "y", "constant"),
        obs_low=(-2.0,) * OBS,
        obs_high=(2.0,) * OBS,
        action_names=("u", "v"),
        horizon=HORIZON,
        episodes=2,
        task_names=("gain",),
        task_low=(-1.0,),
        task_high=(1.0,),
        reward=None if hidden_reward else reward,
    )


def make_trial(n: int = N, seed: int = 0) -> TrialBatch:
    """Two episodes of random actions: a point in the plane whose gain is hidden."""
    g = random(seed)
    gain = torch.rand(n, 1, generator=g) * 2 - 1
    yes = torch.ones(n, dtype=torch.bool)
    episodes = []
    for e in range(2):
        obs = torch.cat([torch.randn(n, 2, generator=g), torch.full((n, 1), 0.7)], 1)
        ticks = []
        for t in range(HORIZON):
            action = torch.rand(n, A, generator=g) * 2 - 1
            next_obs = obs + torch.cat([0.5 * gain * action, torch.zeros(n, 1)], 1)
            tick = Transition(
                obs=obs,
                action=action,
                applied=action,
                reward=next_obs[:, 0],
                next_obs=next_obs,
                terminated=~yes,
                truncated=yes & (t == HORIZON - 1),
                first=yes & (e == t == 0),
                begins=yes & (t == 0),
                valid=yes,
            )
            ticks.append(tick)
            obs = next_obs
        episodes.append(stack(ticks))
    return TrialBatch(stack(episodes), gain, torch.arange(n), torch.zeros(2, n, dtype=torch.bool))


def make_method(hidden_reward: bool = False, config: GrbalConfig = CONFIG, seed: int = 0) -> Grbal:
    return Grbal(make_problem(hidden_reward), config, seed, CPU)


@pytest.fixture(scope="module")
def method() -> Grbal:
    method = make_method()
    method.learn(make_trial(32, seed=9))
    return method


def as_sequences(trial: TrialBatch) -> Transition:
    """Both episodes of each world after each other, (n, 2 * HORIZON, ...)."""
    return trial.ticks.flatten(0, 1).transpose(0, 1)


def observe_all(method: Grbal, ticks: Transition, belief: GrbalBelief | None = None) -> GrbalBelief:
    """The belief after ticks (T, n, ...)."""
    if belief is None:
        belief = method.prior(ticks.obs.shape[1])
    for t in range(len(ticks.obs)):
        belief = method.observe(belief, ticks[t])
    return belief


def adaptation_of(belief: GrbalBelief) -> list[Tensor]:
    """What determines the adapted dynamics; masked rows may be anything."""
    window = belief.window
    mask = window.mask[..., None]
    return [window.mask, window.x * mask, window.y * mask, belief.update.errors]


def same_adaptation(a: GrbalBelief, b: GrbalBelief) -> bool:
    return all(map(torch.equal, adaptation_of(a), adaptation_of(b)))


# ---- the step ----


def make_exact_model(predict_reward: bool, seed: int) -> GrbalDynamics:
    """A model in double precision with random step sizes."""
    model = GrbalDynamics(
        OBS, A, predict_reward, CONFIG.hidden, M, CONFIG.inner_lr, random(seed)
    ).double()
    g = random(seed + 1)
    for rates in (model.log_rates, model.log_gain_rates):
        rates.data += torch.randn(rates.shape, generator=g, dtype=torch.float64)
    return model


def step_by_autograd(model: GrbalDynamics, window: Window, world: int) -> dict[str, Tensor]:
    """All the parameters of one world after a step."""
    mask = window.mask[world, :, None]
    prediction = model(window.x[world : world + 1])[0]
    error = (prediction - window.y[world]) * mask
    loss = 0.5 * error.square().sum() / M
    rates = model.rates()
    named = dict(model.named_parameters())
    parameters = {name: named[name] for name in rates}
    gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
    stepped = {}
    for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
        stepped[name] = parameter - rates[name] * gradient
    return stepped


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), predict_reward=st.booleans())
def test_the_low_rank_step_is_autograds_in_value_and_in_outer_gradient(
    seed: int, predict_reward: bool
) -> None:
    model = make_exact_model(predict_reward, seed)
    g = random(seed + 2)
    outputs = OBS + predict_reward
    window = Window(
        x=torch.randn(N, M, OBS + A, generator=g, dtype=torch.float64),
        y=torch.randn(N, M, outputs, generator=g, dtype=torch.float64),
        mask=torch.rand(N, M, generator=g) < 0.7,
    )
    x = torch.randn(N, 5, OBS + A, generator=g, dtype=torch.float64)
    y = torch.randn(N, 5, outputs, generator=g, dtype=torch.float64)

    ours = model(x, model.adapt(window))
    expected = []
    for i in range(N):
        weights = step_by_autograd(model, window, i)
        expected.append(functional_call(model, weights, (x[i : i + 1],))[0])
    reference = torch.stack(expected)
    torch.testing.assert_close(ours, reference, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(ours, model(x), atol=1e-3)

    learned = list(model.parameters())
    our_gradient = torch.autograd.grad((ours - y).square().mean(), learned)
    reference_gradient = torch.autograd.grad((reference - y).square().mean(), learned)
    for a, b in zip(our_gradient, reference_gradient, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
        assert a.abs().max() > 1e-9


@pytest.mark.parametrize("predict_reward", [True, False])
def test_a_summary_is_the_step_of_gains_and_last_biases(
    predict_reward: bool,
) -> None:
    model = make_exact_model(predict_reward, 0)
    g = random(2)
    window = Window(
        x=torch.randn(N, M, OBS + A, generator=g, dtype=torch.float64),
        y=torch.randn(N, M, OBS + predict_reward, generator=g, dtype=torch.float64),
        mask=torch.rand(N, M, generator=g) < 0.7,
    )
    summary = model.summary(model.adapt(window))
    assert summary.shape == (N, model.summary_dim)
    last = len(model.biases) - 1
    named = dict(model.named_parameters())
    for i in range(N):
        stepped = step_by_autograd(model, window, i)
        names = ("gains", f"biases.{last}")
        steps = [stepped[name] - named[name] for name in names]
        torch.testing.assert_close(summary[i], torch.cat(steps))


def test_the_loss_is_that_of_the_future_after_a_step_on_the_past(method: Grbal) -> None:
    t = as_sequences(make_trial(6, seed=5))
    start = torch.randint(2 * HORIZON, (6, 2), generator=random(3))
    exists = torch.ones(6, 2 * HORIZON, dtype=torch.bool)
    window, mask = episode_windows(t, exists, start, M, K)
    loss = method.model.loss(window, mask)
    x, y = method.model.normalized(window)
    errors = []
    count = 0
    for i in range(len(x)):
        past = Window(x[i : i + 1, :M], y[i : i + 1, :M], mask[i : i + 1, :M])
        weights = step_by_autograd(method.model, past, 0)
        prediction = functional_call(method.model, weights, (x[i : i + 1, M:],))[0]
        square = 0.5 * (prediction - y[i, M:]).square().sum(-1)
        errors.append(square[mask[i, M:]].sum())
        count += int(mask[i, M:].sum())
    expected = torch.stack(errors).sum() / count
    torch.testing.assert_close(loss["error"], expected, atol=1e-6, rtol=1e-5)


def test_a_rollout_is_a_prediction_step_by_step_for_each_world_by_itself(method: Grbal) -> None:
    model = method.model
    belief = observe_all(method, make_trial().ticks[0])
    obs = torch.randn(N, OBS, generator=random(1))
    actions = torch.rand(N, 5, 4, A, generator=random(2)) * 2 - 1
    changes = model.delta_norm.m2 > 0
    with torch.no_grad():
        states, _ = model.rollout(obs, actions, belief.update)
        for i in range(N):
            window = belief.window
            own = Window(window.x[i : i + 1], window.y[i : i + 1], window.mask[i : i + 1])
            with torch.enable_grad():
                weights = step_by_autograd(model, own, 0)
            state = obs[i].expand(5, -1)
            for t in range(4):
                x = torch.cat([model.obs_norm(state), actions[i, :, t]], -1)[None]
                outcome = functional_call(model, weights, (x,))[0]
                change = model.delta_norm.mean + outcome / model.delta_norm.inv_std * changes
                state = state + change
                torch.testing.assert_close(states[t + 1, i], state, atol=1e-5, rtol=1e-4)
    assert (states[..., 2] == obs[:, 2, None]).all(), "a constant column is predicted constant"


# ---- the belief ----


def test_every_tick_steps_from_the_same_weights_on_the_last_transitions_alone(
    method: Grbal,
) -> None:
    before = [p.clone() for p in method.model.parameters()]
    ticks = make_trial().ticks[0]
    long = observe_all(method, ticks)
    assert same_adaptation(long, observe_all(method, ticks[-M:]))
    assert not same_adaptation(long, observe_all(method, ticks[-M - 1 : -1]))
    assert all(map(torch.equal, before, method.model.parameters()))
    assert torch.equal(long.update.errors, method.model.adapt(long.window).errors)


def test_an_unusable_tick_leaves_the_belief_unchanged(method: Grbal) -> None:
    ticks = make_trial().ticks[0]
    belief = observe_all(method, ticks[:3])
    tick = map_tensors(torch.clone, ticks[3])
    tick.valid[0] = False
    tick.next_obs[1, 0] = torch.nan
    after = method.observe(belief, tick)
    usable = method.observe(belief, ticks[3])
    for part in ("plan", "window", "update"):
        tensors = vars(getattr(after, part))
        unchanged = vars(getattr(belief, part))
        changed = vars(getattr(usable, part))
        for name, tensor in tensors.items():
            assert torch.equal(tensor[:2], unchanged[name][:2]), (part, name)
            torch.testing.assert_close(tensor[2], changed[name][2])
    assert torch.equal(after.planned_obs[:2], belief.planned_obs[:2])
    assert after.tick.tolist() == [3, 3, 4]
    assert not same_adaptation(after, belief)


def test_a_plan_starts_from_nothing_after_a_dropped_tick(method: Grbal) -> None:
    """The last plan was not made for the observation that follows the dropped tick."""
    ticks = make_trial().ticks[0]
    belief = observe_all(method, ticks[:3])
    after_gap = method.replan(belief, ticks[4])
    without_plan = replace(belief, planned_obs=torch.full_like(belief.planned_obs, torch.nan))
    expected = method.replan(without_plan, ticks[4])
    assert torch.equal(after_gap.plan.mean, expected.plan.mean)
    continued = method.replan(replace(belief, planned_obs=ticks.obs[4]), ticks[4])
    assert not torch.equal(after_gap.plan.mean, continued.plan.mean)


def test_a_window_never_crosses_episodes_in_a_belief(method: Grbal) -> None:
    """Whether ``adapt`` is called between the episodes or not."""
    ticks = make_trial().ticks
    head = ticks[1, :2]
    alone = observe_all(method, head)
    first_episode = observe_all(method, ticks[0])
    assert same_adaptation(observe_all(method, head, first_episode), alone)
    adapted = method.adapt(first_episode, ticks[0])
    assert same_adaptation(observe_all(method, head, adapted), alone)
    assert alone.window.mask.tolist() == [[False] * (M - 2) + [True] * 2] * N


def test_a_window_never_crosses_episodes_in_training() -> None:
    t = as_sequences(make_trial(5))
    start = torch.arange(2 * HORIZON).expand(5, -1)
    length = torch.tensor([2 * HORIZON, 2 * HORIZON - 1, HORIZON + 1, HORIZON, 3])
    exists = torch.arange(2 * HORIZON) < length[:, None]
    _, mask = episode_windows(t, exists, start, M, K)
    mask = mask.view(5, 2 * HORIZON, M + K)
    for task, ticks in enumerate(length.tolist()):
        for s in range(ticks):
            columns = [s - M + j for j in range(M + K)]
            expected = [0 <= c < ticks and c // HORIZON == s // HORIZON for c in columns]
            assert mask[task, s].tolist() == expected, (task, s)


def test_the_policy_is_trained_after_steps_on_windows_as_acting_meets_them() -> None:
    """Any number of transitions from none to M, the newest of them last, of one episode."""
    config = replace(CONFIG, terminal_value=SacConfig(hidden=(8,)))
    method = make_method(config=config)
    method.replay.add(make_trial(64))
    window = method._random_window(method.replay.tasks(2000, random(1)))
    size = window.mask.sum(1)
    assert set(size.tolist()) == set(range(M + 1))
    newest_last = torch.arange(M) >= M - size[:, None]
    assert torch.equal(window.mask, newest_last)
    summary = method.infer(torch.arange(8))
    assert summary.shape == (8, method.model.summary_dim)


def test_a_world_believes_and_plans_alone_as_among_others(method: Grbal) -> None:
    ticks = make_trial().ticks[0, :5]
    together = observe_all(method, ticks)
    for i in range(N):
        alone = observe_all(method, ticks[:, i : i + 1])
        torch.testing.assert_close(alone.update.errors[0], together.update.errors[i])
        mean = together.plan.mean[i]
        torch.testing.assert_close(alone.plan.mean[0], mean, atol=1e-4, rtol=1e-4)


def test_a_belief_that_predicts_better_scores_higher(method: Grbal) -> None:
    model = method.model
    ticks = make_trial().ticks[0]
    belief = observe_all(method, ticks)
    window = belief.window
    error = (model(window.x, belief.update) - window.y).detach()
    expected = -error.square().mean((1, 2))
    score = method.score(belief, ticks[-M:])
    torch.testing.assert_close(score, expected, atol=1e-5, rtol=1e-4)
    assert (score > method.score(method.prior(N), ticks[-M:])).all()


def test_statistics_are_constant_during_gradient_steps() -> None:
    method = make_method()
    method.learn(make_trial(32, seed=9))
    before = {name: x.clone() for name, x in method.model.named_buffers()}
    for _ in range(3):
        method.step()
    assert all(torch.equal(x, before[name]) for name, x in method.model.named_buffers())


def test_nothing_reads_torchs_default_device() -> None:
    trial = make_trial(16)
    with torch.device("meta"):
        method = make_method()
        method.learn(trial)
        belief = method.prior(16)
        action = method.act(trial.ticks.obs[0, 0], belief, True)
        belief = method.observe(belief, trial.ticks[0, 0])
    assert action.device == belief.plan.mean.device == CPU
    assert action.isfinite().all()


# ---- learning ----


@pytest.mark.parametrize(("hidden_reward", "share"), [(False, 0.7), (True, 0.9)])
def test_it_learns_to_learn(hidden_reward: bool, share: float) -> None:
    """A step improves the prediction of what comes next, in training and on new tasks."""
    method = make_method(hidden_reward, replace(CONFIG, gradient_steps=300))
    method.learn(make_trial(128, seed=1))
    log = method.learn(make_trial(128, seed=2))
    assert log["error"] < share * log["unadapted"]
    ticks = make_trial(64, seed=77).ticks[0]
    future = ticks[M:]
    adapted = -method.score(observe_all(method, ticks[:M]), future).mean()
    unadapted = -method.score(method.prior(64), future).mean()
    assert adapted < share * unadapted


@pytest.mark.parametrize(
    "terminal_value", [None, SacConfig(hidden=(8,), meta_batch=4, gradient_steps=2)]
)
def test_a_resumed_training_is_an_unbroken_one(terminal_value: SacConfig | None) -> None:
    trials = [make_trial(16, seed=i) for i in range(3)]
    config = replace(CONFIG, terminal_value=terminal_value)
    unbroken = make_method(config=config, seed=1)
    for trial in trials:
        unbroken.learn(trial)
    broken = make_method(config=config, seed=1)
    broken.learn(trials[0])
    resumed = make_method(config=config, seed=2)
    resumed.load_state_dict(broken.state_dict())
    for trial in trials[1:]:
        resumed.learn(trial)
    expected = unbroken.state_dict()
    state = resumed.state_dict()
    for name, tensor in expected["model"].items():
        assert torch.equal(tensor, state["model"][name]), name
    if terminal_value is not None:
        for name, tensor in expected["terminal_value"]["net"].items():
            assert torch.equal(tensor, state["terminal_value"]["net"][name]), name
