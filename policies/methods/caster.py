"""CASTER: an encoder of states that is conditioned on the task, trained by prediction.

This is a method of our own. "Learning Context-aware Task Reasoning for Efficient Meta
Reinforcement Learning" (Wang, Zhou and He 2020), whose code is called CASTR, is something else: it
has an explorer of its own and a graph network over the context.

The belief is PEARL's: a posterior over a latent task z, inferred from the context. A second encoder
maps an observation and z to a state s = f(obs, z), and actor and critics read s alone. A decoder
predicts from s and the action what comes next: the reward and the change of the observation, each
as a Gaussian. Its log-likelihood and the KL of the posterior from N(0, I) train both encoders, as
a variational autoencoder of transitions. So s holds what the task does to outcomes, and what is
inferred does not depend on how far the policy has come. Differences from PEARL, whose code this
uses for the rest:

- The critics' loss trains the critics alone; ``critic_trains_encoders`` lets it train both encoders
  too, as in PEARL.
- Actor and critics read s in place of [observation, z].

Related: CaDM (Lee et al. 2020) trains a context encoder by prediction, for planning or for a policy
that reads it; CARE (Sodhani et al. 2021) mixes several state encoders by a description of the task.

Axes: b transitions of a batch, o observation, a action, l latent task, s columns of a state.
"""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.methods.pearl import Pearl, PearlConfig
from policies.models.posterior import Encoder, context_dim, context_features
from policies.nn.flat_mlp import FlatMlp
from policies.ranges import LayerWidths, NonNegative, Width
from policies.rl.sac import sac_losses

# Smallest noise of a prediction, in standard deviations of what is predicted. Without it, the
# likelihood of a column that is predicted exactly (a goal that never moves) would have no bound.
MIN_NOISE = 0.01


@dataclass(frozen=True)
class CasterConfig(PearlConfig):
    """PEARL's settings, with those of states; ``encoder_lr`` is also the decoder's rate."""

    state_dim: Width = 32  # s, columns of a state
    state_hidden: LayerWidths = (64, 64)  # layer widths of the encoder of states
    decoder_hidden: LayerWidths = (64, 64)  # layer widths of the decoder
    # weight of the posterior's KL from N(0, I), relative to the log-likelihood of one transition;
    # the evidence lower bound of a trial of 60 ticks has 1/60 = 0.017
    kl_weight: NonNegative = 0.01
    # whether the critics' loss trains both encoders too, as it trains PEARL's
    critic_trains_encoders: bool = False


class StateEncoder(Encoder):
    """PEARL's encoder of contexts, and f with its decoder, which are trained together."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        config: CasterConfig,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device."""
        c = config
        columns = context_dim(obs_dim, action_dim)
        super().__init__(
            columns,
            c.encoder_hidden,
            c.latent_dim,
            c.factor_rank,
            generator,
        )
        self.state_net = FlatMlp([obs_dim + c.latent_dim, *c.state_hidden, c.state_dim], generator)
        self.outcomes = 1 + obs_dim
        sizes = [c.state_dim + action_dim, *c.decoder_hidden, self.outcomes]
        self.decoder = FlatMlp(sizes, generator)
        self.log_noise = nn.Parameter(torch.zeros(self.outcomes, device=generator.device))

    def state(self, obs: Tensor, z: Tensor) -> Tensor:
        """States (..., s) of normalized observations (..., o) in tasks z (..., l)."""
        inputs = torch.cat([obs, z], -1)
        state: Tensor = self.state_net(inputs)
        return state

    def nll(self, state: Tensor, applied: Tensor, outcome: Tensor) -> Tensor:
        """Negative log-likelihood of outcomes up to a constant, (...,), nats.

        Args:
            state: (..., s)
            applied: (..., a) actions as they passed the gate.
            outcome: (..., 1 + o) reward and change of the observation, normalized.
        """
        inputs = torch.cat([state, applied], -1)
        predicted = self.decoder(inputs)
        log_noise = self.log_noise.clamp(min=log(MIN_NOISE))
        inv_noise = torch.exp(-log_noise)
        error = (outcome - predicted) * inv_noise
        terms: Tensor = 0.5 * error.square() + log_noise
        return terms.sum(-1)


class Caster(Pearl):
    """Infers and explores as ``Pearl``; actor and critics read the state that z gives."""

    Config = CasterConfig
    config: CasterConfig
    encoder: StateEncoder
    ema_encoder: StateEncoder

    def make_encoder(self, columns: int) -> StateEncoder:
        """The encoders of contexts and of states."""
        return StateEncoder(
            self.problem.obs_dim,
            self.problem.action_dim,
            self.config,
            self.generator,
        )

    @property
    def num_features(self) -> int:
        """Number of inputs of the actor, s."""
        return self.config.state_dim

    @torch.no_grad()
    def features(self, obs: Tensor, z: Tensor) -> Tensor:
        """The states (b, s) that the policy acts on: those of the averaged encoder."""
        normalized = self.obs_norm(obs)
        return self.ema_encoder.state(normalized, z)

    def losses_given_z(self, batch: Transition, z: Tensor) -> dict[str, Tensor]:
        """Those of prediction and of soft actor-critic on transitions (b, ...) under z (b, l)."""
        c = self.config
        obs = self.obs_norm(batch.obs)
        next_obs = self.obs_norm(batch.next_obs)
        state = self.encoder.state(obs, z)
        row = self.context_norm(context_features(batch))
        outcome = row[:, -self.encoder.outcomes :]
        nll = self.encoder.nll(state, batch.applied, outcome)
        with torch.no_grad():
            next_state = self.encoder.state(next_obs, z)
        if not c.critic_trains_encoders:
            state = state.detach()
        losses = sac_losses(self.sac, batch, state, next_state, c.sac, self.generator)
        losses["outcome"] = nll.mean()
        return losses
