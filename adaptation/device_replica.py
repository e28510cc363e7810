"""A method's belief updates on another device: inputs are moved there, results come back.

Acting stays on the CPU: an action is a small network on one observation, which costs less than the
transfer to a GPU and back.
"""

from typing import Any, Generic, Protocol, TypeVar, cast

import torch

from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import Policy
from policies.belief import to_device
from policies.method import Method, Problem, Transition, stack
from policies.nn.state import SavedState

CPU = torch.device("cpu")
B = TypeVar("B")


class Updater(Protocol[B]):
    """What updates beliefs: a policy, or its replica on another device."""

    def observe(self, belief: B, transition: Transition) -> B:
        """The belief after one more tick."""
        ...

    def adapt(self, belief: B, episode: Transition) -> B:
        """The belief after an episode (H, n, ...)."""
        ...


def accelerator() -> torch.device:
    """The GPU if the machine has one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_updater(policy: Policy[B], device: torch.device) -> Updater[B]:
    """The policy itself, or a replica on ``device`` that updates beliefs faster.

    A method that is no ``SavedState`` (``blind``, ``oracle``) has no weights that updates read, and
    no way to copy them: its updates stay on the CPU.
    """
    method = policy.method if isinstance(policy, NoAdaptation) else policy
    if device.type == "cpu" or not isinstance(method, SavedState):
        return policy
    return DeviceReplica(policy, device)


class DeviceReplica(Generic[B]):
    """Updates the beliefs of a policy by a copy of it on a device; beliefs stay on the CPU."""

    def __init__(self, policy: Policy[B], device: torch.device) -> None:
        """Copy the policy and call both methods once.

        The calls make a GPU load its kernels now and not within the control loop.
        """
        self.device = device
        self.replica: Policy[B]
        if isinstance(policy, NoAdaptation):
            method = _copy(policy.method, device)
            self.replica = NoAdaptation(method)
        else:
            method = _copy(cast(Method[B], policy), device)
            self.replica = method
        tick = _empty_tick(method.problem)
        episode = stack([tick] * method.problem.horizon)
        belief = self.replica.prior(1)
        belief = self.observe(belief, tick)
        self.adapt(belief, episode)

    def observe(self, belief: B, transition: Transition) -> B:
        """The belief after one more tick, on the CPU."""
        moved_belief = to_device(belief, self.device)
        moved_tick = to_device(transition, self.device)
        updated = self.replica.observe(moved_belief, moved_tick)
        return to_device(updated, CPU)

    def adapt(self, belief: B, episode: Transition) -> B:
        """The belief after an episode (H, n, ...), on the CPU."""
        moved_belief = to_device(belief, self.device)
        moved_episode = to_device(episode, self.device)
        updated = self.replica.adapt(moved_belief, moved_episode)
        return to_device(updated, CPU)


def _copy(method: Method[B], device: torch.device) -> Method[B]:
    """The same method on another device, with the same weights and a random stream of its own."""
    source: Any = method  # a ``SavedState`` with a generator
    stream = source.generator
    seed = torch.randint(2**31, (), generator=stream, device=stream.device)
    copy = type(source)(source.problem, source.config, int(seed), device)
    copy.copy_weights_from(source)
    return cast(Method[B], copy)


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
