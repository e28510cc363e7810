"""Two nodes of a Ray cluster on this machine: what a lost one costs, and what may be joined."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import executor_jobs
import msgspec
import pytest
import worker_parts
from bench_main import run_bench
from ray_parts import loopback_environment, needs_ray
from test_bench import COUNTER

from adaptation.jobs import ray_cluster
from adaptation.jobs.bench import read_suite_results
from adaptation.jobs.cell_records import CellResult
from adaptation.jobs.executor import Executor, Job, ProcessExecutor
from adaptation.jobs.ray_executor import MOST_LOSSES, RayExecutor
from adaptation.suites import FamilyTable, Suite, Training
from robots.errors import PliantError

PATIENCE = 200.0  # s, on a busy machine
LISTENING = "0A"  # a state in /proc/net/tcp
LOOPBACK = {"0100007F", "0" * 16 + "FFFF00000100007F"}  # 127.0.0.1, and the same as IPv6

pytestmark = [needs_ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a core each, on loopback, with a token."""
    with loopback_environment():
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=node)
        started.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        yield started
        started.shutdown()


def test_a_suite_has_the_same_bits_as_with_processes_and_comes_back_without_a_shared_disk(
    cluster: Any, tmp_path: Path
) -> None:
    suite = Suite(
        {"point": FamilyTable({COUNTER: Training(iterations=2)}, tasks=3)},
        seeds=(0, 1),
        evaluations=0,
    )
    found = {}
    executors: dict[str, Executor[CellResult]] = {
        "processes": ProcessExecutor(2),
        "ray": RayExecutor(2, cluster.address),
    }
    for name, executor in executors.items():
        out = tmp_path / name
        assert run_bench(suite, out, executor) == 0
        for status in read_suite_results(suite, out):
            assert status.result is not None
            folder = out / f"{status.cell.name}-{status.result.hash}"
            weights = (folder / "method" / "weights.safetensors").read_bytes()
            key = (name, status.cell.name)
            found[key] = (weights, msgspec.json.encode(status.result.grids))
            assert "Counter" in (folder / "config.json").read_text()
            assert (folder / "output.txt").exists()
        assert run_bench(suite, out, executor) == 0  # nothing is left to train
        executor.close()
    for cell in ("Counter-point-0", "Counter-point-1"):
        assert found["ray", cell] == found["processes", cell]


def test_our_own_cluster_listens_on_loopback_alone() -> None:
    with loopback_environment(), RayExecutor[int](1) as executor:
        executor.submit(Job("square", executor_jobs.square, (3,)))
        assert [outcome.result for outcome in executor.completed(PATIENCE)] == [9]
        hosts = listening_hosts(descendants(os.getpid()))
    assert hosts
    assert hosts <= LOOPBACK


def descendants(process: int) -> set[int]:
    """All processes that a process has started, and those that they have started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {process}
    while True:
        more = {child for child, parent in parents.items() if parent in found} | found
        if more == found:
            return found
        found = more


def listening_hosts(processes: set[int]) -> set[str]:
    """The addresses, as the kernel writes them, that processes listen on."""
    sockets = set()
    for process in processes:
        for handle in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(os.readlink(handle))
            except OSError:  # it has been closed
                continue
    hosts = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                hosts.add(fields[1].partition(":")[0])
    return hosts


def test_a_cluster_that_asks_for_its_token_is_joined_and_a_job_is_not_lost_for_ever(
    cluster: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one that takes its machine along, each time anew; the others go on."""
    with RayExecutor[int](address=cluster.address) as executor:
        executor.submit(Job("deadly", executor_jobs.kill_parent, ()))
        executor.submit(Job("square", executor_jobs.square, (3,)))
        outcomes = {outcome.job.name: outcome for outcome in executor.completed(PATIENCE)}
    assert outcomes["square"].result == 9
    assert (outcomes["deadly"].error or "").startswith(f"lost {MOST_LOSSES} times: ")
    assert capsys.readouterr().err.count("sent again: deadly") == MOST_LOSSES - 1


def test_a_worker_that_gets_no_core_is_not_waited_for_for_ever(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RayExecutor[int](address=cluster.address) as executor:
        workers = [executor.start_worker(worker_parts.build_sum, 0) for _ in range(3)]
        for worker in workers:
            worker.send(1)
        assert [worker.receive() for worker in workers[:2]] == [1, 1]
        monkeypatch.setattr(ray_cluster, "CORE_SECONDS", 1.0)
        with pytest.raises(PliantError, match="each needs a core, and the Ray cluster has 2"):
            workers[2].receive()
        for worker in workers:
            worker.close()


def test_a_node_that_is_killed_loses_no_finished_cell_and_its_own_is_trained_elsewhere(
    cluster: Any, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    executor = RayExecutor[int](address=cluster.address)
    first = tmp_path / "first"
    executor.submit(Job("first", executor_jobs.count_up, (first, "number"), folder=first))
    assert [outcome.result for outcome in executor.completed(PATIENCE)] == [1]
    for name in "ab":
        folder = tmp_path / name
        job = Job(name, executor_jobs.wait_for_release, (folder, marks), folder=folder)
        executor.submit(job)
    while len(list(marks.iterdir())) < 2:
        assert list(executor.completed(0.2)) == []
    (lost,) = cluster.worker_nodes
    cluster.remove_node(lost, allow_graceful=False)
    (marks / "release").touch()
    outcomes = {outcome.job.name: outcome for outcome in executor.completed(PATIENCE)}
    assert {name: outcome.error for name, outcome in outcomes.items()} == {"a": None, "b": None}
    attempts = [path.name for path in marks.glob("?.*")]
    assert len(attempts) == 3, "one of the two was begun again"
    for name in "ab":
        assert (tmp_path / name / "finished").read_text() == name
    assert (first / "deeper" / "number").read_text() == "1"
    executor.close()
