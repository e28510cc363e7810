"""What the Dynamixel driver wrote is what the servos show, or the arm is not enabled."""

import json
from pathlib import Path

import numpy as np
import pytest
from emulated import VIPERX, emulated_arm

from hw_interface.drivers.dynamixel_models import VELOCITY_UNIT


def write_calibration(folder: Path, mode: str = "position", shadow_homing_offset: int = 0) -> str:
    """The maker's calibration, except for these; returns its path."""
    calibration = json.loads(VIPERX.urdf.with_name("dynamixel.json").read_text())
    calibration["mode"] = mode
    calibration["servos"][1]["shadow_homing_offset"] = shadow_homing_offset
    path = folder / f"{mode}-{shadow_homing_offset}.json"
    path.write_text(json.dumps(calibration))
    return str(path)


@pytest.mark.parametrize("servo_id", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("register", "before", "message"),
    [
        ("profile_velocity", 0, "profile velocity 0, not 128"),
        ("goal_current", 300, r"goal current 300, not \d+"),
        ("goal_position", 700, r"goal position 700, not \d+"),
    ],
)
def test_without_its_bounds_no_servo_gets_torque(
    tmp_path: Path, servo_id: int, register: str, before: int, message: str
) -> None:
    with emulated_arm(calibration=write_calibration(tmp_path, "current")) as (driver, bus):
        driver.connect()
        bus.servos[servo_id].set(register, before)
        bus.faults.lost_writes.add((servo_id, register))
        with pytest.raises(RuntimeError, match=f"servo {servo_id} cannot be enabled.* {message}"):
            driver.enable()
        assert not any(servo.get("torque") for servo in bus.servos.values())
        bus.faults.lost_writes.clear()
        driver.enable()
        assert all(servo.get("torque") for servo in bus.servos.values())


@pytest.mark.parametrize(("register", "value"), [("torque", 1), ("bus_watchdog", 12)])
@pytest.mark.parametrize("servo_id", [3, 6])
def test_a_servo_without_torque_or_watchdog_is_named(
    servo_id: int, register: str, value: int
) -> None:
    with emulated_arm() as (driver, bus):
        driver.connect()
        bus.faults.lost_writes.add((servo_id, register))
        words = register.replace("_", " ")
        message = f"servo {servo_id} cannot be enabled: it has the {words} 0, not {value}"
        with pytest.raises(RuntimeError, match=message):
            driver.enable()


def test_no_servo_is_asked_for_more_than_its_velocity_limit() -> None:
    wanted = int(np.ceil(VIPERX.limits.dq[0] / VELOCITY_UNIT))
    with emulated_arm() as (driver, bus):
        for servo_id, limit in {1: 1000, 2: 100, 3: 90, 4: 100, 5: 110}.items():
            bus.servos[servo_id].set("velocity_limit", limit)
        driver.connect()
        driver.enable()
        profiles = {number: servo.get("profile_velocity") for number, servo in bus.servos.items()}
        assert profiles[1] == wanted
        assert profiles[2] == profiles[3] == 90
        assert profiles[4] == profiles[5] == 100


def test_no_servo_is_asked_for_more_than_its_current_limit(tmp_path: Path) -> None:
    with emulated_arm(calibration=write_calibration(tmp_path, "current")) as (driver, bus):
        bus.servos[3].set("current_limit", 150)
        driver.connect()
        driver.enable()
        assert bus.servos[2].get("goal_current") == bus.servos[3].get("goal_current") == 150
        assert bus.servos[4].get("goal_current") > 150


def test_a_shadow_that_disagrees_with_its_leader_gets_no_torque(tmp_path: Path) -> None:
    calibration = write_calibration(tmp_path, shadow_homing_offset=100)
    with emulated_arm(calibration=calibration) as (driver, bus):
        driver.connect()
        bus.servos[3].homing_offset = 0  # its offset is as calibrated, but its horn has slipped
        driver.clock.now += driver.capabilities.dt
        bus.pass_time()
        message = r"servo 3 \(shoulder\) shows \d+ ticks and servo 2, its leader, \d+"
        with pytest.raises(RuntimeError, match=message):
            driver.enable()
        assert not any(servo.get("torque") for servo in bus.servos.values())
