"""An emulated Universal Robots controller in a process of its own, and the driver over it.

The client library holds the interpreter lock while it connects, so the emulator cannot be a thread
of the test. Its time passes by itself, but never more than two cycles at once: on a busy machine
everything is slower together.
"""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import pytest
from emulated import BlockablePlant

from hw_interface.drivers import gripper_thread, robotiq_socket
from hw_interface.emulators.ur import CYCLE, UrEmulator, UrEmulatorOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import Array
from sim.plant import Plant

T = TypeVar("T")

# As the catalog has it, but its watchdog waits for two seconds: on a busy machine the test may.
UR5E: ArmSpec = replace(ARMS["ur5e"], limits=replace(ARMS["ur5e"].limits, deadline=2.0))
UR5E_2F85: ArmSpec = replace(
    ARMS["ur5e_2f85"], limits=replace(ARMS["ur5e_2f85"].limits, deadline=2.0)
)
NUMBERS = itertools.count()


class Remote:
    """A controller that is being emulated at an address of its own."""

    def __init__(self, address: str, pipe: Connection) -> None:
        self.address = address
        self._pipe = pipe

    def do(self, call: Callable[[UrEmulator], T]) -> T:
        """Call a function of a module in the emulator's process, between two of its cycles."""
        self._pipe.send(call)
        if not self._pipe.poll(30):
            raise TimeoutError("the emulator does not answer")
        answer: T = self._pipe.recv()
        return answer


class TestClock:
    """The emulator's time, s, and the place where it takes the test's calls."""

    __test__ = False

    def __init__(self, pipe: Connection) -> None:
        self.now = 0.0
        self.emulator: UrEmulator | None = None
        self._pipe = pipe
        self._parent = os.getppid()

    def __call__(self) -> float:
        if os.getppid() != self._parent:
            raise SystemExit("the test has gone")
        self.now += CYCLE
        while self.emulator is not None and self._pipe.poll():
            call = self._pipe.recv()
            self._pipe.send(call(self.emulator))
        return self.now


def run_emulator(pipe: Connection, address: str) -> None:
    """The emulator's process."""
    assert UR5E.reach_zone is not None
    serve(pipe, address, BlockablePlant(UR5E, UR5E.reach_zone.ready, gravity=False))


def run_gripping_emulator(pipe: Connection, address: str) -> None:
    """The same of an arm with a gripper, in the pose in which ``lift`` begins."""
    assert UR5E_2F85.lift_zone is not None
    serve(pipe, address, Plant(UR5E_2F85, UR5E_2F85.lift_zone.ready, gravity=False))


def serve(pipe: Connection, address: str, plant: Plant) -> None:
    clock = TestClock(pipe)
    emulator = UrEmulator(plant.arm, plant, UrEmulatorOptions(address), clock)
    clock.emulator = emulator
    pipe.send("serving")
    emulator.serve()


def loopback_address() -> str:
    """An address that no other test of this machine uses now."""
    pid = os.getpid()
    number = next(NUMBERS)
    return f"127.{1 + number % 250}.{pid >> 8 & 255}.{1 + pid % 250}"


@contextmanager
def serving(
    run: Callable[..., None], count_outside: Callable[[Any], int], *given: int
) -> Iterator[Remote]:
    """A controller in a process of its own; no goal outside the limits may have reached it.

    Args:
        run: the process: it takes a pipe, an address and what is ``given``, and sends "serving".
        count_outside: counts those goals, in that process.
        given: further arguments.
    """
    here, there = multiprocessing.Pipe()
    address = loopback_address()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=run, args=(there, address, *given), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(30)
        assert here.recv() == "serving"
        remote = Remote(address, here)
        yield remote
        assert remote.do(count_outside) == 0
    finally:
        process.kill()
        process.join()
        here.close()


@contextmanager
def emulated_ur() -> Iterator[Remote]:
    """A controller of a UR5e, ready to move; no goal outside the limits may have reached it."""
    with serving(run_emulator, count_outside) as remote:
        yield remote


@contextmanager
def emulated_ur5e_2f85() -> Iterator[Remote]:
    """The same with a gripper, which is open."""
    with serving(run_gripping_emulator, count_outside) as remote:
        yield remote


class RemotePlant:
    """The simulated arm of a controller, in the emulator's process."""

    def __init__(self, remote: Remote, plant_of: Callable[[Any], Plant]) -> None:
        """``plant_of`` finds the arm in that process."""
        self._remote = remote
        self._plant_of = plant_of

    def read(self) -> tuple[Array, Array, Array]:
        return self._remote.do(partial(read_plant, self._plant_of))

    def put_between(self, half_width: float) -> None:
        """Put an object of this half width, m, between the fingers."""
        self._remote.do(partial(put_between, self._plant_of, half_width))


def read_plant(plant_of: Callable[[Any], Plant], emulator: Any) -> tuple[Array, Array, Array]:
    return plant_of(emulator).read()


def put_between(plant_of: Callable[[Any], Plant], half_width: float, emulator: Any) -> None:
    plant_of(emulator).put_between(half_width)


def physics_of(emulator: UrEmulator) -> Plant:
    physics = emulator.controller.physics
    assert isinstance(physics, Plant)
    return physics


@contextmanager
def patient_driver(seconds: float = 5.0) -> Iterator[None]:
    """The driver waits this long for a measurement or a call: the machine may be busy."""
    from hw_interface.drivers import ur, ur_link  # needs an extra

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ur, "PATIENCE", seconds)
        patch.setattr(ur_link, "CALL_PATIENCE", seconds)
        patch.setattr(robotiq_socket, "ANSWER_PATIENCE", seconds)
        patch.setattr(gripper_thread, "PATIENCE", 3 * seconds)
        yield


def count_outside(emulator: UrEmulator) -> int:
    return emulator.outside


def put_wall(emulator: UrEmulator) -> None:
    physics = emulator.controller.physics
    assert isinstance(physics, BlockablePlant)
    physics.block(True)


def take_wall_away(emulator: UrEmulator) -> None:
    physics = emulator.controller.physics
    assert isinstance(physics, BlockablePlant)
    physics.block(False)
