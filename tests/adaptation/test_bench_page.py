"""The page of a suite is made of results alone, and says what is missing."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from adaptation import cli
from adaptation.jobs.bench import CellStatus, read_suite_results
from adaptation.jobs.cell_records import (
    FORMAT,
    Cell,
    CellFailure,
    CellResult,
    Grid,
    write_failure,
)
from adaptation.jobs.cells import cell_folder, suite_cells
from adaptation.jobs.fingerprint import Fingerprint, fingerprint
from adaptation.jobs.kept_results import keep_results, restore_results
from adaptation.reporting.bench_page import BEGIN, END, write_page, write_summary
from adaptation.reporting.earlier_page import KEPT
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.statistics import policy_result
from adaptation.runs.records import HeldoutProgress
from adaptation.runs.run_config import check_config
from adaptation.runs.versions import Machine
from adaptation.suites import FamilyTable, Suite, Training
from robots.errors import BadArgumentError

TASKS = 12
LARGEST_FIGURE = 100_000  # bytes
METHODS = {name: Training() for name in ("blind", "oracle", "pearl", "rl2")}
SUITE = Suite({"point": FamilyTable(METHODS, tasks=TASKS)}, seeds=(0, 1), title="fixtures")
# Share of tasks that succeed in each of three episodes.
SUCCESS = {
    "blind": (0, 0, 0),
    "oracle": (1, 1, 1),
    "pearl": (0, 0.5, 0.75),
    "rl2": (0, 0.25, 0.5),
}
MACHINE = Machine(processor="Imaginary 9000", cores=4, system="Linux", python="3.11")


def episode_grid(rates: tuple[float, ...]) -> EpisodeGrid:
    tasks = np.arange(TASKS)
    success = np.stack([tasks < rate * TASKS for rate in rates]).astype(float)
    distance = np.where(success > 0, 0.05, 0.5)
    return EpisodeGrid(-10 * distance, success, {"distance_m": distance})


def cell_result(cell: Cell, engines: tuple[str, ...] = ("ideal",), steps: int = 4000) -> CellResult:
    method = cell.training.method
    grids = {"adapted": Grid.of(episode_grid(SUCCESS[method]))}
    if method not in ("blind", "oracle"):
        grids["no_adaptation"] = Grid.of(episode_grid((0, 0, 0)))
    reached = policy_result(episode_grid(SUCCESS[method]))
    curve = [HeldoutProgress(k, 1000 * k, 10 * k, 1.0 * k, reached) for k in (1, 2, 4)]
    return CellResult(
        format=FORMAT,
        cell=cell,
        fingerprint=fingerprint(check_config(cell.training)),
        commit="0123456789abcdef",
        machine=MACHINE,
        is_finished=True,
        iterations=4,
        steps=steps,
        gradient_steps=40,
        seconds=90.0,
        cpu_seconds=75.0,
        judging_seconds=1.0,
        grids=dict.fromkeys(engines, grids),
        curve=curve,
        notes=[],
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a result of every cell: what another machine may have sent."""
    out = tmp_path_factory.mktemp("bench")
    for cell in suite_cells(SUITE):
        write_result(cell_folder(cell, out), cell_result(cell))
    return out


def write_result(folder: Path, result: CellResult) -> None:
    folder.mkdir()
    (folder / "result.json").write_bytes(msgspec.json.encode(result))


