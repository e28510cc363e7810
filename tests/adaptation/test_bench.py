"""A suite's cells are trained once, whatever happens on the way."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import bench_main
import msgspec
import pytest
from bench_main import run_bench

from adaptation.jobs import bench, cells
from adaptation.jobs.bench import CellStatus, read_suite_results
from adaptation.jobs.cell_records import CellResult, read_failure, read_result
from adaptation.jobs.cells import cell_folder, suite_cells
from adaptation.jobs.executor import Job, Outcome
from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from adaptation.runs.log import read_log
from adaptation.runs.records import HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from adaptation.suites import SUITES, Suite, Training, read_suite
from policies.methods import METHODS
from policies.settings import iteration_steps
from robots.errors import BadArgumentError, PliantError
from sim.engines import ENGINES
from sim.families import FAMILIES

COUNTER = "tiny:Counter"
TINY_SUITE = """
seeds = [0, 1]
evaluations = 0

[families.point]
tasks = 4

[families.point.methods]
"tiny:Counter" = { iterations = 2 }
"""


class Here:
    """An executor that calls the functions at once, in this process; some attempts fail."""

    def __init__(self, **failures: int) -> None:
        self.failures = failures  # attempts that fail, by cell
        self.names: list[str] = []
        self._waiting: list[Job[CellResult]] = []

    def submit(self, job: Job[CellResult]) -> None:
        self._waiting.append(job)

    def completed(self, seconds: float = inf) -> Iterator[Outcome[CellResult]]:
        while self._waiting and seconds > 0:
            job = self._waiting.pop(0)
            name = job.name.rpartition("-")[0]
            self.names.append(name)
            if self.failures.get(name.replace("-", "_"), 0) > 0:
                self.failures[name.replace("-", "_")] -= 1
                yield Outcome(job, None, "Traceback\nRuntimeError: the disk is full\n", 1.0)
            else:
                yield Outcome(job, job.function(*job.arguments), None, 1.0)

    def close(self) -> None:
        self._waiting.clear()


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    file = tmp_path / "tiny_suite.toml"
    file.write_text(TINY_SUITE)
    return read_suite(str(file))


def results(statuses: list[CellStatus]) -> dict[str, CellResult | None]:
    return {status.cell.name: status.result for status in statuses}


def test_a_finished_cell_is_not_run_again(suite: Suite, tmp_path: Path) -> None:
    first = Here()
    assert run_bench(suite, tmp_path / "out", first) == 0
    assert sorted(first.names) == ["Counter-point-0", "Counter-point-1"]
    again = Here()
    assert run_bench(suite, tmp_path / "out", again) == 0
    assert again.names == []
    result = results(read_suite_results(suite, tmp_path / "out"))["Counter-point-1"]
    assert result is not None
    assert set(result.grids["ideal"]) == {"adapted", "no_adaptation"}
    assert result.grids["ideal"]["adapted"].arrays().returns.shape == (3, 4)
    assert (result.iterations, result.cell.training.seed) == (2, 1)


def test_a_cell_that_is_judged_otherwise_is_judged_again_and_not_trained(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_bench(suite, tmp_path / "out", Here(), seeds=(0,))
    table = msgspec.structs.replace(suite.families["point"], tasks=6)
    more_tasks = msgspec.structs.replace(suite, families={"point": table})
    monkeypatch.setattr(METHODS[COUNTER], "learn", None)  # training would fail
    again = Here()
    run_bench(more_tasks, tmp_path / "out", again, seeds=(0,))
    assert again.names == ["Counter-point-0"]
    (status,) = read_suite_results(more_tasks, tmp_path / "out", (0,))
    assert status.result is not None
    assert status.result.grids["ideal"]["adapted"].arrays().returns.shape == (3, 6)


def test_a_failing_cell_is_tried_once_more_and_ends_nothing(suite: Suite, tmp_path: Path) -> None:
    out = tmp_path / "out"
    executor = Here(Counter_point_0=2, Counter_point_1=1)
    assert run_bench(suite, out, executor) == 1
    assert sorted(executor.names) == ["Counter-point-0"] * 2 + ["Counter-point-1"] * 2
    failed, retried = read_suite_results(suite, out)
    assert failed.result is None
    assert (failed.error or "").endswith("the disk is full\n")
    assert retried.result is not None
    assert run_bench(suite, out, Here()) == 0  # the next sitting tries it again
    assert all(status.error is None for status in read_suite_results(suite, out))


def test_a_failure_that_cannot_be_kept_ends_nothing(
    suite: Suite,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As on the full disk that made the cell fail."""

    def write_failure(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench, "write_failure", write_failure)
    assert run_bench(suite, tmp_path / "out", Here(Counter_point_0=2)) == 1
    lost, trained = read_suite_results(suite, tmp_path / "out")
    assert lost.result is None
    assert trained.result is not None
    assert "the failure is not kept: [Errno 28] No space left" in capsys.readouterr().err


