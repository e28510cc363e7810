"""``pliant doctor``: each check says what is wrong and what to do; a failure is the exit status."""

import json
import os
import resource
import shutil
import sys
import time
from collections import namedtuple
from dataclasses import replace
from importlib import metadata
from typing import Any

import numpy as np
import pytest
from emulated_feetech import SO101, emulated_so101

from adaptation import cli
from adaptation.jobs import doctor
from adaptation.jobs.checked import Checked
from adaptation.jobs.doctor import CHECKS
from hw_interface.control.pacing import measure_loop
from robots.arm import ArmSpec, Limits
from robots.errors import BadArgumentError

Usage = namedtuple("Usage", "total used free")
TICKS = 400


def checked(driver: str = "twin", arm: ArmSpec = SO101, **options: Any) -> Checked:
    return Checked(arm, driver, options, 0.1)


def without(arm: ArmSpec, name: str) -> ArmSpec:
    """The arm with one limit that is not known; its own constructor would refuse it."""
    limits = object.__new__(Limits)
    for field, value in vars(arm.limits).items():
        object.__setattr__(limits, field, np.nan * value if field == name else value)
    unlimited = object.__new__(ArmSpec)
    for field, value in vars(arm).items():
        object.__setattr__(unlimited, field, limits if field == "limits" else value)
    return unlimited


