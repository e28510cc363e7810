"""The upper reference: soft actor-critic that knows the true task. It cannot run on an arm."""

import torch
from torch import Tensor

from policies.method import Problem
from policies.methods.reference import Reference
from policies.models.particles import physics_columns
from policies.models.task_scale import TaskScale
from policies.rl.sac import SacConfig
from policies.rl.sac_learner import FixedBelief


class Oracle(Reference):
    """Its belief is the true task, each parameter scaled to about [-1, 1] by its range.

    Observed goals are left out: hindsight relabeling changes them in the observations
    (``policies.rl.relabel``), and would then contradict the goal of the stored task.
    """

    privileged = True

    def __init__(
        self,
        problem: Problem,
        config: SacConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        columns = list(range(problem.task_dim))
        if problem.goal_columns:
            columns = physics_columns(problem.task_names)
        self.scaled = TaskScale(problem, columns, device)
        super().__init__(
            problem,
            config,
            seed,
            device,
            condition=self.scaled,
            condition_dim=len(columns),
        )

    def prior(self, n: int, task: Tensor | None = None) -> FixedBelief:
        """The true task.

        Raises:
            ValueError: no task was given.
        """
        if task is None:
            raise ValueError("the oracle acts on the true task, and none was given")
        return FixedBelief(self.scaled(task))
