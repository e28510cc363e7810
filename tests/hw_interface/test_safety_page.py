"""docs/safety.md names a test for every fault: each of them exists."""

import ast
import json
import re
from pathlib import Path

import pytest
import test_controller

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import DRIVERS

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "safety.md").read_text()
ROWS = 45  # faults by number
NAMED = sorted(set(re.findall(r"`(test_\w+)`", PAGE)))

GRIPPING = ("viperx_gripper", "so101_gripper", "ur5e_2f85", "fr3_hand")


def runnable_tests() -> set[str]:
    """The names of all tests, but those that are marked to be left out or to fail."""
    names = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                marks = [ast.unparse(mark) for mark in node.decorator_list]
                if not any(re.search(r"mark\.(skip|xfail)", mark) for mark in marks):
                    names.add(node.name)
    return names


def test_the_table_of_faults_by_driver_is_what_was_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And in no fault did a target outside the limits reach an arm."""
    monkeypatch.syspath_prepend(str(TESTS.parent / "benchmarks"))
    from fault_page import write_page
    from fault_rows import COLUMNS, GRIPPERS, driver_of

    docs = TESTS.parent / "docs"
    assert {driver_of(column) for column in COLUMNS} == set(DRIVERS)
    assert (docs / "faults.md").read_text() == write_page(docs / "results" / "faults")
    for name in [*COLUMNS, *GRIPPERS.values()]:
        kept = json.loads((docs / "results" / "faults" / f"{name}.json").read_text())
        assert len(kept) > (10 if name in GRIPPERS.values() else 20)
        assert all(outcome["motion"]["outside"] == 0 for outcome in kept.values())


# What ends a grip: its object has gone, it is told to open, or its servo has switched itself off.
LETS_GO = {
    "slip": set(GRIPPING),
    "jammed": set(GRIPPING),
    "finger_fault": {"viperx_gripper", "so101_gripper"},
}


@pytest.mark.parametrize("arm", GRIPPING)
def test_a_grip_was_kept_in_every_fault_but_those_that_end_it(arm: str) -> None:
    path = TESTS.parent / "docs" / "results" / "faults" / f"{arm}.json"
    for key, outcome in json.loads(path.read_text()).items():
        assert outcome["motion"]["holds"] == (arm not in LETS_GO.get(key, ())), key


def test_every_test_that_the_page_names_exists_and_is_run() -> None:
    assert len(NAMED) > 40
    assert set(NAMED) - runnable_tests() == set()


def test_the_page_says_which_files_of_tests_need_an_extra() -> None:
    page = " ".join(PAGE.split())
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        if "\npytest.importorskip(" in text and any(f"def {name}(" in text for name in NAMED):
            assert f"`{path.relative_to(TESTS.parent)}`" in page
            (extra,) = re.findall(r"needs the extra '(\w+)'", text)
            assert f"extra `{extra}`" in page


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
