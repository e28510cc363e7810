"""Check a computer and an arm before the first motion: one function for each check, nothing moves.

Every check returns a ``Finding``: what was found, and what to do about it. ``fail`` is what would
stop an arm or make it unsafe to begin, ``warn`` what makes faults more likely.
"""

import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from adaptation.jobs.arm_options import check_options, check_port
from adaptation.jobs.calibration_age import check_calibration
from adaptation.jobs.checked import Checked, DoctorResult, Finding
from hw_interface.control.pacing import measure_loop, realtime
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS
from robots.counting import counted
from robots.errors import MissingExtraError, PliantError
from robots.scene import Scene
from robots.signals import Array

PACKAGES = ("numpy", "mujoco", "torch", "msgspec", "mcap")
PYTHON = (3, 11)
TICK = 0.005  # s, of a driver that cannot be imported
READINGS = 100  # of which the link's times are measured
FREE_FAIL = 1.0  # GB; ours: a trial's recordings take some hundred MB
FREE_WARN = 5.0  # GB
MAX_DRIFT = 1e-3  # share; ours: a clock that is set while it runs differs by more
MISSED = 0.01  # share of ticks; ours


def check_versions(checked: Checked) -> Finding:
    """Python and the packages that drive an arm."""
    python = ".".join(str(number) for number in sys.version_info[:3])
    found = [f"Python {python}"]
    missing = []
    for name in ("pliant", *PACKAGES):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("versions", "fail", f"no {', '.join(missing)}", "pip install pliant again")
    if sys.version_info[:2] != PYTHON:
        return Finding("versions", "fail", found[0], "use Python 3.11")
    return Finding("versions", "ok", ", ".join(found))


def check_client(checked: Checked) -> Finding:
    """The driver and its vendor's client."""
    try:
        kind = DRIVERS[checked.driver]
    except PliantError as error:
        return Finding("client", "fail", str(error), "install what the message names")
    rate = f"{1 / kind.capabilities.dt:.0f} Hz"
    clients = _clients_of(checked.driver)
    return Finding("client", "ok", ", ".join([f"{checked.driver} at {rate}", *clients]))


def _clients_of(extra: str) -> list[str]:
    """The installed packages of an extra of Pliant, with their versions."""
    found = []
    for requirement in metadata.requires("pliant") or []:
        name, _, condition = requirement.partition(";")
        package = name.split(">")[0].split("=")[0].split("<")[0].strip()
        if f'extra == "{extra}"' in condition:
            with suppress(metadata.PackageNotFoundError):
                found.append(f"{package} {metadata.version(package)}")
    return found


def check_limits(checked: Checked) -> Finding:
    """The arm's limits: without them nothing may move."""
    limits = checked.arm.limits
    numbers = {
        "position": np.stack([limits.q_low, limits.q_high]),
        "velocity": limits.dq,
        "acceleration": limits.ddq,
        "jerk": limits.jerk,
        "torque": limits.tau,
        "tool box": limits.tool_box,
        "force": np.array([limits.force]),
        "tool speed": np.array([limits.tool_speed]),
    }
    missing = [name for name, value in numbers.items() if not np.isfinite(value).all()]
    if missing:
        advice = "write them in the arm's entry of the catalog"
        return Finding("limits", "fail", f"none of {', '.join(missing)}", advice)
    joints = len(checked.arm.joints)
    speed = f"at most {limits.dq.max():.2f} rad/s, the tool {limits.tool_speed:.2f} m/s"
    return Finding(
        "limits", "ok", f"{counted(joints, 'joint')}, {speed}, silence {limits.deadline} s"
    )


def check_rest_pose(checked: Checked) -> Finding:
    """The rest pose, in which the motors may be switched off."""
    arm = checked.arm
    if arm.rest_pose is None:
        advice = "write rest_pose in the arm's entry: home is used until then"
        return Finding("rest pose", "warn", "unknown", advice)
    inside = (arm.rest_pose >= arm.limits.q_low) & (arm.rest_pose <= arm.limits.q_high)
    if not inside.all():
        joint = arm.joints[int(np.argmin(inside))]
        return Finding("rest pose", "fail", f"{joint} is outside its limits", "correct rest_pose")
    pose = " ".join(f"{q:.2f}" for q in arm.rest_pose)
    return Finding("rest pose", "ok", f"{pose} rad")


