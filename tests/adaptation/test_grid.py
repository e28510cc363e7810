"""A sweep trains each cell once for each combination of a grid's values."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_bench import COUNTER, Here
from test_bench_page import SUCCESS, cell_result, write_result

from adaptation import cli
from adaptation.jobs.bench import read_status, train_cells
from adaptation.jobs.cell_records import Cell
from adaptation.jobs.cells import cell_folder, suite_cells
from adaptation.jobs.grid import describe_cell, grid_points, left_out, read_grid, sweep
from adaptation.reporting.sweep_page import CAUTION, PointStatuses, sweep_tables
from adaptation.suites import FamilyTable, Suite, Training
from robots.errors import BadArgumentError

AXES = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
    min_size=1,
)
SUITE = Suite(
    {"point": FamilyTable({COUNTER: Training(iterations=2)}, tasks=3)},
    seeds=(0, 1),
    evaluations=0,
)


@given(AXES)
def test_a_grid_has_every_combination_once_and_the_last_axis_changes_fastest(
    axes: dict[str, list[int]],
) -> None:
    points = grid_points(axes)
    lengths = [len(values) for values in axes.values()]
    assert len(points) == np.prod(lengths)
    assert all(one != other for one, other in combinations(points, 2))
    for number, point in enumerate(points):  # its number, written with the axes' lengths as bases
        places = np.unravel_index(number, lengths)
        expected = {name: axes[name][place] for name, place in zip(axes, places, strict=True)}
        assert point == expected


def test_values_are_read_as_numbers_lists_and_texts() -> None:
    texts = ["sac.lr=1e-4,3e-4", "sac.hidden=[[64,64],[32]]", "on=true,none", "name=a, b"]
    assert read_grid(texts) == {
        "sac.lr": [1e-4, 3e-4],
        "sac.hidden": [[64, 64], [32]],
        "on": [True, "none"],
        "name": ["a", "b"],
    }


def test_the_cells_of_a_point_are_the_suites_with_its_values() -> None:
    points = sweep(suite_cells(SUITE), read_grid(["gain=0.1,0.2", "sizes=[[2],[3,4]]"]))
    assert [point.name for point in points] == [
        "gain=0.1, sizes=[2]",
        "gain=0.1, sizes=[3, 4]",
        "gain=0.2, sizes=[2]",
        "gain=0.2, sizes=[3, 4]",
    ]
    folders = [cell_folder(cell, Path()).name for point in points for cell in point.cells]
    assert len(set(folders)) == 4 * 2
    assert {name.rpartition("-")[0] for name in folders} == {"Counter-point-0", "Counter-point-1"}
    assert points[1].cells[0].training.settings == {"gain": 0.1, "sizes": [3, 4]}
    assert describe_cell(points[1].cells[0]) == "Counter-point-0 (gain=0.1, sizes=[3, 4])"


def test_a_point_replaces_the_suites_own_value_and_keeps_its_others() -> None:
    training = Training(iterations=2, settings={"gain": 0.9, "sizes": [5]})
    suite = Suite({"point": FamilyTable({COUNTER: training})})
    (point,) = sweep(suite_cells(suite), read_grid(["gain=0.1"]))
    assert point.cells[0].training.settings == {"gain": 0.1, "sizes": [5]}


def test_methods_without_the_settings_are_left_out() -> None:
    methods = {COUNTER: Training(), "blind": Training(), "tiny:PrivilegedCounter": Training()}
    cells = suite_cells(Suite({"point": FamilyTable(methods)}))
    axes = read_grid(["gain=0.1,0.2"])
    (first, _) = sweep(cells, axes)
    kept = [cell.training.method for cell in first.cells]
    assert kept == [COUNTER, "tiny:PrivilegedCounter"]
    assert left_out(cells, axes) == ["blind"]


REFUSED = {
    "no values": (["gain"], "takes SETTING=VALUE,VALUE, got 'gain'"),
    "an unknown setting": (["gian=1,2"], r"no setting 'gian'; .* of: tiny:Counter"),
    "one of two unknown": (["gain=1,2", "gian=1"], "no setting 'gian'"),
    "a range": (["range.mass=1,2"], r"no setting 'range\.mass'"),
    "a value of another type": (["gain=big,1"], "gain='big' is not allowed: give a number"),
    "a value twice": (["gain=1,2,1.0"], r"names gain=1\.0 twice"),
    "a setting twice": (["gain=1", "gain=2"], "names 'gain' twice"),
    "no list": (["sizes=[[2],"], "no JSON list"),
    "an empty list": (["sizes=[]"], "has no value for 'sizes'"),
    "too many": ([f"{name}={','.join(map(str, range(11)))}" for name in "abc"], "1331 points"),
}


@pytest.mark.parametrize(("texts", "reason"), REFUSED.values(), ids=list(REFUSED))
def test_a_grid_that_cannot_be_trained_is_refused(texts: list[str], reason: str) -> None:
    with pytest.raises(BadArgumentError, match=reason):
        sweep(suite_cells(SUITE), read_grid(texts))


def test_a_grid_without_cells_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="--only fits no cell"):
        sweep([], {"gain": [1]})


def test_points_are_kept_and_what_is_missing_is_trained_alone(tmp_path: Path) -> None:
    first = Here()
    cells = swept(0.1, 0.2)
    assert train_cells(cells, SUITE, tmp_path, first) == 0
    assert len(first.names) == 4
    again = Here()
    more = swept(0.1, 0.2, 0.3)
    assert train_cells(more, SUITE, tmp_path, again) == 0
    assert sorted(again.names) == ["Counter-point-0", "Counter-point-1"]
    gains = set()
    for cell in more:
        result = read_status(cell, tmp_path).result
        assert result is not None
        gains.add(result.cell.training.settings["gain"])
    assert gains == {0.1, 0.2, 0.3}


def swept(*gains: float) -> list[Cell]:
    points = sweep(suite_cells(SUITE), {"gain": gains})
    return [cell for point in points for cell in point.cells]


def test_the_command_sweeps_and_writes_the_page_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(
        "evaluations = 0\n[families.point]\ntasks = 3\n"
        f'[families.point.methods]\n"{COUNTER}" = {{ iterations = 2 }}\nblind = {{}}\n'
    )
    cells = suite_cells(Suite(SUITE.families, seeds=(0,), evaluations=0))
    for point in sweep(cells, {"gain": [0.1, 0.2]}):
        train_cells(point.cells, SUITE, Path("out"), Here())
    words = ["bench", "--suite", "mine.toml", "--grid", "gain=0.1,0.2", "--out", "out"]
    assert cli.main([*words, "--page", "sweep.md"]) == 0  # nothing is left to train
    printed = capsys.readouterr()
    assert "left out, as they lack these settings: blind" in printed.err
    assert "2 of 2 cells have a result in out" in printed.out
    page = Path("sweep.md").read_text()
    assert "pliant bench --suite mine.toml --grid gain=0.1,0.2 --page sweep.md" in page
    assert page.count("| `gain=0.") == 2
    assert cli.main([*words, "--page", "sweep.md", "--readme", "sweep.md"]) == 2
    assert "not of a --grid" in capsys.readouterr().err


# ---- the table ----

PEARL = Suite(
    {"point": FamilyTable({"pearl": Training(), "blind": Training()}, tasks=12)}, seeds=(0, 1)
)


def point_statuses(out: Path, success: dict[float, tuple[float, ...]]) -> list[PointStatuses]:
    """Points of a sweep of PEARL's rate, each with the share of tasks that succeed by episode."""
    own = [cell for cell in suite_cells(PEARL) if cell.training.method == "pearl"]
    known = []
    for point in sweep(own, {"sac.lr": list(success)}):
        rates = success[point.point["sac.lr"]]
        for cell in point.cells:
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(SUCCESS, "pearl", rates)
                write_result(cell_folder(cell, out), cell_result(cell))
        known.append(PointStatuses(point.name, [read_status(cell, out) for cell in point.cells]))
    return known


