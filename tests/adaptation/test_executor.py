"""What only the executor with local processes does; ``contracts`` has what all of them do."""

import os
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import executor_jobs

from adaptation.jobs.executor import Job, Outcome, ProcessExecutor

PATIENCE = 60.0  # s, on a busy machine


def run_all(workers: int, *jobs: Job[object]) -> dict[str, Outcome[object]]:
    with ProcessExecutor[object](workers) as executor:
        for job in jobs:
            executor.submit(job)
        return {outcome.job.name: outcome for outcome in executor.completed(PATIENCE)}


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_has_answered_may_end_by_itself(tmp_path: Path) -> None:
    """As one that is killed would leave its semaphores behind."""
    file = tmp_path / "ended"
    run_all(1, Job("touch", executor_jobs.touch_at_exit, (file,)))
    assert file.exists()


def test_what_runs_when_the_time_is_over_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "process"
    with ProcessExecutor[int](2) as executor:
        executor.submit(Job("hang", executor_jobs.hang_after_touching, (file,)))
        executor.submit(Job("square", executor_jobs.square, (2,)))
        for outcome in executor.completed(inf):
            assert outcome.job.name == "square"
            assert list(executor.completed(0.0)) == []
            break
        assert executor.running == ["hang"]
        wait_for(file)
    assert not is_alive(int(file.read_text()))


def test_a_job_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also where that process was killed: an orphan would train on, for nobody."""
    file = tmp_path / "process"
    program = f"""
import pathlib, executor_jobs
from adaptation.jobs.executor import Job, ProcessExecutor
if __name__ == "__main__":
    executor = ProcessExecutor(1)
    executor.submit(Job("hang", executor_jobs.hang_after_touching, (pathlib.Path({str(file)!r}),)))
    list(executor.completed())
"""
    script = tmp_path / "parent.py"
    script.write_text(program)
    folders = [str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment)
    wait_for(file)
    parent.kill()
    parent.wait()
    ends = time.monotonic() + PATIENCE
    job = int(file.read_text())
    while is_alive(job) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not is_alive(job)


def wait_for(file: Path) -> None:
    """Until it holds something."""
    ends = time.monotonic() + PATIENCE
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.02)
