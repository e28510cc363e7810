"""The parts of ``pliant calibrate`` that move an arm: latency, joints and payload."""

import numpy as np

from adaptation.commands.arguments import Incomplete
from adaptation.commands.calibration_options import CalibrationOptions
from adaptation.commands.confirming import Confirm, ask_to_move, confirmation, tell_plan
from adaptation.jobs.arm_options import check_options
from adaptation.jobs.calibrate_joints import END, JointsResult, calibrate_joints, check_has_file
from adaptation.jobs.calibrate_latency import LatencyResult, calibrate_latency
from adaptation.jobs.calibrate_payload import (
    PayloadResult,
    calibrate_payload,
    measures_by_torque,
)
from adaptation.runs.files import check_writable
from hw_interface.calibration.latency_file import latency_path
from robots.catalog import ARMS
from robots.errors import BadArgumentError

ENDING = (".json",)


def calibrate_arm(
    command: CalibrationOptions,
) -> LatencyResult | JointsResult | PayloadResult | Incomplete:
    """Calibrate an arm as the command's options say, and print what was found.

    Raises:
        BadArgumentError: what was asked for is impossible; nothing has moved.
    """
    if command.arm is None:
        raise BadArgumentError(f"calibrate {command.what} needs --arm NAME")
    if command.path is not None:
        raise BadArgumentError(f"calibrate {command.what} takes no PATH; --out FILE is written")
    check_options(command.driver, command.driver_options, 0)
    if command.out is not None:
        check_writable(command.out, ENDING)
    if command.what == "joints":
        return _joints(command, command.arm)
    if command.what == "payload":
        measures_by_torque(command.driver)
    confirm = confirmation(command.driver, command.yes)
    if command.what == "payload":
        return _payload(command, command.arm, confirm)
    return _latency(command, command.arm, confirm)


def _latency(command: CalibrationOptions, arm: str, confirm: Confirm) -> LatencyResult | Incomplete:
    out = command.out or latency_path(arm, command.driver)
    check_writable(out, ENDING)
    result = calibrate_latency(
        arm,
        command.driver,
        command.driver_options,
        command.joint,
        command.repeats,
        out,
        confirm,
    )
    found = result.calibration
    if found is None:
        print(f"{arm} has not moved; nothing was measured")
        return Incomplete(result)
    print("delay beyond the tick in which a setpoint is due, and first-order lag:")
    for joint in found.joints:
        delay = f"{1e3 * joint.delay:7.2f} ms ± {1e3 * joint.error:.2f}"
        lag = f"lag {1e3 * joint.lag:6.2f} ms (the two may differ by {1e3 * joint.split:.1f})"
        residual = f"residual {1e3 * joint.residual:.2f} mrad"
        print(f"  {joint.joint:<16} {delay}, {lag}, {residual}")
    print(
        f"of {found.motions} motions: p50 {1e3 * found.p50:.2f}, p99 {1e3 * found.p99:.2f},"
        f" max {1e3 * found.max:.2f} ms; a tick is {1e3 * found.tick:.2f} ms"
    )
    print(f"wrote {result.file}")
    print(f"to predict over it, with a method that plans: --latency {max(found.p50, 0.0):.4f}")
    for family, setting in result.settings.items():
        print(f"to train for it: pliant train METHOD --family {family} --arm {arm} --set {setting}")
    return result


def _joints(command: CalibrationOptions, arm: str) -> JointsResult | Incomplete:
    check_has_file(command.driver)
    result = calibrate_joints(
        arm,
        command.driver,
        command.driver_options,
        command.pose,
        command.out,
        _answer,
        tell_plan if command.yes else ask_to_move,
        by_key=not command.yes,
    )
    if not result.written:
        print(f"ended: {result.file} is as it was")
        return Incomplete(result)
    for joint in result.joints:
        change = f"zero {joint.zero} ({np.degrees(joint.offset):+.1f} degrees)"
        reversal = ", was the other way" if joint.reversed else ""
        print(f"  {joint.joint:<16} {change}, sign {joint.sign}{reversal}")
    print(f"wrote {result.file}; its motors are on")
    return result


def _payload(command: CalibrationOptions, arm: str, confirm: Confirm) -> PayloadResult | Incomplete:
    result = calibrate_payload(
        arm,
        command.driver,
        command.driver_options,
        command.postures,
        command.out,
        confirm,
    )
    if result.mass is None or result.heldout_share is None:
        print(f"{arm} has not moved; nothing was measured")
        return Incomplete(result)
    print(f"mass    {result.mass:.3f} kg, standard error {result.mass_error:.3f}")
    pairs = zip("xyz", result.center, result.center_error, strict=True)
    center = ", ".join(f"{axis} {1e3 * x:.1f} ± {1e3 * error:.1f}" for axis, x, error in pairs)
    print(f"center  {center} mm in the flange's frame")
    own = ", which contains the arm's own weight" if result.weighs_itself else ""
    print(f"from the {result.source}{own}; condition number {result.condition:.1f}")
    print(f"the last posture differs by {result.heldout_share:.1%} of the payload's effect")
    if ARMS[arm].rated_payload is None:
        print(f"the payload that {arm} may carry is not in its catalog entry: it was not checked")
    print(f"setting: {result.setting}")
    return result


def _answer(question: str) -> str:
    """What a person answers; the end of the input ends the calibration."""
    try:
        return input(question)
    except EOFError:
        return END
