"""docs/safety.md names a test for every fault: each of them exists."""

import ast
import re
from pathlib import Path

import pytest
import test_controller

from hw_interface.control.events import Event, Mode

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "safety.md").read_text()
ROWS = 45  # faults by number
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))


def defined_tests() -> set[str]:
    names = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names.add(node.name)
    return names


def test_every_test_that_the_page_names_exists() -> None:
    assert len(NAMED) > 40
    assert set(NAMED) - defined_tests() == set()


def test_each_of_the_45_faults_has_a_row_with_a_test() -> None:
    numbers = []
    for number, row in re.findall(r"^\| (\d+) (\|.*)$", PAGE, re.MULTILINE):
        numbers.append(int(number))
        fault, outcome, event, tests = row.strip("| ").split(" | ")
        assert all([fault, outcome, event]), number
        assert re.search(r"`(test_\w+|BRAKED|AT_ONCE)`", tests), number
    assert numbers == list(range(1, ROWS + 1))


@pytest.mark.parametrize("table", ["BRAKED", "AT_ONCE"])
def test_every_table_of_faults_that_the_page_names_exists(table: str) -> None:
    assert f"`{table}`" in PAGE
    assert getattr(test_controller, table)


def test_every_file_of_tests_that_the_page_names_exists() -> None:
    paths = re.findall(r"`([\w./]+\.py)`", PAGE)
    assert paths
    for path in paths:
        assert (TESTS.parent / path).is_file(), path


@pytest.mark.parametrize("event", Event)
def test_the_page_explains_every_event(event: Event) -> None:
    assert event is Event.CLEARED or event.name in PAGE


@pytest.mark.parametrize("mode", Mode)
def test_the_page_explains_every_mode(mode: Mode) -> None:
    assert mode.name in PAGE
