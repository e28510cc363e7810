"""What has to be kept to go on as if never stopped, or elsewhere."""

from typing import Any, ClassVar

import torch
from torch import Generator, nn


def make_generator(seed: int) -> Generator:
    """Random numbers of one's own, on the device that tensors are made on."""
    return Generator(torch.get_default_device()).manual_seed(seed)


class Stateful:
    """Its state is that of some attributes: modules, optimisers, replays, random streams; None has none."""

    saved_attributes: ClassVar[tuple[str, ...]]

    def state_dict(self) -> dict[str, Any]:
        """Nested dicts of tensors and plain numbers, by the attributes' names."""
        return {
            name: part.get_state() if isinstance(part, Generator) else dict(part.state_dict())
            for name, part in self._parts().items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped."""
        for name, part in self._parts().items():
            if isinstance(part, Generator):
                part.set_state(state[name])
            else:
                part.load_state_dict(state[name])

    def copy_weights_from(self, other: "Stateful") -> None:
        """Act and adapt as another one does, which may be on another device: take what its modules have learnt."""
        for mine, theirs in zip(self._parts().values(), other._parts().values(), strict=True):
            if isinstance(theirs, nn.Module):
                mine.load_state_dict(theirs.state_dict())
            elif isinstance(theirs, Stateful):
                mine.copy_weights_from(theirs)

    def _parts(self) -> dict[str, Any]:
        return {
            name: part
            for name in self.saved_attributes
            if (part := getattr(self, name)) is not None
        }
