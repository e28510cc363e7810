"""A method kept at its prior: the baseline that shows what adaptation itself gains."""

from typing import Generic, TypeVar

from torch import Tensor

from policies.method import Method, Replans, Transition

B = TypeVar("B")


class NoAdaptation(Generic[B]):
    """The policy of a method whose belief about the task stays at the prior.

    It never explores: there is nothing that it could find out for later, and exploration would
    only make what adaptation gains look larger. A plan in the belief (``Replans``) is still updated
    within an episode.
    """

    def __init__(self, method: Method[B]) -> None:
        self.method = method
        self.privileged = method.privileged

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """The method's own prior."""
        return self.method.prior(n, task)

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """The method's own actions (n, a) without exploration, also where ``explore`` is set."""
        return self.method.act(obs, belief, explore=False)

    def observe(self, belief: B, transition: Transition) -> B:
        """The same belief; a plan in it follows the new observation."""
        if isinstance(self.method, Replans):
            replanned: B = self.method.replan(belief, transition)
            return replanned
        return belief

    def adapt(self, belief: B, episode: Transition) -> B:
        """The same belief; a plan in it is dropped, as the next episode starts elsewhere."""
        if isinstance(self.method, Replans):
            return self.method.prior(episode.reward.shape[1])
        return belief
