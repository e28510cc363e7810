"""Soft actor-critic (Haarnoja et al. 2018b) with twin critics: the networks, and losses of a batch.

Actor and critics read features x (..., k) of a state: the normalized observation, and what a method
knows of the task (nothing, the truth, or a sample of its belief). Features of the next state are a
separate argument, so that a belief may change from tick to tick. Axes: leading axes (b,) or (L, b),
k features, a action.

Each loss has gradients for its own part only: the critic's loss for the critics and the features,
the actor's loss for the actor, the temperature's loss for the temperature.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from math import log
from typing import Self

import torch
from torch import Tensor, nn

from policies.config import (
    OFF_POLICY_STEPS,
    MethodConfig,
    derive_buffer_tasks,
    derive_discount,
    derive_gradient_steps,
    derive_schedule,
)
from policies.method import CollectionSchedule, Problem, Transition
from policies.nn.flat_mlp import FlatMlp
from policies.nn.noise import standard_normal
from policies.nn.repeat import falling_share
from policies.nn.squashed_gaussian import squashed_gaussian, squashed_mean
from policies.ranges import (
    Count,
    Discount,
    Finite,
    LargeCount,
    LayerWidths,
    Positive,
    PositiveShare,
)


@dataclass(frozen=True)
class SacConfig(MethodConfig):
    """Settings of the networks, the losses and the learner."""

    # layer widths of actor and critics; PEARL has 3 × 300, but a CPU core can train these
    hidden: LayerWidths = (128, 128)
    # LayerNorm in the critics' hidden layers: it bounds the values of actions that were never
    # tried, so that early gradient steps do not drive the actor to them (RLPD, Ball et al. 2023)
    critic_layer_norm: bool = False
    lr: Positive = 1e-3  # learning rate; PEARL has 3e-4, for a million steps
    # share of the learning rates that is left at the end of the schedule's iterations; the rates
    # fall linearly in the second half of them. 1: constant rates
    final_lr_share: PositiveShare = 1.0
    gamma: Discount = 0.95  # discount of a tick, for horizons of about 20 ticks
    tau: PositiveShare = 0.01  # step of the target critics; PEARL has 0.005, for more steps
    # step of the averaged actor (and encoder) that acts
    ema_rate: PositiveShare = 0.005
    reward_scale: Positive = 1.0  # factor of the reward in the critics' targets
    target_entropy: Finite = -1.0  # [nats] of each action dimension (Haarnoja et al. 2018b)
    init_temperature: Positive = 0.1  # initial value of the learned temperature
    # tasks in a batch; PEARL has 16 of 256 transitions, but a belief is learned from many tasks
    meta_batch: Count = 64
    batch_per_task: Count = 8  # transitions of each task in a batch
    gradient_steps: LargeCount = 64  # gradient steps per iteration
    buffer_tasks: LargeCount = 2048  # tasks in the replay
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=64,
        episodes_per_trial=2,
        random_trials=4,
        iterations=60,
        overlap=True,
    )

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Discount, schedule, gradient steps and replay follow from horizon and episodes."""
        schedule = derive_schedule(problem, OFF_POLICY_STEPS, random_trials=1, overlap=True)
        return cls(
            gamma=derive_discount(problem),
            gradient_steps=derive_gradient_steps(problem, schedule),
            buffer_tasks=derive_buffer_tasks(problem, schedule),
            schedule=schedule,
        )

    def lr_share(self, steps: int) -> float:
        """The share of the learning rates that is left after a number of gradient steps."""
        all_steps = self.gradient_steps * self.schedule.iterations
        return falling_share(steps, all_steps, self.final_lr_share)


@dataclass(frozen=True)
class SacMethodConfig(MethodConfig):
    """Base of the configs of methods that learn by soft actor-critic, with its schedule."""

    sac: SacConfig = field(default_factory=SacConfig)

    @property
    def schedule(self) -> CollectionSchedule:
        """That of soft actor-critic."""
        return self.sac.schedule

    @property
    def gradient_steps(self) -> int:
        """That of soft actor-critic."""
        return self.sac.gradient_steps

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """The settings of soft actor-critic follow from the problem."""
        return cls(sac=SacConfig.for_problem(problem))


