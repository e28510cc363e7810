"""A Ray cluster is on loopback, or is joined by address and token; no test needs Ray."""

import errno
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adaptation.jobs import ray_access, ray_cluster, ray_executor
from adaptation.jobs.executor import Job, ProcessExecutor
from adaptation.jobs.executors import EXECUTORS
from adaptation.jobs.packed_folder import pack_folder
from adaptation.jobs.ray_access import BEYOND_LOOPBACK, check_ray, ray_environment
from adaptation.jobs.ray_executor import RayExecutor
from robots.errors import BadArgumentError, MissingExtraError, PliantError, RefusedError

REMOTE = "10.0.0.1:6379"


def test_our_own_cluster_is_on_loopback_and_has_a_token() -> None:
    variables = ray_environment(None, {})
    assert variables[BEYOND_LOOPBACK] == "0"
    assert variables["RAY_AUTH_MODE"] == "token"
    assert len(variables["RAY_AUTH_TOKEN"]) >= 32
    assert variables["RAY_USAGE_STATS_ENABLED"] == "0"
    assert ray_environment(None, {"RAY_AUTH_TOKEN": "mine"})["RAY_AUTH_TOKEN"] == "mine"


@pytest.mark.parametrize("address", [REMOTE, "127.0.0.1:6379", "localhost:6379", "[::1]:6379"])
def test_an_address_without_a_token_is_refused(address: str, tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.write_text("\n")
    nowhere = {"HOME": str(tmp_path)}
    for environment in (
        nowhere,
        {**nowhere, "RAY_AUTH_TOKEN": ""},
        {**nowhere, "RAY_AUTH_TOKEN_PATH": str(empty)},
        {**nowhere, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")},
    ):
        with pytest.raises(BadArgumentError, match="needs the cluster's token"):
            ray_environment(address, environment)


def test_a_token_of_the_environment_or_of_a_file_is_accepted(tmp_path: Path) -> None:
    kept = tmp_path / ".ray" / "auth_token"
    kept.parent.mkdir()
    kept.write_text("secret")
    for environment in (
        {"HOME": "/", "RAY_AUTH_TOKEN": "secret"},
        {"HOME": "/", "RAY_AUTH_TOKEN_PATH": str(kept)},
        {"HOME": str(tmp_path)},
    ):
        remote = ray_environment(REMOTE, environment)
        assert remote["RAY_AUTH_MODE"] == "token"
        assert BEYOND_LOOPBACK not in remote
        assert ray_environment("127.0.0.1:6379", environment)[BEYOND_LOOPBACK] == "0"


@pytest.mark.parametrize("address", ["auto", "local", "head", "head:", ":6379", "ray://head:10001"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(BadArgumentError, match="HOST:PORT"):
        ray_environment(address, {"RAY_AUTH_TOKEN": "secret"})


def test_without_ray_or_with_one_that_has_no_tokens_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(ray_access, "version", missing)
    with pytest.raises(MissingExtraError, match=r"pip install '/path/to/pliant\[ray\]'"):
        EXECUTORS["ray"].check(None)
    monkeypatch.setattr(ray_access, "version", lambda package: "2.51.2")
    with pytest.raises(RefusedError, match=r"ray 2\.51\.2 cannot ask for a token"):
        EXECUTORS["ray"](1)
    monkeypatch.setattr(ray_access, "version", lambda package: "2.52.0")
    check_ray()


def test_processes_take_no_address() -> None:
    with pytest.raises(BadArgumentError, match="--address is of --executor ray"):
        ProcessExecutor[int](1, REMOTE)


ANSWERS = {
    "it takes a wrong token": ("", RefusedError, "asks for no token: start its nodes with"),
    "nobody answers": ("raise SystemExit('no route')", PliantError, "head:1: no route"),
    "not in time": ("import time; time.sleep(60)", PliantError, "answers at head:1: .* timed out"),
}


@pytest.mark.parametrize(("probe", "kind", "reason"), ANSWERS.values(), ids=list(ANSWERS))
def test_only_a_cluster_that_refuses_a_wrong_token_is_joined(
    monkeypatch: pytest.MonkeyPatch, probe: str, kind: type[PliantError], reason: str
) -> None:
    monkeypatch.setattr(ray_cluster, "PROBE", probe)
    monkeypatch.setattr(ray_cluster, "PROBE_SECONDS", 1.0 if "sleep" in probe else 60.0)
    with pytest.raises(kind, match=reason):
        ray_cluster.check_token_is_asked("head:1")


def test_a_cluster_that_refuses_a_wrong_token_asks_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe = "import os, sys; sys.exit(f'AuthenticationError {os.environ[\"RAY_AUTH_TOKEN\"]}')"
    monkeypatch.setattr(ray_cluster, "PROBE", probe)
    ray_cluster.check_token_is_asked("head:1")


class Coreless:
    """A cluster whose machines are gone; it cannot be told to end a job either."""

    def __init__(self) -> None:
        self.ray = self
        self.looks = 0
        self.is_closed = False

    def cores(self) -> int:
        self.looks += 1
        return 0

    def wait(self, references: list[object], timeout: float) -> tuple[list[object], list[object]]:
        ray_executor.sleep(timeout)
        return [], references

    def cancel(self, reference: object, force: bool) -> None:
        raise ConnectionError("gone")

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes while an executor waits, but the test does not take it."""
    now = 0.0

    def monotonic() -> float:
        nonlocal now
        now += 1e-3
        return now

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(ray_executor, "monotonic", monotonic)
    monkeypatch.setattr(ray_executor, "sleep", sleep)


def executor_on(cluster: Any) -> RayExecutor[int]:
    """An executor as it is once it has joined a cluster."""
    executor: RayExecutor[int] = object.__new__(RayExecutor)
    vars(executor).update(
        _cluster=cluster,
        _ray=cluster.ray,
        _workers=None,
        _waiting=[],
        _running={},
        _without_cores_since=None,
        received_bytes=0,
    )
    return executor


@pytest.mark.usefixtures("no_time")
def test_a_cluster_without_a_core_is_looked_at_now_and_then() -> None:
    cluster = Coreless()
    executor = executor_on(cluster)
    executor.submit(Job("waits", abs, (1,)))
    assert list(executor.completed(10.0)) == []
    assert cluster.looks <= 10 / ray_executor.CHECK_INTERVAL + 1


@pytest.mark.usefixtures("no_time")
@pytest.mark.parametrize("is_sent", [False, True])
def test_a_cluster_without_a_core_is_not_waited_for_for_ever(is_sent: bool) -> None:
    """Nor where a job was sent just before the last machine was lost."""
    executor = executor_on(Coreless())
    if is_sent:
        executor._running["reference"] = ray_executor._Sent(Job("sent", abs, (1,)))
    else:
        executor.submit(Job("waits", abs, (1,)))
    began = ray_executor.monotonic()
    with pytest.raises(PliantError, match="has had no core for 300 s"):
        list(executor.completed())
    assert ray_executor.monotonic() - began == pytest.approx(ray_cluster.CORE_SECONDS, abs=10)


class Answers:
    """Ray, whose tasks have ended, each with an answer."""

    exceptions = SimpleNamespace(RayTaskError=KeyError, RayError=ConnectionError)

    def __init__(self) -> None:
        self.ray = self

    def cores(self) -> int:
        return 1

    def wait(self, references: list[object], timeout: float) -> tuple[list[object], list[object]]:
        return references, []

    def get(self, reference: Any) -> Any:
        return reference


def test_results_that_cannot_be_written_fail_their_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full when a folder comes back."""
    replace_folder = ray_executor.replace_folder

    def replace_or_fail(packed: bytes, folder: Path) -> None:
        if folder.name == "large":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_folder(packed, folder)

    monkeypatch.setattr(ray_executor, "replace_folder", replace_or_fail)
    executor = executor_on(Answers())
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "file").write_text("results")
    for name in ("large", "small"):
        answer = ray_executor.Answer(1, None, 2.0, pack_folder(tmp_path / "sent"), b"")
        job: Job[int] = Job(name, abs, (1,), folder=tmp_path / name)
        executor._running[answer._replace(printed=name.encode())] = ray_executor._Sent(job)
    outcomes = {outcome.job.name: outcome for outcome in executor.completed()}
    assert outcomes["small"].error is None
    assert (tmp_path / "small" / "file").read_text() == "results"
    assert outcomes["large"].result is None
    assert "No space left on device" in (outcomes["large"].error or "")


def test_an_executor_leaves_a_cluster_that_does_not_answer() -> None:
    cluster = Coreless()
    executor = executor_on(cluster)
    executor._running["reference"] = ray_executor._Sent(Job("runs", abs, (1,)))
    with pytest.raises(ConnectionError):
        executor.close()
    assert cluster.is_closed
