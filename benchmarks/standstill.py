"""How long an arm goes on moving after a fault, seen from the arm: a table in Markdown.

The arm is the emulated ViperX in a process of its own, which notes every 2 ms where its joints are.
A policy swings its waist to and fro in real time until a fault strikes. The arm stands as soon as
no joint is faster than 0.02 rad/s for 0.2 s. Afterwards it may move a little once more: where a
joint presses on something it lets go, and where the servos' own watchdogs strike they hold it where
it is.

A fault strikes twice: while the arm moves freely, and while its waist presses against a wall.
Those that should not stop it strike once, while it moves freely; it must go on to the end, and
somebody must be told. Torques are shares of their limits: the largest of the waist in the last
0.1 s before the fault, and the largest of all joints at the end, when the arm's weight takes up to
0.42 of it.
"""

import multiprocessing
import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from hw_interface.arm_world import ArmWorld
from hw_interface.control.pacing import become_realtime
from hw_interface.drivers.dynamixel import Dynamixel, DynamixelOptions
from hw_interface.emulators.dynamixel import Bus, BusOptions
from hw_interface.recording.process import RecordTo
from robots.catalog.viperx import VIPERX
from robots.errors import ArmError
from robots.signals import Array
from sim.families.reach import Reach
from sim.plant import Plant

SPAWN = multiprocessing.get_context("spawn")
SAMPLING = 0.002  # s
STANDING = 0.02  # rad/s
WARM_UP = 0.6  # s of motion before the fault
WATCHED = 4.5  # s after it; the watchdogs take less than one, and letting go 3.5 at most
# s; an arm that still moves so shortly before the end was not stopped, it began an episode
GOES_ON = 2.0
STOOD = 0.2  # s without motion, after which the arm has come to rest
BEFORE = 0.1  # s
PRESSES = 0.3  # share of the waist's torque limit, at which the fault strikes at the wall
WALL = 0.03  # rad, how far from its start the waist can go to the left
PERIOD = 8  # actions, to and fro


class WalledPlant(Plant):
    """An arm whose waist may meet a wall, at which its servo presses in proportion to its goal."""

    wall = np.inf  # rad
    goal = 0.0  # rad, of the waist

    def write(self, q: Array) -> None:
        """Set the joints' target; beyond the wall the waist stays at it."""
        self.goal = float(q[0])
        reached = q.copy()
        reached[0] = min(q[0], self.wall)
        super().write(reached)

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        q, dq, tau = super().read()
        tau[0] += self.arm.stiffness[0] * max(0.0, self.goal - self.wall)
        return q, dq, tau


def emulate(pipe: Connection, walled: bool) -> None:
    """The arm: serves its bus, and answers with the time to rest and what it presses with."""
    become_realtime()  # an arm does not wait for other programs
    plant = WalledPlant(VIPERX, Reach(VIPERX).ready)
    bus = Bus(VIPERX, plant, BusOptions())
    samples: list[tuple[float, float]] = []  # s, rad/s of the fastest joint
    pressed: list[tuple[float, float]] = []  # s, torque of the waist as a share of its limit

    def sample() -> None:
        while True:
            _, dq, tau = plant.read()
            now = time.monotonic()
            samples.append((now, float(np.abs(dq).max())))
            pressed.append((now, float(np.abs(tau[0]) / VIPERX.limits.tau[0])))
            time.sleep(SAMPLING)

    threading.Thread(target=bus.serve, daemon=True).start()
    threading.Thread(target=sample, daemon=True).start()
    pipe.send(bus.port)
    pipe.recv()  # the arm moves
    time.sleep(WARM_UP)
    if walled:
        plant.wall = WALL
        while pressed[-1][1] < PRESSES:
            time.sleep(SAMPLING)
    pipe.send("strike")
    unplug, began = pipe.recv()
    bus.faults.silent = unplug
    time.sleep(WATCHED)
    moving = [stamp - began for stamp, speed in samples if speed > STANDING and stamp > began]
    before = [share for stamp, share in pressed if began - BEFORE < stamp < began]
    _, _, tau = plant.read()
    left = float((np.abs(tau) / VIPERX.limits.tau).max())
    pipe.send((standing_since(moving), max(moving, default=0.0), max(before), left))


def standing_since(moving: list[float]) -> float:
    """When the arm came to rest first, s, of the moments at which it moved, s after the fault."""
    since = 0.0
    for moment in moving:
        if moment - since > STOOD:
            return since
        since = moment
    return since


