"""``pliant calibrate latency``, ``joints`` and ``payload`` on twins and emulated servos."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
from emulated_feetech import SO101

from adaptation import cli
from adaptation.jobs.calibrate_joints import calibrate_joints
from adaptation.jobs.calibrate_latency import calibrate_latency, latency_settings
from adaptation.jobs.calibrate_payload import calibrate_payload, check_rating
from adaptation.jobs.calibration_age import check_calibration
from adaptation.jobs.checked import Checked
from hw_interface.calibration.latency_file import (
    LatencyCalibration,
    latency_path,
    now_utc,
    read_latency,
)
from hw_interface.calibration.payload import FittedPayload
from hw_interface.drivers import DRIVERS
from hw_interface.drivers.feetech_calibration import read_calibration
from hw_interface.drivers.servo_calibration import TICK
from robots.catalog import ARMS
from robots.errors import ArmError, BadArgumentError
from sim.loaded_arm import load_arm

TWIN_TICK = 0.004  # s
REVERSED = "shoulder_pan"
TURNED = {"shoulder_lift": 90, "elbow_flex": -60}  # ticks by which a zero is off


def test_the_twin_is_as_late_as_it_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "calibrate latency --arm panda --joint joint2 --repeats 2 --driver-set latency=0.012"
    assert cli.main([*words.split(), "--json"]) == 0
    captured = capfd.readouterr()
    answer = json.loads(captured.out.splitlines()[-1])
    assert "joint2 turns by" in captured.out + captured.err
    found = read_latency(latency_path("panda", "twin"), "panda", "twin")
    assert [path.name for path in tmp_path.iterdir()] == ["latency-panda-twin.json"]
    assert found.motions == 4
    assert found.p50 == pytest.approx(0.012, abs=0.25 * TWIN_TICK)
    assert found.max == pytest.approx(0.012, abs=0.25 * TWIN_TICK)
    low, high = answer["settings"]["carry"].removeprefix("range.disturbance.latency=").split(",")
    assert (float(low) + float(high)) / 2 == pytest.approx(found.p50, abs=1e-4)


def calibration(p50: float, longest: float) -> LatencyCalibration:
    return LatencyCalibration("panda", "twin", now_utc(), TWIN_TICK, 4, p50, longest, longest, ())


def test_the_range_keeps_its_width_where_no_delay_becomes_negative() -> None:
    settings = latency_settings("panda", calibration(0.15, 0.16))
    assert settings["carry"] == "range.disturbance.latency=0.0500,0.2500"
    settings = latency_settings("panda", calibration(0.01, 0.03))
    assert settings["carry"] == "range.disturbance.latency=0.0000,0.0300"


def test_where_tasks_have_no_latency_of_their_own_the_range_is_as_narrow_as_the_delays() -> None:
    settings = latency_settings("panda", calibration(0.15, 0.16))
    for name in ("cripple_arm", "insert", "reach"):
        assert settings[name] == "range.disturbance.latency=0.1400,0.1600"


def test_the_doctor_tells_the_age_of_a_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    checked = Checked(ARMS["panda"], "twin", {}, 0.1)
    finding = check_calibration(checked)
    assert finding.status == "warn"
    assert "pliant calibrate latency --arm panda --driver twin" in finding.advice
    path = latency_path("panda", "twin")
    fresh = calibration(0.01, 0.02)
    for days, status in ((3, "ok"), (200, "warn"), (-2, "warn")):
        old = msgspec.structs.replace(fresh, measured=fresh.measured - timedelta(days=days))
        path.write_bytes(msgspec.json.encode(old))
        finding = check_calibration(checked)
        assert finding.status == status
        assert f"latency {days} days ago, p50 10.0 ms" in finding.found
    for damage in (b"\xff {", msgspec.json.encode(msgspec.structs.replace(fresh, arm="fr3"))):
        path.write_bytes(damage)
        assert check_calibration(checked).status == "fail"


def test_an_emulated_dynamixel_arm_is_measured_inside_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its servos have no feed-forward: they follow with a lag of damping over stiffness.

    The wrist is so light that its inertia does not matter beside that.
    """
    monkeypatch.setitem(DRIVERS._entries, "stepped", "stepped:SteppedDynamixel")
    report = tmp_path / "left.json"
    arm = ARMS["viperx"]
    options = {"report": str(report)}
    result = calibrate_latency("viperx", "stepped", options, "wrist_rotate", repeats=2)
    left = json.loads(report.read_text())
    assert left["outside"] == 0
    assert left["torque"] == [1]
    assert result.calibration is not None
    (wrist,) = result.calibration.joints
    lag = arm.damping[-1] / arm.stiffness[-1]
    assert wrist.delay + wrist.lag == pytest.approx(lag, abs=result.calibration.tick)


def so101_files(folder: Path) -> tuple[Path, Path]:
    """How the servos are wired, and what the driver believes at first."""
    nominal = SO101.urdf.with_name("feetech.json").read_text()
    document = json.loads(nominal)
    for servo in document["servos"]:
        servo["sign"] = -1 if servo["joint"] == REVERSED else 1
        servo["zero"] += TURNED.get(servo["joint"], 0)
    wiring = folder / "wiring.json"
    wiring.write_text(json.dumps(document))
    believed = folder / "believed.json"
    believed.write_text(nominal)
    return wiring, believed


