"""Tables from public names to objects that are imported only when they are asked for.

Three ways in: a line in the registry's own table; an entry point of an installed package (group
``pliant.families``, ``pliant.methods``, ...); or the name ``package.module:Attribute`` itself.
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from robots.errors import BadArgumentError, MissingExtraError, UnknownNameError


class Registry(Mapping[str, Any]):
    """Maps a public name to the object at ``"module:attribute"``."""

    def __init__(
        self,
        kind: str,
        group: str,
        entries: dict[str, str],
        extras: dict[str, str] | None = None,
    ) -> None:
        """Create the table.

        Args:
            kind: what an entry is, for messages: ``"family"``.
            group: entry point group that other packages may add to: ``"pliant.families"``.
            entries: name to ``"module:attribute"``.
            extras: name to the optional dependency group that the entry needs.
        """
        self.kind = kind
        self.group = group
        self._entries = entries
        self._extras = extras or {}

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        found = entry_points(group=self.group)
        return {point.name: point for point in found if point.name not in self._entries}

    def __getitem__(self, name: str) -> Any:
        """Import and return one entry.

        Raises:
            UnknownNameError: no entry of this name; the message lists the names that exist.
            MissingExtraError: the entry needs an optional package that is not installed.
            BadArgumentError: ``package.module:Attribute`` cannot be imported.
        """
        if name in self._entries:
            return self._load_own(name)
        if name in self._plugins:
            return self._plugins[name].load()
        if ":" in name:
            return self._load_path(name)
        known = ", ".join(sorted(self))
        raise UnknownNameError(f"no {self.kind} named {name!r}; there are: {known}")

    def _load_own(self, name: str) -> Any:
        module, _, attribute = self._entries[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as missing:
            extra = self._extras.get(name)
            if extra is None:
                raise
            message = f"{self.kind} {name!r} needs an extra: pip install 'pliant[{extra}]'"
            raise MissingExtraError(message) from missing

    def _load_path(self, name: str) -> Any:
        module, _, attribute = name.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            message = f"{self.kind} {name!r} cannot be imported: {error}"
            raise BadArgumentError(message) from error

    def __contains__(self, name: object) -> bool:
        """Whether the name is listed, without importing it; a path with ``:`` is taken on trust."""
        if not isinstance(name, str):
            return False
        return name in self._entries or name in self._plugins or ":" in name

    def __iter__(self) -> Iterator[str]:
        return iter([*self._entries, *self._plugins])

    def __len__(self) -> int:
        return len(self._entries) + len(self._plugins)

    def add(self, name: str, entry: str) -> None:
        """Register ``"module:attribute"`` under a new name; BadArgumentError where it is taken."""
        if name in self._entries:
            taken = self._entries[name]
            raise BadArgumentError(f"{self.kind} {name!r} is already registered as {taken}")
        self._entries[name] = entry

    @contextmanager
    def temporarily(self, name: str, entry: str) -> Iterator[None]:
        """Register an entry for the length of a ``with`` block: for tests."""
        self.add(name, entry)
        try:
            yield
        finally:
            del self._entries[name]
