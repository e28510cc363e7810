"""Soft actor-critic as a learner: from a replay, conditioned on a function of the true task."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from policies.method import Problem, Transition, TrialBatch, with_training_reward
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import minimize, repeat, repeatable_adam, set_learning_rates, steps_taken
from policies.nn.state import SavedState, make_generator
from policies.rl.exchange import ReplayConfig, compare_outcomes, exchange_log
from policies.rl.relabel import relabel_goals
from policies.rl.remind import make_exchange
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import Sac, SacConfig, sac_losses

# True task parameters (n, p) -> what the policy knows of them (n, l).
Condition = Callable[[Tensor], Tensor]


def no_condition(task: Tensor) -> Tensor:
    """The policy knows nothing of the task: (n, p) -> (n, 0)."""
    return task[:, :0]


@dataclass(frozen=True)
class FixedBelief:
    """A belief that no experience changes."""

    z: Tensor  # (n, l)


class SacLearner(SavedState, LearnsFromReplay):
    """Learns a policy over features [normalized observation, z] with z = condition(task)."""

    saved_attributes: ClassVar[tuple[str, ...]] = (
        "net",
        "optimizer",
        "exchange",
        "replay",
        "generator",
    )

    def __init__(
        self,
        problem: Problem,
        config: SacConfig,
        seed: int,
        device: torch.device,
        replay: Replay | None = None,
        condition: Condition = no_condition,
        condition_dim: int = 0,
        sampling: ReplayConfig | None = None,
    ) -> None:
        """A new learner.

        Args:
            problem: the family.
            config: settings.
            seed: of the generator of its weights, batches and actions.
            device: of everything.
            replay: what it learns from; a new one by default. The owner of a shared replay adds the
                trials itself and calls ``train_on`` instead of ``learn``.
            condition: what the policy knows of the task.
            condition_dim: l, number of columns that ``condition`` gives.
            sampling: what a batch learns from; None: uniform draws.
        """
        self.problem = problem
        self.config = config
        self.condition = condition
        self.generator = make_generator(seed, device)
        self.replay = replay if replay is not None else Replay(config.buffer_tasks, device)
        self.obs_norm = RunningNormalizer(problem.obs_dim, device)
        features = problem.obs_dim + condition_dim
        self.sac = Sac(features, problem.action_dim, config, self.generator)
        self.net = nn.ModuleDict({"obs_norm": self.obs_norm, "sac": self.sac})
        trained = [p for p in self.net.parameters() if p.requires_grad]
        group = {"params": trained, "lr": config.lr}
        self.optimizer = repeatable_adam([group], device)
        self.exchange = None
        if sampling is not None:
            self.exchange = make_exchange(sampling, problem, condition_dim, self.generator)

    def features(self, obs: Tensor, z: Tensor) -> Tensor:
        """The inputs of actor and critics, (..., o + l), from obs (..., o) and z (..., l)."""
        return torch.cat([self.obs_norm(obs), z], -1)

    def act(self, obs: Tensor, belief: FixedBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        x = self.features(obs, belief.z)
        return self.sac.act(x, self.generator if explore else None)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train on the replay; returns means over the gradient steps."""
        ticks = with_training_reward(self.problem, trial.ticks, trial.task)
        new = self.replay.add(replace(trial, ticks=ticks))
        return self.train_on(new)

    def train_on(self, new: Transition) -> dict[str, float]:
        """The gradient steps of an iteration; ``new`` (b, ...) are the transitions just stored."""
        c = self.config
        self.obs_norm.update(new.obs)
        share = c.lr_share(steps_taken(self.optimizer))
        set_learning_rates(self.optimizer, share, (c.lr,))
        return repeat(self.step, c.gradient_steps, *self.step_generators)

    @property
    def step_generators(self) -> tuple[torch.Generator, ...]:
        """The random streams that a gradient step draws from."""
        return (self.generator,)

    def draw_tasks(self) -> tuple[Tensor, Tensor]:
        """Slots (b,) of random tasks in the replay, and what the policy knows of them, (b, l)."""
        slots = self.replay.tasks(self.config.meta_batch, self.generator)
        return slots, self.condition(self.replay.task[slots])

    def step(self) -> dict[str, Tensor]:
        """One gradient step on actor, critics and temperature."""
        c = self.config
        g = self.generator
        slots, known = self.draw_tasks()
        z = known.repeat_interleave(c.batch_per_task, 0)
        stored = self.replay.transitions(slots, c.batch_per_task, g)
        if self.exchange is not None:
            compare = partial(compare_outcomes, stored)
            stored, z = self.exchange.mix(stored, z, compare)
        batch = relabel_goals(stored.flatten(0, 1), self.problem, g)
        x = self.features(batch.obs, z)
        next_x = self.features(batch.next_obs, z)

        log = minimize(self.optimizer, sac_losses(self.sac, batch, x, next_x, c, g))
        self.sac.update_targets(c)
        return {
            "critic": log["critic"],
            "actor": log["actor"],
            "alpha": self.sac.log_alpha.detach().exp(),
            **exchange_log(self.exchange),
        }
