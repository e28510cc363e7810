"""VIABLE: variational task embeddings, adapted by gradient steps on a learned loss. Our own method.

It is not the paper of this name (Feng et al. 2019), which learns the inner loss of MAML for
regression and image classification. The belief about the task is a Gaussian N(μ, σ²) over an
embedding z, and begins at N(0, I). Every transition x gives a loss of the belief,

    loss(x, b) = v(x) · softplus(W b + e(x)),    b = (μ, log σ),

where a network computes v(x) > 0 and e(x), so that the loss is convex in b. The belief takes one
gradient step on it,

    b' = b - α ∇_b loss(x, b),

with step sizes α that are learned, one per parameter; log σ stays within bounds. Policy and critic
read the observation, μ and log σ. All is learned end to end, through the steps of whole trials:
PPO's loss on the newest trials, plus ``elbo_weight`` times minus an evidence lower bound,

    ELBO_t = E[log p(trial | z), z ~ q_t] - KL(q_t ‖ N(0, I)),

of the belief q_t after t ticks, whose decoders predict the rewards and next observations of the
whole trial from z. So the loss is one whose gradient steps turn data into a belief that predicts,
and that the policy acts well under.

Parts are those of ``varibad``. There a GRU computes the belief, the KL is that from the belief one
tick before, the autoencoder learns from a buffer, and PPO's loss does not reach it. Here the
belief itself is the whole memory.
Axes: L ticks of a trial, n worlds, T ELBO terms, D decoded ticks, u units of the loss, l latent.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from policies.belief import where
from policies.method import Problem, Transition, TrialBatch
from policies.methods.maesn import LOG_STD_BOUND
from policies.models.trial_vae import (
    DecoderWidths,
    DiagonalGaussian,
    TrialVae,
    random_ticks,
    standard_gaussian,
)
from policies.nn.memory import Memory
from policies.nn.networks import mlp
from policies.nn.noise import standard_normal
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, NonNegative, Positive, Width
from policies.rl.ppo import PpoBatch, PpoConfig, PpoLearner


@dataclass(frozen=True)
class ViableConfig(PpoConfig):
    """Settings: PPO's, and those of the belief."""

    latent_dim: Width = 5  # l (as varibad)
    loss_units: Width = 64  # u of the learned loss, and of the layer that reads a transition
    step_size: Positive = 0.05  # initial α of μ and log σ
    decoder_hidden: DecoderWidths = (64, 32)  # layer widths of each decoder (as varibad)
    elbo_weight: NonNegative = 1.0  # weight of minus the ELBO beside PPO's loss
    kl_weight: NonNegative = 0.1  # weight of the KL within the ELBO (as varibad)
    obs_weight: NonNegative = 1.0  # weight of the next observation's likelihood; 0: only rewards
    elbo_terms: Count = 8  # T, terms drawn of a trial's (as varibad)
    decoded_ticks: Count = 16  # D, ticks drawn that each term predicts


@dataclass(frozen=True)
class ViableBelief:
    """N(μ, σ²) over the embedding of the task."""

    b: Tensor  # (n, 2l) μ and log σ


