"""A method defined in this file, trained by its path: nothing is registered.

    python examples/own_method.py

Remember the best place of the first episode, and go back there. docs/add_your_own.md has a method
that also learns across tasks.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pliant
from policies.belief import where
from policies.config import MethodConfig
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.nn.state import make_generator

RUN = Path("runs/example-remember")


@dataclass(frozen=True)
class RememberConfig(MethodConfig):
    """Its settings."""

    gain: float = 10.0  # [1/m] action per distance from the best place
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=16, episodes_per_trial=2, iterations=2
    )


@dataclass(frozen=True)
class RememberBelief:
    """The best place so far, and its reward; a row for each of n worlds."""

    place: Tensor  # (n, a)
    reward: Tensor  # (n,)


class Remember:
    """Explores at random, then goes back to the best place."""

    Config = RememberConfig
    privileged = False

    def __init__(
        self, problem: Problem, config: RememberConfig, seed: int, device: torch.device
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)

    def prior(self, n: int, task: Tensor | None = None) -> RememberBelief:
        """Nothing is known: the middle."""
        place = torch.zeros(n, self.problem.action_dim, device=self.device)
        return RememberBelief(place, torch.full((n,), -torch.inf, device=self.device))

    def act(self, obs: Tensor, belief: RememberBelief, explore: bool) -> Tensor:
        """Random actions while exploring, else toward the best place."""
        if explore:
            shape = belief.place.shape
            return 2 * torch.rand(shape, generator=self.generator, device=self.device) - 1
        return (self.config.gain * (belief.place - obs)).clamp(-1, 1)

    def observe(self, belief: RememberBelief, transition: Transition) -> RememberBelief:
        """A place with a higher reward is the best from now on."""
        better = transition.valid & (transition.reward > belief.reward)
        newest = RememberBelief(transition.next_obs, transition.reward)
        return where(better, newest, belief)

    def adapt(self, belief: RememberBelief, episode: Transition) -> RememberBelief:
        """Nothing more between episodes."""
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Nothing is learned across tasks."""
        return {"return": float(trial.returns[-1].mean())}

    def state_dict(self) -> dict[str, Any]:
        """The random stream is all that changes."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume."""
        self.generator.set_state(state["generator"])


def main() -> None:
    """Train, which is quick here, and compare with and without adaptation."""
    if not RUN.exists():
        pliant.train("own_method:Remember", "point", RUN, references=False)
    result = pliant.evaluate(RUN, tasks=32)
    for name in ("no_adaptation", "adapted"):
        distance = getattr(result, name).metrics["distance_m"][-1]
        print(f"{name:<14} ends {distance:.2f} m from the goal")


if __name__ == "__main__":
    main()
