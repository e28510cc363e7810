"""A trial runs every policy once with every object, however often it was stopped."""

import builtins
import errno
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import tiny
import torch

from adaptation import cli
from adaptation.belief_keeper import summarize
from adaptation.jobs import arm_session, collection
from adaptation.jobs import train as train_job
from adaptation.jobs.arm_session import ArmSession
from adaptation.jobs.deploy import deploy
from adaptation.jobs.operator_console import EndedByOperator, OperatorConsole
from adaptation.jobs.placing import OperatorPlacer
from adaptation.jobs.trial import NOT_PARKED, NOT_RECORDED, run_objects, run_trial, run_worker
from adaptation.jobs.trial_folder import TrialConfig, open_or_resume, read_episodes
from adaptation.problem import problem_of
from adaptation.reporting.report import write_report
from adaptation.reporting.trial_page import find_run, read_header
from adaptation.runs import archive
from adaptation.runs.log import read_log
from adaptation.runs.records import EpisodeRecord, TrialResult
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from hw_interface.control.events import Mode
from hw_interface.control.timing import Quantiles, Timing
from hw_interface.drivers import DRIVERS
from hw_interface.recording.process import RecorderProcess, RecordTo
from hw_interface.trackers.emulated_placer import EmulatedPlacer
from policies.method import Scores, Transition
from policies.methods import METHODS
from robots.errors import ArmError, BadArgumentError, DamagedError, PliantError, RefusedError
from robots.scene import FLAT_OBJECT, SceneObject
from robots.signals import Array, Verdict
from robots.world import Step

pytestmark = pytest.mark.usefixtures("registered")

OBJECTS = 4
EPISODES = tiny.Tiny.episodes
TICKS = tiny.Tiny.horizon
NEVER = 10**9  # ticks
QUANTILES = Quantiles(p50=0.0, p99=0.001, max=0.002)
TIMING = Timing(500.0, 75, 0, False, QUANTILES, QUANTILES)


@dataclass(frozen=True)
class Opened:
    """How an arm was opened."""

    arm: str
    driver: str
    clock: str
    recording: str | None
    placer: type
    tracker: str | None


class Arm(tiny.World):
    """An arm in a few lines, in place of ``ArmWorld``."""

    until_power_cut = NEVER  # ticks
    until_fault = NEVER  # ticks
    missing_folder: Path | None = None  # where nothing can be recorded
    park_failure: str | None = None  # why it does not reach its rest pose
    opened: list[Opened] = []  # noqa: RUF012
    done: list[str] = []  # noqa: RUF012  # in the order of its calls
    mode = Mode.RUNNING
    is_held = False
    wait_for_operator = None
    on_frame: Callable[[Any], None]  # set by the recorder

    def __init__(
        self,
        family: Any,
        arm: Any,
        driver: str,
        driver_options: dict[str, Any],
        clock: str,
        record_to: RecordTo | None,
        seed: int,
        placer: Any,
        tracker: str | None,
        tracker_options: dict[str, Any] | None,
        latency: float,
    ) -> None:
        super().__init__(family, "", 1, 0)
        recording = record_to.folder.name if record_to is not None else None
        opened = Opened(arm.name, driver, clock, recording, type(placer), tracker)
        Arm.opened.append(opened)
        self.clock = clock
        if Arm.missing_folder is not None:
            record_to = RecordTo(Arm.missing_folder)
        else:
            record_to = None  # records nothing
        self.recorder = RecorderProcess(record_to, family, arm, "", lockstep=True)
        self.events: list[dict[str, Any]] = []
        self.moves = SimpleNamespace(park=self.park)
        self.control = SimpleNamespace(
            state={"missed_ticks": 0},
            explain_mode=lambda: "FAULT: OPERATOR_STOP",
            final_state=None,
            process=SimpleNamespace(exitcode=0),
        )

    @property
    def is_latched(self) -> bool:
        return Arm.until_fault <= 0

    def park(self) -> None:
        Arm.done.append("park")
        if Arm.park_failure is not None:
            raise ArmError(Arm.park_failure)

    def close(self) -> None:
        super().close()
        Arm.done.append("close")

    def reset(self, task: Any) -> Array:
        if Arm.until_fault <= 0:
            raise ArmError(f"begin was refused, the arm is in {self.control.explain_mode()}")
        return super().reset(task)

    def step(self, action: Array) -> Step:
        Arm.until_power_cut -= 1
        Arm.until_fault -= 1
        if self.tick == 3:
            event = {"number": len(self.events), "event": "STALE", "stamp": 0.0, "detail": 0.3}
            self.events.append(event)
        if Arm.until_power_cut < 0:
            raise KeyboardInterrupt
        verdict = Verdict.LIMITED | Verdict.HELD
        if Arm.until_fault <= 0:
            verdict |= Verdict.FAULT
        step = replace(super().step(action), verdict=np.array([int(verdict)]))
        self.on_frame(self)
        return step

    @property
    def signals(self) -> Any:
        return SimpleNamespace(
            q=self.at,
            object_pos=np.zeros((1, 3)),
            object_quat=np.eye(4)[:1],
            marker=np.array([[1.0, np.nan, 0.0]]),
            stamp=np.array([self.tick * self.dt]),
        )

    def timing(self) -> Timing | None:
        return TIMING if self.clock == "realtime" else None


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs a run keeps it for the others."""
    return tmp_path_factory.mktemp("shared") / "run"


@pytest.fixture
def trained(tmp_path: Path, shared_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with a method and both references, which a test may change."""
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    monkeypatch.setattr(arm_session, "ArmWorld", Arm)
    monkeypatch.setitem(METHODS._entries, "blind", "tiny:Counter")
    monkeypatch.setitem(METHODS._entries, "oracle", "tiny:PrivilegedCounter")
    monkeypatch.setattr(Arm, "until_power_cut", NEVER)
    monkeypatch.setattr(Arm, "until_fault", NEVER)
    monkeypatch.setattr(Arm, "opened", [])
    monkeypatch.setattr(Arm, "done", [])
    monkeypatch.setattr(Arm, "missing_folder", None)
    monkeypatch.setattr(Arm, "park_failure", None)
    if not shared_run.exists():
        config = RunConfig("counter", "tiny", iterations=1, references=False)
        run = Run.create(shared_run, config)
        for role in ("method", "blind", "oracle"):
            train_job.train_role(run, role, None, lambda share, progress: None)
    return Path(shutil.copytree(shared_run, tmp_path / "run"))


