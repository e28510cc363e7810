"""A trial visits every object with every policy once, however often it was stopped."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny

from adaptation import cli
from adaptation.jobs import train as meta_train
from adaptation.jobs import trial
from adaptation.runs.run import RunConfig, read_log
from hw_interface.arm_world import ArmError
from hw_interface.drivers import DRIVERS
from policies.methods import METHODS
from robots.errors import BadArgumentError, RefusedError
from robots.signals import Array, Verdict
from robots.world import Step

pytestmark = pytest.mark.usefixtures("registered")


class Arm(tiny.World):
    """An arm in a few lines; so many ticks until the power is cut (``strength``) or a fault latches (``health``)."""

    strength = health = 10**9
    opened: list[dict[str, Any]] = []  # noqa: RUF012

    def __init__(
        self,
        family: Any,
        arm: Any,
        driver: str,
        options: dict,
        clock: str,
        record_to: Path | None,
        place: Any,
    ) -> None:
        super().__init__(family, "", 1, 0)
        Arm.opened.append((arm.name, driver, clock, record_to and record_to.name))
        self.clock, self.events = clock, []

    def reset(self, task: Any) -> Array:
        if Arm.health <= 0:
            raise ArmError("begin was refused, the arm is in FAULT: OPERATOR_STOP")
        return super().reset(task)

    def step(self, action: Array) -> Step:
        Arm.strength, Arm.health = Arm.strength - 1, Arm.health - 1
        if self.tick == 3:
            self.events.append(
                {"number": len(self.events), "event": "STALE", "stamp": 0.0, "detail": 0.3}
            )
        if Arm.strength < 0:
            raise KeyboardInterrupt
        verdict = (
            Verdict.LIMITED | Verdict.HELD | (Verdict.FAULT if Arm.health <= 0 else Verdict.OK)
        )
        return replace(super().step(action), verdict=np.array([int(verdict)]))

    @property
    def signals(self) -> Any:
        return SimpleNamespace(
            q=self.at,
            object_pos=np.zeros((1, 3)),
            object_quat=np.eye(4)[:1],
            marker=np.ones((1, 3)),
        )

    def timing(self) -> dict[str, float] | None:
        return {"p99": 0.001} if self.clock == "wall" else None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(meta_train, "VecWorld", tiny.World)
    monkeypatch.setattr(trial, "ArmWorld", Arm)
    monkeypatch.setitem(METHODS._entries, "blind", "tiny:Counter")
    monkeypatch.setitem(METHODS._entries, "oracle", "tiny:Told")
    monkeypatch.setattr(Arm, "strength", 10**9)
    monkeypatch.setattr(Arm, "health", 10**9)
    monkeypatch.setattr(Arm, "opened", [])
    config = RunConfig("counter", "tiny", iterations=1, references=False)
    meta_train.train(tmp_path / "run", config)
    for role in ("blind", "oracle"):
        meta_train.train_role(tmp_path / "run", config, role, None, lambda share, line: None)
    return tmp_path / "run"


def asked(run: Path, **changes: Any) -> trial.TrialConfig:
    return trial.TrialConfig(**{"run": str(run), "arm": "tiny-arm", "objects": 4, **changes})


def test_every_policy_meets_every_object(run: Path) -> None:
    result = trial.trial(asked(run), run / "trial")
    lines = trial.read_episodes(run / "trial")
    assert Counter((line["policy"], line["object"]) for line in lines) == {
        (policy, k): 3 for policy in ("method", "frozen", "blind", "oracle") for k in range(4)
    }
    of_an_object = {k: {json.dumps(x["task"]) for x in lines if x["object"] == k} for k in range(4)}
    assert all(len(same) == 1 for same in of_an_object.values())
    assert len(set.union(*of_an_object.values())) == 4
    assert (result["tasks"], result["episodes"]) == (4, 3)
    assert result["verdicts"] == {"LIMITED": 4 * 4 * 3 * 5, "HELD": 4 * 4 * 3 * 5}
    assert all([event["event"] for event in line["events"]] == ["STALE"] for line in lines)
    by_hand = np.mean([x["return"] for x in lines if x["policy"] == "method" and x["episode"] == 2])
    assert result["method"][2] == pytest.approx(by_hand)
    assert all(len(x["trace"]["q"]) == len(x["trace"]["t"]) == x["ticks"] == 5 for x in lines)
    assert json.loads((run / "trial" / "result.json").read_bytes()) == result


def test_a_stopped_trial_goes_on_where_it_was_and_ends_as_an_unbroken_one(
    run: Path, tmp_path: Path
) -> None:
    whole = trial.trial(asked(run), tmp_path / "whole")
    Arm.strength = 100  # six visits of 15 ticks, and a bit
    with pytest.raises(KeyboardInterrupt):
        trial.trial(asked(run), tmp_path / "parts")
    first = read_log(tmp_path / "parts" / "episodes-0.jsonl")
    assert len(first) == 6 * 3
    Arm.strength = 10 * 15  # just enough for the ten that are left
    parts = trial.trial(asked(run), tmp_path / "parts")
    assert trial.read_episodes(tmp_path / "parts")[: len(first)] == first
    assert parts | {"seconds": 0} == whole | {"seconds": 0}


@pytest.mark.parametrize("tick", [2 * 15 + 3, 3 * 15])
def test_a_latched_fault_fails_the_trial_which_then_goes_on_with_that_visit(
    run: Path, capfd: pytest.CaptureFixture[str], tick: int
) -> None:
    """In the midst of a visit, and at its last tick, after which nobody asks the arm for more."""
    command = ["trial", str(run), "--arm", "tiny-arm", "--objects", "2", "--workers", "1"]
    Arm.health = tick
    assert cli.main(command) == 1
    assert "FAULT" in capfd.readouterr().err
    assert len(trial.read_episodes(run / "trial")) == 2 * 3, (
        "a visit that a fault cut short is no measurement"
    )
    Arm.health = 10**9  # an operator has looked, and starts it again
    assert cli.main(command) == 0
    lines = trial.read_episodes(run / "trial")
    assert len(lines) == len({(x["object"], x["policy"], x["episode"]) for x in lines}) == 2 * 4 * 3
    assert not any("FAULT" in x["verdicts"] for x in lines)


def test_another_trial_is_not_mixed_in(run: Path) -> None:
    trial.trial(asked(run), run / "trial")
    with pytest.raises(BadArgumentError, match="objects 4, not 5"):
        trial.trial(asked(run, objects=5), run / "trial")


def test_another_arm_is_refused_before_anything_moves(run: Path) -> None:
    with pytest.raises(RefusedError, match="asked to drive 'panda'"):
        trial.trial(asked(run, arm="panda"), run / "trial")
    assert not Arm.opened
    assert not (run / "trial").exists()


def test_the_wall_s_pace_is_proved_beside_the_statistics(run: Path) -> None:
    result = trial.trial(asked(run, wall_episodes=2), run / "trial")
    assert Arm.opened == [
        ("tiny-arm", "twin", "lockstep", None),
        ("tiny-arm", "twin", "wall", "recording-0.mcap"),
    ]
    assert result["timing"] == {"p99": 0.001}
    assert result["episodes"] == 3
    again = trial.trial(asked(run, wall_episodes=2), run / "trial")
    assert (
        len([line for line in trial.read_episodes(run / "trial") if line["clock"] == "wall"]) == 2
    )
    assert again["timing"] == {"p99": 0.001}


def test_on_an_arm_nobody_knows_the_object(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRIVERS._entries, "real", "tiny:Elsewhere")  # which places no objects
    result = trial.trial(asked(run, driver="real", clock="wall"), run / "trial")
    assert result["oracle"] is result["gap_closed"] is None
    assert result["gain"] is not None
    assert {line["task"]["disturbance.latency"] for line in trial.read_episodes(run / "trial")} == {
        None
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"options": {"latency": "soon"}},
            "options of the driver 'twin': Expected `float`, got `str`",
        ),
        (
            {"options": {"port": "x"}},
            "the driver 'twin' has no option 'port'; it has latency, noise",
        ),
        ({"driver": "real", "options": {"color": "red"}}, "no option 'color'; it has port"),
        ({"driver": "real", "clock": "wall", "options": {"port": "nowhere"}}, "nothing is nowhere"),
        ({"driver": "real"}, "the clock must be wall"),
    ],
)
def test_a_driver_that_cannot_be_is_refused_before_anything_moves(
    run: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    monkeypatch.setitem(DRIVERS._entries, "real", "tiny:Elsewhere")
    with pytest.raises(BadArgumentError, match=said):
        trial.trial(asked(run, **changes), run / "trial")
    assert not Arm.opened
    assert not (run / "trial").exists()


def test_an_arm_may_be_plugged_in_elsewhere_when_a_trial_goes_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DRIVERS._entries, "real", "tiny:Elsewhere")
    for port in ("here", "there"):
        trial.trial(asked(run, driver="real", clock="wall", options={"port": port}), run / "trial")


def test_deploying_drives_for_about_as_long_as_asked(run: Path) -> None:
    result = trial.deploy(run, "tiny-arm", "twin", seconds=2.0, clock="wall", seed=0)
    assert result["episodes"] == 4  # of 5 actions, 0.1 s each
    assert len(result["returns"]) == 4
    assert result["verdicts"] == {"LIMITED": 20, "HELD": 20}
    assert result["timing"] == {"p99": 0.001}
