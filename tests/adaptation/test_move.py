"""Moving an arm to a pose: what is refused, what is said before, and where it stands after."""

import json
from pathlib import Path

import numpy as np
import pytest
from emulated import VIPERX

from adaptation import cli
from adaptation.jobs.move import move, parse_pose
from adaptation.jobs.park import NoTask
from hw_interface.arm_world import ArmWorld
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS
from robots.errors import ArmError, BadArgumentError

PANDA = ARMS["panda"]
TWIN_ERROR = 0.005  # rad, of the simulated servos under gravity


def shifted(joint: int, angle: float) -> np.ndarray:
    """The Panda's rest pose with one joint turned by ``angle`` rad."""
    q: np.ndarray = PANDA.rest.copy()
    q[joint] += angle
    return q


def test_the_twin_moves_to_given_angles(capfd: pytest.CaptureFixture[str]) -> None:
    goal = shifted(0, 0.4)
    angles = ",".join(f"{angle:.4f}" for angle in goal)
    assert cli.main(["move", "--arm", "panda", f"--to={angles}", "--json"]) == 0
    captured = capfd.readouterr()
    answer = json.loads(captured.out.splitlines()[-1])
    assert answer["moved"] is True
    assert np.abs(np.array(answer["q"]) - goal).max() < TWIN_ERROR
    said = captured.out + captured.err
    assert "joint1 turns the farthest, 0.40 rad" in said
    limit = PANDA.limits.dq[0]
    speed = float(said.split("joint1 the fastest, ")[1].split(" rad/s")[0])
    assert 0 < speed <= limit
    assert answer["seconds"] >= 0.4 / limit


def test_an_emulated_arm_moves_to_its_home_pose_inside_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DRIVERS._entries, "stepped", "stepped:SteppedDynamixel")
    report = tmp_path / "left.json"
    words = ["move", "--arm", "viperx", "--to", "home", "--driver", "stepped"]
    assert cli.main([*words, "--driver-set", f"report={report}"]) == 0
    left = json.loads(report.read_text())
    assert np.abs(np.array(left["q"]) - VIPERX.home).max() < 0.05
    assert left["torque"] == [1]
    assert left["outside"] == 0, "no goal was outside the limits"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("away", "home, rest or joint1,.*joint7 in rad, got 'away'"),
        ("0,0,0", "got '0,0,0'"),
        ("0,0,0,0,0,0,0", "joint4 is at 0 rad, allowed are -3.072 to -0.0698"),
        ("nan,0,0,-1,0,1,0", "joint1 is at nan rad"),
        ("", "got ''"),
    ],
)
def test_a_pose_that_the_arm_does_not_have_is_refused(text: str, reason: str) -> None:
    with pytest.raises(BadArgumentError, match=reason):
        parse_pose(PANDA, text)


def test_a_real_arm_does_not_move_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["move", "--arm", "viperx", "--to", "home", "--driver", "dynamixel"]
    assert cli.main([*words, "--port", "nowhere"]) == 2
    assert "give --yes" in capsys.readouterr().err


def test_an_arm_that_may_not_move_stays_where_it_is() -> None:
    told: list[str] = []

    def refuse(plan: str) -> bool:
        told.append(plan)
        return False

    result = move("panda", PANDA.home, confirm=refuse)
    assert not result.moved
    assert np.abs(np.array(result.q) - PANDA.rest).max() < TWIN_ERROR
    assert len(told) == 1
    assert "joint6 turns the farthest" in told[0]


def test_a_plan_is_not_followed_from_elsewhere() -> None:
    world = ArmWorld(NoTask(PANDA), PANDA, clock="lockstep")
    try:
        plan = world.moves.plan(shifted(0, 0.3))
        world.moves.move_to(shifted(0, -0.3))
        with pytest.raises(ArmError, match="no longer stands where"):
            world.moves.follow(plan)
        q = world.control.state["q"]
        assert np.abs(q - shifted(0, -0.3)).max() < TWIN_ERROR
    finally:
        world.close()
