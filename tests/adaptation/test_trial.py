"""A trial runs every policy once with every object, however often it was stopped."""

import builtins
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
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
from adaptation.jobs import arm_session, collection
from adaptation.jobs import train as train_job
from adaptation.jobs.arm_session import ArmSession, OperatorPlacer
from adaptation.jobs.deploy import deploy
from adaptation.jobs.operator_console import OperatorConsole
from adaptation.jobs.trial import TrialConfig, read_episodes, run_objects, run_trial
from adaptation.runs import archive
from adaptation.runs.log import read_log
from adaptation.runs.records import EpisodeRecord, Timing, TrialResult
from adaptation.runs.run import Run, RunConfig
from hw_interface.control.watchdog import Mode
from hw_interface.drivers import DRIVERS
from policies.methods import METHODS
from robots.errors import ArmError, BadArgumentError, PliantError, RefusedError
from robots.signals import Array, Verdict
from robots.world import Step

pytestmark = pytest.mark.usefixtures("registered")

OBJECTS = 4
EPISODES = tiny.Tiny.episodes
TICKS = tiny.Tiny.horizon
NEVER = 10**9  # ticks
QUANTILES = {"p50": 0.0, "p99": 0.001, "max": 0.002}
TIMING = {
    "rate_hz": 500.0,
    "ticks": 75,
    "missed": 0,
    "realtime": False,
    "lateness_ms": QUANTILES,
    "policy_ms": QUANTILES,
}


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
    opened: list[Opened] = []  # noqa: RUF012
    mode = Mode.RUNNING
    is_held = False
    on_frame: Callable[[Any], None]  # set by the recorder

    def __init__(
        self,
        family: Any,
        arm: Any,
        driver: str,
        driver_options: dict[str, Any],
        clock: str,
        record_to: Path | None,
        seed: int,
        placer: Any,
        tracker: str | None,
        tracker_options: dict[str, Any] | None,
    ) -> None:
        super().__init__(family, "", 1, 0)
        recording = record_to.name if record_to is not None else None
        opened = Opened(arm.name, driver, clock, recording, type(placer), tracker)
        Arm.opened.append(opened)
        self.clock = clock
        self.events: list[dict[str, Any]] = []
        self.control = SimpleNamespace(
            state={"missed_ticks": 0},
            final_state=None,
            process=SimpleNamespace(exitcode=0),
        )

    @property
    def is_latched(self) -> bool:
        return Arm.until_fault <= 0

    def reset(self, task: Any) -> Array:
        if Arm.until_fault <= 0:
            raise ArmError("begin was refused, the arm is in FAULT: OPERATOR_STOP")
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

    def timing(self) -> dict[str, Any] | None:
        return TIMING if self.clock == "realtime" else None


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with a method and both references."""
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    monkeypatch.setattr(arm_session, "ArmWorld", Arm)
    monkeypatch.setitem(METHODS._entries, "blind", "tiny:Counter")
    monkeypatch.setitem(METHODS._entries, "oracle", "tiny:PrivilegedCounter")
    monkeypatch.setattr(Arm, "until_power_cut", NEVER)
    monkeypatch.setattr(Arm, "until_fault", NEVER)
    monkeypatch.setattr(Arm, "opened", [])
    config = RunConfig("counter", "tiny", iterations=1, references=False)
    run = Run.create(tmp_path / "run", config)
    for role in ("method", "blind", "oracle"):
        train_job.train_role(run, role, None, lambda share, progress: None)
    return run.path


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
        Opened("tiny-arm", "twin", "lockstep", None, nothing, None),
        Opened("tiny-arm", "twin", "realtime", "recording-0.mcap", nothing, None),
    ]
    assert result.timing == msgspec.convert(TIMING, Timing)
    assert result.episodes == 3
    again = try_out(trained, realtime_episodes=2)
    in_realtime = read_log(trained / "trial" / "episodes-realtime.jsonl", EpisodeRecord)
    assert [record.clock for record in in_realtime] == ["realtime"] * 2
    assert again.timing == msgspec.convert(TIMING, Timing)


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


def test_the_tracker_reaches_the_arm(trained: Path, real_driver: str) -> None:
    try_out(trained, driver=real_driver, clock="realtime", tracker="camera", objects=1)
    assert Arm.opened[-1].tracker == "camera"


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
    assert result.timing == msgspec.convert(TIMING, Timing)


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