def check_disk(checked: Checked) -> Finding:
    """Room for recordings in the present folder."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    found = f"{free:.1f} GB free in the present folder"
    if free < FREE_WARN:
        advice = "make room: a recording ends when the disk is full, and the arm goes on"
        return Finding("disk", "fail" if free < FREE_FAIL else "warn", found, advice)
    return Finding("disk", "ok", found)


def check_device(checked: Checked) -> Finding:
    """What computes the policy, and whether the CPU is free."""
    import torch  # slow to import, and only here

    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU, no GPU"
    found = f"{device}; {counted(cores, 'core')} with a load of {load:.1f}"
    if load > cores:
        return Finding("device", "warn", found, "end other programs: the loop will be late")
    if cores < 2:
        return Finding("device", "warn", found, "the control process needs a core of its own")
    return Finding("device", "ok", found)


def check_clock(checked: Checked) -> Finding:
    """The clocks: only the monotonic one decides, the wall clock dates recordings."""
    monotonic = time.monotonic()
    wall = time.time()
    time.sleep(0.2)
    elapsed = time.monotonic() - monotonic
    drift = abs(time.time() - wall - elapsed) / elapsed
    synchronized = _ntp()
    found = f"wall and monotonic clock differ by {100 * drift:.3f} %, NTP {synchronized}"
    if drift > MAX_DRIFT:
        return Finding("clock", "warn", found, "do not set the clock while an arm is driven")
    return Finding("clock", "ok", found)


def _ntp() -> str:
    """Whether the wall clock is synchronized: ``yes``, ``no`` or ``unknown``."""
    if shutil.which("timedatectl") is None:
        return "unknown"
    words = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"


def check_memory(checked: Checked) -> Finding:
    """Whether the control process may lock its memory."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or os.geteuid() == 0:
        return Finding("memory", "ok", "may be locked")
    advice = "set 'memlock unlimited' for your user in limits.conf: page faults delay the loop"
    return Finding("memory", "warn", f"{soft / 1e6:.0f} MB may be locked", advice)


def check_loop(checked: Checked) -> Finding:
    """How late the control loop is, measured in a process of its own as on an arm."""
    dt = _tick(checked.driver)
    is_realtime, lateness = _measure(dt, checked.seconds)
    latest = float(lateness.max())
    missed = float((lateness > dt).mean())
    scheduler = "SCHED_FIFO" if is_realtime else "without SCHED_FIFO"
    p99 = 1e3 * float(np.quantile(lateness, 0.99))
    times = f"99 % late by at most {p99:.2f} ms, the latest {1e3 * latest:.2f} ms"
    found = f"{scheduler}, {1 / dt:.0f} Hz for {checked.seconds:g} s: {times}"
    if latest > WatchdogConfig.overrun:
        advice = "end other programs; this stops an arm (OVERRUN)"
        return Finding("loop", "fail", found, advice)
    if missed > MISSED:
        return Finding("loop", "warn", found, f"{100 * missed:.1f} % of ticks missed: end programs")
    if not is_realtime:
        advice = "set 'rtprio 60' for your user in limits.conf"
        return Finding("loop", "warn", found, advice)
    return Finding("loop", "ok", found)


def _measure(dt: float, seconds: float) -> tuple[bool, Array]:
    """``measure_loop`` in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure_loop, dt, seconds).result()


def _tick(driver: str) -> float:
    """The period of a driver's loop, s; ``TICK`` if the driver cannot be imported."""
    try:
        dt: float = DRIVERS[driver].capabilities.dt
    except PliantError:
        return TICK
    return dt


def check_link(checked: Checked) -> Finding:
    """The link to the arm, or to its emulator or twin: connect, read, disconnect; nothing moves."""
    try:
        times = _read_times(checked)
    except (PliantError, OSError, RuntimeError) as error:
        return Finding("link", "fail", str(error), "see the driver's page in docs/")
    dt = _tick(checked.driver)
    median = float(np.median(times))
    found = f"a reading takes {1e3 * median:.2f} ms, at most {1e3 * times.max():.2f} ms"
    tick = f"a tick is {1e3 * dt:.2f} ms"
    if median > dt and DRIVERS[checked.driver].capabilities.realtime:
        return Finding("link", "fail", f"{found}; {tick}", "use a faster adapter or network")
    return Finding("link", "ok", f"{found}; {tick}")


def _read_times(checked: Checked) -> Array:
    """How long readings take, (readings,) s."""
    kind = DRIVERS[checked.driver]
    options = check_options(checked.driver, checked.options, 0)
    driver = kind(checked.arm, Scene(checked.arm), kind.Options(**options))
    times = []
    try:
        driver.connect()
        with realtime():
            for _ in range(READINGS):
                start = time.monotonic()
                driver.read()
                times.append(time.monotonic() - start)
    finally:
        driver.disconnect()
    return np.array(times)


CHECKS: tuple[Callable[[Checked], Finding], ...] = (
    check_versions,
    check_client,
    check_limits,
    check_rest_pose,
    check_calibration,
    check_disk,
    check_device,
    check_clock,
    check_memory,
    check_loop,
    check_link,
)


def doctor(
    arm: str, driver: str, options: dict[str, Any], seconds: float, tell: Callable[[Finding], None]
) -> DoctorResult:
    """Run every check.

    Args:
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        seconds: for which the loop is measured.
        tell: gets each finding at once.

    Raises:
        BadArgumentError: the driver has no such option, or lacks its port.
    """
    with suppress(MissingExtraError):  # which a check reports
        check_port(driver, options)
    checked = Checked(ARMS[arm], driver, options, seconds)
    findings = []
    for check in CHECKS:
        findings.append(check(checked))
        tell(findings[-1])
    return DoctorResult(arm=arm, driver=driver, findings=findings)
