"""The lower reference: soft actor-critic without knowledge of the task and without memory."""

import torch
from torch import Tensor

from policies.methods.reference import Reference
from policies.rl.sac_learner import FixedBelief


class Blind(Reference):
    """A reference whose belief is empty."""

    privileged = False

    def prior(self, n: int, task: Tensor | None = None) -> FixedBelief:
        """An empty belief (n, 0)."""
        return FixedBelief(torch.zeros(n, 0, device=self.device))