@pytest.fixture
def real_driver(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(DRIVERS._entries, "real", "tiny:RemoteDriver")
    return "real"


def config_of(path: Path, **changes: Any) -> TrialConfig:
    return TrialConfig(**{"run": str(path), "arm": "tiny-arm", "objects": OBJECTS, **changes})


def try_out(path: Path, folder: Path | None = None, **changes: Any) -> TrialResult:
    """Run a trial in this process, as a new command does."""
    return run_trial(Run.open(path), config_of(path, **changes), folder or path / "trial")


def without_seconds(result: TrialResult) -> TrialResult:
    return msgspec.structs.replace(result, seconds=0.0)


def without_events(record: EpisodeRecord) -> EpisodeRecord:
    """Events are numbered by the arm's session."""
    return msgspec.structs.replace(record, events=[])


def test_every_policy_meets_every_object(trained: Path) -> None:
    result = try_out(trained)
    records = read_episodes(trained / "trial")
    expected = {}
    for policy in ("adapted", "no_adaptation", "blind", "oracle"):
        for number in range(OBJECTS):
            expected[policy, number] = EPISODES
    assert Counter((record.policy, record.object) for record in records) == expected
    objects = [json.dumps(record.task) for record in records]
    numbers = [record.object for record in records]
    assert len(set(objects)) == len(set(zip(objects, numbers, strict=True))) == OBJECTS
    assert (result.tasks, result.episodes) == (OBJECTS, EPISODES)
    ticks = len(expected) * EPISODES * TICKS
    assert result.verdicts == {"LIMITED": ticks, "HELD": ticks}
    for record in records:
        assert [event.event for event in record.events] == ["STALE"]
        assert len(record.trace.q) == len(record.trace.t) == record.ticks == TICKS
    last = [r.returns for r in records if r.policy == "adapted" and r.episode == 2]
    assert result.adapted.returns[2] == pytest.approx(np.mean(last))
    written = (trained / "trial" / "result.json").read_bytes()
    assert msgspec.json.decode(written, type=TrialResult) == result


def test_every_object_meets_other_random_draws_that_all_policies_of_a_method_share(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(trained)
    assert len(list(run.policies("tiny-arm"))) == 4
    draws: list[float] = []
    prior = tiny.Counter.prior

    def draw_prior(self: tiny.Counter, n: int, task: Any = None) -> tiny.Count:
        drawn = torch.rand(n, generator=self.generator)
        if n == 1:
            draws.append(float(drawn))
        return prior(self, n, task)

    monkeypatch.setattr(tiny.Counter, "prior", draw_prior)
    run_trial(run, config_of(trained), trained / "trial")
    by_object = np.array(draws).reshape(OBJECTS, 4)
    np.testing.assert_array_equal(by_object[:, 0], by_object[:, 1])
    assert len(np.unique(by_object[:, 0])) == OBJECTS


def test_every_policy_meets_an_object_at_the_same_starts_and_other_objects_at_others(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []
    reset = Arm.reset

    def record(self: Arm, task: Any) -> Array:
        starts.append(reset(self, task)[0])
        return np.array([starts[-1]])

    monkeypatch.setattr(Arm, "reset", record)
    try_out(trained)
    found = np.array(starts).reshape(OBJECTS, 4, EPISODES, 2)
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], found.shape))
    assert len(np.unique(found[..., 0])) == OBJECTS * EPISODES