class Sac(nn.Module):
    """An actor, twin critics, averaged copies of both, and the temperature."""

    def __init__(
        self,
        features: int,
        actions: int,
        config: SacConfig,
        generator: torch.Generator,
    ) -> None:
        """Networks of ``features`` inputs (k) on the generator's device."""
        super().__init__()
        self.actions = actions
        self.actor = FlatMlp([features, *config.hidden, 2 * actions], generator)
        self.critic = FlatMlp(
            [features + actions, *config.hidden, 1],
            generator,
            members=2,
            normalize=config.critic_layer_norm,
        )
        self.target_critic = deepcopy(self.critic).requires_grad_(False)
        self.ema_actor = deepcopy(self.actor).requires_grad_(False)  # the one that acts
        log_alpha = torch.tensor(log(config.init_temperature), device=generator.device)
        self.log_alpha = nn.Parameter(log_alpha)

    def sample(
        self,
        x: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """An action of the actor in (-1, 1), (..., a), and its log-density (...,)."""
        out = self.actor(x)
        noise = standard_normal((*x.shape[:-1], self.actions), generator)
        return squashed_gaussian(out, noise)

    @torch.no_grad()
    def act(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Actions (n, a) of the averaged actor: a sample, or the mean without a generator."""
        out = self.ema_actor(x)
        if generator is None:
            return squashed_mean(out)
        noise = standard_normal((*x.shape[:-1], self.actions), generator)
        action, _ = squashed_gaussian(out, noise)
        return action

    def update_targets(self, config: SacConfig) -> None:
        """Move the averaged copies one step toward their networks."""
        polyak_update(self.target_critic, self.critic, config.tau)
        polyak_update(self.ema_actor, self.actor, config.ema_rate)


@torch.no_grad()
def polyak_update(slow: nn.Module, fast: nn.Module, rate: float) -> None:
    """Move every parameter of ``slow`` to ``(1 - rate) * slow + rate * fast``."""
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), rate)


def copy_statistics(slow: nn.Module, fast: nn.Module) -> None:
    """Copy all buffers, such as the statistics of normalizers, to an averaged copy."""
    for averaged, current in zip(slow.buffers(), fast.buffers(), strict=True):
        averaged.copy_(current)


def q_values(
    critic: FlatMlp,
    x: Tensor,
    action: Tensor,
    detach_weights: bool = False,
) -> Tensor:
    """Both critics' values of actions (..., a) in states with features x (..., k): (2, ...)."""
    inputs = torch.cat([x, action], -1)
    values: Tensor = critic(inputs, detach_weights)
    return values.squeeze(-1)


def critic_loss(
    sac: Sac,
    batch: Transition,
    x: Tensor,
    next_x: Tensor,
    config: SacConfig,
    generator: torch.Generator,
    weights: Tensor | None = None,
) -> Tensor:
    """Squared TD error of both critics, summed over them.

    After a terminated transition the target has no value of the next state; after a truncated one
    it does.

    Args:
        sac: the networks.
        batch: transitions with any leading axes (...).
        x: features of their observations (..., k); gradients pass through.
        next_x: features of their next observations (..., k); no gradients.
        config: discount and scale of the reward.
        generator: of the next actions.
        weights: (...,) factors of each transition's error, such as propensities, or a mask.
    """
    target = config.reward_scale * batch.reward
    if config.gamma > 0:
        with torch.no_grad():
            next_action, log_prob = sac.sample(next_x, generator)
            next_q = q_values(sac.target_critic, next_x, next_action).amin(0)
            next_value = next_q - sac.log_alpha.exp() * log_prob
            discount = config.gamma * (~batch.terminated)
            target = target + discount * next_value
    q = q_values(sac.critic, x, batch.action)
    error = (q - target).square()
    if weights is not None:
        error = error * weights
    return error.flatten(1).mean(1).sum()


def actor_loss(
    sac: Sac,
    x: Tensor,
    generator: torch.Generator,
    weights: Tensor | None = None,
    trains_features: bool = False,
) -> tuple[Tensor, Tensor]:
    """Minus the soft value of the policy's own actions.

    Args:
        sac: the networks; the critics get no gradient.
        x: features (..., k); detached where the critics read them.
        generator: of the actions.
        weights: (...,) factors of each state's loss.
        trains_features: whether gradients pass through what the actor reads of ``x``.

    Returns:
        The loss, a scalar, and the log-density of the drawn actions (...,).
    """
    fixed = x.detach()
    action, log_prob = sac.sample(x if trains_features else fixed, generator)
    q = q_values(sac.critic, fixed, action, detach_weights=True).amin(0)
    alpha = sac.log_alpha.exp().detach()
    loss = alpha * log_prob - q
    if weights is not None:
        loss = loss * weights
    return loss.mean(), log_prob


def temperature_loss(
    sac: Sac,
    log_prob: Tensor,
    target_entropy: float,
) -> Tensor:
    """The loss that moves the policy's entropy to ``target_entropy``, nats, by the temperature."""
    return -sac.log_alpha * (log_prob.detach().mean() + target_entropy)


def sac_losses(
    sac: Sac,
    batch: Transition,
    x: Tensor,
    next_x: Tensor,
    config: SacConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The losses of critics, actor and temperature; the arguments are those of ``critic_loss``."""
    critic = critic_loss(sac, batch, x, next_x, config, generator)
    actor, log_prob = actor_loss(sac, x, generator)
    target_entropy = config.target_entropy * sac.actions
    return {
        "critic": critic,
        "actor": actor,
        "temperature": temperature_loss(sac, log_prob, target_entropy),
    }
