"""Moving an arm by keys: small steps through the gate, which end by themselves or at once."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from emulated import VIPERX

from adaptation import cli
from adaptation.jobs.jog import END, PERIODS, Steps, jog
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS
from robots.errors import ArmError
from robots.kinematics import Kinematics

PANDA = ARMS["panda"]
PERIOD = 0.1  # s
SPEED = 0.2  # rad/s
TOOL_SPEED = 0.05  # m/s
STEP = SPEED * PERIODS * PERIOD  # rad
TOOL_STEP = TOOL_SPEED * PERIODS * PERIOD  # m
SAG = 0.005  # rad, of the simulated servos


class Pressed:
    """Keys that were written down: a space of time is one control period without a key."""

    def __init__(self, script: list[str]) -> None:
        self._script = iter([*script, END])

    def read(self, timeout: float) -> tuple[str, bool]:
        key = next(self._script)
        return ("", True) if key == "stop" else (key, False)


def run(script: list[str], speed: float = SPEED) -> np.ndarray:
    """The Panda's twin after the keys of each period; its joints after each (periods, j)."""
    seen: list[np.ndarray] = []

    def note(q: np.ndarray) -> None:
        seen.append(q.copy())

    result = jog("panda", Pressed(script), speed=speed, tool_speed=TOOL_SPEED, tell=note)
    np.testing.assert_allclose(result.q, seen[-1], atol=SAG)
    return np.array(seen)


def test_a_key_is_one_step_of_its_joint_which_ends_by_itself() -> None:
    idle = [""] * 8
    q = run(["1", *idle, "d", *idle])
    first = q[8] - q[0]
    moved = q[8] - PANDA.rest
    assert moved[0] == pytest.approx(STEP, abs=SAG)
    assert np.abs(moved[1:]).max() < SAG
    assert np.abs(q[8] - q[6]).max() < 1e-3, "nothing moves any more"
    assert first[0] > 0
    second = q[-1] - q[8]
    assert second[2] == pytest.approx(-STEP, abs=SAG)
    assert np.abs(np.delete(second, 2)).max() < SAG


def test_a_key_that_is_kept_pressed_goes_on_at_the_bounded_speed() -> None:
    q = run(["1"] * 8 + [""] * 4, speed=0.1)
    speeds = np.diff(q[:, 0]) / PERIOD
    assert speeds.max() <= 0.1 * 1.05
    assert q[-1, 0] - PANDA.rest[0] == pytest.approx(0.1 * PERIOD * (8 + PERIODS - 1), abs=SAG)


@pytest.mark.parametrize("key", [" ", "\x1b[A", "\x1b[Z"])  # space, arrow up, Shift-Tab
def test_space_and_an_unknown_key_stop_at_once(key: str) -> None:
    q = run(["1", key, *[""] * 6])
    moved = q[-1] - PANDA.rest
    assert 0 < moved[0] < 0.75 * STEP
    assert moved[0] == pytest.approx(STEP / 2, abs=SAG)
    assert np.abs(moved[1:]).max() < SAG


def test_a_key_of_the_tool_moves_it_along_its_axis() -> None:
    kinematics = Kinematics(PANDA)
    q = run(["z", *[""] * 6])
    before, after = kinematics.position(np.stack([PANDA.rest, q[-1]]))
    moved = after - before
    assert moved[2] == pytest.approx(TOOL_STEP, abs=2e-3)
    assert np.abs(moved[:2]).max() < 2e-3


def test_no_step_of_the_tool_turns_a_joint_faster_than_allowed() -> None:
    """Also where the arm is stretched out: the direction is kept, the tool is slower."""
    rng = np.random.default_rng(0)
    limits = PANDA.limits
    scale = np.full(7, 0.02)
    kinematics = Kinematics(PANDA)
    for _ in range(50):
        q = rng.uniform(limits.q_low, limits.q_high)
        steps = Steps(PANDA, TOOL_SPEED)
        assert steps.press("X")
        action = steps.action(q, scale)
        assert np.abs(action).max() <= 1
        velocity = kinematics.jacobian(q[None])[0, :3] @ (action[0] * scale)
        assert velocity[0] <= 1e-9


def test_a_huge_speed_of_the_tool_is_the_arms_own() -> None:
    """Without that bound the sum of infinite velocities is no number, and the arm stands."""
    q = PANDA.rest
    scale = np.full(7, 0.02)

    actions = []
    for tool_speed in (PANDA.limits.tool_speed, 1e308, np.inf):
        steps = Steps(PANDA, tool_speed)
        steps.press("Z")
        actions.append(steps.action(q, scale))

    assert np.abs(actions[0]).max() == pytest.approx(1)
    np.testing.assert_array_equal(actions[1], actions[0])
    np.testing.assert_array_equal(actions[2], actions[0])


def test_an_operators_stop_ends_it_with_the_cause() -> None:
    with pytest.raises(ArmError, match="FAULT: OPERATOR_STOP"):
        run(["1", "stop", ""])


def test_an_emulated_arm_is_moved_inside_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DRIVERS._entries, "stepped", "stepped:SteppedDynamixel")
    report = tmp_path / "left.json"
    seen: list[np.ndarray] = []

    def note(q: np.ndarray) -> None:
        seen.append(q.copy())

    script = ["1", "", "", "", "", ""]
    jog("viperx", Pressed(script), "stepped", {"report": str(report)}, tell=note)
    left = json.loads(report.read_text())
    assert left["torque"] == [1], "its motors stay on"
    assert left["outside"] == 0, "no goal was outside the limits"
    assert seen[-1][0] == pytest.approx(STEP, abs=SAG)
    assert len(seen[-1]) == len(VIPERX.joints)


def test_without_a_terminal_or_with_a_useless_speed_it_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["jog", "--arm", "panda"]) == 2
    assert "there is no terminal" in capsys.readouterr().err
    assert cli.main(["jog", "--arm", "panda", "--speed", "0"]) == 2
    assert "--speed" in capsys.readouterr().err


def test_a_real_arm_waits_for_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    asked: list[str] = []

    def refuse(text: str) -> str:
        asked.append(text)
        return "no"

    monkeypatch.setattr("builtins.input", refuse)
    words = ["jog", "--arm", "viperx", "--driver", "dynamixel", "--port", "nowhere"]
    assert cli.main(words) == 1, "not even the port was opened"
    assert len(asked) == 1


@pytest.mark.parametrize(
    "words",
    ["jog", "move --to home", "park", "doctor --seconds 60"],
)
def test_a_driver_without_its_port_is_refused_before_anybody_is_asked(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("somebody was asked"))
    assert cli.main([*words.split(), "--arm", "viperx", "--driver", "dynamixel"]) == 2
    shown = capsys.readouterr()
    assert "--port" in shown.err
    assert shown.out == ""


def test_it_takes_the_keys_of_a_terminal() -> None:
    master, slave = pty.openpty()
    os.write(master, b"1q")
    words = [sys.executable, "-m", "adaptation.cli", "jog", "--arm", "panda", "--json"]
    program = subprocess.run(
        ["setsid", "--ctty", "--wait", *words],
        stdin=slave,
        capture_output=True,
        text=True,
        timeout=120,
    )
    os.close(slave)
    os.close(master)
    assert program.returncode == 0, program.stderr
    answer = json.loads(program.stdout.splitlines()[-1])
    assert answer["steps"] == 1
    assert "the tool along x" in program.stderr
