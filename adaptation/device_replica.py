"""A method's updates on another device: what they read is moved there, and what they find comes back.

Acting stays where the loop is: an action is a small network on one observation, which a trip to a GPU does not pay for.
"""

from typing import Any

import torch

from adaptation.no_adaptation import NoAdaptation
from policies.belief import map_tensors
from policies.method import Method, Transition
from policies.nn.state import Stateful


def accelerator() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class DeviceReplica:
    """The slow verbs of a method, by a copy of it on a device; its beliefs are the CPU's.

    Both are asked for once when it is built, so that a GPU loads what it needs before a loop begins and not in it.
    """

    def __init__(self, method: Method, device: torch.device) -> None:
        self.device, p = device, method.problem
        with device:
            self.method = _copy(method)
            belief = self.method.prior(1)
        obs, action, reward, flag = (
            torch.zeros(1, *of) for of in ((p.obs_dim,), (p.action_dim,), (), ())
        )
        nothing = Transition(obs, action, action, reward, obs, *[flag.bool()] * 5)
        self.adapt(
            self.observe(belief, nothing), nothing.map(lambda x: x.expand(p.horizon, *x.shape))
        )

    def observe(self, belief: Any, transition: Transition) -> Any:
        """As the method's."""
        return self._on_device("observe", belief, transition)

    def adapt(self, belief: Any, episode: Transition) -> Any:
        """As the method's."""
        return self._on_device("adapt", belief, episode)

    def _on_device(self, verb: str, belief: Any, ticks: Transition) -> Any:
        with self.device:
            moved = (map_tensors(lambda x: x.to(self.device), part) for part in (belief, ticks))
            return map_tensors(lambda x: x.to("cpu"), getattr(self.method, verb)(*moved))


def make_updater(method: Method, device: torch.device) -> Any:
    """What updates a method's beliefs by its slow verbs: itself, or a copy of it on a device that is not the loop's.

    A method that keeps nothing of its own has nothing slow (``blind``, ``oracle``), and stays.
    """
    whose = method.method if isinstance(method, NoAdaptation) else method
    return (
        method
        if device.type == "cpu" or not isinstance(whose, Stateful)
        else DeviceReplica(method, device)
    )


def _copy(method: Any) -> Any:
    """The same policy on the device that tensors are made on, with random streams of its own; it has lived nothing."""
    if isinstance(method, NoAdaptation):
        return NoAdaptation(_copy(method.method))
    seed = torch.randint(2**31, (), generator=method.generator, device=method.generator.device)
    there = type(method)(method.problem, method.config, int(seed))
    there.copy_weights_from(method)
    return there
