"""Parking an arm, alone or after a run: all the way through the gate, the driver and its bus."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven import Creep
from emulated import VIPERX
from push import Push

from adaptation import cli
from adaptation.jobs.arm_session import ArmSession
from adaptation.jobs.operator_console import OperatorConsole
from hw_interface.control.guided_move import PARKED
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS


@pytest.mark.parametrize("torque_off", [True, False])
def test_a_dynamixel_arm_is_parked_and_its_torque_is_as_the_last_line_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torque_off: bool,
) -> None:
    monkeypatch.setitem(DRIVERS._entries, "stepped", "stepped:SteppedDynamixel")
    report = tmp_path / "left.json"
    words = ["park", "--arm", "viperx", "--driver", "stepped", "--driver-set", f"report={report}"]
    if torque_off:
        words.append("--torque-off")
    assert cli.main(words) == 0
    torque = "off" if torque_off else "on"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"viperx is in its rest pose; its motors are {torque}"
    left: dict[str, Any] = json.loads(report.read_text())
    assert np.abs(np.array(left["q"]) - VIPERX.rest).max() < PARKED
    assert left["speed"] < 0.02
    assert left["torque"] == [0 if torque_off else 1]
    assert left["outside"] == 0, "no goal was outside the limits"


def test_a_run_ends_in_the_rest_pose_where_that_is_asked_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    family = Push()
    task = family.sample(np.random.default_rng(0), 1)
    with OperatorConsole() as operator:
        session = ArmSession(family, "panda", operator=operator, park=True)
        with session:
            session.run_object("creep", Creep(), task, [False])
    state = session.world.control.final_state
    assert state is not None
    assert np.abs(state["q"] - ARMS["panda"].rest).max() < PARKED
    assert capfd.readouterr().err.splitlines()[-1] == (
        "arm: at rest, torque on, parked; not recorded"
    )


def test_a_run_that_does_not_end_in_the_rest_pose_says_why(
    capfd: pytest.CaptureFixture[str],
) -> None:
    family = Push()
    task = family.sample(np.random.default_rng(0), 1)
    with OperatorConsole() as operator:
        session = ArmSession(family, "panda", operator=operator, park=True)
        with session:
            records = session.run_object("creep", Creep(), task, [False])
            session.world.hold()
    assert len(records) == 1
    assert "HOLD" in str(session.ending.park_error)
    assert "arm: at rest, torque on, not parked: " in capfd.readouterr().err.splitlines()[-1]
