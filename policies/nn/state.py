"""Saving and restoring a method's state, and copying its weights."""

from typing import Any, ClassVar

import torch
from torch import Generator, nn


def make_generator(seed: int, device: torch.device) -> Generator:
    """A random generator on a device; networks that are built with it are on the same device."""
    return Generator(device).manual_seed(seed)


class SavedState:
    """Saves and restores the attributes named in ``saved_attributes``.

    Each is a module, an optimizer, a replay, a generator or another ``SavedState``. An attribute
    that is None is skipped.
    """

    saved_attributes: ClassVar[tuple[str, ...]]

    def state_dict(self) -> dict[str, Any]:
        """Nested dicts of tensors and plain numbers, by attribute name."""
        state: dict[str, Any] = {}
        for name, part in self._saved_parts().items():
            if isinstance(part, Generator):
                state[name] = part.get_state()
            else:
                state[name] = dict(part.state_dict())
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state; the inverse of ``state_dict``."""
        for name, part in self._saved_parts().items():
            if isinstance(part, Generator):
                part.set_state(state[name])
            else:
                part.load_state_dict(state[name])

    def reseed(self, seed: int) -> None:
        """Restart all random streams from a seed."""
        for part in self._saved_parts().values():
            if isinstance(part, Generator):
                part.manual_seed(seed)
            elif isinstance(part, SavedState):
                part.reseed(seed)

    def copy_weights_from(self, other: "SavedState") -> None:
        """Take the weights and statistics of all modules of another method of the same kind.

        The other one may be on another device. Afterwards both act and adapt alike. Optimizers,
        replays and generators are not copied.
        """
        sources = other._saved_parts()
        for name, part in self._saved_parts().items():
            source = sources[name]
            if isinstance(part, nn.Module):
                part.load_state_dict(source.state_dict())
            elif isinstance(part, SavedState):
                part.copy_weights_from(source)

    def _saved_parts(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in self.saved_attributes}
        return {name: part for name, part in parts.items() if part is not None}
