"""Evaluation on held-out tasks while a role is trained.

Its tasks and starts differ from those of training and of ``pliant evaluate``, so that selection by
these results (of a checkpoint, of a setting) does not bias the reported results. A copy of the
method acts, so evaluations leave the training unchanged, bit for bit.
"""

from typing import Any

import numpy as np

from adaptation.jobs.collection import build_copy, make_world, pack_acting_state
from adaptation.jobs.evaluate import episode_grid, explores
from adaptation.reporting.statistics import policy_result
from adaptation.rollout import rollout
from adaptation.runs import archive
from adaptation.runs.records import PolicyResult
from adaptation.runs.run import Run
from policies.method import Method

SELECTION = 77_004  # first number of the seeds; ``evaluate`` and training begin with others


class HeldoutEvaluator:
    """Evaluates the present state of a method, always in the same held-out tasks and seeds."""

    def __init__(self, run: Run, role: str, method: Method[Any]) -> None:
        n = run.config.evaluation_tasks
        self._seed = run.config.seed
        self._copy = build_copy(run, role, method.config)
        self._world = make_world(run, n)
        rng = np.random.default_rng([SELECTION, self._seed])
        self._task = run.family.sample(rng, n, "heldout")

    def evaluate(self, method: Method[Any]) -> PolicyResult:
        """Act and adapt in the held-out tasks; the last episode does not explore."""
        weights, form = pack_acting_state(method)
        self._copy.load_state_dict(archive.unpack(weights, form))
        family = self._world.family
        self._world.rng = np.random.default_rng([SELECTION, self._seed, 1])
        explore = explores(family, family.episodes)
        trial = rollout(self._world, self._copy, self._task, family.episodes, explore)
        return policy_result(episode_grid(family, self._task, trial))

    def close(self) -> None:
        """Release the worlds."""
        self._world.close()