def test_an_emulated_arm_is_found_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's lateness and the load are the machine's; here they are those of an idle one."""
    monkeypatch.setattr(doctor, "_measure", lambda dt, seconds: (True, np.full(TICKS, 1e-4)))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr("adaptation.jobs.doctor._tick", lambda driver: 2.0)
    with emulated_so101() as (_, bus):
        told = []
        result = doctor.doctor("so101", "feetech", {"port": bus.port}, 0.1, told.append)
        assert bus.goals == 0, "nothing may move"
        assert not any(servo.get("torque") for servo in bus.servos.values())
    assert result.findings == told
    assert [finding.check for finding in told] == [
        "versions",
        "client",
        "limits",
        "rest pose",
        "calibrated",
        "disk",
        "device",
        "clock",
        "memory",
        "loop",
        "link",
    ]
    assert not [finding for finding in told if finding.status == "fail"]
    assert len(told) == len(CHECKS)


def test_a_failure_is_the_exit_status_and_in_the_json(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_limits, doctor.check_link))
    words = ["doctor", "--arm", "so101", "--driver", "feetech", "--port", "nowhere"]
    assert cli.main([*words, "--json"]) == 1
    captured = capfd.readouterr()
    answer = json.loads(captured.out.splitlines()[-1])
    limits, link = answer["findings"]
    assert limits["status"] == "ok"
    assert link["status"] == "fail"
    assert "nowhere" in link["found"]
    assert "not ready: link" in captured.out + captured.err


def test_a_missing_package_or_another_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PYTHON", (3, 99))
    assert doctor.check_versions(checked()).status == "fail"
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no_such_package"))
    finding = doctor.check_versions(checked())
    assert (finding.status, finding.found) == ("fail", "no no_such_package")


def test_the_client_is_named_with_its_version_and_a_missing_one_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = doctor.check_client(checked("dynamixel"))
    assert finding.status == "ok"
    assert f"dynamixel-sdk {metadata.version('dynamixel-sdk')}" in finding.found
    monkeypatch.setitem(sys.modules, "scservo_sdk", None)  # so that importing it fails
    for module in ("feetech", "feetech_bus"):
        monkeypatch.delitem(sys.modules, f"hw_interface.drivers.{module}", raising=False)
    finding = doctor.check_client(checked("feetech"))
    assert finding.status == "fail"
    assert "pliant[feetech]" in finding.found
    assert doctor.check_link(checked("feetech", port="nowhere")).status == "fail"


@pytest.mark.parametrize(
    ("name", "said"), [("jerk", "none of jerk"), ("force", "none of force"), ("dq", "velocity")]
)
def test_an_arm_without_a_limit_fails(name: str, said: str) -> None:
    finding = doctor.check_limits(checked(arm=without(SO101, name)))
    assert finding.status == "fail"
    assert said in finding.found


def test_an_unknown_rest_pose_is_a_warning_and_an_impossible_one_a_failure() -> None:
    assert doctor.check_rest_pose(checked(arm=replace(SO101, rest_pose=None))).status == "warn"
    beyond = object.__new__(ArmSpec)
    for field, value in vars(SO101).items():
        object.__setattr__(beyond, field, value)
    object.__setattr__(beyond, "rest_pose", SO101.limits.q_high + 0.1)
    finding = doctor.check_rest_pose(checked(arm=beyond))
    assert finding.status == "fail"
    assert "shoulder_pan" in finding.found


@pytest.mark.parametrize(("free", "status"), [(0.5e9, "fail"), (3e9, "warn"), (50e9, "ok")])
def test_a_full_disk_fails(monkeypatch: pytest.MonkeyPatch, free: float, status: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100e9, 100e9 - free, free))
    finding = doctor.check_disk(checked())
    assert finding.status == status
    assert bool(finding.advice) == (status != "ok")


def test_a_busy_computer_or_a_single_core_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 9.0, 9.0))
    assert doctor.check_device(checked()).status == "warn"
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 9.0, 9.0))
    assert doctor.check_device(checked()).status == "ok"
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert "core of its own" in doctor.check_device(checked()).advice


def test_a_wall_clock_that_is_set_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_clock(checked()).status == "ok"
    walls = iter([100.0, 105.0])
    monkeypatch.setattr(time, "time", lambda: next(walls))
    assert doctor.check_clock(checked()).status == "warn"


def test_memory_that_may_not_be_locked_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (8_388_608, 8_388_608))
    finding = doctor.check_memory(checked())
    assert finding.status == "warn"
    assert "memlock" in finding.advice
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: unlimited)
    assert doctor.check_memory(checked()).status == "ok"


@pytest.mark.parametrize(
    ("realtime", "late", "share", "status", "advice"),
    [
        (True, 0.0001, 1.0, "ok", ""),
        (True, 0.2, 1 / TICKS, "fail", "OVERRUN"),
        (True, 0.01, 0.05, "warn", "5.0 % of ticks missed"),
        (False, 0.0001, 1.0, "warn", "rtprio"),
    ],
)
def test_a_loop_that_is_late_or_has_no_real_time_is_named(
    monkeypatch: pytest.MonkeyPatch,
    realtime: bool,
    late: float,
    share: float,
    status: str,
    advice: str,
) -> None:
    lateness = np.zeros(TICKS)
    lateness[: round(share * TICKS)] = late
    monkeypatch.setattr(doctor, "_measure", lambda dt, seconds: (realtime, lateness))
    finding = doctor.check_loop(checked("feetech"))
    assert finding.status == status
    assert advice in finding.advice
    assert f"{1e3 * late:.2f} ms" in finding.found


def test_the_loop_is_measured_in_a_process_of_its_own() -> None:
    before = os.sched_getscheduler(0)
    _, lateness = doctor._measure(0.01, 0.1)
    assert lateness.shape == (10,)
    assert (lateness >= 0).all()
    assert os.sched_getscheduler(0) == before
    assert measure_loop.__module__ == "hw_interface.control.pacing"


def test_a_link_that_is_slower_than_a_tick_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_read_times", lambda checked: np.array([0.004, 0.006, 0.007]))
    finding = doctor.check_link(checked("feetech"))
    assert finding.status == "fail"
    assert "6.00 ms, at most 7.00 ms; a tick is 5.00 ms" in finding.found
    monkeypatch.setattr(doctor, "_read_times", lambda checked: np.array([0.002, 0.003, 0.007]))
    assert doctor.check_link(checked("feetech")).status == "ok"


def test_the_twin_is_read_too_and_a_wrong_option_is_a_failure() -> None:
    before = os.sched_getscheduler(0)
    assert doctor.check_link(checked("twin")).status == "ok"
    assert os.sched_getscheduler(0) == before
    finding = doctor.check_link(checked("twin", speed=3))
    assert finding.status == "fail"
    assert "speed" in finding.found


def test_an_option_that_the_driver_lacks_is_refused_before_the_checks() -> None:
    found: list[Any] = []
    with pytest.raises(BadArgumentError, match="'twin' has no option 'port'"):
        doctor.doctor("panda", "twin", {"port": "/dev/null"}, 10.0, found.append)
    assert not found
