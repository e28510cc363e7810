"""What has to be kept to go on as if never stopped."""

from typing import Any, ClassVar

from torch import Generator


class Stateful:
    """Its state is that of some attributes: modules, optimisers, replays, random streams; None has none."""

    kept: ClassVar[tuple[str, ...]]

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

    def _parts(self) -> dict[str, Any]:
        return {name: part for name in self.kept if (part := getattr(self, name)) is not None}