def swing(port: str, folder: str, pipe: Connection) -> None:
    """The policy: moves the arm to and fro until something stops it."""
    family = Reach(VIPERX)
    options = {"port": port}
    record_to = RecordTo(Path(folder))
    world = ArmWorld(family, VIPERX, "dynamixel", options, "realtime", record_to)
    pipe.send((os.getpid(), world.control.process.pid, world.recorder.pid))
    pipe.send(world.control.shared.name)
    task = family.sample(np.random.default_rng(0), 1)
    has_said_so = False
    while True:
        try:
            world.clear()
            world.reset(task)
            pipe.send("moving")
            for tick in range(family.horizon):
                side = 1.0 if tick % PERIOD < PERIOD / 2 else -1.0
                world.step(np.array([[0.0, 0.6 * side, 0.0]]))
                if world.recorder.check() is not None and not has_said_so:
                    pipe.send("recording lost, reported")
                    has_said_so = True
        except ArmError:
            time.sleep(WATCHED)


@dataclass(frozen=True)
class Victim:
    """What a fault strikes."""

    pids: list[int]  # of the policy, the control process and the recorder
    port: str
    pipe: Connection  # from the policy


Strike = Callable[[Victim], str]  # says what people were told, where the arm goes on


def kill(which: int, number: signal.Signals) -> Strike:
    """Sends a signal to the policy's, control's or recorder's process."""

    def strike(victim: Victim) -> str:
        os.kill(victim.pids[which], number)
        return ""

    return strike


def nothing(victim: Victim) -> str:
    """The arm itself is struck."""
    return ""


def fill_disk(victim: Victim) -> str:
    """From now on the recorder's file cannot grow, as on a full disk."""
    recorder = victim.pids[2]
    resource.prlimit(recorder, resource.RLIMIT_FSIZE, (1, 1))
    message = "moving"
    while message == "moving":
        message = victim.pipe.recv()
    return str(message)


def drive_twice(victim: Victim) -> str:
    """Another program opens the same port."""
    try:
        Dynamixel(VIPERX, options=DynamixelOptions(victim.port)).connect()
    except ArmError as refusal:
        named = str(victim.pids[1]) in str(refusal)
        return f"the second is refused{', naming the first' if named else ''}"
    return "NOBODY WAS REFUSED"


FAULTS: dict[str, Strike] = {
    "`kill -9` of the policy": kill(0, signal.SIGKILL),
    "`kill -9` of the control process": kill(1, signal.SIGKILL),
    "SIGHUP to the policy": kill(0, signal.SIGHUP),
    "SIGSTOP of the policy": kill(0, signal.SIGSTOP),
    "SIGSTOP of the control process": kill(1, signal.SIGSTOP),
    "the port is unplugged": nothing,
}
HARMLESS: dict[str, Strike] = {
    "the disk is full": fill_disk,
    "two programs on one port": drive_twice,
}


@dataclass(frozen=True)
class Outcome:
    """What became of the arm."""

    stood: float  # s after the fault
    moved: float  # s after the fault, when it moved last
    before: float  # torque of the waist as a share of its limit
    left: float  # the largest at the end
    message: str  # what people were told


def measure(strike: Strike, walled: bool) -> Outcome:
    """Strike once."""
    arm_end, arm_pipe = SPAWN.Pipe()
    arm = SPAWN.Process(target=emulate, args=(arm_pipe, walled), daemon=True)
    arm.start()
    port = arm_end.recv()
    with tempfile.TemporaryDirectory() as folder:
        policy_end, policy_pipe = SPAWN.Pipe()
        policy = SPAWN.Process(target=swing, args=(port, folder, policy_pipe))
        policy.start()
        pids = policy_end.recv()
        shared = policy_end.recv()
        policy_end.recv()
        arm_end.send("moving")
        arm_end.recv()
        arm_end.send((strike is nothing, time.monotonic()))
        message = strike(Victim(pids, port, policy_end))
        stood, moved, before, left = arm_end.recv()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        policy.join()
        SharedMemory(shared).unlink()  # the policy could not
        arm.terminate()
        arm.join()
    return Outcome(stood, moved, before, left, message)


def report(fault: str, outcome: Outcome, walled: bool, ends: str) -> None:
    """Print a row of the table."""
    way = "wall" if walled else "free"
    print(f"| {fault} | {way} | {outcome.before:.2f} | {ends} | {outcome.left:.2f} |", flush=True)


def main() -> None:
    """Print the table."""
    load = os.getloadavg()[0]
    print(f"Load of the machine: {load:.1f} on {os.cpu_count()} cores.\n")
    print(
        "| fault | way | waist's torque before | stood after, ms | moved last, ms | torque left |"
    )
    print("|---|---|---|---|---|---|")
    for fault, strike in FAULTS.items():
        for walled in (False, True):
            outcome = measure(strike, walled)
            ends = f"{1000 * outcome.stood:.0f} | {1000 * outcome.moved:.0f}"
            report(fault, outcome, walled, ends)
    for fault, strike in HARMLESS.items():
        outcome = measure(strike, walled=False)
        goes_on = outcome.moved > WATCHED - GOES_ON
        message = outcome.message or "NOBODY WAS TOLD"
        ends = f"{message} | {'goes on' if goes_on else 'STOPPED'}"
        report(fault, outcome, False, ends)


if __name__ == "__main__":
    main()
