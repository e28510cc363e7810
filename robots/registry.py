"""Tables from public names to objects, which are imported only when they are looked up.

A name is looked up in three places, in this order: the registry's own table; the entry points of
installed packages (group ``pliant.families``, ``pliant.methods``, ...); the name itself, if it
has the form ``package.module:Attribute``.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from operator import attrgetter
from typing import Any

from robots.errors import BadArgumentError, MissingExtraError, UnknownNameError, install_extra

PATH = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")  # package.module:Attribute


class Registry(Mapping[str, Any]):
    """Maps a public name to the object at ``"module:attribute"``.

    Iteration lists the names of the table and of entry points. An entry point cannot replace a name
    of the table.
    """

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
    def _plugins(self) -> dict[str, metadata.EntryPoint]:
        """The entry points of installed packages; read once, when first needed."""
        points = metadata.entry_points(group=self.group)
        return {point.name: point for point in points}

    def __getitem__(self, name: str) -> Any:
        """Import and return one entry.

        Raises:
            UnknownNameError: no entry of this name; the message lists the names that exist.
            MissingExtraError: the entry needs an optional package that is not installed.
            BadArgumentError: an entry point or ``package.module:Attribute`` cannot be imported.
        """
        if name in self._entries:
            return self._load_own(name)
        if name in self._plugins:
            point = self._plugins[name]
            return self._load_foreign(name, f"{point.module}:{point.attr}")
        if PATH.fullmatch(name):
            return self._load_foreign(name, name)
        known = ", ".join(sorted(self))
        message = f"no {self.kind} named {name!r}; there are: {known}"
        raise UnknownNameError(message)

    def _load_own(self, name: str) -> Any:
        try:
            return _import(self._entries[name])
        except ModuleNotFoundError as missing:
            extra = self._extras.get(name)
            if extra is None:
                raise
            message = f"{self.kind} {name!r} needs an extra: {install_extra(extra)}"
            raise MissingExtraError(message) from missing

    def _load_foreign(self, name: str, path: str) -> Any:
        try:
            return _import(path)
        except Exception as error:  # code of another package may raise anything at import
            problem = f"{type(error).__name__}: {error}"
            message = f"{self.kind} {name!r} cannot be imported: {problem}{_explain(path)}"
            raise BadArgumentError(message) from error

    def __contains__(self, name: object) -> bool:
        """Whether the name can be looked up; nothing is imported to find out.

        True for every name of the form ``package.module:Attribute``, whether or not it exists.
        """
        if not isinstance(name, str):
            return False
        listed = name in self._entries or name in self._plugins
        return listed or PATH.fullmatch(name) is not None

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys([*self._entries, *self._plugins])  # each name once
        return iter(names)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, name: str, entry: str) -> None:
        """Register ``"module:attribute"`` under a new name.

        Raises:
            BadArgumentError: the name is taken, by the table or by an entry point.
        """
        if name in list(self):
            raise BadArgumentError(f"{self.kind} {name!r} is already registered")
        self._entries[name] = entry

    @contextmanager
    def temporarily(self, name: str, entry: str) -> Iterator[None]:
        """Register an entry for the length of a ``with`` block: for tests.

        It may replace an entry of the table, which comes back at the end.
        """
        before = dict(self._entries)
        self._entries[name] = entry
        try:
            yield
        finally:
            self._entries.clear()
            self._entries.update(before)


def _explain(path: str) -> str:
    """Where Python found the package of a failed import, if it found one of that name."""
    package = path.partition(":")[0].partition(".")[0]
    if package not in sys.modules:
        return ""
    spec = importlib.util.find_spec(package)
    place = None if spec is None else spec.origin
    return "" if place is None else f" ({package!r} is {place}: rename yours if it is another)"


def _import(path: str) -> Any:
    """The object at ``"module:attribute"``."""
    module, _, attribute = path.partition(":")
    find = attrgetter(attribute)
    return find(importlib.import_module(module))
