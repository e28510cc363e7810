"""VariBAD (Zintgraf et al. 2020): a policy that reads a Gaussian belief about the task.

A variational autoencoder of trials computes the belief: after every tick, a recurrent encoder gives
a Gaussian over a latent description z of the task. Decoders predict reward and next observation of
the whole trial, past and future, from z. PPO trains the policy, whose input is the observation with
the belief's mean and log-variance. This is the state of the Bayes-adaptive decision process, in
which information about the task has the value of the rewards that it earns later. The two are
trained separately: no gradient of PPO's loss reaches the encoder, and the autoencoder learns from a
buffer of trials. For sparse rewards the policy may learn from exploration bonuses too
(``policies.rl.hyperx``).

The evidence lower bound after t ticks, with the belief q_t, is

    ELBO_t = E[log p(trial | z), z ~ q_t] - KL(q_t ‖ q_(t-1)),    q_0 = N(0, I),

and the loss is minus its mean over t = 0 ... L. What differs from the published code is listed in
docs/methods/varibad.md. Axes: L ticks of a trial, n worlds, T ELBO terms, D decoded ticks,
o observation, a action, h memory, l latent.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from policies.belief import where
from policies.config import ON_POLICY_STEPS, derive_buffer_tasks, derive_discount, derive_schedule
from policies.logs import detached
from policies.method import Problem, Transition, TrialBatch
from policies.models.trial_vae import (
    DecoderWidths,
    DiagonalGaussian,
    TrialVae,
    random_ticks,
    standard_gaussian,
)
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import repeat, repeatable_adam
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, LargeCount, NonNegative, Positive, Width
from policies.rl.hyperx import HyperxBonus, HyperxConfig
from policies.rl.ppo import PpoConfig, PpoLearner
from policies.rl.replay import LearnsFromReplay, Replay
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class VaribadConfig(PpoConfig):
    """Settings: PPO's, and those of the autoencoder. Numbers of VariBAD are those of its code."""

    latent_dim: Width = 5  # l (VariBAD)
    memory_size: Width = 64  # units of the encoder's GRU; VariBAD has 128
    # layer widths of each decoder (VariBAD), at least one
    decoder_hidden: DecoderWidths = (64, 32)
    vae_lr: Positive = 1e-3  # learning rate of encoder and decoders (VariBAD)
    # gradient steps on them per iteration; VariBAD's sparse point has 3, in 15,000 iterations
    vae_steps: LargeCount = 10
    vae_tasks: Count = 64  # trials of a batch; VariBAD has 10 to 25
    elbo_terms: Count = 8  # T, terms drawn of a trial's; VariBAD's half-cheetah has 50
    decoded_ticks: Count = 32  # D, ticks drawn that each term predicts; there it has 50
    kl_weight: NonNegative = 0.1  # weight of the KL (VariBAD's half-cheetah; else 1)
    obs_weight: NonNegative = 1.0  # weight of the next observation's likelihood; 0: only rewards
    vae_max_grad_norm: Positive = 1.0  # norm that their gradients are clipped to (VariBAD)
    buffer_tasks: LargeCount = 10_000  # newest trials that they learn from (VariBAD)
    # bonuses for exploration in the reward that trains the policy (HyperX); none: VariBAD
    hyperx: HyperxConfig | None = None

    def __post_init__(self) -> None:
        """BadArgumentError if a trial would be collected with older weights."""
        if self.schedule.overlap:
            raise BadArgumentError(
                "VariBAD's policy learns from trials of its newest weights:"
                " schedule.overlap must be false"
            )

    @property
    def optimizer_steps(self) -> int:
        """Of PPO, of the autoencoder and of the bonuses, per iteration."""
        bonus_steps = self.hyperx.steps if self.hyperx is not None else 0
        return self.gradient_steps + self.vae_steps + bonus_steps

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Discount, schedule and buffer follow from the horizon and the episodes."""
        schedule = derive_schedule(problem, ON_POLICY_STEPS)
        return cls(
            gamma=derive_discount(problem),
            buffer_tasks=derive_buffer_tasks(problem, schedule),
            schedule=schedule,
        )


@dataclass(frozen=True)
class VaribadBelief:
    """The encoder's memory, and the belief about z that is computed from it."""

    hidden: Tensor  # (n, h)
    task: DiagonalGaussian  # (n, l)


class HyperState(nn.Module):
    """What the policy reads: normalized observation, mean and log-variance, (..., o + 2l)."""

    def __init__(self, columns: int, device: torch.device) -> None:
        super().__init__()
        self.norm = RunningNormalizer(columns, device)

    def forward(self, ticks: Transition) -> Tensor:
        """Features of ticks whose observations are already hyper-states."""
        features: Tensor = self.norm(ticks.obs)
        return features


