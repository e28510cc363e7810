"""What ``franky``'s own planner makes of a policy's actions, without Pliant's gate and driver.

Each action is one ``JointVelocityMotion``: the client's thread, in C++, plans from the present
state to its joint velocities within its limits, which are set to the catalog's. The arm is Pliant's
emulator, which waits for the command of each cycle of 1 ms, so that a busy machine changes nothing.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection

import numpy as np
from smooth_motion import STANDING

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import Array, Setpoint
from sim.families.reach import Reach

SPAWN = multiprocessing.get_context("spawn")
ADDRESS = "127.0.0.77"
CYCLE = 0.001  # s
PATIENCE = 0.5  # s, in which the command of a cycle comes; otherwise the last one counts again
HELD = 1000  # ms, for which a velocity is held: longer than a policy's period
REST = 1.0  # s, in which the arm has come to rest at the end
SETUP = 20.0  # s, to start the emulator


def emulate(pipe: Connection, name: str, q: Array) -> None:
    """The emulator's process: serves until it is told to end, and answers with the positions."""
    from hw_interface.emulators.franka_server import FciServer
    from sim.plant import Plant

    class Waiting(FciServer):
        """Waits for the command of each cycle."""

        def process_commands(self) -> None:
            super().process_commands()
            deadline = time.monotonic() + PATIENCE
            while self.current_motion_id and self._silent and time.monotonic() < deadline:
                time.sleep(1e-5)
                super().process_commands()

    arm = ARMS[name]
    server = Waiting(arm, Plant(arm, q, gravity=False), ADDRESS, round(SETUP / CYCLE))
    server.init()
    positions = [server.desired]
    pipe.send("serving")
    due = time.monotonic()
    while not pipe.poll():
        due = max(due + CYCLE, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        server.cycle()
        if server.udp_connected:
            positions.append(server.desired)
    pipe.send(np.array(positions))
    server.reset_state()
    server.cleanup()


def track(family: Reach, arm: ArmSpec, actions: Array, rate: int) -> Array:
    """Positions (n, j) rad that the controller was told, one each millisecond, from rest to rest.

    Args:
        family: its action map makes joint velocities of the actions, as in Pliant's control.
        arm: an FR3.
        actions: (k, a), one after the other.
        rate: Hz, how many of them a second.

    Raises:
        ImportError: ``franky`` is not installed.
        TimeoutError: the emulator does not start.
        RuntimeError: the client reports an error.
    """
    import franky

    connection, other_end = SPAWN.Pipe()
    process = SPAWN.Process(target=emulate, args=(other_end, arm.name, family.ready), daemon=True)
    process.start()
    if not connection.poll(SETUP):
        raise TimeoutError("the emulator does not start")
    connection.recv()

    robot = franky.Robot(ADDRESS, realtime_config=franky.RealtimeConfig.Ignore)
    robot.joint_velocity_limit.set(arm.limits.dq)
    robot.joint_acceleration_limit.set(arm.limits.ddq)
    robot.joint_jerk_limit.set(arm.limits.jerk)
    fastest = np.array(robot.joint_velocity_limit.get())  # (j,) rad/s, as the client rounds it
    for number, action in enumerate(actions):
        while robot.state.time.to_sec() < STANDING + number / rate:
            time.sleep(CYCLE / 4)
        q = np.array(robot.state.q_d)[None]
        setpoint = Setpoint(q, np.zeros_like(q), np.zeros_like(q))
        (velocity,) = family.action(action[None], setpoint)
        target = np.clip(velocity, -fastest, fastest)
        motion = franky.JointVelocityMotion(target, franky.Duration(HELD))
        robot.move(motion, asynchronous=True)
    robot.move(franky.JointVelocityStopMotion(), asynchronous=True)
    robot.join_motion(REST)

    connection.send("end")
    positions = connection.recv()
    process.join()
    return np.asarray(positions)