def make_page(out: Path, folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    page = folder / "results.md"
    write_page("fixtures.toml", SUITE, read_suite_results(SUITE, out), page)
    return page.read_text()


def table_row(page: str, method: str) -> dict[str, str]:
    """The row of a method in the first table of the page."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    header, row = lines[0], next(line for line in lines if line.startswith(f"| `{method}`"))
    names = [name.strip() for name in header.strip("|").split("|")]
    return dict(zip(names, [cell.strip() for cell in row.strip("|").split("|")], strict=True))


def test_the_page_regenerates_from_results_without_training(finished: Path, tmp_path: Path) -> None:
    text = make_page(finished, tmp_path)
    row = table_row(text, "pearl")
    assert row["seeds"] == "2"
    assert row["success, %: episode 3"].startswith("75 [")
    assert row["success, %: episode 1"].startswith("0 [0, ")
    assert row["distance, cm (median)"] == "5"
    assert row["adapted − no_adaptation"].startswith("+3.38 [")
    assert "success +75 %" in row["adapted − no_adaptation"]
    assert "p = " not in row["adapted − no_adaptation"]  # of two seeds
    assert row["gap closed, %"].startswith("75 [")
    assert table_row(text, "oracle")["gap closed, %"] == "–"
    assert "8 of 8 trainings have a result at hand." in text
    assert "4,000 | 40 | 1.2 | 1.5 | `012345678`" in text
    assert "Imaginary 9000, 4 cores" in text
    assert make_page(finished, tmp_path) == text
    for figure in re.findall(r"\]\((results/.+?)\)", text):
        file = tmp_path / figure
        assert file.read_text().startswith("<svg")
        assert file.stat().st_size < LARGEST_FIGURE
    assert len(list((tmp_path / "results").iterdir())) == 2


def test_what_is_missing_is_said(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    shutil.copytree(finished, out)
    cells = {cell.name: cell for cell in suite_cells(SUITE)}
    folders = {name: cell_folder(cell, out) for name, cell in cells.items()}
    shutil.rmtree(folders["pearl-point-0"])
    shutil.rmtree(folders["pearl-point-1"])
    (folders["rl2-point-1"] / "result.json").unlink()
    error = "Traceback\nRuntimeError: the disk is full"
    write_failure(folders["rl2-point-1"], CellFailure(cells["rl2-point-1"], error, 2))
    longer = cell_result(cells["rl2-point-0"], engines=("ideal", "bullet"), steps=9000)
    other = Fingerprint("other", "other", "other", {"torch": "2.11"})
    write_result(
        folders["pearl-point-1"],
        msgspec.structs.replace(cell_result(cells["pearl-point-1"]), is_finished=False),
    )
    longer = msgspec.structs.replace(
        longer, fingerprint=other, notes=["Bullet was slow"], gradient_steps=41
    )
    longest_reference = cell_result(cells["blind-point-1"], steps=9000)  # the other seed's is not
    shutil.rmtree(folders["blind-point-1"])
    write_result(folders["blind-point-1"], longest_reference)
    shutil.rmtree(folders["rl2-point-0"])
    write_result(out / "rl2-point-0-fromelsewhere", longer)
    unfinished = msgspec.structs.replace(
        cell_result(cells["oracle-point-1"]), is_finished=False, fingerprint=other
    )
    shutil.rmtree(folders["oracle-point-1"])
    write_result(out / "oracle-point-1-fromelsewhere", unfinished)
    text = make_page(out, tmp_path)
    assert "6 of 8 trainings have a result at hand; what is missing is named" in text
    for note in (
        "Not trained yet: `pearl-point-0`.",
        "Judged before the end of the training: `oracle-point-1`, `pearl-point-1`.",
        "Failed (RuntimeError: the disk is full): `rl2-point-1`.",
        "Trained by other code or versions than those that wrote this page: `oracle-point-1`,"
        " `rl2-point-0`.",
        "Bullet was slow: `rl2-point-0`.",
        "`blind` took fewer environment steps than `rl2`.",
        "`oracle` took fewer gradient steps than `rl2`.",
        "bullet, `rl2`: no share of the gap: there is no blind and no oracle to compare with.",
    ):
        assert f"- {note}" in text
    assert table_row(text, "pearl")["seeds"] == "1"


def test_seeds_without_a_reference_are_named(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    shutil.copytree(finished, out)
    (cell,) = [cell for cell in suite_cells(SUITE) if cell.name == "blind-point-1"]
    shutil.rmtree(cell_folder(cell, out))
    text = make_page(out, tmp_path)
    assert "- ideal, `pearl`: not compared with `blind`, which has no result for seed 1." in text
    assert "there is no blind" not in text
    row = table_row(text, "pearl")
    assert row["adapted − blind"] == "–"
    assert row["seeds"] == "2"


def test_the_command_makes_the_page_of_another_machines_results(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "fixtures.toml"
    methods = "".join(f"{name} = {{}}\n" for name in METHODS)
    suite.write_text(
        f"seeds = [0, 1]\n[families.point]\ntasks = {TASKS}\n[families.point.methods]\n{methods}"
    )
    words = ["bench", "--suite", "fixtures.toml", "--out", str(finished), "--no-train"]
    assert cli.main([*words, "--page", "results.md"]) == 0
    assert "8 of 8 cells have a result" in capsys.readouterr().out
    text = Path("results.md").read_text()
    assert text == make_page(finished, tmp_path / "other")
    assert cli.main([*words, "--results", "kept"]) == 0
    words[words.index("--out") + 1] = "empty"
    capsys.readouterr()
    assert cli.main([*words, "--results", "kept", "--page", "again.md"]) == 0
    assert "8 of 8 cells have a result" in capsys.readouterr().out
    assert "--results kept --page again.md" in Path("again.md").read_text()


def test_a_page_is_made_of_kept_results_where_the_runs_are_gone(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = make_page(finished, tmp_path / "first")
    cells = suite_cells(SUITE)
    kept = tmp_path / "kept"
    keep_results(read_suite_results(SUITE, finished), kept)
    assert sorted(file.stem for file in kept.iterdir()) == sorted(
        cell_folder(cell, finished).name for cell in cells
    )
    out = tmp_path / "bench"
    newer = msgspec.structs.replace(cell_result(cells[0]), commit="fedcba9876543210")
    unfinished = msgspec.structs.replace(cell_result(cells[1]), is_finished=False)
    out.mkdir()
    write_result(cell_folder(cells[0], out), newer)
    write_result(cell_folder(cells[1], out), unfinished)
    restore_results(kept, out)
    statuses = read_suite_results(SUITE, out)
    assert all(status.is_current for status in statuses)
    assert statuses[0].result == newer, "a finished result of a run is not replaced"
    second = make_page(out, tmp_path / "second")
    assert second.replace("fedcba987", "012345678") == first


def test_a_kept_result_gives_way_to_one_of_this_code_alone(finished: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (status, *_) = read_suite_results(SUITE, finished)
    assert status.result is not None
    other_code = Fingerprint("other", "other", "other", {"torch": "2.11"})
    older = msgspec.structs.replace(status.result, fingerprint=other_code)
    old = replace(status, result=older, is_current=False, is_of_this_code=False)
    other_suite = msgspec.structs.replace(status.cell.training, steps=123)
    foreign = msgspec.structs.replace(
        status.result, cell=msgspec.structs.replace(status.cell, training=other_suite)
    )
    kept.mkdir()
    file = kept / f"{status.cell.name}-0000000000.json"
    file.write_bytes(msgspec.json.encode(foreign))
    current = f"{status.cell.name}-{status.result.hash}.json"
    for given, expected in (
        (old, f"{status.cell.name}-{older.hash}.json"),  # better than none
        (status, current),
        (old, current),
    ):
        keep_results([given], kept)
        assert {one.name for one in kept.iterdir()} == {expected, file.name}


def test_an_unfinished_result_is_not_kept(finished: Path, tmp_path: Path) -> None:
    (status, *_) = read_suite_results(SUITE, finished)
    assert status.result is not None
    half = msgspec.structs.replace(status.result, is_finished=False)
    keep_results([replace(status, result=half)], tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_the_page_says_of_more_trainings_is_kept(finished: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}{END}")
    full = make_page(finished, tmp_path)
    page = tmp_path / "results.md"
    write_summary(read_suite_results(SUITE, finished), page, readme)
    summary = readme.read_text()
    fewer = tmp_path / "fewer"
    shutil.copytree(finished, fewer)
    (cell,) = [cell for cell in suite_cells(SUITE) if cell.name == "rl2-point-1"]
    shutil.rmtree(cell_folder(cell, fewer))
    for out, number in ((fewer, 7), (tmp_path / "nothing", 0), (tmp_path / "nothing", 0)):
        kept = make_page(out, tmp_path)
        assert f"{number} of 8 trainings have a result at hand; what" in kept
        assert kept.count(KEPT) == 1
        _, section = full.split("## point\n")
        _, kept_section = kept.split("## point\n")
        assert kept_section.replace(f"\n{KEPT}\n", "").split() == section.split()
        assert "1. Imaginary 9000, 4 cores" in kept_section
        write_summary(read_suite_results(SUITE, out), page, readme)
        assert readme.read_text() == summary
    assert make_page(finished, tmp_path) == full


def test_a_page_without_any_result_can_be_written(tmp_path: Path) -> None:
    text = make_page(tmp_path / "nothing", tmp_path)
    assert "0 of 8 trainings have a result" in text
    assert "No results yet." in text


def test_the_summary_stands_between_its_marks(finished: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}old\n{END}\nafter\n")
    statuses: list[CellStatus] = read_suite_results(SUITE, finished)
    page = tmp_path / "docs" / "results.md"
    for _ in range(2):
        write_summary(statuses, page, readme)
    lines: list[Any] = readme.read_text().splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert lines[3].startswith("([all methods](docs/results.md)). The best of several is")
    (pearl,) = [line for line in lines if line.startswith("| `point`")]
    assert pearl.startswith("| `point` | `pearl` | 2 | 0 | 0 | 75 [")
    assert pearl.endswith("| 100 |")
    assert "unfinished" not in readme.read_text()
    names = [status.cell.name for status in statuses]
    without = list(statuses)
    for number, best in (("1", "pearl` * | 1"), ("0", "rl2` | 2")):
        place = names.index(f"pearl-point-{number}")
        without[place] = replace(without[place], result=None, is_current=False)
        write_summary(without, page, readme)
        assert f"| `point` | `{best} | 0 |" in readme.read_text()
        assert ("is missing or unfinished" in readme.read_text()) == ("*" in best)
    write_summary(statuses, page, readme)
    text = readme.read_text()
    assert "| `point` | `pearl` | 2 | 0 |" in text
    assert "earlier code" not in text
    statuses[0] = replace(statuses[0], is_current=False)  # of blind, by earlier code
    write_summary(statuses, page, readme)
    text = readme.read_text()
    assert "| `point` | `pearl` † | 2 | 0 |" in text
    assert "earlier code" in text
    statuses[0] = replace(statuses[0], result=None)
    write_summary(statuses, page, readme)
    text = readme.read_text()
    assert "| `point` | `pearl` * | 2 | – |" in text
    assert "earlier code" not in text
    readme.write_text("no marks")
    with pytest.raises(BadArgumentError, match="has no marks"):
        write_summary(statuses, page, readme)
