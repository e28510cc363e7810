"""Train one policy on all tasks, then fine-tune it on the new task's own data.

The baseline without meta-learning: soft actor-critic with domain randomization (the method
``blind``), and more of its gradient steps after every episode of a new task. These steps use the
transitions of that task alone, not the training's replay buffer, and begin with a new Adam state
after each episode. Each world has its own weights and transitions, which are its belief: nothing is
carried over to another task.

The worlds are fine-tuned in blocks. A block takes all of its steps before the next one, so that its
weights stay in the processor's cache; one step of a hundred worlds would move 350 MB through
memory.

Axes: n worlds, L transitions of a trial, b rows of a batch, a action.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from policies.belief import map_tensors, where
from policies.method import Problem, Transition, TrialBatch
from policies.nn.adam import Adam
from policies.nn.noise import standard_normal, uniform
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, LargeCount, Positive
from policies.rl import stacked_sac
from policies.rl.exchange import ReplayMethodConfig
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac_learner import SacLearner
from policies.rl.stacked_sac import StackedSac

T = TypeVar("T")

BLOCK = 4  # worlds of a block; weights, gradients and moments of a world take 3 MB at 256 units


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
        replay: Replay | None = None,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.learner = SacLearner(problem, config.sac, seed, device, replay, sampling=config.replay)
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
        x = self.learner.obs_norm(obs)[:, None]  # (n, 1, o)
        raw, log_std = stacked_sac.gaussian(belief.nets.actor, x)
        if explore:
            raw = raw + log_std.exp() * standard_normal(raw.shape, self.generator)
        return torch.tanh(raw[:, 0])

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
        nets = map_tensors(_trainable_copy, belief.nets)
        # PyTorch has a fused Adam for these devices only
        fused = self.device.type in ("cpu", "cuda")
        optimizer = Adam(nets.trained, lr=c.tuning_lr, fused=fused)
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
        n, length = belief.transitions.valid.shape
        stored = belief.count.clamp(min=1, max=length)
        share = uniform((n, self.config.batch_size), g)
        columns = (share * stored[:, None]).long()
        worlds = torch.arange(n, device=self.device)
        batch = belief.transitions[worlds[:, None], columns]
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


def no_transitions(problem: Problem, n: int, columns: int, device: torch.device) -> Transition:
    """Room for the transitions (n, L, ...) of one trial, with observations of so many columns."""
    rows = torch.zeros(n, problem.episodes * problem.horizon, device=device)
    flags = rows.bool()
    return Transition(
        obs=rows.new_zeros(*rows.shape, columns),
        action=rows.new_zeros(*rows.shape, problem.action_dim),
        applied=rows.new_zeros(*rows.shape, problem.action_dim),
        reward=rows,
        next_obs=rows.new_zeros(*rows.shape, columns),
        terminated=flags,
        truncated=flags,
        first=flags,
        begins=flags,
        valid=flags,
    )


def _trainable_copy(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()


def block(tree: T, start: int) -> T:
    """The rows of ``BLOCK`` worlds, or of those that are left, from number ``start`` on."""

    def rows(x: Tensor) -> Tensor:
        return x[start : start + BLOCK]

    return map_tensors(rows, tree)


def joined(*blocks: Tensor) -> Tensor:
    """The rows of all blocks."""
    return torch.cat(blocks)


def store(stored: Transition, count: Tensor, episode: Transition) -> tuple[Transition, Tensor]:
    """Append the valid transitions of an episode (n, H, ...).

    The i-th transition ever stored is kept at column i mod L.

    Args:
        stored: (n, L, ...) those of earlier episodes.
        count: (n,) transitions ever stored.
        episode: (n, H, ...).

    Returns:
        Both arguments with the episode's transitions.
    """
    length = stored.valid.shape[1]
    order = episode.valid.cumsum(1) - 1  # (n, H) place of each among the episode's valid ones
    number = count[:, None] + order
    worlds, ticks = episode.valid.nonzero(as_tuple=True)
    columns = number[worlds, ticks] % length

    def write(old: Tensor, new: Tensor) -> Tensor:
        written = old.clone()
        written[worlds, columns] = new[worlds, ticks]
        return written

    return map_tensors(write, stored, episode), count + episode.valid.sum(1)
