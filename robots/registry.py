"""A table of names to objects that are imported only when they are asked for."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any


class Registry(Mapping[str, Any]):
    """Maps a public name to the object at ``"module:attribute"``; adding a part is one file and one line here.

    ``extras`` names the optional dependency group a part needs, so that a missing package is answered with what
    to install.
    """

    def __init__(self, kind: str, entries: dict[str, str], extras: dict[str, str] | None = None) -> None:
        self.kind = kind
        self._entries = entries
        self._extras = extras or {}

    def __getitem__(self, name: str) -> Any:
        """Import and return one entry; KeyError names what exists, ImportError the extra to install."""
        if name not in self._entries:
            raise KeyError(f"no {self.kind} named {name!r}; there are: {', '.join(sorted(self._entries))}")
        module, _, attribute = self._entries[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as missing:
            extra = self._extras.get(name)
            if extra is None:
                raise
            raise ImportError(f"{self.kind} {name!r} needs an extra: pip install 'pliant[{extra}]'") from missing

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # without importing it

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str, entry: str) -> None:
        """Register ``"module:attribute"`` under a new name; a taken name is refused."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is already registered as {self._entries[name]}")
        self._entries[name] = entry
