"""A recording is repeated: on what was observed, the policy acts as it did."""

import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mcap.reader import make_reader
from mcap.writer import Writer

import pliant
from adaptation.background import Background
from adaptation.jobs.replay import TOLERANCE, replay
from adaptation.jobs.trial import run_trial
from adaptation.jobs.trial_folder import TrialConfig
from adaptation.recorded_world import WIDEST, DelayedUpdates
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from hw_interface.arm_world import ArmWorld
from hw_interface.recording.process import RecordTo
from hw_interface.recording.reading import read_recording
from hw_interface.recording.recorder import Recording, RecordingPlan
from robots.catalog import ARMS
from robots.errors import BadArgumentError, DamagedError, RefusedError
from robots.world import Step
from sim.families import FAMILIES
from sim.vec_world import VecWorld

SMALL = {
    "sac.schedule.meta_batch": 2,
    "sac.schedule.random_trials": 0,
    "sac.gradient_steps": 1,
}
OBJECTS = 2
EPISODES = 2


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of PEARL, which explores at random, tried on the twin in lockstep and in real time."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = pliant.train("pearl", "reach", folder, iterations=1, settings=SMALL, references=False)
    config = TrialConfig(
        run=str(folder), arm="panda", objects=OBJECTS, episodes=EPISODES, realtime_episodes=1
    )
    run_trial(run, config, folder / "trial")
    return folder


def recordings(folder: Path) -> list[Path]:
    return sorted((folder / "trial").glob("recording-*.mcap"))


def rewrite(source: Path, target: Path, change: Any) -> None:
    """Copy a recording; ``change(topic, message)`` may alter each message in place."""
    with source.open("rb") as file, target.open("wb") as out:
        reader = make_reader(file)
        writer = Writer(out)
        writer.start("altered")
        channels: dict[str, int] = {}
        for _, channel, message in reader.iter_messages(log_time_order=False):
            if channel.topic not in channels:
                channels[channel.topic] = writer.register_channel(channel.topic, "json", 0)
            content = json.loads(message.data)
            change(channel.topic, content)
            writer.add_message(
                channels[channel.topic],
                log_time=message.log_time,
                data=json.dumps(content).encode(),
                publish_time=message.publish_time,
            )
        for record in reader.iter_metadata():
            writer.add_metadata(record.name, record.metadata)
        writer.finish()


def keep(topic: str, message: dict[str, Any]) -> None:
    """Change nothing."""


def test_in_lockstep_and_in_real_time_the_policy_acts_as_recorded(tried: Path) -> None:
    lockstep, realtime = recordings(tried)
    result = replay(lockstep)
    assert result.clock == "lockstep"
    assert [trial.policy for trial in result.trials] == ["adapted", "no_adaptation"] * OBJECTS
    assert [trial.object for trial in result.trials] == [0, 0, 1, 1]
    result_in_time = replay(realtime)
    assert result_in_time.clock == "realtime"
    horizon = FAMILIES["reach"]().horizon
    for trial in (*result.trials, *result_in_time.trials):
        assert set(trial.decisions) == {horizon}
        assert trial.largest_difference is not None
        assert trial.largest_difference <= TOLERANCE
    assert result.same
    assert result_in_time.same


@pytest.mark.parametrize("field", ["action", "next_observation"])
def test_a_policy_that_acts_otherwise_is_told(tried: Path, tmp_path: Path, field: str) -> None:
    def change(topic: str, message: dict[str, Any]) -> None:
        if topic == "/decision" and message["tick"] == 3:
            message[field][0] += 0.01

    altered = tmp_path / "altered.mcap"
    rewrite(recordings(tried)[0], altered, change)
    result = replay(altered, tried)
    assert not result.same
    largest = [trial.largest_difference for trial in result.trials]
    assert all(difference is not None and difference > TOLERANCE for difference in largest)
    rewrite(recordings(tried)[0], altered, keep)
    assert replay(altered, tried).same


def test_an_action_that_is_not_finite_differs_from_one_that_is(tried: Path, tmp_path: Path) -> None:
    def spoil(topic: str, message: dict[str, Any]) -> None:
        if topic == "/decision" and message["tick"] == 3:
            message["action"][0] = None

    altered = tmp_path / "altered.mcap"
    rewrite(recordings(tried)[0], altered, spoil)
    result = replay(altered, tried)
    assert not result.same
    assert [trial.largest_difference for trial in result.trials] == [WIDEST] * len(result.trials)


def test_each_object_draws_its_own_numbers(tried: Path, tmp_path: Path) -> None:
    """A replay that took another object's random numbers would explore otherwise."""

    def swap(topic: str, message: dict[str, Any]) -> None:
        if topic == "/trial":
            message["object"] = 1 - message["object"]

    altered = tmp_path / "altered.mcap"
    rewrite(recordings(tried)[0], altered, swap)
    adapted = replay(altered, tried).trials[0]
    assert adapted.largest_difference is not None
    assert adapted.largest_difference > TOLERANCE


