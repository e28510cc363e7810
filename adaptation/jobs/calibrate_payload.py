"""``pliant calibrate payload``: mass and center of mass of what an arm's flange carries."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adaptation.jobs.jog import Jog
from adaptation.jobs.park import open_arm
from adaptation.jobs.payload_postures import choose_postures
from adaptation.runs.files import write_json
from hw_interface.arm_world import ArmWorld
from hw_interface.calibration.payload import (
    FittedPayload,
    Standing,
    fit_payload,
    payload_torques,
    payload_wrenches,
)
from hw_interface.control.requests import Request
from hw_interface.control.tick_log import TickLog
from hw_interface.drivers import DRIVERS
from hw_interface.drivers.servo_driver import ServoDriver
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import ArmError, BadArgumentError
from robots.flange import flange_in_tool
from robots.kinematics import Kinematics
from robots.motion import Move
from robots.signals import Array

POSTURES = 5  # one of them checks the others
FEWEST = 4
SETTLE = 10  # control periods at rest before the torques are read: 1 s
READ = 5  # control periods in which they are read
SPEED = 0.2  # rad/s; nothing is jogged, it is only the scale of actions that are zero


class PayloadResult(msgspec.Struct, frozen=True):
    """What ``calibrate payload`` found."""

    moved: bool  # False: it was not confirmed, and nothing was measured
    mass: float | None = None  # kg
    center: list[float] = []  # m, in the flange's frame
    mass_error: float | None = None  # kg, standard error
    center_error: list[float] = []  # m
    condition: float | None = None  # of the equations
    residual: float | None = None  # N·m, or N and N·m of a wrench; root mean square
    heldout_share: float | None = None  # of the payload's effect in the posture that checks it
    source: str = ""  # "torque" or "wrench"
    weighs_itself: bool = False  # whether the measured torques contain the arm's own weight
    setting: str = ""  # for the driver


def measures_by_torque(driver: str) -> bool:
    """Whether a payload is found by joint torques; else by the wrench.

    Raises:
        BadArgumentError: the driver measures neither so that a weight shows.
    """
    kind: Any = DRIVERS[driver]
    if issubclass(kind, ServoDriver):
        raise BadArgumentError(
            f"{driver!r} measures currents of position servos: at rest the friction of their gears"
            " holds what they carry, so a payload does not show; weigh it"
        )
    if kind.capabilities.torque:
        return True
    if kind.capabilities.wrench:
        return False
    raise BadArgumentError(f"{driver!r} measures neither torque nor wrench: weigh the payload")


def calibrate_payload(
    arm: str,
    driver: str = "twin",
    options: dict[str, Any] | None = None,
    postures: int = POSTURES,
    out: Path | None = None,
    confirm: Callable[[str], bool] | None = None,
) -> PayloadResult:
    """Find the payload by standing in several postures, and go back.

    Args:
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        postures: how many; the last one checks the others.
        out: file for the result, written whole or not at all; None: none.
        confirm: gets the description of the motions; returns whether to move. None: move.

    Raises:
        BadArgumentError: an option does not exist, the arm does not measure what is needed, or too
            few postures.
        ArmError: the arm did not come up or cannot move; the postures cannot tell; or the payload
            is too light to tell, contradicts itself, or is above the arm's rated payload.
        OSError: the file cannot be written.
    """
    spec = ARMS[arm]
    by_torque = measures_by_torque(driver)
    if postures < FEWEST:
        raise BadArgumentError(f"--postures must be at least {FEWEST}, got {postures}")
    kinematics = Kinematics(spec)
    to_flange = flange_in_tool(spec)
    of_payload = payload_torques if by_torque else payload_wrenches
    rows = partial(of_payload, kinematics, to_flange)
    family = Jog(spec, SPEED)
    with open_arm(arm, driver, options, family) as world:
        begin = world.control.state["q_set"].copy()
        chosen = choose_postures(world, spec, rows, postures)
        if confirm is not None and not confirm(_describe(spec, begin, chosen)):
            return PayloadResult(moved=False)
        read = [_stand(world, family, posture, by_torque) for posture in chosen]
        world.moves.move_to(begin)

    q = np.stack([pose for pose, _ in read])
    measured = np.stack([values for _, values in read])
    found = fit_payload(kinematics, to_flange, Standing(q, measured), by_torque)
    check_rating(spec, found)
    result = _result(found, by_torque)
    if out is not None:
        write_json(out, result)
    return result


def _stand(world: ArmWorld, family: Jog, posture: Array, by_torque: bool) -> tuple[Array, Array]:
    """Stand in a posture; returns the mean joints, and the mean torques or wrench."""
    family.begin = posture[None]
    world.reset(family.sample(world.rng, 1))
    still = np.zeros((1, len(family.action.spec)))
    for _ in range(SETTLE):
        _hold(world, still)
    log = TickLog(world.control.shared, len(posture))
    for _ in range(READ):
        _hold(world, still)
    ticks = log.take()
    world.control.request(Request.END_EPISODE)
    measured = ticks.tau if by_torque else ticks.wrench
    if not np.isfinite(measured).all():
        raise ArmError("the arm does not report what it should measure here")
    return ticks.q.mean(0), measured.mean(0)


def _hold(world: ArmWorld, still: Array) -> None:
    """Stand for one control period."""
    world.step(still)
    if world.is_latched:
        raise ArmError(f"the arm is in {world.control.explain_mode()}")


def check_rating(arm: ArmSpec, found: FittedPayload) -> None:
    """Refuse a payload that is above the arm's rated one.

    Raises:
        ArmError: it is; the message has both.
    """
    rated = arm.rated_payload
    if rated is not None and found.mass > rated:
        raise ArmError(
            f"the flange carries {found.mass:.2f} kg, and {arm.name} is rated for {rated:g} kg:"
            " take something off"
        )


def _describe(arm: ArmSpec, begin: Array, postures: Array) -> str:
    """Where the arm will go, how far and how fast."""
    stations = [begin, *postures, begin]
    legs = [Move(arm.move_limits, a, b) for a, b in pairwise(stations)]
    seconds = sum(leg.duration for leg in legs)
    speeds = np.stack([leg.highest_speed() for leg in legs]).max(0)
    fastest = int(speeds.argmax())
    ways = np.abs(postures - begin).max(0)
    farthest = int(ways.argmax())
    return (
        f"{arm.name} will stand in {len(postures)} postures and come back, about {seconds:.0f} s in"
        f" motion: {arm.joints[farthest]} turns the farthest, {ways[farthest]:.2f} rad from here;"
        f" {arm.joints[fastest]} the fastest, {speeds[fastest]:.2f} rad/s"
    )


def _result(found: FittedPayload, by_torque: bool) -> PayloadResult:
    """The answer, with the setting for a driver."""
    numbers = [found.mass, *found.center.tolist()]
    # adding 0 turns a rounded -0 into 0
    setting = ",".join(f"{round(number, 4) + 0.0:.4f}" for number in numbers)
    return PayloadResult(
        moved=True,
        mass=found.mass,
        center=found.center.tolist(),
        mass_error=found.mass_error,
        center_error=found.center_error.tolist(),
        condition=found.condition,
        residual=found.residual,
        heldout_share=found.heldout_share,
        source="torque" if by_torque else "wrench",
        weighs_itself=found.weighs_itself,
        setting=f"--payload {setting}",
    )
