"""Model-predictive control with recurrent dynamics: a memory sums up the trial, plan under it.

The recurrent world model beside ``context_mpc``, whose algorithm it shares (``BeliefMpc``). A GRU
reads every transition and is carried over from episode to episode; its summary z tells the model,
the policy and the value what the present dynamics are. There is no prior that holds z together and
no measure of what is not known: all members of the ensemble imagine under the same z. Nothing says
that a task stays the same, so a memory can follow one that changes.

In the line of ReBAL (Nagabandi, Clavera et al. 2019) without its gradient step, and of recurrent
world models; the summary is deterministic, as the deterministic path of Dreamer's is (Hafner et al.
2019), and planning is by search, not by a policy learned in imagination.
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
    """What is known is the memory (n, h)."""

    Config = RecurrentMpcConfig
    config: RecurrentMpcConfig

    def draw_trials(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """A segment of each trial, which gradients go back through."""
        segment = self.config.dynamics.segment
        ticks, exists, _ = self.replay.segments(slots, segment, self.generator)
        return ticks, exists

    @property
    def summary_dim(self) -> int:
        """Columns of z."""
        return self.config.dynamics.summary_dim

    def make_model(self) -> RecurrentDynamics:
        """Dynamics under a memory."""
        p = self.problem
        predict_reward = p.reward is None
        return RecurrentDynamics(
            p.obs_dim, p.action_dim, predict_reward, self.config.dynamics, self.generator
        )

    def initial_task_belief(self, n: int) -> Tensor:
        """An empty memory."""
        return self.ema_model.memory.initial(n)

    def update_task_belief(self, known: Tensor, transition: Transition) -> Tensor:
        """The memory reads one more transition."""
        return self.ema_model.observe(known, transition)

    def summarize(self, known: Tensor) -> Tensor:
        """z."""
        return self.ema_model.summarize(known)

    def hypotheses(self, known: Tensor) -> Tensor:
        """The same z for all members."""
        members = self.config.dynamics.ensemble_size
        return self.summarize(known).expand(members, -1, -1)

    @torch.no_grad()
    def infer(self, slots: Tensor) -> Tensor:
        """z (b, l) of tasks (b,) in the replay, after a random number of a segment's transitions.

        Small numbers are frequent, and 0 is among them: the policy must know what to do with little
        evidence, and with none.
        """
        g = self.generator
        ticks, exists, _ = self.replay.segments(slots, self.config.dynamics.segment, g)
        hidden = self.ema_model.scan(ticks)  # (T + 1, b, h)
        u = uniform((len(slots),), g)
        count = u.square() * (exists.sum(1) + 1)
        worlds = torch.arange(len(slots), device=self.device)
        return self.summarize(hidden[count.long(), worlds])
