"""A learned value of a plan's last state, and a learned policy from which the search starts.

A search over a few steps ignores what follows its last state, and one over many steps accumulates
the model's errors. The return of a plan therefore ends with a learned value, and the search starts
from the policy's actions (POLO, Lowrey et al. 2019; LOOP, Sikchi et al. 2021; TD-MPC, Hansen et al.
2022). Value and policy read a summary of the belief about the task. Without it they would have to
be robust to all tasks, which a search over a few steps does not compensate.

Axes as in ``policies.planning.mpc``; l columns of the summary.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from policies.method import Problem, Transition
from policies.rl.replay import Replay
from policies.rl.sac import SacConfig, q_values
from policies.rl.sac_learner import FixedBelief, SacLearner

BATCHES = 16  # batches whose beliefs are inferred in one call

# From (n, o) along candidates (n, P, H, a): states (H + 1, m, n, P, o) and rewards (H, m, n, P, r).
Imagine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
# Slots (b,) of the replay -> the summary (b, l) of a belief from some of each task's transitions.
Infer = Callable[[Tensor], Tensor]


class TerminalValue(SacLearner):
    """Soft actor-critic on the replay of the method that plans, under its beliefs."""

    saved_attributes = ("net", "optimizer", "generator")  # the method saves the replay

    def __init__(
        self,
        problem: Problem,
        config: SacConfig,
        seed: int,
        device: torch.device,
        replay: Replay,
        infer: Infer,
        infer_generator: torch.Generator,
        summary_dim: int,
    ) -> None:
        """A new learner.

        Args:
            problem: the family.
            config: settings.
            seed: of the generator of its weights, batches and actions.
            device: of everything.
            replay: where it learns from; the method that owns it adds the trials.
            infer: the method's belief about tasks in the replay, as a summary.
            infer_generator: what ``infer`` draws random numbers from.
            summary_dim: l, number of columns of a summary.
        """
        super().__init__(problem, config, seed, device, replay, condition_dim=summary_dim)
        self.infer = infer
        self.infer_generator = infer_generator
        self._drawn: list[tuple[Tensor, Tensor]] = []  # batches for the next steps

    def train_on(self, new: Transition) -> dict[str, float]:
        """The gradient steps of an iteration; ``new`` (b, ...) are the transitions just stored."""
        self._drawn.clear()  # the method's beliefs change between two iterations
        return super().train_on(new)

    @property
    def step_generators(self) -> tuple[torch.Generator, ...]:
        """Its own random stream, and that of ``infer``."""
        return (self.generator, self.infer_generator)

    def draw_tasks(self) -> tuple[Tensor, Tensor]:
        """Slots (b,) of random tasks, and the summaries (b, l) of beliefs about them.

        On a CPU several batches are inferred at once, which takes a fraction of the time. On a GPU
        a step is captured once and launched repeatedly, so every step infers its own batch.
        """
        if not self._drawn:
            n = self.config.meta_batch
            batches = 1 if self.generator.device.type == "cuda" else BATCHES
            slots = self.replay.tasks(batches * n, self.generator)
            summaries = self.infer(slots)
            self._drawn = list(zip(slots.split(n), summaries.split(n), strict=True))
        return self._drawn.pop()

    def explore(self, obs: Tensor, summary: Tensor) -> Tensor:
        """A sample of the policy, (n, a), in (n, o) under summaries (n, l)."""
        return self.act(obs, FixedBelief(summary), explore=True)

    @torch.no_grad()
    def value(self, obs: Tensor, summary: Tensor) -> Tensor:
        """Discounted return from observations on: the lower value of the two critics.

        Args:
            obs: (m, n, P, o)
            summary: (n, l)

        Returns:
            Values (m, n, P).
        """
        lead = obs.shape[:-1]
        known = summary[:, None].expand(*lead, -1)
        rows = obs.flatten(0, -2)
        x = self.features(rows, known.flatten(0, -2))
        action = self.sac.act(x, None)
        q = q_values(self.sac.target_critic, x, action).amin(0)
        value = q / self.config.reward_scale
        return value.view(lead)

    @torch.no_grad()
    def propose(
        self,
        obs: Tensor,
        summary: Tensor,
        steps: int,
        imagine: Imagine,
    ) -> Tensor:
        """The policy's mean actions, (n, H, a), along the mean of the hypotheses.

        Args:
            obs: (n, o) where the plan starts.
            summary: (n, l) of the belief.
            steps: H
            imagine: the model.
        """
        actions = []
        for _ in range(steps):
            action = self.sac.act(self.features(obs, summary), None)
            candidate = action[:, None, None]  # (n, P = 1, H = 1, a)
            states, _ = imagine(obs, candidate)  # (2, m, n, 1, o)
            obs = states[1].mean(0)[:, 0]
            actions.append(action)
        return torch.stack(actions, 1)
