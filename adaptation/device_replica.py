"""A method's belief updates on another device: inputs are moved there, results come back.

Acting stays on the CPU: an action is a small network on one observation, which costs less than the
way to a GPU and back.
"""

from typing import Any, Protocol

import torch

from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import Policy
from policies.belief import to_device
from policies.method import Problem, Transition, stack
from policies.nn.state import SavedState

CPU = torch.device("cpu")


class Updater(Protocol):
    """What updates beliefs: a policy, or its replica on another device."""

    def observe(self, belief: Any, transition: Transition) -> Any:
        """The belief after one more tick."""
        ...

    def adapt(self, belief: Any, episode: Transition) -> Any:
        """The belief after an episode (H, n, ...)."""
        ...


def accelerator() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_updater(policy: Policy, device: torch.device) -> Updater:
    """The policy itself, or a replica on ``device`` that updates beliefs faster.

    A method that is no ``SavedState`` (``blind``, ``oracle``) has no weights that updates read, and
    no way to copy them: its updates stay on the CPU.
    """
    method = policy.method if isinstance(policy, NoAdaptation) else policy
    if device.type == "cpu" or not isinstance(method, SavedState):
        return policy
    return DeviceReplica(policy, device)


class DeviceReplica:
    """Updates the beliefs of a policy by a copy of it on a device; beliefs stay on the CPU."""

    def __init__(self, policy: Policy, device: torch.device) -> None:
        """Copy the policy and call both verbs once.

        The calls make a GPU load its kernels now and not within the control loop.
        """
        self.device = device
        if isinstance(policy, NoAdaptation):
            method = _copy(policy.method, device)
            self.replica: Policy = NoAdaptation(method)
        else:
            method = _copy(policy, device)
            self.replica = method
        belief = self.replica.prior(1)
        tick = _empty_tick(method.problem)
        ticks = [tick] * method.problem.horizon
        episode = stack(ticks)
        self.adapt(self.observe(belief, tick), episode)

    def observe(self, belief: Any, transition: Transition) -> Any:
        """The belief after one more tick, on the CPU."""
        moved_belief = to_device(belief, self.device)
        moved_tick = to_device(transition, self.device)
        updated = self.replica.observe(moved_belief, moved_tick)
        return to_device(updated, CPU)

    def adapt(self, belief: Any, episode: Transition) -> Any:
        """The belief after an episode (H, n, ...), on the CPU."""
        moved_belief = to_device(belief, self.device)
        moved_episode = to_device(episode, self.device)
        updated = self.replica.adapt(moved_belief, moved_episode)
        return to_device(updated, CPU)


def _copy(method: Any, device: torch.device) -> Any:
    """The same method on another device, with the same weights and a random stream of its own."""
    source = method.generator
    seed = torch.randint(2**31, (), generator=source, device=source.device)
    copy = type(method)(method.problem, method.config, int(seed), device)
    copy.copy_weights_from(method)
    return copy


def _empty_tick(problem: Problem) -> Transition:
    """One tick of one world in which nothing happened; it is not valid."""
    obs = torch.zeros(1, problem.obs_dim)
    action = torch.zeros(1, problem.action_dim)
    no = torch.zeros(1, dtype=torch.bool)
    return Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=torch.zeros(1),
        next_obs=obs,
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=no,
    )
