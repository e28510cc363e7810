"""An emulated controller of a Franka Research 3 in a process of its own.

The client's threads need the interpreter rarely, but a test must not delay the emulator's cycles.
Its reflex for a silent client waits for seconds: on a busy machine the client may.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from emulated import BlockablePlant
from emulated_ur import Remote, serving

from robots.arm import ArmSpec
from robots.catalog import ARMS

FR3: ArmSpec = ARMS["fr3"]
FR3_HAND: ArmSpec = ARMS["fr3_hand"]
PATIENT = 5000  # cycles of 1 ms


def run_emulator(pipe: Connection, address: str, patience: int) -> None:
    """The emulator's process; takes the test's calls between two of its cycles."""
    assert FR3.reach_zone is not None
    plant = BlockablePlant(FR3, FR3.reach_zone.ready, gravity=False)
    serve_calls(FR3, plant, pipe, address, patience)


def serve_calls(
    arm: ArmSpec, plant: BlockablePlant, pipe: Connection, address: str, patience: int
) -> None:
    """Emulate until the test has gone."""
    from hw_interface.emulators.franka import FrankaEmulator, FrankaEmulatorOptions

    emulator = FrankaEmulator(arm, plant, FrankaEmulatorOptions(address, patience))
    server = emulator.server
    parent = os.getppid()
    cycle = server.cycle

    def cycle_and_answer() -> None:
        if os.getppid() != parent:
            raise SystemExit("the test has gone")
        cycle()
        while pipe.poll():
            call: Callable[[Any], Any] = pipe.recv()
            pipe.send(call(server))

    server.cycle = cycle_and_answer
    pipe.send("serving")
    emulator.serve()


def run_hand_emulator(pipe: Connection, address: str, patience: int, between: int) -> None:
    """The emulator's process of an arm with a hand; ``between`` mm are between its fingers."""
    plant = BlockablePlant(FR3_HAND, FR3_HAND.home, gravity=False)
    if between:
        plant.put_between(between / 2000)
    serve_calls(FR3_HAND, plant, pipe, address, patience)


@contextmanager
def emulated_franka(patience: int = PATIENT) -> Iterator[Remote]:
    """A controller that may move; no desired position outside the limits may have come of it."""
    with serving(run_emulator, count_outside, patience) as remote:
        yield remote


@contextmanager
def emulated_hand(between: int = 0) -> Iterator[Remote]:
    """The same of an arm with a hand, with an object of so many mm between its fingers."""
    with serving(run_hand_emulator, count_outside, PATIENT, between) as remote:
        yield remote


@contextmanager
def patient_driver(seconds: float = 5.0) -> Iterator[None]:
    """The driver waits this long for a state, and longer for the hand: the machine may be busy."""
    from hw_interface.drivers import franka, franka_hand  # need an extra

    before = (franka.PATIENCE, franka_hand.COMMAND_PATIENCE, franka_hand.CLOSE_PATIENCE)
    franka.PATIENCE = seconds
    franka_hand.COMMAND_PATIENCE = 10 * seconds
    franka_hand.CLOSE_PATIENCE = 5 * seconds
    try:
        yield
    finally:
        franka.PATIENCE, franka_hand.COMMAND_PATIENCE, franka_hand.CLOSE_PATIENCE = before


def count_outside(server: Any) -> int:
    outside: int = server.outside
    return outside


def put_wall(server: Any) -> None:
    server.plant.block(True)


def take_wall_away(server: Any) -> None:
    server.plant.block(False)