def test_an_episode_s_record_holds_its_metrics_and_what_was_measured(trained: Path) -> None:
    result = try_out(trained)
    record = read_episodes(trained / "trial")[0]
    goal = np.array([record.task["goal.x"], record.task["goal.y"]])
    end = np.array(record.trace.q[-1])
    assert record.metrics["distance_m"] == pytest.approx(np.linalg.norm(end - goal), abs=1e-4)
    assert result.adapted.metrics["distance_m"][0] > 0
    assert record.trace.marker[0] == [1.0, None, 0.0]
    assert record.timing is None


def test_the_json_has_the_documented_keys(trained: Path) -> None:
    try_out(trained)
    document = json.loads((trained / "trial" / "result.json").read_text())
    policies = ["adapted", "no_adaptation", "blind", "oracle"]
    differences = ["adaptation", "over_blind", "over_rivals", "gap_closed"]
    sample = ["interval_over", "seeds", "tasks", "trials", "episodes"]
    job = ["seconds", "run", "commit"]
    expected = [*policies, "rivals", *differences, *sample, *job]
    assert list(document)[: len(expected)] == expected
    result = ["success", "success_interval", "metrics", "metric_medians", "returns"]
    for name in policies:
        assert list(document[name]) == result
        assert list(document[name]["metrics"]) == ["distance_m"]
        assert len(document[name]["returns"]) == len(document[name]["success"]) == EPISODES
    estimate = ["success", "gained", "lost", "mcnemar_p", "value", "interval"]
    assert list(document["adaptation"]) == list(document["over_blind"]) == estimate
    assert list(document["gap_closed"]) == ["value", "interval", "note"]
    line = json.loads((trained / "trial" / "episodes-0.jsonl").read_text().splitlines()[0])
    assert "return" in line
    assert "returns" not in line


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file of a run is read from now on, by its path within the run."""
    reads: Counter[str] = Counter()
    read_checkpoint = archive.read
    open_file = io.open

    def counted_checkpoint(folder: Path) -> dict[str, bytes]:
        reads[folder.name] += 1
        return read_checkpoint(folder)

    def counted_open(file: Any, *args: Any, **kwargs: Any) -> Any:
        if Path(str(file)).name == "config.json":
            reads["config.json"] += 1
        return open_file(file, *args, **kwargs)

    monkeypatch.setattr(archive, "read", counted_checkpoint)
    monkeypatch.setattr(io, "open", counted_open)  # what every method of Path opens files by
    monkeypatch.setattr(builtins, "open", counted_open)
    return reads


def test_a_trial_reads_the_config_and_each_checkpoint_once(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(monkeypatch)
    command = ["trial", str(trained), "--arm", "tiny-arm", "--objects", "2", "--workers", "1"]
    assert cli.main([*command, "--realtime-episodes", "1"]) == 0
    assert reads == {"config.json": 1, "method": 1, "blind": 1, "oracle": 1}


def test_a_worker_is_handed_what_was_read(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its share of the objects is the same as in one process, without any file of the run."""
    try_out(trained, trained / "whole", objects=2)
    run = Run.open(trained)
    assert len(list(run.policies("tiny-arm"))) == 4
    sent = ForkingPickler.dumps(run)
    shutil.move(trained / "whole", trained.with_name("whole"))
    shutil.rmtree(trained)
    reads = count_reads(monkeypatch)
    folder = trained.with_name("share")
    run_objects(ForkingPickler.loads(sent), config_of(trained, objects=2), folder, 1, 2)
    whole = read_episodes(trained.with_name("whole"))
    expected = [record for record in whole if record.object == 1]
    assert [without_events(record) for record in read_episodes(folder)] == [
        without_events(record) for record in expected
    ]
    assert reads == {}


def test_a_stopped_trial_resumes_where_it_was_and_ends_as_an_unbroken_one(
    trained: Path, tmp_path: Path
) -> None:
    whole = try_out(trained, tmp_path / "whole")
    Arm.until_power_cut = 100  # six objects or policies of 15 ticks, and a part
    with pytest.raises(KeyboardInterrupt):
        try_out(trained, tmp_path / "parts")
    finished = read_log(tmp_path / "parts" / "episodes-0.jsonl", EpisodeRecord)
    assert len(finished) == 6 * EPISODES
    Arm.until_power_cut = 10 * 15  # just enough for the ten that are left
    parts = try_out(trained, tmp_path / "parts")
    assert read_episodes(tmp_path / "parts")[: len(finished)] == finished
    assert without_seconds(parts) == without_seconds(whole)


