"""``pliant calibrate joints``: zeros and signs of an arm of servos, with a person who watches."""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from adaptation.jobs.arm_options import check_options
from adaptation.jobs.joint_swings import Swing, describe_swings, find_swing
from adaptation.jobs.park import open_arm
from adaptation.runs.files import check_writable, replace_file, write_json
from hw_interface.arm_world import ArmWorld
from hw_interface.calibration.joint_zeros import (
    check_offsets,
    describe_turn,
    stands_at,
    ticks_of,
    zeros_at,
)
from hw_interface.drivers import DRIVERS
from hw_interface.drivers.servo_calibration import ServoCalibration
from hw_interface.drivers.servo_driver import ServoDriver
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.driver import Driver
from robots.errors import ArmError, BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import Scene
from robots.signals import Array, Indices, Mask

READINGS = 40  # of the standing arm
AS_DESCRIBED = "y"  # answers of the person
REVERSED = "n"
AGAIN = "r"
END = "q"

Ask = Callable[[str], str]


class JointZero(msgspec.Struct, frozen=True):
    """What was found of one joint."""

    joint: str
    zero: int  # ticks, now
    offset: float  # rad, from the old zero
    sign: int
    reversed: bool  # whether the sign was wrong


class JointsResult(msgspec.Struct, frozen=True):
    """What ``calibrate joints`` did."""

    written: bool  # False: the person ended it, and nothing was written
    file: str
    joints: list[JointZero] = []


class CalibratedDriver(Driver, Protocol):
    """A driver whose signs and zeros are in a file."""

    @property
    def calibration(self) -> ServoCalibration[Any]:
        """What the file says."""
        ...


def check_has_file(driver: str) -> None:
    """Refuse a driver whose signs and zeros are not in a file.

    Raises:
        BadArgumentError: they are in the arm's own controller.
    """
    if not issubclass(DRIVERS[driver], ServoDriver):
        raise BadArgumentError(
            f"with {driver!r}, signs and zeros are those of the arm's own controller: calibrate"
            " them there; this command is for arms of servos"
        )


def _build(driver: str, arm: ArmSpec, options: dict[str, Any]) -> CalibratedDriver:
    """The driver with its calibration, which is checked; touches no hardware."""
    kind = DRIVERS[driver]
    built: CalibratedDriver = kind(arm, Scene(arm), kind.Options(**options))
    return built


def calibrate_joints(
    arm: str,
    driver: str,
    options: dict[str, Any],
    pose: str = "rest",
    out: Path | None = None,
    ask: Ask = input,
    confirm: Callable[[str], bool] | None = None,
    by_key: bool = True,
) -> JointsResult:
    """Find zeros from a posture that a person brings the arm to, and signs from small motions.

    The file is written at the end, whole or not at all.

    Args:
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``, of an arm of servos.
        options: of the driver; its ``calibration`` is where the search begins.
        pose: ``rest`` or ``home``.
        out: file to write; None: the ``calibration`` of the options.
        ask: asks the person and returns the answer.
        confirm: gets the description of the motions; returns whether to move. None: move.
        by_key: whether each joint waits for Enter before it moves.

    Raises:
        BadArgumentError: the driver has no such file, there is no file to write, or a zero is too
            far from the old one; the message names the joint.
        ArmError: the arm did not come up, did not stand, or a joint did not move.
        OSError: there is no connection, or the file cannot be written.
    """
    spec = ARMS[arm]
    check_has_file(driver)
    given = check_options(driver, options, 0)
    target = _target(given, out)
    unwritten = JointsResult(written=False, file=str(target))
    believed = _build(driver, spec, given)
    old = believed.calibration
    signs = np.array([servo.sign for servo in old.servos])
    posture: Array = getattr(spec, pose)
    ticks = _read_posture(believed, posture, pose, ask)
    if ticks is None:
        return unwritten
    _check_either_sign(old.servos, ticks, posture, signs)

    with tempfile.TemporaryDirectory() as folder:
        # from here on the arm is where the driver believes it to be
        draft = Path(folder) / "draft.json"
        write_json(draft, _replaced(old, zeros_at(ticks, posture, signs), signs))
        begun = given | {"calibration": str(draft)}
        flips = _ask_signs(spec, driver, begun, ask, confirm, by_key)
        if flips is None:
            return unwritten
        found = np.where(flips, -signs, signs)
        zeros = zeros_at(ticks, posture, found)
        offsets = check_offsets(old.servos, zeros)
        write_json(draft, _replaced(old, zeros, found))
        _build(driver, spec, begun)  # checks it
        replace_file(target, draft.read_bytes())
    joints = _describe(spec, zeros, offsets, found, flips)
    return JointsResult(written=True, file=str(target), joints=joints)


