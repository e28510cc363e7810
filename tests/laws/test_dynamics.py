"""Laws of the model: a belief is a product of Gaussians in any order, a rollout is a prediction
step by step, and a window ends with its episode."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from policies.belief import map_tensors
from policies.method import Transition
from policies.models.context_dynamics import Dynamics, DynamicsConfig
from policies.models.posterior import Posterior, prior

OBS, A, LATENT = 3, 2, 4
CPU = torch.device("cpu")
CONFIG = DynamicsConfig(
    ensemble_size=3,
    hidden=(16, 16),
    latent_dim=LATENT,
    encoder_hidden=(16,),
    unroll_steps=3,
    windows_per_task=5,
)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_ticks(lead: tuple[int, ...], seed: int = 0) -> Transition:
    """Transitions (L, ...) or (b, L, ...) of one episode along the last axis."""
    g = random(seed)
    states = torch.randn(*lead[:-1], lead[-1] + 1, OBS, generator=g).cumsum(-2)
    states[..., 2] = 0.7  # a column that never changes
    no = torch.zeros(lead, dtype=torch.bool)
    begins = no.clone()
    begins[..., 0] = True
    action = torch.rand(*lead, A, generator=g) * 2 - 1
    return Transition(
        obs=states[..., :-1, :],
        action=action,
        applied=action,
        reward=torch.randn(lead, generator=g),
        next_obs=states[..., 1:, :],
        terminated=no,
        truncated=no,
        first=begins,
        begins=begins,
        valid=~no,
    )


def make_model(predict_reward: bool = False, config: DynamicsConfig = CONFIG) -> Dynamics:
    model = Dynamics(OBS, A, predict_reward, config, random(0))
    model.update(make_ticks((64,), seed=9))
    return model


def with_steps(unroll_steps: int) -> DynamicsConfig:
    return replace(CONFIG, unroll_steps=unroll_steps)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), length=st.integers(1, 8))
def test_evidence_one_by_one_is_evidence_all_at_once_in_any_order(seed: int, length: int) -> None:
    model = make_model()
    t = make_ticks((2, length), seed)
    forward = prior(2, LATENT, CPU)
    backward = prior(2, LATENT, CPU)
    for i in range(length):
        forward = model.observe(forward, t[:, i])
        backward = model.observe(backward, t[:, length - 1 - i])
    with torch.no_grad():
        precision, weighted = model.evidence(t, t.valid)
    whole = Posterior(torch.eye(LATENT) + precision.sum(1), weighted.sum(1))
    for belief in (forward, backward):
        torch.testing.assert_close(belief.precision, whole.precision, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(belief.mean, whole.mean, atol=1e-4, rtol=1e-4)
    # Evidence never widens a belief.
    before = torch.linalg.eigvalsh(prior(2, LATENT, CPU).precision)
    assert (torch.linalg.eigvalsh(whole.precision) >= before - 1e-4).all()


def test_an_invalid_transition_is_no_evidence() -> None:
    model = make_model()
    broken = map_tensors(torch.clone, make_ticks((2, 1))[:, 0])
    broken.valid[0] = False
    broken.next_obs[0] = torch.nan
    belief = model.observe(prior(2, LATENT, CPU), broken)
    assert torch.equal(belief.precision[0], torch.eye(LATENT))
    assert torch.equal(belief.weighted[0], torch.zeros(LATENT))
    assert not torch.equal(belief.precision[1], torch.eye(LATENT))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), count=st.integers(1, 6))
def test_measurements_are_bayesian_linear_regression(seed: int, count: int) -> None:
    """Against the posterior got by conditioning the joint Gaussian of z and the measurements."""
    g = random(seed)
    phi = torch.randn(count, 3, generator=g, dtype=torch.float64)
    y = torch.randn(count, generator=g, dtype=torch.float64)
    belief = Posterior((torch.eye(3) + phi.T @ phi)[None], (phi.T @ y)[None])
    gain = phi.T @ torch.linalg.inv(phi @ phi.T + torch.eye(count))
    identity = torch.eye(3, dtype=torch.float64)
    mean = gain @ y
    covariance = identity - gain @ phi
    torch.testing.assert_close(belief.mean[0], mean)
    noise = torch.randn(200_000, 1, 3, generator=g, dtype=torch.float64)
    samples = belief.reparameterize(noise)[:, 0]
    torch.testing.assert_close(samples.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(samples.T.cov(), covariance, atol=0.02, rtol=0)
    standard = MultivariateNormal(torch.zeros(3, dtype=torch.float64), identity)
    expected = kl_divergence(MultivariateNormal(mean, covariance), standard)
    torch.testing.assert_close(belief.kl()[0], expected)


@pytest.mark.parametrize("predict_reward", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_rollout_is_prediction_step_by_step(predict_reward: bool, bfloat16: bool) -> None:
    model = make_model(predict_reward, replace(CONFIG, bfloat16_rollouts=bfloat16))
    g = random(1)
    n, candidates, steps = 4, 5, 6  # worlds
    obs = torch.randn(n, OBS, generator=g)
    z = torch.randn(3, n, LATENT, generator=g)
    actions = torch.rand(n, candidates, steps, A, generator=g) * 2 - 1
    tolerance = 1e-2 if bfloat16 else 1e-4
    close = {"atol": tolerance, "rtol": tolerance}
    with torch.inference_mode():
        states, rewards = model.predictor.rollout(obs, actions, z)
        assert states.shape == (steps + 1, 3, n, candidates, OBS)
        assert rewards.shape == (steps, 3, n, candidates, int(predict_reward))
        for world in range(n):
            for i in range(candidates):
                state = obs[world].expand(3, 1, OBS)
                for t in range(steps):
                    action = actions[world, i, t].expand(3, 1, A)
                    own_z = z[:, world : world + 1]
                    next_state = state + model.predictor.predict(state, action, own_z)
                    torch.testing.assert_close(
                        states[t + 1, :, world, i], next_state[:, 0], **close
                    )
                    if model.predictor.reward_model is not None:
                        reward = model.predictor.reward_model(state, action, next_state, own_z)
                        torch.testing.assert_close(rewards[t, :, world, i], reward[:, 0], **close)
                    state = next_state


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_prediction_does_not_depend_on_what_is_predicted_beside_it(bfloat16: bool) -> None:
    model = make_model(config=replace(CONFIG, bfloat16_rollouts=bfloat16))
    g = random(1)
    obs = torch.randn(70, OBS, generator=g)
    z = torch.randn(3, 70, LATENT, generator=g)
    actions = torch.rand(70, 1, 6, A, generator=g) * 2 - 1
    with torch.inference_mode():
        together, _ = model.predictor.rollout(obs, actions, z)
        alone, _ = model.predictor.rollout(obs[60:61], actions[60:61], z[:, 60:61])
    torch.testing.assert_close(together[:, :, 60:61], alone, atol=1e-5, rtol=1e-5)


def test_a_column_that_never_changed_is_predicted_not_to_change() -> None:
    model = make_model()
    obs = torch.full((1, OBS), 0.7)
    with torch.inference_mode():
        states, _ = model.predictor.rollout(obs, torch.ones(1, 2, 20, A), torch.zeros(3, 1, LATENT))
    assert torch.equal(states[..., 2], torch.full_like(states[..., 2], 0.7))


def test_members_differ_and_each_reads_its_own_rows() -> None:
    model = make_model()
    obs = torch.zeros(3, 2, OBS)
    applied = torch.zeros(3, 2, A)
    z = torch.zeros(3, 2, LATENT)
    with torch.no_grad():
        before = model.predictor.predict(obs, applied, z)
        obs[1] += 1
        after = model.predictor.predict(obs, applied, z)
    assert before.shape == (3, 2, OBS)
    assert not torch.allclose(before[0], before[1])
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_normalized_targets_return_to_their_units_and_the_statistics_are_saved() -> None:
    """A network that is exact in normalized units gives the true change."""
    model = make_model()
    t = make_ticks((32,), seed=9)
    change = t.next_obs - t.obs
    std = model.predictor.delta_std()
    back = model.predictor.delta_norm.mean + std * model.predictor.delta_norm(change)
    torch.testing.assert_close(back[:, :2], change[:, :2], atol=1e-5, rtol=1e-5)
    other = Dynamics(OBS, A, False, CONFIG, random(5))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.predictor.delta_std(), std)


def nll(model: Dynamics, t: Transition, mask: Tensor) -> float:
    with torch.no_grad():
        return float(model.loss(t, mask, random(2))["nll"])


def test_a_window_ends_with_its_episode() -> None:
    """One-step and three-step windows have equal losses where every tick begins an episode."""
    t = make_ticks((4, 6))
    apart = replace(t, begins=torch.ones_like(t.begins))
    one = make_model(config=with_steps(1))
    three = make_model(config=with_steps(3))
    mask = torch.ones(4, 6, dtype=torch.bool)
    assert nll(one, apart, mask) == pytest.approx(nll(three, apart, mask), rel=1e-5)
    assert nll(one, t, mask) != pytest.approx(nll(three, t, mask), rel=1e-5)


def test_a_window_ends_with_the_trial() -> None:
    """What stands after a trial's last tick changes nothing."""

    def spoil_end(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x
        return torch.cat([x[:, :2], x[:, 2:] + 100], 1)

    t = make_ticks((4, 6))
    two_ticks = torch.arange(6).expand(4, 6) < 2
    spoiled = map_tensors(spoil_end, t)
    assert nll(make_model(), t, two_ticks) == nll(make_model(), spoiled, two_ticks)


def test_a_reward_is_predicted_from_the_next_observation_that_came() -> None:
    """Its error does not contain the error of the predicted observation."""
    t = make_ticks((4, 6))
    mask = torch.ones(4, 6, dtype=torch.bool)
    model = make_model(predict_reward=True)
    reward_model = model.predictor.reward_model
    assert reward_model is not None
    read: list[Tensor] = []
    reward_model.register_forward_pre_hook(lambda _module, inputs: read.append(inputs[2]))
    model.loss(t, mask, random(0))
    true = t.next_obs.flatten(0, 1)
    for next_obs in torch.cat(read).flatten(0, -2):
        assert (true - next_obs).abs().sum(-1).min() == 0


def test_the_reward_tells_about_the_task() -> None:
    """The likelihood of rewards reaches the encoder, also where observations tell nothing."""
    t = make_ticks((4, 6))
    mask = torch.ones(4, 6, dtype=torch.bool)
    model = make_model(predict_reward=True)
    with torch.no_grad():
        model.predictor.ensemble.weights[-1].zero_()  # the observations tell nothing
    model.loss(t, mask, random(0))["nll"].backward()
    gradients = [p.grad for p in model.encoder.parameters()]
    assert any(g is not None and g.abs().sum() > 0 for g in gradients)


def test_no_window_is_predicted_from_a_context_that_contains_it() -> None:
    """A window's belief comes from the ticks before it: the last tick's context has no gradient."""
    model = make_model(config=with_steps(1))
    contexts: list[Tensor] = []
    encoder = model.encoder.forward

    def recorded(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        contexts.append(x.requires_grad_())
        return encoder(x, mask)

    model.encoder.forward = recorded  # type: ignore[method-assign]
    t = make_ticks((1, 6))
    model.loss(t, torch.ones(1, 6, dtype=torch.bool), random(0))["nll"].backward()
    gradient = contexts[0].grad
    assert gradient is not None
    assert (gradient[0, :-1].abs().sum(-1) > 0).all()
    assert torch.equal(gradient[0, -1], torch.zeros_like(gradient[0, -1]))