@pytest.mark.parametrize("tick", [2 * EPISODES * TICKS + 3, 3 * EPISODES * TICKS])
def test_a_latched_fault_fails_the_trial_which_then_resumes_there(
    trained: Path, capfd: pytest.CaptureFixture[str], tick: int
) -> None:
    """Within an object's trial, and at its last tick, after which nothing is asked of the arm."""
    command = ["trial", str(trained), "--arm", "tiny-arm", "--objects", "2", "--workers", "1"]
    Arm.until_fault = tick
    assert cli.main(command) == 1
    assert "FAULT" in capfd.readouterr().err
    finished = read_episodes(trained / "trial")
    assert len(finished) == 2 * EPISODES, "what a fault cut short is no measurement"
    Arm.until_fault = NEVER  # an operator has cleared it and starts the trial again
    assert cli.main(command) == 0
    records = read_episodes(trained / "trial")
    keys = {(record.object, record.policy, record.episode) for record in records}
    assert len(records) == len(keys) == 2 * 4 * EPISODES
    assert not any("FAULT" in record.verdicts for record in records)


def run_for_script(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """Exit status, answer and standard error of a command with ``--json``."""
    capfd.readouterr()
    stdout = os.dup(1)  # the command gives it away: its process ends then
    status = cli.main([*words, "--json"])
    os.dup2(stdout, 1)
    os.close(stdout)
    output = capfd.readouterr()
    return status, json.loads(output.out.splitlines()[-1]), output.err


def test_a_recording_that_fails_is_told_once_and_by_the_exit_status(
    trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("deploy", str(trained), "--arm", "tiny-arm")
    status, answer, _ = run_for_script(capfd, *words)
    assert status == 0
    assert answer["recording_error"] is None
    Arm.missing_folder = tmp_path / "nowhere"
    status, answer, complaint = run_for_script(capfd, *words)
    assert status == 1
    assert complaint.count("nothing is recorded") == 1
    assert "nothing is recorded" in answer["recording_error"]
    assert [event["event"] for event in answer["events"]].count("RECORDING_FAILED") == 1
    assert answer["episodes"] > 0
    trial = ("trial", str(trained), "--arm", "tiny-arm", "--objects", "2", "--workers", "1")
    status, answer, complaint = run_for_script(capfd, *trial)
    assert status == 1
    assert complaint.count("nothing is recorded") == 1
    assert "nothing is recorded" in answer["recording_error"]
    assert answer["adapted"] is not None


def test_a_recording_that_fails_while_it_is_closed_is_told_too(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last part is written when the arm is at rest."""

    def close(arm: Arm) -> None:
        arm.recorder._fail("the disk is full")

    monkeypatch.setattr(Arm, "close", close)
    result = deploy(Run.open(trained), "tiny-arm")
    assert result.recording_error == "the disk is full"
    assert [event.event for event in result.events][-1] == "RECORDING_FAILED"


def test_a_worker_says_that_its_recording_has_failed(trained: Path, tmp_path: Path) -> None:
    config = config_of(trained)
    open_or_resume(Run.open(trained), config, trained / "trial")
    run_worker(Run.open(trained), config, trained / "trial", 0, 2)
    Arm.missing_folder = tmp_path / "nowhere"
    with pytest.raises(SystemExit) as end:
        run_worker(Run.open(trained), config, trained / "trial", 1, 2)
    assert end.value.code == NOT_RECORDED


class FullDisk:
    """A disk that takes some bytes more of files of one kind, and then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, suffix: str, room: int) -> None:
        self.suffix = suffix
        self.room = room
        self._write = os.write
        self._sync = os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fsync", self.sync)

    def write(self, handle: int, data: bytes) -> int:
        if not self._concerns(handle):
            return self._write(handle, data)
        taken = data[: self.room]
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(taken)
        return self._write(handle, taken)

    def sync(self, handle: int) -> None:
        """A file that is written by Python's own buffer is too large only when it is synced."""
        self._sync(handle)
        if self._concerns(handle) and self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def _concerns(self, handle: int) -> bool:
        return os.readlink(f"/proc/self/fd/{handle}").endswith(self.suffix)


@pytest.mark.parametrize("room", [0, 300, 9000])
def test_a_full_disk_under_a_trial_is_one_line_and_leaves_no_half_episode(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    room: int,
) -> None:
    whole = try_out(trained, tmp_path / "whole")
    capfd.readouterr()
    folder = tmp_path / "full"
    words = f"trial {trained} --arm tiny-arm --objects {OBJECTS} --workers 1 --json --out {folder}"
    with monkeypatch.context() as patch:
        FullDisk(patch, ".jsonl", room)
        status = cli.main(words.split())
    written = capfd.readouterr()
    assert status == 1
    log = folder / "episodes-0.jsonl"
    reason = f"{log}: No space left on device"
    assert json.loads(written.out.splitlines()[-1]) == {"error": reason}
    assert written.err.count("No space left") == 1
    assert "Traceback" not in written.err
    done = log.read_bytes()
    assert len(done) <= room
    assert done == b"" or done.endswith(b"\n")
    assert len(read_episodes(folder)) % EPISODES == 0, "an object counts as a whole or not at all"
    assert not (folder / "result.json").exists()
    assert without_seconds(try_out(trained, folder)) == without_seconds(whole)


@pytest.mark.parametrize("name", ["trial.json", "result.json"])
def test_a_full_disk_leaves_no_half_record_of_a_trial(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
) -> None:
    folder = tmp_path / "full"
    words = f"trial {trained} --arm tiny-arm --objects 1 --workers 1 --out {folder}"
    with monkeypatch.context() as patch:
        written_under = f".{Path(name).stem}.new.json"
        FullDisk(patch, written_under, room=0)
        status = cli.main(words.split())
    written = capfd.readouterr()
    assert status == 1
    assert f"pliant: error: {folder / name}: No space left on device" in written.err
    assert "Traceback" not in written.err
    left = sorted(path.name for path in folder.iterdir())
    assert left == ([] if name == "trial.json" else ["episodes-0.jsonl", "trial.json"])


def test_a_worker_s_full_disk_is_one_line_too(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = config_of(trained)
    open_or_resume(Run.open(trained), config, trained / "trial")
    FullDisk(monkeypatch, ".jsonl", room=100)
    with pytest.raises(SystemExit) as end:
        run_worker(Run.open(trained), config, trained / "trial", 1, 2)
    assert end.value.code == 1
    complaint = capfd.readouterr().err
    assert "pliant: warning: worker 2 of 2" in complaint
    assert complaint.count("No space left on device") == 1


class Notes:
    """A recorder that keeps what it is given."""

    is_recording = True
    failure_event = None

    def __init__(self) -> None:
        self.messages: dict[str, list[dict[str, Any]]] = {"/belief": [], "/trial": []}
        self.texts: list[str] = []

    def write(self, topic: str, message: dict[str, Any]) -> None:
        self.messages[topic].append(message)

    def log(self, text: str) -> None:
        self.texts.append(text)


def test_what_the_policy_believes_is_recorded_after_every_decision(trained: Path) -> None:
    run = Run.open(trained)
    name, policy = next(run.policies("tiny-arm"))
    notes: Any = Notes()
    with ArmSession(run.family, "tiny-arm") as session:
        session.world.recorder = notes
        task = run.family.sample(np.random.default_rng(0), 1)
        session.run_object(name, policy, task, [False, False], number=3)
    assert notes.texts == ["object 3, policy adapted"]
    parameters = dict(zip(task.names, task.values[0].tolist(), strict=True))
    trial = {"object": 3, "policy": name, "explore": [False, False], "parameters": parameters}
    assert notes.messages["/trial"] == [trial]
    assert len(notes.messages["/belief"]) == 2 * TICKS
    for message in notes.messages["/belief"]:
        by_name = {tensor["name"]: tensor for tensor in message["tensors"]}
        assert set(by_name) == {"ticks", "last", "inner/noise"}
        counted = 1.0 + message["tick"] + message["episode"] * (TICKS + 100)
        assert by_name["ticks"]["values"] == [counted]
        assert by_name["ticks"]["rms"] == counted
        assert by_name["last"]["size"] == 2


def test_of_a_large_belief_mean_and_size_are_recorded() -> None:
    few = torch.tensor([[3.0, -4.0]])
    many = torch.full((1, 5, 20), 2.0)
    small, large, empty = summarize([few, many, torch.zeros(1, 0)])
    assert small["values"] == [3.0, -4.0]
    assert small["mean"] == -0.5
    assert small["rms"] == pytest.approx(12.5**0.5)
    assert large == {"name": "1", "size": 100, "mean": 2.0, "rms": 2.0, "values": []}
    assert empty == {"name": "2", "size": 0, "mean": None, "rms": None, "values": []}


def test_another_trial_is_not_mixed_in(trained: Path) -> None:
    try_out(trained)
    with pytest.raises(BadArgumentError, match="objects 4, not 5"):
        try_out(trained, objects=5)


def test_another_arm_is_refused_before_anything_moves(trained: Path) -> None:
    with pytest.raises(RefusedError, match="asked to drive 'panda'"):
        try_out(trained, arm="panda")
    assert not Arm.opened
    assert not (trained / "trial").exists()


def test_a_realtime_check_is_run_once_beside_the_statistics(trained: Path) -> None:
    result = try_out(trained, realtime_episodes=2)
    nothing = type(None)
    assert Arm.opened == [
        Opened("tiny-arm", "twin", "lockstep", "trial", nothing, None),
        Opened("tiny-arm", "twin", "realtime", "trial", nothing, None),
    ]
    assert result.timing == TIMING
    assert result.episodes == 3
    again = try_out(trained, realtime_episodes=2)
    in_realtime = read_log(trained / "trial" / "episodes-realtime.jsonl", EpisodeRecord)
    assert [record.clock for record in in_realtime] == ["realtime"] * 2
    assert again.timing == TIMING


def test_on_a_real_arm_the_object_is_not_known(trained: Path, real_driver: str) -> None:
    result = try_out(trained, driver=real_driver, clock="realtime")
    assert result.oracle is result.gap_closed.value is None
    assert "no oracle" in (result.gap_closed.note or "")
    assert result.over_blind is not None
    latencies = {record.task["disturbance.latency"] for record in read_episodes(trained / "trial")}
    assert latencies == {None}


def test_a_person_places_the_object_at_a_real_arm_only(trained: Path, real_driver: str) -> None:
    for driver, placer in (("twin", type(None)), (real_driver, OperatorPlacer)):
        family: Any = tiny.TinyObject()
        with ArmSession(family, "tiny-arm", driver):
            assert Arm.opened[-1].placer is placer


def test_an_emulator_places_the_object_only_where_the_options_name_it(
    trained: Path, real_driver: str
) -> None:
    family: Any = tiny.TinyObject()
    for port, placer in ((0, OperatorPlacer), (41501, EmulatedPlacer)):
        options = {"config": "mocap.toml", "emulator": port}
        with ArmSession(family, "tiny-arm", real_driver, tracker="mocap", tracker_options=options):
            assert Arm.opened[-1].placer is placer
    session = ArmSession(
        family, "tiny-arm", real_driver, tracker="mocap", tracker_options={"port": 1}
    )
    with pytest.raises(BadArgumentError, match="the tracker 'mocap' has no option 'port'"):
        session.__enter__()


def test_the_tracker_reaches_the_arm(trained: Path, real_driver: str) -> None:
    try_out(trained, driver=real_driver, clock="realtime", tracker="mocap", objects=1)
    assert Arm.opened[-1].tracker == "mocap"


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "an option of another type": (
        {"options": {"latency": "soon"}},
        "options of the driver 'twin': Expected `float`, got `str`",
    ),
    "an option that the twin does not have": (
        {"options": {"port": "x"}},
        "the driver 'twin' has no option 'port'; it has latency, noise",
    ),
    "an option that the driver does not have": (
        {"driver": "real", "options": {"color": "red"}},
        "no option 'color'; it has port",
    ),
    "an option that the driver refuses": (
        {"driver": "real", "clock": "realtime", "options": {"port": "nowhere"}},
        "nothing is at the port 'nowhere'",
    ),
    "an unknown clock": ({"clock": "wall"}, "one of lockstep, realtime, got 'wall'"),
    "a clock that waits": ({"driver": "real"}, "the clock must be realtime"),
    "a driver that does not exist": ({"driver": "no_such"}, "no driver named 'no_such'"),
}


@pytest.mark.usefixtures("real_driver")
@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_an_impossible_arm_is_refused_before_anything_moves(
    trained: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadArgumentError, match=message):
        try_out(trained, **changes)
    assert not Arm.opened
    assert not (trained / "trial").exists()


def test_a_task_with_several_objects_is_refused_before_anything_moves() -> None:
    family = tiny.Tiny()
    objects = (FLAT_OBJECT, SceneObject("ball", "sphere", (0.04,)))
    family.scene = replace(tiny.Tiny.scene, objects=objects)
    with pytest.raises(BadArgumentError, match="object, ball"):
        ArmSession(family, "tiny-arm")
    assert not Arm.opened


def test_the_arm_may_be_reached_in_another_way_when_a_trial_is_resumed(
    trained: Path, real_driver: str
) -> None:
    for port in ("here", "there"):
        try_out(trained, driver=real_driver, clock="realtime", options={"port": port})


def test_deploying_explores_as_a_trial_does_and_no_longer(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explored = []
    act = tiny.Counter.act

    def record(self: tiny.Counter, obs: torch.Tensor, belief: Any, explore: bool) -> torch.Tensor:
        explored.append(explore)
        return act(self, obs, belief, explore)

    run = Run.open(trained)
    assert len(list(run.policies("tiny-arm"))) == 4  # loading repeats decisions
    monkeypatch.setattr(tiny.Counter, "act", record)
    deploy(run, "tiny-arm", "twin", seconds=2.0)
    assert explored[::TICKS] == [True, True, False, False]


def test_deploying_drives_for_about_as_long_as_asked(trained: Path) -> None:
    result = deploy(Run.open(trained), "tiny-arm", "twin", seconds=2.0, clock="realtime", seed=0)
    assert result.episodes == 4  # of 5 actions, 0.1 s each
    assert len(result.returns) == len(result.metrics["distance_m"]) == 4
    assert result.verdicts == {"LIMITED": 20, "HELD": 20}
    assert [event.event for event in result.events] == ["STALE"] * 4
    assert result.timing == TIMING


class Failing(tiny.Counter, Scores[Any]):
    """A method one of whose verbs raises, and which predicts worse the more it has seen."""

    def __init__(self, verb: str) -> None:
        super().__init__(problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
        self.verb = verb

    def observe(self, belief: Any, transition: Transition) -> Any:
        self.fail_at("observe")
        return super().observe(belief, transition)

    def score(self, belief: Any, ticks: Transition) -> torch.Tensor:
        self.fail_at("score")
        infinity = torch.full_like(belief.ticks, torch.inf)
        return -infinity if self.verb == "sure" and belief.ticks.any() else -belief.ticks

    def fail_at(self, verb: str) -> None:
        if verb == self.verb:
            raise ZeroDivisionError(f"in {verb}")


def let_fail(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A run then has one policy, in which a verb raises."""

    def policies(run: Run, arm: str) -> Iterator[tuple[str, Any]]:
        yield "adapted", Failing(verb)

    monkeypatch.setattr(Run, "policies", policies)


@pytest.mark.parametrize("verb", ["observe", "score"])
def test_a_belief_that_cannot_be_updated_or_judged_costs_no_object_and_is_told(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    let_fail(monkeypatch, verb)
    words = f"trial {trained} --arm tiny-arm --objects 2 --workers 1 --json".split()
    assert cli.main(words) == 0
    written = capfd.readouterr()
    answer = json.loads(written.out.splitlines()[-1])
    assert answer["updates_failed"] == [0, 1]
    assert f"the last belief is kept: ZeroDivisionError: in {verb}" in written.err
    assert "updates failed with object 1, 2" in written.out
    assert cli.main(f"deploy {trained} --arm tiny-arm".split()) == 0
    assert "updates failed with this object" in capfd.readouterr().out


@pytest.mark.parametrize("verb", ["none", "sure"])
def test_a_trial_says_which_objects_were_not_adapted_to(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    """Also where the belief holds what happened for impossible: JSON has no infinity."""
    let_fail(monkeypatch, verb)
    assert cli.main(f"trial {trained} --arm tiny-arm --objects 2 --workers 1".split()) == 0
    told = "not adapted: the belief predicts object 1, 2 worse than before any experience"
    assert told in capfd.readouterr().out
    result = json.loads((trained / "trial" / "result.json").read_text())
    assert result["not_adapted"] == [0, 1]
    assert result["updates_failed"] == []


@pytest.mark.parametrize("park", [False, True])
def test_an_arm_is_parked_at_the_end_where_that_is_asked_for(
    trained: Path, tmp_path: Path, park: bool
) -> None:
    deploy(Run.open(trained), "tiny-arm", "twin", seconds=2.0, park=park)
    try_out(trained, park=park)
    config = config_of(trained, park=park)
    with OperatorConsole() as operator:
        operator.end_requested = True
        with pytest.raises(PliantError, match="start the trial again"):
            run_trial(Run.open(trained), config, tmp_path / "ended", operator=operator)
    expected = ["park", "close"] if park else ["close"]
    assert Arm.done == 3 * expected


@pytest.mark.parametrize("fault", ["until_fault", "until_power_cut"])
def test_an_arm_in_fault_or_that_must_end_now_is_not_parked(
    trained: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(Arm, fault, 3)
    with pytest.raises((ArmError, KeyboardInterrupt)):
        deploy(Run.open(trained), "tiny-arm", "twin", seconds=2.0, park=True)
    assert Arm.done == ["close"]


def test_an_arm_that_is_not_parked_costs_no_result_and_is_told_after_it(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Arm.park_failure = "the way is blocked"
    on_arm = (str(trained), "--arm", "tiny-arm", "--park")
    trial = ("trial", *on_arm, "--objects", "2", "--workers", "1", "--realtime-episodes", "1")
    for words in (("deploy", *on_arm), trial):
        status, answer, complaint = run_for_script(capfd, *words)
        assert status == 1
        assert answer["park_error"] == "the way is blocked"
        assert answer["recording_error"] is None
        assert answer["episodes"] > 0
        assert "the way is blocked" in complaint.splitlines()[-1]
    assert Arm.done == 2 * ["park", "close"], "it does not move again, not for a check either"
    saved = json.loads((trained / "trial" / "result.json").read_text())
    assert saved["adapted"] is not None


def test_an_arm_that_is_not_parked_hides_no_end_by_the_operator(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Arm.park_failure = "the way is blocked"
    with OperatorConsole() as operator:
        operator.end_requested = True
        with pytest.raises(PliantError, match="start the trial again"):
            run_trial(
                Run.open(trained), config_of(trained, park=True), trained / "trial", 1, operator
            )
    assert "not parked: the way is blocked" in capfd.readouterr().err.splitlines()[-1]


def test_the_end_may_be_asked_for_while_a_held_arm_waits_to_be_parked(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(arm: Arm) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Arm, "wait_for_operator", give_up)
    run = Run.open(trained)
    with pytest.raises(KeyboardInterrupt):
        deploy(run, "tiny-arm", park=True)
    with OperatorConsole() as operator:
        operator.end_requested = True
        result = deploy(run, "tiny-arm", operator=operator, park=True)
    assert result.park_error == "the operator asked for the end before"
    assert result.episodes == 1


def test_a_worker_says_that_its_arm_was_not_parked(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Arm.park_failure = "the way is blocked"
    run = Run.open(trained)
    config = config_of(trained, park=True)
    open_or_resume(run, config, trained / "trial")
    with pytest.raises(SystemExit) as end:
        run_worker(run, config, trained / "trial", 1, 2)
    assert end.value.code == NOT_PARKED
    assert "worker 2 of 2: the arm was not parked: the way is blocked" in capfd.readouterr().err


def test_an_operator_ends_a_deployment_after_the_episode(
    trained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with OperatorConsole() as operator:
        operator.end_requested = True
        result = deploy(Run.open(trained), "tiny-arm", "twin", seconds=2.0, operator=operator)
        assert result.episodes == 1
        assert len(result.returns) == 1
    assert capfd.readouterr().err.splitlines()[-1].startswith("arm: ")


def test_an_operator_ends_a_trial_which_then_resumes_with_the_object_that_was_cut_short(
    trained: Path, tmp_path: Path
) -> None:
    whole = try_out(trained, tmp_path / "whole")
    folder = tmp_path / "parts"
    run = Run.open(trained)
    with OperatorConsole() as operator:
        operator.end_requested = True
        with pytest.raises(PliantError, match="start the trial again"):
            run_trial(run, config_of(trained), folder, operator=operator)
    assert read_episodes(folder) == []
    assert without_seconds(try_out(trained, folder)) == without_seconds(whole)


def test_a_trial_that_an_operator_ended_is_incomplete_and_no_error(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(*given: object) -> None:
        raise EndedByOperator("ended; start the trial again to resume it")

    monkeypatch.setattr("adaptation.jobs.trial.run_trial", end)
    assert cli.main(["trial", str(trained), "--arm", "tiny-arm"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "pliant: ended; start the trial again to resume it"


def test_a_deployment_that_ends_in_a_fault_says_which(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Arm, "until_fault", 1)
    with pytest.raises(ArmError, match=r"^the arm was left in FAULT: \w+"):
        deploy(Run.open(trained), "tiny-arm", "twin", seconds=0.5)


def test_a_fault_that_is_cleared_ends_no_deployment_but_spoils_the_object_of_a_trial(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reset = Arm.reset

    def clear_and_reset(self: Arm, task: Any) -> Array:
        Arm.until_fault = NEVER
        return reset(self, task)

    step = Arm.step

    def step_into_a_fault(self: Arm, action: Array) -> Step:
        first_episode = len(self.events) == 0
        Arm.until_fault = 1 if first_episode else NEVER
        return step(self, action)

    monkeypatch.setattr(Arm, "reset", clear_and_reset)
    monkeypatch.setattr(Arm, "step", step_into_a_fault)
    result = deploy(Run.open(trained), "tiny-arm", "twin", seconds=2.0)
    assert result.episodes == 4
    assert result.verdicts["FAULT"] > 0
    with pytest.raises(ArmError, match="does not count"):
        try_out(trained)


def train_further(folder: Path) -> None:
    """Replace the method's weights, as a resumed training does."""
    config = RunConfig("counter", "tiny", iterations=2, references=False, seed=1)
    other = Run.create(folder.parent / "other", config)
    train_job.train_role(other, "method", None, lambda share, progress: None)
    shutil.rmtree(folder / "method")
    shutil.copytree(other.path / "method", folder / "method")


def test_a_trial_of_a_run_that_was_trained_further_is_refused_and_left_as_it_is(
    trained: Path,
) -> None:
    try_out(trained)
    before = {path: path.read_bytes() for path in (trained / "trial").iterdir()}
    train_further(trained)
    with pytest.raises(BadArgumentError, match="trial of other weights"):
        try_out(trained)
    assert {path: path.read_bytes() for path in (trained / "trial").iterdir()} == before
    assert try_out(trained, trained / "again").fingerprints == Run.open(trained).fingerprints()


def test_a_trial_finds_its_run_from_any_folder_and_only_its_own(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "trials" / "first"
    monkeypatch.chdir(tmp_path)
    run_trial(Run.open(Path("run")), config_of(Path("run")), folder)
    monkeypatch.chdir(folder)
    header = read_header(folder)
    assert find_run(folder, header) == trained
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(trained, moved / "run")
    shutil.move(tmp_path / "trials", moved / "trials")
    folder = moved / "trials" / "first"
    assert find_run(folder, read_header(folder)) == moved / "run"
    train_further(moved / "run")
    assert find_run(folder, read_header(folder)) is None


@pytest.mark.parametrize("name", ["trial.json", "episodes-0.jsonl"])
def test_a_damaged_trial_folder_is_named(trained: Path, name: str) -> None:
    try_out(trained)
    file = trained / "trial" / name
    whole = file.read_bytes()
    for data in (whole[: len(whole) // 3] + b"\n", b"[]\n", b"\xff\n", b"[" * 100_000 + b"\n"):
        file.write_bytes(data)
        with pytest.raises(DamagedError, match=name):
            try_out(trained)
        with pytest.raises(DamagedError, match=name):
            write_report(trained / "trial", trained / "report.html")
    assert not (trained / "report.html").exists()


def test_a_report_of_a_trial_whose_log_lost_a_line_is_refused(trained: Path) -> None:
    try_out(trained)
    file = trained / "trial" / "episodes-0.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DamagedError, match=rf"{trained / 'trial'} lacks episodes .* cut short"):
        write_report(trained / "trial", trained / "report.html")
