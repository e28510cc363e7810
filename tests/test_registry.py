"""Registries: own entries, entry points of other packages, and names of the form module:Class."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from robots.errors import (
    BadArgumentError,
    MissingExtraError,
    PliantError,
    UnknownNameError,
)
from robots.registry import Registry

GROUP = "pliant.toys"


class Toy:
    """Something to register."""

    class Part:
        """A class in a class."""


class OtherToy:
    """Something else to register."""


def registry(**extras: str) -> Registry:
    entries = {
        "toy": "test_registry:Toy",
        "broken": "no_such_module:Toy",
        "incomplete": "test_registry:NoSuchToy",
    }
    return Registry("toy", GROUP, entries, extras)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[metadata.EntryPoint]:
    """The entry points that other packages bring, to be filled by a test."""
    points: list[metadata.EntryPoint] = []

    def entry_points(group: str) -> list[metadata.EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    return points


def point(name: str, value: str, group: str = GROUP) -> metadata.EntryPoint:
    return metadata.EntryPoint(name=name, value=value, group=group)


def test_an_own_entry_is_imported_when_it_is_asked_for() -> None:
    table = registry()
    assert table["toy"] is Toy
    assert table.get("toy") is Toy
    assert table.get("no such name") is None


def test_a_name_is_listed_without_importing_it() -> None:
    table = registry()
    assert list(table) == ["toy", "broken", "incomplete"]
    assert len(table) == 3
    assert "broken" in table
    assert "no such name" not in table
    assert 7 not in table
    assert "no_such_module" not in sys.modules


def test_an_unknown_name_lists_those_that_exist(installed: list[metadata.EntryPoint]) -> None:
    installed.append(point("plugin", "test_registry:OtherToy"))
    with pytest.raises(UnknownNameError) as caught:
        registry()["cart"]
    message = "no toy named 'cart'; there are: broken, incomplete, plugin, toy"
    assert str(caught.value) == message


def test_an_unknown_name_is_a_key_error_and_a_bad_argument() -> None:
    for kind in (KeyError, ValueError, BadArgumentError, PliantError):
        with pytest.raises(kind):
            registry()["cart"]


def test_a_missing_optional_package_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"an extra: pip install '/path/to/pliant\[wood\]'"):
        registry(broken="wood")["broken"]


def test_a_missing_module_without_an_extra_is_a_bug_and_stays_one() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        registry()["broken"]
    assert not isinstance(caught.value, PliantError)
    with pytest.raises(AttributeError):
        registry()["incomplete"]


def test_entry_points_of_the_group_are_found(installed: list[metadata.EntryPoint]) -> None:
    installed.append(point("plugin", "test_registry:OtherToy"))
    installed.append(point("elsewhere", "test_registry:Toy", group="pliant.others"))
    table = registry()
    assert table["plugin"] is OtherToy
    assert "plugin" in table
    assert "elsewhere" not in table
    assert list(table)[-1] == "plugin"
    assert len(table) == 4


def test_entry_points_are_not_read_before_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry_points(group: str) -> list[metadata.EntryPoint]:
        raise AssertionError(group)

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    assert registry()["toy"] is Toy


def test_an_entry_point_does_not_replace_an_own_entry(
    installed: list[metadata.EntryPoint],
) -> None:
    installed.append(point("toy", "test_registry:OtherToy"))
    table = registry()
    assert table["toy"] is Toy
    assert list(table) == ["toy", "broken", "incomplete"]
    assert len(table) == 3


def test_a_broken_entry_point_is_named(installed: list[metadata.EntryPoint]) -> None:
    installed.append(point("plugin", "no_such_module:Toy"))
    with pytest.raises(BadArgumentError, match=r"toy 'plugin' cannot be imported: .*no_such_mod"):
        registry()["plugin"]


def test_module_and_class_are_a_name() -> None:
    table = registry()
    assert table["test_registry:OtherToy"] is OtherToy
    assert table["test_registry:Toy.Part"] is Toy.Part
    assert "test_registry:OtherToy" in table
    assert "test_registry:OtherToy" not in list(table)


def test_a_class_of_a_package_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "workshop" / "toys"
    package.mkdir(parents=True)
    (package / "carts.py").write_text("class Cart: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry()["workshop.toys.carts:Cart"].__name__ == "Cart"


@pytest.mark.parametrize("name", ["no_such_module:Toy", "test_registry:NoSuchToy"])
def test_module_and_class_that_do_not_exist_are_a_bad_argument(name: str) -> None:
    with pytest.raises(BadArgumentError, match=rf"toy '{name}' cannot be imported: "):
        registry()[name]


@pytest.mark.parametrize("name", [":Toy", "test_registry:", ".test_registry:Toy", "a b:Toy", ":"])
def test_what_is_no_module_and_class_is_an_unknown_name(name: str) -> None:
    table = registry()
    assert name not in table
    with pytest.raises(UnknownNameError, match="there are: broken, incomplete, toy"):
        table[name]


def test_a_name_can_be_added_once(installed: list[metadata.EntryPoint]) -> None:
    installed.append(point("plugin", "test_registry:Toy"))
    table = registry()
    table.add("other", "test_registry:OtherToy")
    assert table["other"] is OtherToy
    for taken in ("toy", "other", "plugin"):
        with pytest.raises(BadArgumentError, match=f"toy '{taken}' is already registered"):
            table.add(taken, "test_registry:OtherToy")


def test_an_entry_may_be_registered_temporarily() -> None:
    table = registry()
    with table.temporarily("other", "test_registry:OtherToy"):
        assert table["other"] is OtherToy
    assert "other" not in table


def fail_while_registered(table: Registry) -> None:
    with table.temporarily("toy", "test_registry:OtherToy"):
        assert table["toy"] is OtherToy
        raise RuntimeError("in between")


def test_a_temporary_entry_may_replace_an_own_one_which_comes_back_after_an_error() -> None:
    table = registry()
    with pytest.raises(RuntimeError, match="in between"):
        fail_while_registered(table)
    assert table["toy"] is Toy
    assert list(table) == ["toy", "broken", "incomplete"]