def person(answers: dict[str, str], asked: list[str]) -> Callable[[str], str]:
    """Presses Enter, and says of each joint that it went as described unless told otherwise."""

    def ask(question: str) -> str:
        asked.append(question)
        joint = question.partition(":")[0]
        if joint not in SO101.joints:
            return ""
        answer = answers.get(joint, "y")
        if answer == "Ctrl-C":
            raise KeyboardInterrupt
        return answer

    return ask


@pytest.fixture
def believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str]]:
    """The driver's file, and the options of the emulated arm."""
    monkeypatch.setitem(DRIVERS._entries, "stepped", "stepped_feetech:SteppedFeetech")
    wiring, believed = so101_files(tmp_path)
    report = tmp_path / "report.json"
    options = {"wiring": wiring, "calibration": believed, "report": report}
    return believed, {name: str(path) for name, path in options.items()}


def test_signs_and_zeros_of_an_emulated_arm_are_found(
    believed: tuple[Path, dict[str, str]],
) -> None:
    file, options = believed
    asked: list[str] = []
    told: list[str] = []
    ask = person({REVERSED: "n"}, asked)

    def confirm(plan: str) -> bool:
        told.append(plan)
        return True

    result = calibrate_joints("so101", "stepped", options, ask=ask, confirm=confirm)
    assert result.written
    truth = read_calibration(options["wiring"], SO101)
    found = read_calibration(str(file), SO101)
    for servo, true in zip(found.servos, truth.servos, strict=True):
        assert servo.sign == true.sign
        assert abs(servo.zero - true.zero) * TICK < 0.06, "the arm sags in its posture"
    assert [joint.joint for joint in result.joints if joint.reversed] == [REVERSED]
    assert len(told) == 1
    assert "shoulder_pan turns by" in told[0]
    assert "seen from above, the joint turns" in "".join(asked)
    assert json.loads(Path(options["report"]).read_text())["outside"] == 0


def test_ctrl_c_at_a_question_leaves_the_file_as_it_was(
    believed: tuple[Path, dict[str, str]],
) -> None:
    file, options = believed
    before = file.read_bytes()
    ask = person({REVERSED: "Ctrl-C"}, [])
    with pytest.raises(KeyboardInterrupt):
        calibrate_joints("so101", "stepped", options, ask=ask, by_key=False)
    assert file.read_bytes() == before
    names = {path.name for path in file.parent.iterdir()}
    assert names == {"wiring.json", "believed.json", "report.json"}


def test_a_posture_that_does_not_fit_is_refused_before_anything_moves(
    believed: tuple[Path, dict[str, str]],
) -> None:
    _, options = believed
    asked: list[str] = []
    with pytest.raises(BadArgumentError, match=r"shoulder_lift is .* rad from where the posture"):
        calibrate_joints("so101", "stepped", options, pose="home", ask=person({}, asked))
    assert len(asked) == 1
    result = calibrate_joints("so101", "stepped", options, ask=lambda question: "no")
    assert not result.written


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> float:
    """A Panda that carries a payload at its tool, as ``--arm loaded``; returns its mass, kg."""
    mass = 1.5
    panda = ARMS["panda"]
    arm = load_arm(panda, mass, panda.home)
    stiff = replace(arm, name="loaded", stiffness=panda.stiffness, damping=panda.damping)
    module = ModuleType("loaded_panda")
    module.ARM = stiff  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "loaded_panda", module)
    monkeypatch.setitem(ARMS._entries, "loaded", "loaded_panda:ARM")
    return mass


def test_the_payload_of_a_twin_is_found(
    loaded: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs at the tool, 0.14 m before the flange."""
    monkeypatch.setattr("adaptation.jobs.calibrate_payload.SETTLE", 2)  # stiff servos settle soon
    told: list[str] = []

    def confirm(plan: str) -> bool:
        told.append(plan)
        return True

    out = tmp_path / "payload.json"
    result = calibrate_payload("loaded", postures=4, out=out, confirm=confirm)
    assert result.mass == pytest.approx(loaded, abs=0.01)
    np.testing.assert_allclose(result.center, [0, 0, 0.14], atol=0.002)
    assert not result.weighs_itself
    mass, x, y, z = result.setting.removeprefix("--payload ").split(",")
    assert float(mass) == pytest.approx(loaded, abs=0.01)
    np.testing.assert_allclose([float(x), float(y), float(z)], result.center, atol=1e-4)
    assert json.loads(out.read_text())["mass"] == result.mass
    assert "will stand in 4 postures" in told[0]


def test_a_real_arm_does_not_move_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    words = "calibrate latency --arm viperx --driver dynamixel --port nowhere"
    assert cli.main(words.split()) == 2
    assert "give --yes" in capsys.readouterr().err


@pytest.mark.parametrize("driver", ["feetech", "dynamixel"])
def test_servos_cannot_weigh(driver: str) -> None:
    with pytest.raises(BadArgumentError, match="friction of their gears"):
        calibrate_payload("so101", driver, {"port": "nowhere"})


def test_a_payload_above_the_rated_one_is_refused() -> None:
    arm = ARMS["panda"]
    assert arm.rated_payload == 3.0
    zeros = np.zeros(3)
    found = FittedPayload(2.9, zeros, 0.01, zeros, 0.1, 0.1, 0.01, 5.0, False)
    check_rating(arm, found)
    with pytest.raises(ArmError, match=r"carries 3.20 kg, and panda is rated for 3 kg"):
        check_rating(arm, replace(found, mass=3.2))
