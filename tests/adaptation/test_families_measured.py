"""Families at a glance: the physics alone is the same physics, and results are the page's."""

from pathlib import Path

import numpy as np
import pytest
from test_cli import pliant

from adaptation.jobs.families import FamilyMeasure, hidden_parameters, worlds_in_training
from adaptation.reporting.earlier_page import ReferenceRow, read_sections, reference_rows
from adaptation.reporting.families_table import families_page, family_rows
from adaptation.runs.versions import Machine
from robots.errors import DamagedError
from sim.families import FAMILIES
from sim.speed import RecordingEngine, median_seconds, record
from sim.vec_world import VecWorld

SECTION = """
12 held-out tasks, judged in `bullet`:

| method | seeds | success, %: episode 1 | success, %: episode 2 | error, cm (median) | return |
| --- | --- | --- | --- | --- | --- |
| `blind` | 1 | 7 | 8 | – | -1.00 |
| `oracle` | 3 | 90 [81, 95] | 98 [93, 99] | 1.04 | 0.95 |
| `pearl` | 3 | 0 [0, 4] | 95 [89, 98] | 1.87 | 0.91 |

12 held-out tasks, judged in `mujoco`:

| method | seeds | success, %: episode 1 | error, cm (median) | return |
| --- | --- | --- | --- | --- |
| `oracle` | 3 | 50 [40, 60] | 2 | 0.5 |
"""
ORACLE = ReferenceRow(3, 0.98, (0.93, 0.99), "error, cm (median)", 1.04)


@pytest.mark.parametrize("name", ["reach", "slide"])
def test_the_physics_alone_ends_where_the_world_does(name: str) -> None:
    """With one call for the whole episode, and with fine steps during an impact."""
    family = FAMILIES[name]()
    episode = record(family, 3)
    usual = VecWorld(family, "mujoco", 3)
    usual.reset(episode.task)
    for action in episode.actions:
        usual.step(action)
    engine = RecordingEngine()
    alone = VecWorld(family, engine, 3)
    alone.reset(episode.task)
    begun = engine.read()
    engine.repeat(episode.stretches)
    ended = engine.read()
    np.testing.assert_array_equal(ended.q, usual.signals.q)
    np.testing.assert_array_equal(ended.object_pos, usual.signals.object_pos)
    assert not np.array_equal(ended.q, begun.q)
    assert episode.control_steps == 3 * family.horizon * family.action_repeat


def test_every_run_has_its_turn_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def run(name: str, seconds: list[float]) -> float:
        turns.append(name)
        return seconds.pop(0)

    first = [100.0, 1.0, 3.0, 2.0]
    second = [100.0, 5.0, 5.0, 9.0]
    medians = median_seconds(
        {"a": lambda: run("a", first), "b": lambda: run("b", second)}, repeats=3
    )
    assert medians == {"a": 2.0, "b": 5.0}
    assert turns == ["a", "b"] * 4


def test_what_every_policy_observes_is_not_hidden() -> None:
    assert hidden_parameters(FAMILIES["reach"]()) == ["goal.x", "goal.y", "goal.z"]
    hidden = hidden_parameters(FAMILIES["push"]())
    assert "object.com_x" in hidden
    assert "marker.x" not in hidden
    assert len(hidden_parameters(FAMILIES["walker_params"]())) == 28
    assert worlds_in_training(FAMILIES["slide"]()) == 64  # the preset's meta_batch


def test_the_first_table_of_a_section_gives_the_references() -> None:
    engine, rows = reference_rows(SECTION)
    assert engine == "bullet"
    blind = ReferenceRow(1, 0.08, None, "error, cm (median)", None)
    assert rows == {"blind": blind, "oracle": ORACLE}
    assert reference_rows("Not trained yet.") == (None, {})


def test_a_table_that_cannot_be_read_is_named() -> None:
    with pytest.raises(DamagedError, match="'many' is no success rate"):
        reference_rows(SECTION.replace("98 [93, 99]", "many"))
    with pytest.raises(DamagedError, match="method"):
        reference_rows(SECTION.replace("method", "learner"))


def test_the_page_of_results_can_be_read() -> None:
    sections = read_sections(Path(__file__).parents[2] / "docs" / "results.md")
    read = [name for name in FAMILIES if set(reference_rows(sections.get(name, ""))[1])]
    assert {"slide", "reach", "cheetah_vel"} <= set(read)


def test_the_table_and_the_page_show_what_was_measured() -> None:
    measure = FamilyMeasure(
        family="slide",
        body="panda",
        engine="mujoco",
        worlds=64,
        steps_per_second=12345.6,
        open_loop_ratio=0.876,
        hidden=8,
        results_engine="bullet",
        blind=None,
        oracle=ORACLE,
    )
    (row,) = family_rows([measure])
    assert list(row.values()) == [
        "slide",
        "mujoco",
        "64",
        "12,346",
        "0.88",
        "8",
        "–",
        "98 [93, 99], error 1.04 cm",
    ]
    machine = Machine(processor="Imaginary 9000", cores=4, system="Linux", python="3.11")
    page = families_page([measure], "pliant families --page measured.md", machine)
    assert "| [`slide`](slide.md) | mujoco |" in page
    assert "Imaginary 9000" in page
    assert "with 4 cores" in page


def test_the_command_measures_and_writes_a_page(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "measured.md"
    results = tmp_path / "results.md"
    results.write_text(f"# Results\n\n## point\n{SECTION}")
    words = f"families --only point --page {page} --results {results}"
    status, answer, _ = pliant(capfd, *words.split())
    assert status == 0
    (point,) = answer["families"]
    assert point["steps_per_second"] > 0
    assert point["open_loop_ratio"] is None  # not of MuJoCo
    assert point["hidden"] == 2
    assert point["oracle"]["success"] == 0.98
    assert "| [`point`](point.md) | ideal | 64 |" in page.read_text()
    status, answer, _ = pliant(capfd, "families", "--only", "pont")
    assert status == 2
    assert "no family named 'pont'" in answer["error"]
