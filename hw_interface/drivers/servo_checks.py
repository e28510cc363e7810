"""Checks of servos on a serial bus, and the goals at which they hold, for every vendor's servos."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.serial_bus import Register, SerialBus
from hw_interface.drivers.servo_calibration import TICK
from robots.driver import REACHED
from robots.signals import Array

GOAL_TOLERANCE = 23  # ticks; without torque a servo may report its position as its goal


def words(name: str) -> str:
    """A field's name as it reads in a message."""
    return name.replace("_", " ")


def check_setting(
    servo_id: int, joint: str, settings: np.void, expected: Mapping[str, int]
) -> None:
    """Refuse the first setting that differs from the expected value."""
    for name, value in expected.items():
        if settings[name] != value:
            difference = f"the {words(name)} {settings[name]}, its calibration {value}"
            raise RuntimeError(f"servo {servo_id} ({joint}) has {difference}")


def check_link(
    bus: SerialBus, servo_ids: Sequence[int], register: Register, longest: float, firmware: str
) -> None:
    """Refuse a link on which reading ``register`` of all servos takes longer than ``longest`` s.

    Args:
        bus: the bus of the servos.
        servo_ids: of all servos.
        register: what is read in every tick.
        longest: s, that it may take.
        firmware: which firmware answers to such a read, for the message.

    Raises:
        OSError: the servos do not answer to a sync read.
        RuntimeError: the link is slow; the message says how slow.
    """
    round_trip = bus.round_trip(servo_ids, register)
    if np.isinf(round_trip):
        raise OSError(f"the servos answer, but not to a {firmware}")
    if round_trip > longest:
        times = f"{1e3 * round_trip:.1f} ms, a tick {1e3 * longest:.1f} ms"
        timer = "/sys/bus/usb-serial/devices/NAME/latency_timer"
        remedy = f"a USB adapter holds answers back for 16 ms unless 1 is written to {timer}"
        problem = f"{bus.port} is too slow: one reading takes {times}"
        raise RuntimeError(f"{problem}; {remedy}")


def check_written(
    servo_ids: Sequence[int],
    control: NDArray[np.void],
    written: Mapping[str, Sequence[int]],
    tolerance: int,
) -> None:
    """Refuse servos whose registers differ from what was written: sync writes are not acknowledged.

    Args:
        servo_ids: of all servos.
        control: (servos,) the registers as they were read back.
        written: the expected values by the name of the register, one per servo.
        tolerance: largest difference that is accepted, in the register's unit.

    Raises:
        RuntimeError: a write was lost or refused; the message names servo, register and values.
    """
    for name, values in written.items():
        shown = control[name].tolist()
        for servo_id, value, asked in zip(servo_ids, shown, values, strict=True):
            if abs(value - asked) > tolerance:
                difference = f"the {words(name)} {value}, not {asked} as it was written"
                raise RuntimeError(f"servo {servo_id} cannot be enabled: it has {difference}")


def goals_to_hold(
    control: NDArray[np.void], lowest: Array, highest: Array, has_gripper: bool
) -> list[int]:
    """Goals, in ticks, at which every joint stays where it is.

    A servo within ``REACHED`` of its goal keeps that goal: the joint sags below it under the arm's
    weight, and with the measured position as the new goal it would sag further each time. A servo
    that is farther away may press against something; its goal becomes the measured position.

    Args:
        control: the fields goal_position, present_position and torque of every servo, the joints'
            first.
        lowest: (j,) ticks, the lowest goals that are allowed.
        highest: (j,) ticks.
        has_gripper: whether the last servo is a gripper's, which keeps its goal however far away
            that is: it presses on what it holds.
    """
    of_joints = control[: len(lowest)]
    goal = of_joints["goal_position"].astype(np.int64)
    present = of_joints["present_position"].astype(np.int64)
    is_near = np.abs(goal - present) * TICK < REACHED
    is_near[-1] |= has_gripper
    is_held = is_near & (of_joints["torque"] == 1)
    goals = np.where(is_held, goal, present)
    allowed: list[int] = np.clip(goals, lowest, highest).astype(int).tolist()
    return allowed
