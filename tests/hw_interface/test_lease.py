"""One program at a time commands an arm."""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import tty
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serial
from emulated import VIPERX, PacedDynamixel, emulated_arm

from hw_interface.drivers import DRIVERS
from hw_interface.drivers.dynamixel import DynamixelOptions
from hw_interface.drivers.dynamixel_bus import DynamixelBus
from hw_interface.lease import Lease
from robots.catalog import ARMS
from robots.driver import Driver
from robots.errors import ArmError, BadArgumentError, MissingExtraError
from robots.scene import Scene

TIOCGEXCL = 0x80045440  # whether a terminal is exclusive; Linux, asm-generic/ioctls.h

HOLDER = """
import sys, time
from hw_interface.lease import Lease
Lease(sys.argv[1]).take()
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_a_second_driver_on_one_port_is_refused_before_a_byte_is_sent(tmp_path: Path) -> None:
    with emulated_arm() as (driver, bus):
        driver.connect()
        driver.enable()
        driver.read()
        link = tmp_path / "arm"
        link.symlink_to(bus.port)
        carried = bus.bytes_carried
        for name in (bus.port, str(link)):
            second = PacedDynamixel(VIPERX, None, DynamixelOptions(name))
            second.clock = driver.clock
            with pytest.raises(ArmError, match=f"in use by process {os.getpid()}:"):
                second.connect()
            second.disconnect()
        assert bus.bytes_carried == carried
        before = driver.read().stamp
        assert driver.read().stamp > before
        driver.disconnect()
        second = PacedDynamixel(VIPERX, None, DynamixelOptions(bus.port))
        second.clock = driver.clock
        second.connect()
        assert np.isfinite(second.read().q).all()
        second.disconnect()


def test_a_lease_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, "/dev/ttyARM"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"taken\n"
        lease = Lease("/dev/ttyARM")
        with pytest.raises(ArmError, match=f"/dev/ttyARM is in use by process {holder.pid}:"):
            lease.take()
        Lease("/dev/ttyOTHER").take()
        holder.kill()
        holder.wait()
        lease.take()
        assert lease.path.read_text() == f"{os.getpid()}\n"
        lease.take()  # it has it already
        lease.release()
        lease.release()


def test_without_a_runtime_folder_the_lease_is_in_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lease = Lease("10.0.0.2")
    lease.take()
    assert lease.path.parent.parent == tmp_path
    with pytest.raises(ArmError, match=r"10\.0\.0\.2 is in use"):
        Lease("10.0.0.2").take()
    lease.release()


def test_a_port_that_another_program_has_locked_is_refused() -> None:
    with emulated_arm() as (driver, bus):
        with (
            serial.Serial(bus.port, exclusive=True),
            pytest.raises(OSError, match="in use by another program"),
        ):
            driver.connect()
        assert bus.bytes_carried == 0
        driver.connect()


def test_nobody_can_open_a_port_while_a_driver_has_it() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    bus = DynamixelBus(os.ttyname(slave), 1_000_000)

    def exclusive() -> bool:
        answer = fcntl.ioctl(slave, TIOCGEXCL, bytes(4))
        return bool(struct.unpack("i", answer)[0])

    assert not exclusive()
    bus.open()
    assert exclusive()
    bus.close()
    assert not exclusive()
    os.close(master)
    os.close(slave)


def test_a_port_that_cannot_be_opened_is_not_kept() -> None:
    for _ in range(2):
        bus = DynamixelBus("/nowhere/port", 1_000_000)
        with pytest.raises(OSError, match="nowhere"):
            bus.open()


def build_any(kind: Any, options: Any) -> Driver:
    """A driver of the first arm that it takes."""
    for arm in ARMS.values():
        with contextlib.suppress(BadArgumentError):
            driver: Driver = kind(arm, Scene(arm), options)
            return driver
    raise AssertionError(f"{kind} drives none of our arms")


# Its port is a network interface, which many programs use: see test_ros2_options.py for its lease.
SHARED_PORT = {"ros2"}


@pytest.mark.parametrize("name", sorted(set(DRIVERS) - SHARED_PORT))
def test_every_driver_with_a_port_takes_a_lease(name: str) -> None:
    """A new driver is tested here by being registered."""
    try:
        kind = DRIVERS[name]
    except MissingExtraError as error:
        pytest.skip(str(error))
    for field in fields(kind.Options):
        if field.name in ("port", "address"):
            address = "/nowhere/port"
            lease = Lease(address)
            lease.take()
            driver = build_any(kind, kind.Options(**{field.name: address}))
            with pytest.raises(ArmError, match=f"{address} is in use by process"):
                driver.connect()
            lease.release()
