"""Decisions of a method, recorded when it is saved and repeated when it is loaded."""

from typing import Any, TypedDict, TypeVar

import torch
from torch import Tensor

from policies.belief import named_tensors, replace_tensors
from policies.method import Method, TrialBatch

EXAMPLES = 10  # at most
# All lie within so many ticks, because the beliefs up to the last one are recomputed for every
# checkpoint, which would otherwise take longer than the rest of it.
OBSERVED_TICKS = 60

# Largest accepted difference of an action in [-1, 1] when a decision is repeated: rounding on other
# processors is smaller, the difference of another policy larger.
TOLERANCE = 1e-4

B = TypeVar("B")


class Decision(TypedDict):
    """One recorded decision of one world."""

    obs: Tensor  # (1, o)
    belief: dict[str, Tensor]  # by path, see ``policies.belief.named_tensors``
    action: Tensor  # (1, a) without exploration


@torch.no_grad()
def record_decisions(method: Method[Any], trial: TrialBatch) -> list[Decision]:
    """Decisions over the first ticks of the world that lasted longest, without exploration."""
    lengths = trial.ticks.valid.sum((0, 1))  # (n,)
    world = slice(int(lengths.argmax()), int(lengths.argmax()) + 1)
    ticks = trial.ticks[:, :, world].flatten(0, 1)  # (E·H, 1, ...)
    chosen = _spread(ticks.valid[:, 0])
    task = trial.task[world] if method.privileged else None
    belief = method.prior(1, task)
    beliefs: dict[int, dict[str, Tensor]] = {}
    for t in range(max(chosen) + 1):
        if t in chosen:
            beliefs[t] = named_tensors(belief)
        belief = method.observe(belief, ticks[t])
    decisions: list[Decision] = []
    for t in chosen:
        obs = ticks.obs[t]
        action = _decide(method, obs, beliefs[t])
        decisions.append({"obs": obs, "belief": beliefs[t], "action": action})
    return decisions


def _spread(valid: Tensor) -> list[int]:
    """Up to ``EXAMPLES`` of the first valid ticks of (L,), evenly spread from the first one on.

    They are fewer where an episode is a single decision, which may take long to repeat.
    """
    usable = valid.nonzero().flatten()[:OBSERVED_TICKS].tolist()
    return sorted({usable[i * len(usable) // EXAMPLES] for i in range(EXAMPLES)})


@torch.no_grad()
def largest_deviation(method: Method[Any], decisions: list[Decision]) -> float:
    """The largest difference between the recorded actions and the ones taken now; NaN if any is."""
    deviations = []
    for decision in decisions:
        action = _decide(method, decision["obs"], decision["belief"])
        difference = action - decision["action"]
        deviations.append(difference.abs().max())
    return float(torch.stack(deviations).max())  # NaN where one of them is


def _decide(method: Method[Any], obs: Tensor, belief: dict[str, Tensor]) -> Tensor:
    """The action (1, a) under a recorded belief."""
    return method.act(obs, replace_tensors(single_prior(method), belief), explore=False)


def single_prior(method: Method[B]) -> B:
    """The prior of one world, whose tensors give a belief's paths and shapes."""
    task = torch.zeros(1, method.problem.task_dim) if method.privileged else None
    return method.prior(1, task)