def test_each_point_is_a_row_group_and_the_best_has_the_interval_of_its_lead(
    tmp_path: Path,
) -> None:
    points = point_statuses(tmp_path, {1e-4: (0, 0, 0.25), 3e-4: (0, 0.5, 0.75), 1e-3: (0, 0, 0)})
    text = sweep_tables(points, [])
    rows = [line for line in text.splitlines() if line.startswith("| `sac.lr")]
    assert [row.split("|")[1].strip(" `") for row in rows] == [
        "sac.lr=0.0001",
        "sac.lr=0.0003",
        "sac.lr=0.001",
    ]
    assert "blind" not in text  # no column in which nothing is known
    # a task that succeeds returns -0.5, another one -5: half of the tasks between the two
    assert "`sac.lr=0.0003`, -1.62, ahead of the next, `sac.lr=0.0001`, by +2.25 [+" in text
    assert "cannot be told apart" not in text
    assert text.endswith(f"{CAUTION}\n")


def test_a_lead_that_may_be_none_is_said_to_be_so(tmp_path: Path) -> None:
    points = point_statuses(tmp_path, {1e-4: (0, 0, 0.5), 3e-4: (0, 0, 0.5)})
    assert "by +0.00 [+0.00, +0.00]. The interval holds 0" in sweep_tables(points, [])


def test_points_are_compared_with_references_that_are_not_varied(tmp_path: Path) -> None:
    blind = [cell for cell in suite_cells(PEARL) if cell.training.method == "blind"]
    for cell in blind:
        write_result(cell_folder(cell, tmp_path), cell_result(cell))
    points = point_statuses(tmp_path, {1e-4: (0, 0, 0.25), 3e-4: (0, 0.5, 0.75)})
    text = sweep_tables(points, [read_status(cell, tmp_path) for cell in blind])
    rows: list[Any] = [line for line in text.splitlines() if line.startswith("| `sac.lr")]
    assert len(rows) == 2
    assert "adapted − blind" in text
    assert "+1.12 [" in rows[0]
    assert "+3.38 [" in rows[1]


def test_what_is_missing_of_a_sweep_is_said(tmp_path: Path) -> None:
    points = point_statuses(tmp_path, {1e-4: (0, 0, 0.25), 3e-4: (0, 0.5, 0.75)})
    missing = points[1].statuses[1].cell
    (cell_folder(missing, tmp_path) / "result.json").unlink()
    points[1].statuses[1] = read_status(missing, tmp_path)
    text = sweep_tables(points, [])
    assert "- Not trained yet: `pearl-point-1 (sac.lr=0.0003)`." in text
    assert "ahead of the next" in text  # paired by the seed that both have
