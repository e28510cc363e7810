"""Laws of the model: a belief is a product of Gaussians in any order, a rollout is a prediction step by step."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from policies.method import Transition
from policies.models.context_dynamics import Dynamics, DynamicsConfig
from policies.models.posterior import Posterior, prior

OBS, A = 3, 2
CONFIG = DynamicsConfig(
    ensemble_size=3,
    hidden=(16, 16),
    latent_dim=4,
    encoder_hidden=(16,),
    unroll_steps=3,
    windows_per_task=5,
)


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ticks(lead: tuple[int, ...], seed: int = 0) -> Transition:
    """Transitions (L, ...) or (b, L, ...) of one episode: each begins where the last one ended, along the last axis."""
    g = random(seed)
    way = torch.randn(*lead[:-1], lead[-1] + 1, OBS, generator=g).cumsum(-2)
    way[..., 2] = 0.7  # a column that never changes
    no = torch.zeros(lead, dtype=torch.bool)
    action = torch.rand(*lead, A, generator=g) * 2 - 1
    return Transition(
        obs=way[..., :-1, :],
        action=action,
        applied=action,
        reward=torch.randn(lead, generator=g),
        next_obs=way[..., 1:, :],
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )


def model(rewarded: bool = False, config: DynamicsConfig = CONFIG) -> Dynamics:
    built = Dynamics(OBS, A, rewarded, config, random(0))
    built.update(ticks((64,), seed=9))
    return built


def at(t: Transition, i: int) -> Transition:
    return t.map(lambda x: x[:, i])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), length=st.integers(1, 8))
def test_evidence_one_by_one_is_evidence_all_at_once_in_any_order(seed: int, length: int) -> None:
    m, t = model(), ticks((2, length), seed)
    one_by_one, backwards = prior(2, 4), prior(2, 4)
    for i in range(length):
        one_by_one = m.observe(one_by_one, at(t, i))
        backwards = m.observe(backwards, at(t, length - 1 - i))
    with torch.no_grad():
        precision, weighted = m.evidence(t)
    whole = Posterior(torch.eye(4) + precision.sum(1), weighted.sum(1))
    for belief in (one_by_one, backwards):
        torch.testing.assert_close(belief.precision, whole.precision, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(belief.mean, whole.mean, atol=1e-4, rtol=1e-4)
    before = torch.linalg.eigvalsh(prior(2, 4).precision)
    assert (
        torch.linalg.eigvalsh(whole.precision) >= before - 1e-4
    ).all()  # nobody knows less for having seen more


def test_an_invalid_transition_is_no_evidence() -> None:
    m, t = model(), ticks((2, 1))
    broken = at(t, 0).map(lambda x: x.clone())
    broken.valid[0] = False
    broken.next_obs[0] = torch.nan
    belief = m.observe(prior(2, 4), broken)
    assert torch.equal(belief.precision[0], torch.eye(4))
    assert torch.equal(belief.weighted[0], torch.zeros(4))
    assert not torch.equal(belief.precision[1], torch.eye(4))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), many=st.integers(1, 6))
def test_measurements_are_bayesian_linear_regression(seed: int, many: int) -> None:
    """Against the posterior got by conditioning the joint Gaussian of z and the measurements."""
    g = random(seed)
    phi = torch.randn(many, 3, generator=g, dtype=torch.float64)
    y = torch.randn(many, generator=g, dtype=torch.float64)
    belief = Posterior((torch.eye(3) + phi.T @ phi)[None], (phi.T @ y)[None])
    gain = phi.T @ torch.linalg.inv(phi @ phi.T + torch.eye(many))
    mean, covariance = gain @ y, torch.eye(3, dtype=torch.float64) - gain @ phi
    torch.testing.assert_close(belief.mean[0], mean)
    draws = belief.at(torch.randn(200_000, 1, 3, generator=g, dtype=torch.float64))[:, 0]
    torch.testing.assert_close(draws.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(draws.T.cov(), covariance, atol=0.02, rtol=0)
    nothing = MultivariateNormal(
        torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    )
    torch.testing.assert_close(
        belief.kl()[0], kl_divergence(MultivariateNormal(mean, covariance), nothing)
    )


@pytest.mark.parametrize("rewarded", [False, True])
def test_a_rollout_is_prediction_step_by_step(rewarded: bool) -> None:
    m, g = model(rewarded), random(1)
    n, many, steps = 4, 5, 6
    obs, z = torch.randn(n, OBS, generator=g), torch.randn(3, n, 4, generator=g)
    actions = torch.rand(n, many, steps, A, generator=g) * 2 - 1
    with torch.inference_mode():
        states, rewards = m.rollout(obs, actions, z)
        assert states.shape == (steps + 1, 3, n, many, OBS)
        assert rewards.shape == (steps, 3, n, many, int(rewarded))
        for world in range(n):
            for tried in range(many):
                now = obs[world].expand(3, 1, OBS)
                for t in range(steps):
                    outcome = m.predict(
                        now, actions[world, tried, t].expand(3, 1, A), z[:, world : world + 1]
                    )
                    now = now + outcome[..., :OBS]
                    torch.testing.assert_close(
                        states[t + 1, :, world, tried], now[:, 0], atol=1e-4, rtol=1e-4
                    )
                    torch.testing.assert_close(
                        rewards[t, :, world, tried], outcome[:, 0, OBS:], atol=1e-4, rtol=1e-4
                    )


def test_what_never_changed_is_predicted_not_to_change() -> None:
    m = model()
    with torch.inference_mode():
        states, _ = m.rollout(
            torch.full((1, OBS), 0.7), torch.ones(1, 2, 20, A), torch.zeros(3, 1, 4)
        )
    assert torch.equal(states[..., 2], torch.full_like(states[..., 2], 0.7))


def test_members_differ_and_each_reads_its_own_rows() -> None:
    m = model()
    obs, applied, z = torch.zeros(3, 2, OBS), torch.zeros(3, 2, A), torch.zeros(3, 2, 4)
    with torch.no_grad():
        before = m.predict(obs, applied, z)
        obs[1] += 1
        after = m.predict(obs, applied, z)
    assert before.shape == (3, 2, OBS)
    assert not torch.allclose(before[0], before[1])
    assert torch.equal(before[[0, 2]], after[[0, 2]])
    assert not torch.equal(before[1], after[1])


def test_what_is_predicted_goes_into_units_and_back() -> None:
    """A network that is exact in units gives the true change: the statistics undo themselves, and are saved."""
    m, t = model(), ticks((32,), seed=9)
    change, unit = m.outcome(t, t.obs), m.unit()
    back = m.change.shift + unit * m.change(change)
    torch.testing.assert_close(back[:, :2], change[:, :2], atol=1e-5, rtol=1e-5)
    other = Dynamics(OBS, A, False, CONFIG, random(5))
    other.load_state_dict(m.state_dict())
    assert torch.equal(other.unit(), unit)


def loss(m: Dynamics, t: Transition, there: Tensor) -> float:
    with torch.no_grad():
        return float(m.loss(t, there, random(2))["nll"])


def test_a_window_ends_with_its_episode_and_with_the_trial() -> None:
    """The loss of one-step windows and of longer ones agree where no window can be longer than one step."""
    t = ticks((4, 6))
    apart = Transition(
        **{**vars(t), "next_obs": t.obs + 0.1}
    )  # no transition begins where the last one ended
    one, three = (
        model(config=DynamicsConfig(**{**vars(CONFIG), "unroll_steps": k})) for k in (1, 3)
    )
    there = torch.ones(4, 6, dtype=torch.bool)
    assert loss(one, apart, there) == pytest.approx(loss(three, apart, there), rel=1e-5)
    assert loss(one, t, there) != pytest.approx(loss(three, t, there), rel=1e-5)
    three = model()
    short = torch.arange(6).expand(4, 6) < 2
    rubbish = t.map(
        lambda x: torch.cat([x[:, :2], x[:, 2:] + 100 if x.is_floating_point() else x[:, 2:]], 1)
    )
    assert loss(three, t, short) == loss(model(), rubbish, short)


def test_nothing_is_predicted_from_a_context_that_holds_it() -> None:
    """Each prediction's belief comes from ticks before its window: later ticks give the encoder no gradient."""
    m, t = model(config=DynamicsConfig(**{**vars(CONFIG), "unroll_steps": 1})), ticks((1, 6))
    contexts: list[Tensor] = []
    encoder = m.encoder.forward

    def watched(x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        contexts.append(x.requires_grad_())
        return encoder(x, valid)

    m.encoder.forward = watched  # type: ignore[method-assign]
    m.loss(t, torch.ones(1, 6, dtype=torch.bool), random(0))["nll"].backward()
    gradient = contexts[0].grad
    assert gradient is not None
    assert (gradient[0, :-1].abs().sum(-1) > 0).all()
    assert torch.equal(
        gradient[0, -1], torch.zeros_like(gradient[0, -1])
    )  # nothing comes after the last tick