def test_other_weights_are_refused(tried: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    pliant.train("pearl", "reach", other, seed=1, iterations=1, settings=SMALL, references=False)
    with pytest.raises(RefusedError, match=r"was trained since .* or is another run"):
        replay(recordings(tried)[0], other)


def test_a_policy_that_reads_what_an_arm_does_not_know_is_left_out(
    tried: Path, tmp_path: Path
) -> None:
    def forget(topic: str, message: dict[str, Any]) -> None:
        if topic == "/trial":
            message["policy"] = "oracle"

    altered = tmp_path / "altered.mcap"
    rewrite(recordings(tried)[0], altered, forget)
    result = replay(altered, tried)
    for trial in result.trials:
        assert trial.largest_difference is None
        assert trial.reason == "the run has no policy oracle"
    assert not result.same, "nothing was compared"


def test_what_is_no_whole_recording_is_refused(tried: Path, tmp_path: Path) -> None:
    path = recordings(tried)[0]
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DamagedError, match=r"pliant recover .*cut\.mcap"):
        replay(cut, tried)

    def lose_a_decision(topic: str, message: dict[str, Any]) -> None:
        if topic == "/decision" and message["tick"] > 3:
            message["tick"] += 1

    gap = tmp_path / "gap.mcap"
    rewrite(path, gap, lose_a_decision)
    with pytest.raises(DamagedError, match="decision 4 of an episode is missing"):
        replay(gap, tried)

    def write_as_before(topic: str, message: dict[str, Any]) -> None:
        message.pop("next_observation", None)

    old = tmp_path / "old.mcap"
    rewrite(path, old, write_as_before)
    with pytest.raises(BadArgumentError, match=r"another version of Pliant.*next_observation"):
        replay(old, tried)


def test_a_belief_without_its_decision_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "recording.mcap"
    recording = Recording(RecordingPlan(path, ("a",), True, {}))
    trial = {"object": 0, "policy": "adapted", "explore": [False], "parameters": {}}
    recording.write("/trial", 0.0, trial)
    recording.write("/belief", 0.1, {"episode": 0, "tick": 0, "tensors": {}, "updates": 0})
    recording.close()
    with pytest.raises(DamagedError, match="no whole recording"):
        read_recording(path)


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (Path.touch, DamagedError, "it ends too early"),
        (os.mkfifo, BadArgumentError, "is a pipe or device, no file"),
        (Path.mkdir, BadArgumentError, "is a folder, no file"),
    ],
)
def test_what_is_no_file_or_empty_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], object], error: type[Exception], reason: str
) -> None:
    """A pipe without a writer would be waited for forever."""
    path = tmp_path / "r.mcap"
    make(path)
    with pytest.raises(error, match=reason):
        read_recording(path)


def test_a_session_without_a_policy_holds_no_trial(tmp_path: Path) -> None:
    family = FAMILIES["reach"]()
    with closing(ArmWorld(family, ARMS["panda"], "twin", record_to=RecordTo(tmp_path))) as world:
        world.reset(family.sample(world.rng, 1))
        world.step(np.zeros((1, len(family.action.spec))))
    (path,) = tmp_path.glob("*.mcap")
    assert read_recording(path).trials == []
    with pytest.raises(BadArgumentError, match="holds no trial"):
        replay(path)


def test_the_measured_motion_is_drawn(tried: Path, tmp_path: Path) -> None:
    path = recordings(tried)[0]
    out = tmp_path / "motion.png"
    assert replay(path, out=out, number=1).file == str(out)
    assert out.stat().st_size > 10_000
    with pytest.raises(BadArgumentError, match="the trials 0 to 3, not 4"):
        replay(path, out=out, number=4)
    with pytest.raises(BadArgumentError, match="the trials 0 to 3, not -1"):
        replay(path, number=-1)  # also where nothing is drawn
    with pytest.raises(BadArgumentError, match="must end in"):
        replay(path, out=tmp_path / "motion.gif")


class RecordsUpdates:
    """Keeps, per decision, with how many updates a policy in the background acted."""

    def __init__(self, background: Background[Any]) -> None:
        self.background = background
        self.updates: list[int] = []

    def __call__(self, episode: int, tick: int, step: Step) -> None:
        self.updates.append(self.background.acted_after)


def test_updates_come_as_late_as_they_did() -> None:
    """Without patience, some ticks act before their update is finished; which ones varies."""
    family = FAMILIES["point"]()
    task = family.sample(np.random.default_rng(0), 1)
    with Background(checkpoint.build("varibad", family, seed=0), patience=0.0) as background:
        records = RecordsUpdates(background)
        world = VecWorld(family, n=1, seed=0)
        trial = rollout(world, background, task, 2, on_tick=records)
    decisions = len(records.updates)
    assert records.updates[0] == 0
    policy = checkpoint.build("varibad", family, seed=0)

    def repeated(updates: list[int | None]) -> torch.Tensor:
        world = VecWorld(family, n=1, seed=0)
        return rollout(world, DelayedUpdates(policy, updates), task, 2).ticks.action

    assert torch.equal(repeated(list(records.updates)), trial.ticks.action)
    in_time = repeated([None] * decisions)
    late = repeated([0] * decisions)
    assert not torch.equal(in_time, late)
