"""What a policy believes while it acts on an arm: kept for others, and kept where updates fail."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from adaptation.belief_events import BeliefEvents
from adaptation.rollout import Forgets, Policy
from policies.belief import named_tensors
from policies.method import Scores, Transition

B = TypeVar("B")  # a belief

FEW = 16  # numbers of a tensor that are recorded one by one; of a larger one mean and size only


class BeliefKeeper(Forgets[B]):
    """A policy that acts as another one does, and keeps its newest belief for others to see.

    An update that raises is left out: the policy goes on under the belief before it.

    Attributes:
        events: of the updates that failed.
    """

    belief: B

    def __init__(self, policy: Policy[B]) -> None:
        """``policy`` does the work."""
        self.privileged = policy.privileged
        self.events = BeliefEvents()
        self._policy = policy

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """As the policy."""
        self.belief = self._policy.prior(n, task)
        return self.belief

    def forget_episode(self, before: B) -> B:
        """That of the policy if it keeps a belief of its own; else ``before``."""
        self.belief = before
        if isinstance(self._policy, Forgets):
            self.belief = self._policy.forget_episode(before)
        return self.belief

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """As the policy."""
        return self._policy.act(obs, belief, explore)

    def observe(self, belief: B, transition: Transition) -> B:
        """As the policy."""
        return self._update(partial(self._policy.observe, belief, transition))

    def adapt(self, belief: B, episode: Transition) -> B:
        """As the policy."""
        return self._update(partial(self._policy.adapt, belief, episode))

    def _update(self, update: Callable[[], B]) -> B:
        try:
            self.belief = update()
        except Exception as error:  # whatever it is, the policy goes on
            self.events.report_failure(error)
        else:
            self.events.end_problem()
        return self.belief


def prediction_deficit(policy: Policy[B], belief: B, episode: Transition) -> float:
    """By how much the prior predicts an episode (H, n, ...) better than a belief.

    Zero where it does not, and for a policy that cannot tell, see ``Scores``. A belief that is sure
    of something wrong, as with an object unlike those of training, predicts worse than its prior.
    """
    acted = episode.valid.all(-1)
    if not isinstance(policy, Scores) or not acted.any():
        return 0.0
    ticks = episode[acted]
    prior = policy.prior(episode.reward.shape[1])
    deficit = (policy.score(prior, ticks) - policy.score(belief, ticks)).max()
    return max(0.0, float(deficit))


def summarize(belief: object) -> list[dict[str, Any]]:
    """What a belief says of one world: of every tensor its name, size, mean, rms and values.

    The values are left out where there are more than ``FEW``.
    """
    summary = []
    for name, tensor in named_tensors(belief).items():
        numbers = tensor.detach().double().flatten()
        count = numbers.numel()
        entry = {
            "name": name.removeprefix("/"),
            "size": count,
            "mean": float(numbers.mean()) if count else None,
            "rms": float(numbers.square().mean().sqrt()) if count else None,
            "values": numbers.tolist() if count <= FEW else [],
        }
        summary.append(entry)
    return summary