class LearnedLoss(Memory[Tensor]):
    """Steps of beliefs along the gradient of a learned loss, as a memory of a trial."""

    def __init__(self, units: int, latent_dim: int, step_size: float, g: torch.Generator) -> None:
        super().__init__()
        self.size = 2 * latent_dim
        self.coefficients = mlp([units, 2 * units], g)  # v and e of an embedded transition
        self.weight = nn.Parameter(standard_normal((units, self.size), g) * self.size**-0.5)
        start = torch.full((self.size,), step_size, device=g.device)
        self.log_step_sizes = nn.Parameter(start.log())

    def initial(self, n: int) -> Tensor:
        """The prior N(0, I), (n, 2l)."""
        return self.weight.new_zeros(n, self.size)

    def loss(self, inputs: Tensor, b: Tensor) -> Tensor:
        """The loss (n,) of beliefs (n, 2l), given embedded transitions (n, u)."""
        v, e = self.terms(inputs)
        units = v * nn.functional.softplus(e + b @ self.weight.T)
        return units.sum(-1)

    def terms(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """v > 0 and e (..., u) of embedded transitions (..., u)."""
        v, e = self.coefficients(inputs).chunk(2, -1)
        return nn.functional.softplus(v), e

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The beliefs (L, n, 2l) after each of the transitions (L, n, u), and the last of them.

        The gradient of the loss is written out, so that acting needs no automatic differentiation.
        """
        b = state
        v, e = self.terms(inputs)
        step_sizes = self.log_step_sizes.exp()
        beliefs = []
        for t in range(len(inputs)):
            slope = torch.sigmoid(torch.addmm(e[t], b, self.weight.T))  # of softplus
            gradient = (v[t] * slope) @ self.weight
            mean, log_std = (b - step_sizes * gradient).chunk(2, -1)
            log_std = log_std.clamp(-LOG_STD_BOUND, LOG_STD_BOUND)
            b = torch.cat([mean, log_std], -1)
            beliefs.append(b)
        return torch.stack(beliefs), b


class LossVae(TrialVae):
    """The autoencoder of trials whose encoder is a sequence of gradient steps."""

    def __init__(self, problem: Problem, config: ViableConfig, generator: torch.Generator) -> None:
        units = config.loss_units
        latent = config.latent_dim
        sizes = (problem.obs_dim, problem.action_dim, units, latent)
        super().__init__(*sizes, config.decoder_hidden, generator)
        self.memory = LearnedLoss(units, latent, config.step_size, generator)
        self.head = nn.Identity()

    def _belief(self, hidden: Tensor) -> DiagonalGaussian:
        mean, log_std = hidden.chunk(2, -1)
        return DiagonalGaussian(mean, 2 * log_std)

    def forward(self, ticks: Transition) -> Tensor:
        """Features (L, n, o + 2l) of whole trials: each tick under the belief before it."""
        return self.features(ticks.obs, self.encode(ticks)[:-1])

    def features(self, obs: Tensor, belief: DiagonalGaussian) -> Tensor:
        """The inputs of policy and critic, (..., o + 2l)."""
        return torch.cat([self.obs_norm(obs), belief.mean, 0.5 * belief.log_var], -1)


class ViableLearner(PpoLearner):
    """PPO and the evidence lower bound, with one gradient through the steps of whole trials."""

    config: ViableConfig

    @property
    def vae(self) -> LossVae:
        """The autoencoder, whose beliefs policy and critic read."""
        return cast(LossVae, self.net.encoder)

    def losses(self, batch: PpoBatch) -> dict[str, Tensor]:
        """PPO's, and the parts of minus the ELBO."""
        ticks = batch.ticks
        beliefs = self.vae.encode(ticks)
        features = self.vae.features(ticks.obs, beliefs[:-1])
        return self.losses_given(features, batch) | self.elbo_losses(beliefs, ticks)

    def elbo_losses(self, beliefs: DiagonalGaussian, ticks: Transition) -> dict[str, Tensor]:
        """Minus the ELBO per tick, without the constants of the likelihoods, by its parts.

        Args:
            beliefs: (L + 1, n, l) before the first and after each of the ticks.
            ticks: trials (L, n, ...).
        """
        c = self.config
        g = self.generator
        length = ticks.valid.sum(0).clamp(min=1)  # (n,)
        worlds = torch.arange(len(length), device=length.device)
        terms = random_ticks(c.elbo_terms, length + 1, g)
        decoded = random_ticks(c.decoded_ticks, length, g)
        own = beliefs[terms, worlds]  # (T, n, l)
        z = own.sample(g)
        reward_error, obs_error = self.vae.errors(z[:, None], ticks[decoded, worlds])  # (T, D, n)
        prior = standard_gaussian(1, c.latent_dim, length.device)
        kl = own.kl(prior) / length
        return {
            "reward": 0.5 * reward_error.mean(),
            "obs": 0.5 * c.obs_weight * obs_error.mean(),
            "belief_kl": c.kl_weight * kl.mean(),
        }

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """PPO's loss and the weighted ELBO."""
        elbo_loss = losses["reward"] + losses["obs"] + losses["belief_kl"]
        return super().total(losses) + self.config.elbo_weight * elbo_loss


class Viable(SavedState):
    """A tick costs one gradient step on the belief; nothing happens between episodes."""

    Config = ViableConfig
    privileged = False
    saved_attributes = ("learner",)

    def __init__(
        self,
        problem: Problem,
        config: ViableConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.vae = LossVae(problem, config, self.generator)
        features = problem.obs_dim + 2 * config.latent_dim
        self.learner = ViableLearner(self.vae, features, problem.action_dim, config, self.generator)

    def prior(self, n: int, task: Tensor | None = None) -> ViableBelief:
        """N(0, I)."""
        return ViableBelief(torch.zeros(n, 2 * self.config.latent_dim, device=self.device))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: ViableBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        features = torch.cat([self.vae.obs_norm(obs), belief.b], -1)
        return self.learner.net.act(features, self.generator if explore else None)

    @torch.no_grad()
    def observe(self, belief: ViableBelief, transition: Transition) -> ViableBelief:
        """One gradient step on the transition's loss."""
        b, _ = self.vae.step(transition, belief.b)
        return where(transition.valid, ViableBelief(b), belief)

    def adapt(self, belief: ViableBelief, episode: Transition) -> ViableBelief:
        """The same belief: it is carried on through all episodes of a task."""
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO and ELBO on the newest trials; returns means over the gradient steps."""
        ticks = trial.sequences()
        log = self.learner.learn(ticks)
        # Only now, so that every likelihood ratio is between policies of the same normalization.
        self.vae.update(ticks[ticks.valid])
        return log
