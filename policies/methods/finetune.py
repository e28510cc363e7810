"""Train one policy on all tasks, then fine-tune it on the new task's own data.

The baseline without meta-learning: soft actor-critic with domain randomization (the method
``blind``), and more of its gradient steps after every episode of a new task. These steps use the
transitions of that task alone, not the training's replay buffer, and begin with a new Adam state
after each episode. Each world has its own weights and transitions, which are its belief: nothing is
carried over to another task.

The worlds are fine-tuned in blocks; one step of a hundred worlds would move 350 MB through memory.

Axes: n worlds, L transitions of a trial, b rows of a batch, a action.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from policies.belief import map_tensors, where
from policies.method import Problem, Transition, TrialBatch
from policies.nn.noise import standard_normal, uniform
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, LargeCount, Positive
from policies.rl import stacked_sac
from policies.rl.exchange import ReplayMethodConfig
from policies.rl.own_transitions import BLOCK, block, draw_batch, joined, no_transitions, store
from policies.rl.replay import LearnsFromReplay
from policies.rl.sac_learner import SacLearner
from policies.rl.stacked_sac import StackedSac


@dataclass(frozen=True)
class FinetuneConfig(ReplayMethodConfig):
    """Settings of fine-tuning; those of the training before it are ``sac``."""

    steps: LargeCount = 50  # gradient steps on a new task after each of its episodes
    tuning_lr: Positive = 3e-4  # their learning rate (that of SAC's paper)
    batch_size: Count = 64  # transitions of a batch, with replacement


@dataclass(frozen=True)
class FinetuneBelief:
    """Networks of each world, and the transitions for fine-tuning them."""

    nets: StackedSac
    transitions: Transition  # (n, L, ...) of the task; the newest episodes overwrite the oldest
    count: Tensor  # (n,) transitions ever stored


class Finetune(SavedState, LearnsFromReplay):
    """Acts by its world's own actor; ``adapt`` tunes it. ``observe`` does nothing."""

    Config = FinetuneConfig
    privileged = False
    saved_attributes = ("learner", "generator")

    def __init__(
        self,
        problem: Problem,
        config: FinetuneConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.learner = SacLearner(problem, config.sac, seed, device, sampling=config.replay)
        self.replay = self.learner.replay

    @torch.no_grad()
    def prior(self, n: int, task: Tensor | None = None) -> FinetuneBelief:
        """The trained networks in every world, and no experience."""
        p = self.problem
        nets = stacked_sac.stack_sac(self.learner.sac, n)
        return FinetuneBelief(
            nets=nets,
            transitions=no_transitions(p, n, p.obs_dim, self.device),
            count=torch.zeros(n, dtype=torch.int64, device=self.device),
        )

    @torch.no_grad()
    def act(
        self,
        obs: Tensor,
        belief: FinetuneBelief,
        explore: bool,
    ) -> Tensor:
        """A sample of the world's own policy, or its mean."""
        x = self.learner.obs_norm(obs)
        generator = self.generator if explore else None
        return stacked_sac.act(belief.nets, x, generator)

    def observe(
        self,
        belief: FinetuneBelief,
        transition: Transition,
    ) -> FinetuneBelief:
        """The same belief: learning happens at the end of an episode."""
        return belief

    @torch.no_grad()
    def adapt(self, belief: FinetuneBelief, episode: Transition) -> FinetuneBelief:
        """Store the episode's transitions, and take gradient steps on all stored transitions."""
        ticks = episode.transpose(0, 1)
        transitions, count = store(belief.transitions, belief.count, ticks)
        belief = replace(belief, transitions=transitions, count=count)
        tuned = []
        for start in range(0, len(belief.count), BLOCK):
            tuned.append(self._tune(block(belief, start)))
        return replace(belief, nets=map_tensors(joined, *tuned))

    def _tune(self, belief: FinetuneBelief) -> StackedSac:
        """The networks of a block of worlds after all gradient steps on their transitions."""
        c = self.config
        nets, optimizer = stacked_sac.begin_tuning(belief.nets, c.tuning_lr)
        for _ in range(c.steps):
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = self._loss(nets, belief)
            loss.backward()
            optimizer.step()
            torch._foreach_lerp_(nets.target_critic, nets.critic, c.sac.tau)
        has_data = belief.transitions.valid.any(1)
        return where(has_data, map_tensors(Tensor.detach, nets), belief.nets)

    def _loss(self, nets: StackedSac, belief: FinetuneBelief) -> Tensor:
        """The sum of the worlds' losses, each on a batch of the world's own transitions."""
        g = self.generator
        share = uniform((len(belief.count), self.config.batch_size), g)
        batch = draw_batch(belief.transitions, belief.count, share)
        noise = standard_normal((2, *batch.action.shape), g)
        return stacked_sac.losses(
            nets,
            batch,
            self.learner.obs_norm(batch.obs),
            self.learner.obs_norm(batch.next_obs),
            self.learner.sac.log_alpha.detach().exp(),
            noise,
            self.config.sac,
        )

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train the common networks; means over the gradient steps."""
        return self.learner.learn(trial)

    def state_without_replay(self) -> dict[str, Any]:
        """The state with an empty replay, which is the learner's."""
        return {**self.state_dict(), "learner": self.learner.state_without_replay()}
