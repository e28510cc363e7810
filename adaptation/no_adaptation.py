"""A method that does not adapt: what every judgement of a method that does is compared with."""

from typing import Any

from torch import Tensor

from policies.method import Method, Transition


class NoAdaptation:
    """The method, but nothing that happens tells it of the task: its belief knows what the prior does.

    Of methods whose belief holds a plan, the plan goes on: they have the verb ``replan(belief, transition)``, which is
    ``observe`` without the knowledge.
    """

    def __init__(self, method: Method) -> None:
        self.method, self._replan = method, getattr(method, "replan", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def act(self, obs: Tensor, belief: Any, explore: bool) -> Tensor:
        """As the method does."""
        return self.method.act(obs, belief, explore)

    def observe(self, belief: Any, transition: Transition) -> Any:
        """The same belief; where there is a plan in it, one for what is seen now."""
        return belief if self._replan is None else self._replan(belief, transition)

    def adapt(self, belief: Any, episode: Transition) -> Any:
        """The same belief; where there is a plan in it, none."""
        return belief if self._replan is None else self.method.prior(episode.reward.shape[1])
