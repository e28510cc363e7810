"""The contract of every registered executor; see ``adaptation.jobs.executor.Executor``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import executor_jobs
import pytest
import worker_parts
from ray_parts import loopback_environment, needs_ray

from adaptation.jobs.executor import Executor, Job, Outcome
from adaptation.jobs.executors import EXECUTORS
from adaptation.jobs.workers import LostWorkerError
from robots.errors import PliantError

PATIENCE = 120.0  # s, on a busy machine
MARKS = {"ray": [needs_ray, pytest.mark.slow]}
KINDS = [pytest.param(name, marks=MARKS.get(name, [])) for name in EXECUTORS]


@pytest.fixture(scope="module", params=KINDS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor[Any]]:
    """With two workers; started once for all tests, as Ray takes seconds to start."""
    with loopback_environment(), EXECUTORS[request.param](2) as started:
        yield started


def run_all(executor: Executor[Any], *jobs: Job[Any]) -> dict[str, Outcome[Any]]:
    for job in jobs:
        executor.submit(job)
    return {outcome.job.name: outcome for outcome in executor.completed(PATIENCE)}


def test_results_and_every_kind_of_failure_are_outcomes(
    executor: Executor[Any], tmp_path: Path
) -> None:
    """A job that crashes or is killed ends no other, and its error is told with its name."""
    output = tmp_path / "square" / "output.txt"
    outcomes = run_all(
        executor,
        Job("square", executor_jobs.square, (7,), output=output),
        Job("fail", executor_jobs.fail, ("no such thing",)),
        Job("die", executor_jobs.die, ()),
        Job("leave", executor_jobs.leave, (3,)),
        Job("hang", executor_jobs.hang, (), seconds=0.5),
        Job("threads", executor_jobs.threads, ()),
    )
    results = {name: outcome.result for name, outcome in outcomes.items()}
    failed = dict.fromkeys(("fail", "die", "leave", "hang"))
    assert results == {"square": 49, "threads": "1", **failed}
    errors = {name: outcome.error or "" for name, outcome in outcomes.items()}
    assert errors["square"] == ""
    assert errors["fail"].endswith("ValueError: no such thing\n")
    assert "exit status -9" in errors["die"]
    assert "exit status 3" in errors["leave"]
    assert "time limit of 0.00833 minutes" in errors["hang"]
    assert output.read_text() == "squaring 7\n"


def test_a_job_may_be_submitted_while_outcomes_come(executor: Executor[Any]) -> None:
    executor.submit(Job("first", executor_jobs.square, (2,)))
    results = []
    for outcome in executor.completed(PATIENCE):
        results.append(outcome.result)
        if len(results) == 1:
            executor.submit(Job("second", executor_jobs.square, (3,)))
    assert results == [4, 9]


def test_a_folder_is_as_the_job_has_left_it_when_its_outcome_comes(
    executor: Executor[Any], tmp_path: Path
) -> None:
    """Also after a failure, from which the next attempt goes on."""
    known = tmp_path / "known"
    (known / "deeper").mkdir(parents=True)
    (known / "deeper" / "number").write_text("41")
    (known / "garbage").touch()
    new = tmp_path / "new"
    broken = tmp_path / "broken"
    jobs = [
        Job("known", executor_jobs.count_up, (known, "number"), folder=known),
        Job("new", executor_jobs.count_up, (new, "number"), folder=new),
        Job("broken", executor_jobs.fail_after_writing, (broken,), folder=broken),
    ]
    for job in jobs:
        executor.submit(job)
    found = {}
    for outcome in executor.completed(PATIENCE):
        folder = outcome.job.folder
        assert folder is not None
        files = [path for path in folder.rglob("*") if path.is_file()]
        texts = {path.relative_to(folder).as_posix(): path.read_text() for path in files}
        found[outcome.job.name] = (outcome.result, texts)
    assert found == {
        "known": (42, {"deeper/number": "42"}),
        "new": (1, {"deeper/number": "1"}),
        "broken": (None, {"half": "done"}),
    }
    assert {path.name for path in tmp_path.iterdir()} == {"known", "new", "broken"}


def test_results_have_the_bits_of_a_process_with_one_thread(executor: Executor[Any]) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    expected = executor_jobs.numbers(3)
    torch.set_num_threads(before)
    outcome = run_all(executor, Job("numbers", executor_jobs.numbers, (3,)))["numbers"]
    assert outcome.error is None
    assert outcome.result == expected


def test_jobs_begin_in_the_order_in_which_they_were_submitted(
    executor: Executor[Any], tmp_path: Path
) -> None:
    """Of more jobs than workers, the later ones begin only when an earlier one has ended."""
    for name in "abc":
        folder = tmp_path / name
        arguments = (folder, tmp_path)
        executor.submit(Job(name, executor_jobs.wait_for_release, arguments, folder=folder))
    ends = 0
    while ends < 200 and len(marked(tmp_path)) < 2:
        assert list(executor.completed(0.5)) == []
        ends += 1
    assert marked(tmp_path) == ["a", "b"]
    (tmp_path / "release").touch()
    outcomes = [outcome.job.name for outcome in executor.completed(PATIENCE)]
    assert sorted(outcomes) == ["a", "b", "c"]
    assert marked(tmp_path) == ["a", "b", "c"]


def test_a_worker_keeps_what_it_has_built(executor: Executor[Any]) -> None:
    """Until its function raises an error, which is not repeated."""
    worker = executor.start_worker(worker_parts.build_sum, 10)
    worker.send(1)
    assert worker.receive() == 11
    worker.send(executor.share(2))
    assert worker.receive() == 13
    worker.send(-1)
    with pytest.raises(PliantError, match="no negative numbers") as caught:
        worker.receive()
    assert not isinstance(caught.value, LostWorkerError)
    worker.close()


def test_a_worker_that_cannot_be_built_says_why(executor: Executor[Any]) -> None:
    worker = executor.start_worker(worker_parts.build_nothing)
    worker.send()
    with pytest.raises(PliantError, match="cannot be built"):
        worker.receive()
    worker.close()


def marked(marks: Path) -> list[str]:
    """The names of the jobs that have begun."""
    return sorted(path.name.partition(".")[0] for path in marks.glob("?.*"))