def test_a_cell_that_names_nothing_ends_nothing(suite: Suite, tmp_path: Path) -> None:
    point = suite.families["point"]
    methods = {"no_such": point.methods[COUNTER], **point.methods}
    table = msgspec.structs.replace(point, methods=methods)
    wider = msgspec.structs.replace(suite, families={"point": table}, seeds=(0,))
    assert run_bench(wider, tmp_path / "out", Here()) == 1
    unknown, known = read_suite_results(wider, tmp_path / "out")
    assert "no method named 'no_such'" in (unknown.error or "")
    assert known.result is not None


def test_only_what_is_asked_for_is_trained_and_nothing_after_the_time_is_over(
    suite: Suite, tmp_path: Path
) -> None:
    late = Here()
    assert run_bench(suite, tmp_path / "out", late, minutes=-1.0) == 2
    assert late.names == []
    chosen = Here()
    assert run_bench(suite, tmp_path / "out", chosen, only="*-1", seeds=(1, 2)) == 0
    assert chosen.names == ["Counter-point-1"]


def test_when_the_time_is_over_a_training_is_judged_as_it_is_and_goes_on_later(
    suite: Suite, tmp_path: Path
) -> None:
    often = msgspec.structs.replace(suite, save_seconds=0.0, seeds=(0,))
    (cell,) = suite_cells(often)
    folder = cell_folder(cell, tmp_path)
    stopped = cells.train_cell(cell, folder, stop_at=0.0)
    assert (stopped.is_finished, stopped.iterations) == (False, 1)
    (status,) = read_suite_results(often, tmp_path)
    assert (status.result, status.is_current) == (stopped, False)
    assert run_bench(often, tmp_path, Here()) == 0
    (status,) = read_suite_results(often, tmp_path)
    assert status.result is not None
    assert (status.result.is_finished, status.result.iterations) == (True, 2)
    (whole,) = suite_cells(suite, (1,))
    with pytest.raises(PliantError, match="before the first checkpoint"):
        cells.train_cell(whole, cell_folder(whole, tmp_path), stop_at=0.0)


