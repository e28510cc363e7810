"""REMIND: a diffusion model over transitions that generates some for the belief about a task.

This is a method of our own. The name also belongs to "REMIND Your Neural Network to Prevent
Catastrophic Forgetting" (Hayes et al. 2020), which replays compressed features in continual
learning and has nothing to do with this. The nearest published methods are SynthER (Lu et al.
2023), which adds transitions of an unconditional diffusion model to the replay, and PGR (Wang et
al. 2024), which conditions them on a measure of relevance. Here the condition is the belief.

The model learns from the same stored transitions as actor and critics, each under the belief about
the task that it comes from, with one gradient step for each of theirs. What it generates is the
observation, the action as chosen and as applied, the reward, the change of the observation, and
whether the task ended. The reward is generated because it is what a hidden goal changes.

- All columns are normalized by running statistics of what the model learned from, and generated
  ones are bounded as the normalizer bounds its outputs. Actions are clipped to [-1, 1].
- ``terminated`` is learned as a number, -1 or 1, and is generated as whether it is positive. It is
  not normalized: where tasks seldom end, an end would be outliers of hundreds of deviations.
- ``truncated`` is never set: the target of a critic continues after a time limit, and the next
  state of a generated transition always has a value unless it is terminated.
- Until ``warm_up_steps`` the stored transitions stay in the batch, because an untrained model
  generates noise.

A batch costs one gradient step of the denoiser on all of its transitions, and denoising_steps
evaluations on the generated share.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from policies.belief import map_tensors
from policies.method import Problem, Transition
from policies.models.diffusion import DiffusionModel
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import minimize, repeatable_adam
from policies.rl.exchange import Compare, Exchange, Propensity, ReplayConfig


class Remind(Exchange):
    """Generates the first transitions of each task in a batch, and trains the model that does."""

    saved_attributes: ClassVar[tuple[str, ...]] = ("net", "optimizer")

    def __init__(
        self,
        problem: Problem,
        belief_dim: int,
        config: ReplayConfig,
        generator: torch.Generator,
    ) -> None:
        """For transitions of ``problem`` under beliefs of ``belief_dim`` columns (l)."""
        super().__init__(config, generator)
        device = generator.device
        self.obs_dim = problem.obs_dim
        self.action_dim = problem.action_dim
        numbers = 2 * problem.obs_dim + 2 * problem.action_dim + 1
        self.model = DiffusionModel(numbers + 1, belief_dim, config.denoiser_hidden, generator)
        self.norm = RunningNormalizer(numbers, device)
        self.progress = Progress(device)
        self.net = nn.ModuleDict(
            {"model": self.model, "norm": self.norm, "progress": self.progress}
        )
        group: dict[str, Any] = {"params": self.model.net.parameters(), "lr": config.denoiser_lr}
        self.optimizer = repeatable_adam([group], device)

    def draw(self, ticks: Transition, belief: Tensor, compare: Compare, count: int) -> Transition:
        """Train on the batch, then generate (n, count, ...); stored ones during the warm-up."""
        self.learn(ticks, belief)
        generated = self.generate(belief[:, :count])
        is_ready = self.progress.steps > self.config.warm_up_steps

        def choose(new: Tensor, stored: Tensor) -> Tensor:
            return torch.where(is_ready, new, stored)

        return map_tensors(choose, generated, ticks[:, :count])

    @torch.enable_grad()
    def learn(self, ticks: Transition, belief: Tensor) -> None:
        """One gradient step on transitions (n, b, ...) under beliefs (n, b, l)."""
        stored = ticks.flatten(0, 1)
        numbers = to_numbers(stored)
        self.norm.update(numbers)
        ended = 2 * stored.terminated[:, None].float() - 1
        rows = torch.cat([self.norm(numbers), ended], -1)
        condition = belief.flatten(0, 1)
        loss = self.model.loss(rows, condition, self.generator)
        log = minimize(self.optimizer, {"denoising": loss})
        self.model.update_average()
        self.progress.steps += 1
        self.progress.loss.copy_(log["denoising"])

    @torch.no_grad()
    def generate(self, belief: Tensor) -> Transition:
        """A transition for each belief (n, b, l)."""
        condition = belief.flatten(0, 1)
        steps = self.config.denoising_steps
        rows = self.model.sample(condition, steps, self.generator)
        rows = rows.view(*belief.shape[:-1], rows.shape[-1])
        bound = self.norm.bound
        numbers = self.norm.inverse(rows[..., :-1].clamp(-bound, bound))
        ended = rows[..., -1] > 0
        return to_transitions(numbers, ended, self.obs_dim, self.action_dim)

    def log(self) -> dict[str, Tensor]:
        """The loss of the denoiser."""
        return {"denoising": self.progress.loss.clone()}


class Progress(nn.Module):
    """Counts what the model has learned from; saved with its weights."""

    steps: Tensor  # () gradient steps of the denoiser
    loss: Tensor  # () of the last one

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64, device=device))
        self.register_buffer("loss", torch.zeros((), device=device))


def to_numbers(t: Transition) -> Tensor:
    """The numbers that are generated of transitions, (..., 2o + 2a + 1)."""
    reward = t.reward[..., None]
    change = t.next_obs - t.obs
    return torch.cat([t.obs, t.action, t.applied, reward, change], -1)


def to_transitions(numbers: Tensor, ended: Tensor, obs_dim: int, action_dim: int) -> Transition:
    """Transitions from generated numbers (..., 2o + 2a + 1) and terminal flags (...,)."""
    sizes = [obs_dim, action_dim, action_dim, 1, obs_dim]
    obs, action, applied, reward, change = numbers.split(sizes, -1)
    no = torch.zeros_like(ended)
    return Transition(
        obs=obs,
        action=action.clamp(-1, 1),
        applied=applied.clamp(-1, 1),
        reward=reward[..., 0],
        next_obs=obs + change,
        terminated=ended,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )


def make_exchange(
    config: ReplayConfig,
    problem: Problem,
    belief_dim: int,
    generator: torch.Generator,
) -> Exchange | None:
    """The exchange that ``replay.sampling`` selects; None for uniform draws.

    Args:
        config: settings.
        problem: the family.
        belief_dim: l, columns of the beliefs that are given to ``Exchange.mix``.
        generator: of all randomness.
    """
    if config.sampling == "uniform":
        return None
    if config.sampling == "propensity":
        return Propensity(config, generator)
    return Remind(problem, belief_dim, config, generator)
