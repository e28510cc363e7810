"""Off-policy learning on sequences (similar to AMAGO, Grigsby et al. 2024): RL² with a replay.

A memory reads the trial as in RL²; actor and critics read its output and the observation. Soft
actor-critic trains them at every tick of segments of stored trials; the critics' loss also trains
the memory. The return is that of the whole trial: values are bootstrapped across the end of an
episode into the next one, and after the last tick as at a time limit. Each trial is used many
times, so few environment steps suffice. A share of the trials may be relabeled with another task's
hidden goal (hindsight), which changes the rewards that the memory reads as well.

AMAGO also trains the memory by the actor's loss, uses many discounts at once, has critics that
classify returns, and longer sequences. A segment here may begin within a trial, with an empty
memory.
Axes: T ticks of a segment, n worlds, b tasks of a batch, o observation, a action, h memory.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from policies.belief import map_tensors
from policies.config import derive_trial_discount
from policies.method import (
    Problem,
    Transition,
    TrialBatch,
    with_training_reward,
)
from policies.methods.rl2 import RemembersTrials, Rl2Belief, Rl2Encoder
from policies.methods.rl2_transformer import MAX_WINDOW, Depth, WindowLength
from policies.nn.attention import AttentionMemory, check_heads
from policies.nn.memory import GruMemory, Memory
from policies.nn.repeat import minimize, repeat, repeatable_adam, set_learning_rates, steps_taken
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, Positive, Share, Width
from policies.rl.relabel import exchange_hidden_goals, with_true_reward
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import (
    Sac,
    SacConfig,
    SacMethodConfig,
    actor_loss,
    copy_statistics,
    critic_loss,
    polyak_update,
    temperature_loss,
)
from robots.errors import BadArgumentError

BATCH_TICKS = 512  # of a batch's segments together, as many transitions as SAC's batch has


@dataclass(frozen=True)
class SequenceConfig(SacMethodConfig):
    """Settings of the memory, and of soft actor-critic except ``sac.batch_per_task``."""

    memory: Literal["attention", "gru"] = "attention"  # kind of the memory
    memory_size: Width = 64  # units of the memory; AMAGO has 256
    blocks: Depth = 1  # attention blocks; AMAGO has 3
    heads: Count = 4  # heads of a block's attention
    encoder_lr: Positive = 1e-3  # learning rate of the memory
    segment: WindowLength = 60  # T, ticks that are learned from at once, and that attention sees
    # share of a batch's tasks that learn for the hidden goal of another task
    hindsight_share: Share = 0.0

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Segments are trials, as far as memory allows; the rest as for soft actor-critic."""
        segment = min(MAX_WINDOW, problem.episodes * problem.horizon)
        sac = replace(
            SacConfig.for_problem(problem),
            gamma=derive_trial_discount(problem),
            meta_batch=max(1, BATCH_TICKS // segment),
        )
        return cls(sac=sac, segment=segment)

    def __post_init__(self) -> None:
        """BadArgumentError if the heads do not divide the width, or a setting has no effect."""
        if self.memory == "attention":
            check_heads(self.memory_size, self.heads)
        if self.sac.batch_per_task != SacConfig.batch_per_task:
            raise BadArgumentError(
                "sequence learns from segments, and sac.batch_per_task has no effect: set segment"
            )


class Segments(NamedTuple):
    """A batch of parts of stored trials."""

    ticks: Transition  # (T + 1, b, ...), fewer where no trial is that long
    exists: Tensor  # (T + 1, b) bool, which of them belong to the trial: the first ones
    is_learned: Tensor  # (T + 1, b) bool, which are learned from: those with a known next state
    task: Tensor  # (b, p) the task for which they are learned


class Sequence(RemembersTrials[Any], SavedState, LearnsFromReplay):
    """The averaged copy of the memory computes the belief."""

    Config = SequenceConfig
    saved_attributes = ("net", "optimizer", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: SequenceConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        sac = config.sac
        self.problem = problem
        self.config = config
        self.schedule = sac.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(sac.buffer_tasks, device)
        memory = self.make_memory(problem.obs_dim + problem.action_dim + 2)
        self.trained_encoder: Rl2Encoder[Any] = Rl2Encoder(problem.obs_dim, memory, device)
        averaged = self.make_memory(problem.obs_dim + problem.action_dim + 2)
        self.encoder = Rl2Encoder(problem.obs_dim, averaged, device)
        self.encoder.requires_grad_(False)
        self.encoder.load_state_dict(self.trained_encoder.state_dict())
        self.sac = Sac(memory.size + problem.obs_dim, problem.action_dim, sac, self.generator)
        self.net = nn.ModuleDict(
            {"trained_encoder": self.trained_encoder, "encoder": self.encoder, "sac": self.sac}
        )
        trained = [p for p in self.sac.parameters() if p.requires_grad]
        groups = [
            {"params": trained, "lr": sac.lr},
            {"params": self.trained_encoder.parameters(), "lr": config.encoder_lr},
        ]
        self.optimizer = repeatable_adam(groups, device)

    def make_memory(self, inputs: int) -> Memory[Any]:
        """A memory that reads ``inputs`` columns of a tick."""
        c = self.config
        if c.memory == "gru":
            return GruMemory(inputs, c.memory_size, self.generator)
        return AttentionMemory(inputs, c.memory_size, c.blocks, c.heads, c.segment, self.generator)

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Rl2Belief[Any], explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        x, _ = self.encoder.step(obs, belief)
        return self.sac.act(x, self.generator if explore else None)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train on the replay; returns means over the gradient steps."""
        self.trained_encoder.update(self.replay.add(trial))
        copy_statistics(self.encoder, self.trained_encoder)
        c = self.config
        share = c.sac.lr_share(steps_taken(self.optimizer))
        set_learning_rates(self.optimizer, share, (c.sac.lr, c.encoder_lr))
        return repeat(self.step, c.sac.gradient_steps, self.generator)

    def draw_segments(self) -> Segments:
        """The segments of a batch, with one more tick than is learned from."""
        c = self.config
        slots = self.replay.tasks(c.sac.meta_batch, self.generator)
        ticks, exists, goes_on = self.replay.segments(slots, c.segment + 1, self.generator)
        is_learned = exists.clone()
        is_learned[:, -1] &= ~goes_on
        task = self.replay.task[slots]
        if c.hindsight_share > 0:
            task = exchange_hidden_goals(task, self.problem, c.hindsight_share, self.generator)
            ticks = with_true_reward(self.problem, ticks, task)
        return Segments(ticks.transpose(0, 1), exists.T, is_learned.T, task)

    def losses(self) -> dict[str, Tensor]:
        """The losses of a random batch; those of actor and temperature do not train the memory."""
        c = self.config.sac
        g = self.generator
        ticks, exists, is_learned, task = self.draw_segments()
        extended = with_final_obs(ticks, exists)
        x = self.trained_encoder(extended)[:-1]
        with torch.no_grad():
            next_x = self.encoder(extended)[1:]
        batch = with_training_reward(self.problem, ticks, task)
        next_exists = torch.cat([exists[1:], torch.zeros_like(exists[:1])])
        # If another episode of the trial follows, its value belongs to the return.
        batch = replace(batch, terminated=batch.terminated & ~next_exists)
        weights = is_learned / is_learned.float().mean()  # the losses are means over these ticks
        actor, log_prob = actor_loss(self.sac, x, g, weights)
        target_entropy = c.target_entropy * self.problem.action_dim
        log_prob = log_prob.where(is_learned, -target_entropy)  # no gradient of the temperature
        return {
            "critic": critic_loss(self.sac, batch, x, next_x, c, g, weights),
            "actor": actor,
            "temperature": temperature_loss(self.sac, log_prob, target_entropy),
        }

    def step(self) -> dict[str, Tensor]:
        """One gradient step on memory, actor, critics and temperature."""
        log = minimize(self.optimizer, self.losses())
        self.sac.update_targets(self.config.sac)
        polyak_update(self.encoder, self.trained_encoder, self.config.sac.ema_rate)
        return log


def with_final_obs(ticks: Transition, exists: Tensor) -> Transition:
    """Segments with one more tick, whose observation is the state after their last tick.

    Args:
        ticks: (T, b, ...)
        exists: (T, b) mask of the ticks that exist: the first ones.

    Returns:
        Ticks (T + 1, b, ...), of which an encoder reads observations and the outcomes before them.
    """

    def repeat_last(x: Tensor) -> Tensor:
        return torch.cat([x, x[-1:]])

    longer = map_tensors(repeat_last, ticks)
    more = torch.cat([exists, torch.zeros_like(exists[:1])])
    after = torch.cat([ticks.obs[:1], ticks.next_obs])
    return replace(
        longer,
        obs=longer.obs.where(more[..., None], after),
        begins=longer.begins & more,
    )
