"""The floor: soft actor-critic that neither knows the task nor remembers anything."""

import torch
from torch import Tensor

from policies.methods.reference import Reference
from policies.rl.sac_learner import FixedBelief


class Blind(Reference):
    """Its belief has no columns."""

    privileged = False

    def prior(self, n: int, task: Tensor | None = None) -> FixedBelief:
        """An empty belief (n, 0)."""
        return FixedBelief(torch.zeros(n, 0, device=self.device))