def test_the_curve_ends_with_the_checkpoint_that_is_judged(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluations after it belong to weights that are lost."""
    (cell,) = suite_cells(msgspec.structs.replace(suite, evaluations=1, seeds=(0,)))
    train = cells._train

    def train_and_evaluate_later(run: Run, *arguments: Any) -> bool:
        is_finished = train(run, *arguments)
        path = run.heldout_path("method")
        (last,) = read_log(path, HeldoutProgress)
        later = msgspec.structs.replace(last, iteration=last.iteration + 1)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(later) + b"\n")
        return is_finished

    monkeypatch.setattr(cells, "_train", train_and_evaluate_later)
    result = cells.train_cell(cell, cell_folder(cell, tmp_path))
    assert [line.iteration for line in result.curve] == [result.iterations] == [2]


def test_results_of_other_code_are_shown_as_such(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those that were brought from a machine with other versions."""
    out = tmp_path / "out"
    run_bench(suite, out, Here())
    monkeypatch.setattr("adaptation.jobs.fingerprint.installed_version", lambda package: "0.1")
    statuses = read_suite_results(suite, out)
    assert [status.is_current for status in statuses] == [False, False]
    assert all(status.result is not None for status in statuses)
    longer = msgspec.structs.replace(suite, evaluation_tasks=7)
    assert not any(results(read_suite_results(longer, out)).values())


def test_an_engine_that_is_not_installed_is_left_out_and_named(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = cells.evaluate_policies

    def without_bullet(family: Any, policies: Any, conditions: Any) -> Any:
        if conditions.engine == "bullet":
            raise ModuleNotFoundError("No module named 'pybullet'", name="pybullet")
        return play(family, policies, conditions)

    monkeypatch.setattr(cells, "evaluate_policies", without_bullet)
    table = msgspec.structs.replace(suite.families["point"], engines=("bullet", "ideal"))
    both = msgspec.structs.replace(suite, families={"point": table}, seeds=(0,))
    assert run_bench(both, tmp_path / "out", Here()) == 0
    (status,) = read_suite_results(both, tmp_path / "out")
    assert status.result is not None
    assert list(status.result.grids) == ["ideal"]
    assert status.result.notes == ["Not judged in bullet (pybullet is not installed)"]


@pytest.mark.slow
def test_a_bench_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """In processes, as the command runs it: killed within a training, after a checkpoint."""
    out = tmp_path / "out"
    bench_process = start_bench(out)
    log = wait_for_training(out)
    bench_process.send_signal(signal.SIGKILL)
    bench_process.wait()
    before = read_log(log, TrainProgress)
    assert not list(out.glob("*/result.json"))
    assert run_bench(bench_main.SUITE, out, Here()) == 0
    result = read_result(log.parent)
    assert result is not None
    after = read_log(log, TrainProgress)
    assert [line.iteration for line in after] == list(range(1, result.iterations + 1))
    assert after[0] == before[0]  # to the microsecond of its wall time: it was not trained again


def start_bench(out: Path) -> subprocess.Popen[bytes]:
    script = Path(__file__).parent / "bench_main.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parents[1]), *sys.path])}
    return subprocess.Popen([sys.executable, str(script), str(out)], env=environment)


def wait_for_training(out: Path) -> Path:
    """The log of a training that has saved a checkpoint and goes on."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        for log in out.glob("*/log.jsonl"):
            saved = (log.parent / "method").is_dir()
            if saved and len(read_log(log, TrainProgress)) >= 2:
                return log
        time.sleep(0.02)
    raise AssertionError("no training began")


@pytest.mark.parametrize("name", SUITES)
def test_the_shipped_suites_can_be_trained(name: str) -> None:
    """Every name exists, and there are references."""
    suite = read_suite(name)
    for family, table in suite.families.items():
        assert family in FAMILIES
        assert all(engine in ENGINES for engine in table.engines)
        assert {"blind", "oracle"} <= set(table.methods)
    names = [cell.name for cell in suite_cells(suite)]
    assert len(set(names)) == len(names)


def environment_steps(family: str, method: str, bounds: Training) -> int:
    """Of a training to the bounds of a suite."""
    if bounds.steps is not None:
        return bounds.steps
    built = checkpoint.family_named(family)
    config = checkpoint.method_config(method, built, bounds.preset, bounds.settings)
    schedule = config.schedule
    iterations = bounds.iterations or schedule.iterations
    problem = problem_of(built)
    return (schedule.random_trials + iterations) * iteration_steps(problem, schedule)


def test_the_full_suites_references_act_as_long_as_what_is_compared_with_them() -> None:
    """But for methods that learn from their newest trials alone, as the suite says."""
    exempt = (
        "rl2",
        "rl2_transformer",
        "snail",
        "varibad",
        "maml",
        "fomaml",
        "promp",
        "emaml",
        "maesn",
        "viable",
        "hierarchical",
    )
    for family, table in read_suite("full").families.items():
        steps = {}
        for method, bounds in table.methods.items():
            steps[method] = environment_steps(family, method, bounds)
        longest = max(own for method, own in steps.items() if method not in exempt)
        assert steps["blind"] == steps["oracle"] >= longest, family


BROKEN = {
    "no TOML": ("seeds = [", "Invalid value"),
    "no families": ("seeds = [0]", "families"),
    "no seeds": (TINY_SUITE.replace("[0, 1]", "[]"), "no seeds"),
    "an unknown bound": (TINY_SUITE.replace("iterations", "epochs"), "epochs"),
    "no time": (TINY_SUITE.replace("iterations = 2", "minutes = 0"), "minutes"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=list(BROKEN))
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(BadArgumentError, match=reason):
        read_suite(str(file))
    with pytest.raises(BadArgumentError, match="there are: quick, full, and files"):
        read_suite("slow")


def test_what_ends_a_cell_is_a_result_and_nothing_else(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"format": 1, "cell": 3}')
    with pytest.raises(PliantError, match=r"result\.json"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text('{"format": 0}')
    assert read_result(tmp_path) is None
    assert bench.read_status(suite_cells(suite)[0], tmp_path).result is None
    (tmp_path / "failure.json").write_text('{"cell": 3')
    with pytest.raises(PliantError, match=r"failure\.json"):
        read_failure(tmp_path)