class Varibad(SavedState, LearnsFromReplay):
    """A tick costs one step of the encoder; nothing happens between episodes."""

    Config = VaribadConfig
    privileged = False
    saved_attributes = ("vae", "optimizer", "learner", "bonus", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: VaribadConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(config.buffer_tasks, device)
        self.vae = TrialVae(
            problem.obs_dim,
            problem.action_dim,
            config.memory_size,
            config.latent_dim,
            config.decoder_hidden,
            self.generator,
        )
        group = {"params": self.vae.parameters(), "lr": config.vae_lr}
        self.optimizer = repeatable_adam([group], device)
        features = problem.obs_dim + 2 * config.latent_dim
        self.hyper_state = HyperState(features, device)
        self.learner = PpoLearner(
            self.hyper_state, features, problem.action_dim, config, self.generator
        )
        self.bonus: HyperxBonus | None = None
        if config.hyperx is not None:
            iterations = config.schedule.iterations
            self.bonus = HyperxBonus(
                features, config.hyperx, config.gamma, iterations, self.generator
            )

    def prior(self, n: int, task: Tensor | None = None) -> VaribadBelief:
        """An empty memory, and N(0, I)."""
        hidden = self.vae.memory.initial(n)
        return VaribadBelief(hidden, standard_gaussian(n, self.config.latent_dim, self.device))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: VaribadBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        features = self.hyper_state.norm(hyper_states(obs, belief.task))
        return self.learner.net.act(features, self.generator if explore else None)

    @torch.no_grad()
    def observe(self, belief: VaribadBelief, transition: Transition) -> VaribadBelief:
        """One step of the encoder, which reads the whole transition."""
        hidden, task = self.vae.step(transition, belief.hidden)
        return where(transition.valid, VaribadBelief(hidden, task), belief)

    def adapt(self, belief: VaribadBelief, episode: Transition) -> VaribadBelief:
        """The same belief: it is carried on through all episodes of a task."""
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO on the trials, then gradient steps of the autoencoder on the buffer."""
        new = self.replay.add(trial)
        sequence = trial.sequences()
        ticks = self.with_hyper_states(sequence)
        if self.bonus is None:
            log = self.learner.learn(ticks)
        else:
            log = self.learn_with_bonus(self.bonus, sequence, ticks)
        # Only now, so that every likelihood ratio is between policies of the same normalization.
        self.hyper_state.norm.update(ticks.obs[ticks.valid])
        self.vae.update(new)
        return log | repeat(self.step, self.config.vae_steps, self.generator)

    @torch.no_grad()
    def with_hyper_states(self, ticks: Transition) -> Transition:
        """Trials (L, n, ...) whose observations are hyper-states (L, n, o + 2l).

        The belief at a tick is that of the ticks before it. It is computed without gradients, which
        keeps PPO's loss away from the encoder.
        """
        beliefs = self.vae.encode(ticks)
        return replace(ticks, obs=hyper_states(ticks.obs, beliefs[:-1]))

    def learn_with_bonus(
        self, bonus: HyperxBonus, sequence: Transition, ticks: Transition
    ) -> dict[str, float]:
        """PPO on rewards with bonuses, which nothing else sees; then on the bonuses themselves.

        Args:
            bonus: gives them.
            sequence: trials (L, n, ...).
            ticks: the same, whose observations are hyper-states.
        """
        states, error = self.outcomes(sequence)
        reward = bonus.reward(states, error, ticks.valid)
        log = self.learner.learn(replace(ticks, reward=ticks.reward + reward))
        log["bonus"] = float(reward[ticks.valid].mean())
        return log | bonus.learn(states[ticks.valid])

    @torch.no_grad()
    def outcomes(self, sequence: Transition) -> tuple[Tensor, Tensor]:
        """What each tick of trials (L, n, ...) led to, under the belief that has read it.

        Returns:
            Normalized hyper-states (L, n, o + 2l), and the errors (L, n) of what the decoders
            reconstruct from a sample of the belief.
        """
        after = self.vae.encode(sequence)[1:]
        states = self.hyper_state.norm(hyper_states(sequence.next_obs, after))
        z = after.sample(self.generator)
        reward_error, obs_error = self.vae.errors(z, sequence)
        return states, reward_error + self.config.obs_weight * obs_error

    def losses(self) -> dict[str, Tensor]:
        """Minus the ELBO of a batch by its parts, means over terms and trials; scalars."""
        c = self.config
        g = self.generator
        slots = self.replay.tasks(c.vae_tasks, g)
        by_trial, mask = self.replay.trials(slots)
        ticks = by_trial.transpose(0, 1)  # (L, n, ...)
        length = mask.sum(1)
        terms = random_ticks(c.elbo_terms, length + 1, g)
        decoded = random_ticks(c.decoded_ticks, length, g)
        return elbo_losses(self.vae, ticks, length, terms, decoded, c, g)

    def step(self) -> dict[str, Tensor]:
        """One gradient step on encoder and decoders."""
        losses = self.losses()
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self.vae.parameters(), self.config.vae_max_grad_norm)
        self.optimizer.step()
        return detached(losses)


def hyper_states(obs: Tensor, task: DiagonalGaussian) -> Tensor:
    """Observation, mean and log-variance side by side, (..., o + 2l)."""
    return torch.cat([obs, task.mean, task.log_var], -1)


def elbo_losses(
    vae: TrialVae,
    ticks: Transition,
    length: Tensor,
    terms: Tensor,
    decoded: Tensor,
    config: VaribadConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Minus the ELBO, without the constants of the likelihoods, as weighted scalars by name.

    Args:
        vae: the autoencoder.
        ticks: trials (L, n, ...).
        length: (n,) valid ticks of each; all of them belong to the likelihood of a term.
        terms: (T, n) after how many ticks the beliefs are taken.
        decoded: (D, n) ticks that stand for all in the likelihood.
        config: has the weights.
        generator: draws one z for each term.
    """
    worlds = torch.arange(len(length), device=length.device)
    beliefs = vae.encode(ticks)
    own = beliefs[terms, worlds]  # (T, n, l)
    # The prior is compared with itself: there is no belief before it.
    before = beliefs[(terms - 1).clamp(min=0), worlds]
    z = own.sample(generator)
    reward_error, obs_error = vae.errors(z[:, None], ticks[decoded, worlds])  # (T, D, n)
    # The mean over the drawn ticks is used for each tick of the trial.
    reward_loss = 0.5 * reward_error.mean(1) * length
    obs_loss = 0.5 * obs_error.mean(1) * length
    return {
        "reward": reward_loss.mean(),
        "obs": config.obs_weight * obs_loss.mean(),
        "belief_kl": config.kl_weight * own.kl(before).mean(),
    }
