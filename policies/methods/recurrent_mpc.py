"""Model-predictive control with recurrent dynamics: a GRU summarizes the trial.

It is the recurrent counterpart of ``context_mpc``, whose algorithm it shares (``BeliefMpc``). A GRU
reads every transition and is carried over from episode to episode. The model, the policy and the
value are conditioned on its summary z of the present dynamics. No prior regularizes z, and there is
no measure of its uncertainty: all members of the ensemble predict under the same z. The model does
not assume that a task stays the same, so the GRU can follow a task that changes.

The method is similar to recurrent world models; for ReBAL see ``rebal``. The summary is
deterministic, like the deterministic path of Dreamer (Hafner et al. 2019), and planning is by
search, not by a policy learned in imagination.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from policies.method import Transition
from policies.methods.context_mpc import BeliefMpc, BeliefMpcConfig
from policies.models.recurrent_dynamics import RecurrentDynamics, RecurrentDynamicsConfig
from policies.nn.noise import uniform


@dataclass(frozen=True)
class RecurrentMpcConfig(BeliefMpcConfig):
    """Settings of recurrent MPC."""

    dynamics: RecurrentDynamicsConfig = field(default_factory=RecurrentDynamicsConfig)


class RecurrentMPC(BeliefMpc[RecurrentDynamics, Tensor]):
    """The belief about the task is the GRU's hidden state (n, h)."""

    Config = RecurrentMpcConfig
    config: RecurrentMpcConfig

    def draw_trials(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """A segment of each trial, through which gradients are backpropagated."""
        segment = self.config.dynamics.segment
        ticks, exists, _ = self.replay.segments(slots, segment, self.generator)
        return ticks, exists

    @property
    def summary_dim(self) -> int:
        """Columns of z."""
        return self.config.dynamics.summary_dim

    def make_model(self) -> RecurrentDynamics:
        """A dynamics model conditioned on the GRU's summary."""
        p = self.problem
        predict_reward = p.reward is None
        return RecurrentDynamics(
            p.obs_dim, p.action_dim, predict_reward, self.config.dynamics, self.generator
        )

    def initial_task_belief(self, n: int) -> Tensor:
        """An empty memory."""
        return self.ema_model.memory.initial(n)

    def update_task_belief(self, task_belief: Tensor, transition: Transition) -> Tensor:
        """The memory reads one more transition."""
        return self.ema_model.observe(task_belief, transition)

    def summarize_task(self, task_belief: Tensor) -> Tensor:
        """The summary z."""
        return self.ema_model.summarize(task_belief)

    def hypotheses(self, task_belief: Tensor) -> Tensor:
        """The same z for all members."""
        members = self.config.dynamics.ensemble_size
        return self.summarize_task(task_belief).expand(members, -1, -1)

    @torch.no_grad()
    def infer(self, slots: Tensor) -> Tensor:
        """z (b, l) of tasks (b,) in the replay, after a random number of a segment's transitions.

        Small numbers are frequent, and 0 is among them, because the policy must learn to act with
        little or no evidence.
        """
        g = self.generator
        ticks, exists, _ = self.replay.segments(slots, self.config.dynamics.segment, g)
        hidden = self.ema_model.scan(ticks)  # (T + 1, b, h)
        u = uniform((len(slots),), g)
        count = u.square() * (exists.sum(1) + 1)
        worlds = torch.arange(len(slots), device=self.device)
        return self.summarize_task(hidden[count.long(), worlds])