def _target(options: dict[str, Any], out: Path | None) -> Path:
    """The file to write, which must be possible.

    Raises:
        BadArgumentError: there is none, or it cannot be written.
    """
    target = out or Path(options.get("calibration", ""))
    if target == Path():
        raise BadArgumentError("give --out FILE: the calibration of the catalog is not overwritten")
    check_writable(target, (target.suffix,))
    return target


def _describe(
    arm: ArmSpec, zeros: Indices, offsets: Array, signs: Array, flips: Mask
) -> list[JointZero]:
    """What was found, joint by joint."""
    found = []
    for joint, name in enumerate(arm.joints):
        of_joint = JointZero(
            joint=name,
            zero=int(zeros[joint]),
            offset=float(offsets[joint]),
            sign=int(signs[joint]),
            reversed=bool(flips[joint]),
        )
        found.append(of_joint)
    return found


def _read_posture(driver: CalibratedDriver, posture: Array, pose: str, ask: Ask) -> Array | None:
    """Positions of the servos (j,) in ticks where a person has brought the arm; nothing moves.

    None: the person ended it.
    """
    arm = driver.arm
    angles = ", ".join(f"{name} {q:.2f}" for name, q in zip(arm.joints, posture, strict=True))
    answer = ask(
        f"With its motors off, bring {arm.name} by hand to its {pose} pose: {angles} rad.\n"
        "Enter: it stands there; anything else: end. "
    )
    if answer:
        return None
    readings = []
    try:
        driver.connect()
        for _ in range(READINGS):
            readings.append(driver.read().q)
            time.sleep(driver.capabilities.dt)
    except (OSError, RuntimeError) as error:
        raise ArmError(str(error)) from error
    finally:
        driver.disconnect()
    standing = stands_at(np.array(readings), arm.joints)
    return ticks_of(driver.calibration.servos, standing)


def _check_either_sign(servos: Sequence[Any], ticks: Array, posture: Array, signs: Array) -> None:
    """Refuse a posture that fits a joint with neither sign, before anything moves."""
    recorded = np.array([servo.zero for servo in servos])
    same = np.abs(zeros_at(ticks, posture, signs) - recorded)
    other = np.abs(zeros_at(ticks, posture, -signs) - recorded)
    better = np.where(same <= other, signs, -signs)
    check_offsets(servos, zeros_at(ticks, posture, better))


def _ask_signs(
    arm: ArmSpec,
    driver: str,
    options: dict[str, Any],
    ask: Ask,
    confirm: Callable[[str], bool] | None,
    by_key: bool,
) -> Mask | None:
    """Move one joint after another; returns which went the other way, (j,); None: ended."""
    kinematics = Kinematics(arm)
    with open_arm(arm.name, driver, options) as world:
        swings = [find_swing(world, arm, joint) for joint in range(len(arm.joints))]
        if confirm is not None and not confirm(describe_swings(arm, swings, 1)):
            return None
        flips = []
        for swing in swings:
            flip = _went_back(world, arm, swing, kinematics, ask, by_key)
            if flip is None:
                return None
            flips.append(flip)
    return np.array(flips)


def _went_back(
    world: ArmWorld, arm: ArmSpec, swing: Swing, kinematics: Kinematics, ask: Ask, by_key: bool
) -> bool | None:
    """Swing a joint until the person has seen which way it went.

    Returns:
        Whether it went the other way; None: the person ended it.

    Raises:
        ArmError: it went neither way.
    """
    begin = swing.plan.path[0]
    goal = swing.plan.path[-1]
    joint = arm.joints[swing.joint]
    expected = describe_turn(kinematics, begin, swing.joint, swing.angle)
    while True:
        if by_key and ask(f"{joint} moves next. Enter: move it; anything else: end. "):
            return None
        world.moves.move_to(goal)
        answer = ask(
            f"{joint}: {expected}.\n"
            f"{AS_DESCRIBED}: it did; {REVERSED}: the other way; {AGAIN}: again; {END}: end; "
            "anything else: neither. "
        ).strip()
        world.moves.move_to(begin)
        if answer == END:
            return None
        if answer in (AS_DESCRIBED, REVERSED):
            return answer == REVERSED
        if answer != AGAIN:
            raise ArmError(
                f"{joint} did not move as it should or as its mirror image: compare the ids and the"
                " joints in the calibration file with the wiring"
            )


def _replaced(calibration: ServoCalibration[Any], zeros: Indices, signs: Array) -> msgspec.Struct:
    """A calibration with other zeros and signs."""
    servos = [
        msgspec.structs.replace(servo, zero=int(zero), sign=int(sign))
        for servo, zero, sign in zip(calibration.servos, zeros, signs, strict=True)
    ]
    return msgspec.structs.replace(calibration, servos=tuple(servos))
