"""``pliant calibrate latency``: the delay from a setpoint to motion, measured joint by joint."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adaptation.jobs.joint_swings import (
    Swing,
    choose_joints,
    describe_swings,
    find_swing,
)
from adaptation.jobs.park import open_arm
from adaptation.runs.files import write_json
from hw_interface.arm_world import ArmWorld
from hw_interface.calibration.latency_file import (
    JointLatency,
    LatencyCalibration,
    now_utc,
)
from hw_interface.calibration.response import FittedResponse, Response, explain_misfit, fit_response
from hw_interface.control.tick_log import TickLog, Ticks, join
from hw_interface.drivers import DRIVERS
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import ArmError, PliantError
from sim.families import FAMILIES, make_family
from sim.randomization import parameters_of

PAUSE = 0.4  # s after each motion in real time, in which a late joint arrives; ours
LATENCY = "disturbance.latency"


class LatencyResult(msgspec.Struct, frozen=True):
    """What ``calibrate latency`` did."""

    moved: bool  # False: it was not confirmed, and nothing was measured or written
    calibration: LatencyCalibration | None = None
    file: str | None = None
    settings: dict[str, str] = {}  # ``range.disturbance.latency=LOW,HIGH``, by family


def calibrate_latency(
    arm: str,
    driver: str = "twin",
    options: dict[str, Any] | None = None,
    joint: str | None = None,
    repeats: int = 3,
    out: Path | None = None,
    confirm: Callable[[str], bool] | None = None,
) -> LatencyResult:
    """Measure how late the joints follow, and write it to a file.

    Each joint swings a little and back, through the gate; the arm is left where it stood, with its
    motors on.

    Args:
        arm: a name in ``ARMS``.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        joint: name of the one to measure; None: all that move the tool.
        repeats: swings of each joint; each is two motions.
        out: file to write, whole or not at all; None: nothing is written.
        confirm: gets the description of the motions; returns whether to move. None: move.

    Raises:
        BadArgumentError: an option or joint does not exist.
        ArmError: the arm did not come up or cannot move, or a joint does not follow as one with a
            delay and a lag; nothing is written then.
        OSError: the file cannot be written.
    """
    spec = ARMS[arm]
    joints = choose_joints(spec, joint)
    with open_arm(arm, driver, options) as world:
        swings = [find_swing(world, spec, number) for number in joints]
        if confirm is not None and not confirm(describe_swings(spec, swings, repeats)):
            return LatencyResult(moved=False)
        responses = [_record(world, spec, swing, repeats) for swing in swings]

    tick = DRIVERS[driver].capabilities.dt
    fits = [_fit(spec, number, each, tick) for number, each in zip(joints, responses, strict=True)]
    found = _summarize(spec, driver, tick, joints, fits)
    if out is not None:
        write_json(out, found)
    return LatencyResult(
        moved=True,
        calibration=found,
        file=None if out is None else str(out),
        settings=latency_settings(arm, found),
    )


def _record(world: ArmWorld, arm: ArmSpec, swing: Swing, repeats: int) -> Response:
    """Swing one joint, and return its setpoints and measured positions."""
    log = TickLog(world.control.shared, len(arm.joints))
    begin = swing.plan.path[0]
    goal = swing.plan.path[-1]
    parts: list[Ticks] = []
    motions: list[slice] = []
    first = 0
    for _ in range(repeats):
        for pose in (goal, begin):
            world.moves.move_to(pose)
            if world.clock == "realtime":
                time.sleep(PAUSE)
            parts.append(log.take())
            motions.append(slice(first, first + len(parts[-1])))
            first = motions[-1].stop
    ticks = join(parts)
    return Response(ticks.t, ticks.q_set[:, swing.joint], ticks.q[:, swing.joint], motions)


def _fit(arm: ArmSpec, joint: int, response: Response, tick: float) -> FittedResponse:
    """The fit of one joint; ArmError if it does not follow like one with a delay and a lag."""
    fit = fit_response(response, tick)
    problem = explain_misfit(fit)
    if problem:
        raise ArmError(f"the latency of {arm.joints[joint]} cannot be told: {problem}")
    return fit


def _summarize(
    arm: ArmSpec, driver: str, tick: float, joints: list[int], fits: list[FittedResponse]
) -> LatencyCalibration:
    """The delays of all motions together, and of each joint."""
    delays = np.concatenate([fit.delays for fit in fits])
    found = []
    for joint, fit in zip(joints, fits, strict=True):
        of_joint = JointLatency(
            joint=arm.joints[joint],
            delay=float(np.median(fit.delays)),
            error=float(fit.errors.max()),
            lag=fit.lag,
            split=fit.split,
            residual=fit.residual,
        )
        found.append(of_joint)
    return LatencyCalibration(
        arm=arm.name,
        driver=driver,
        measured=now_utc(),
        tick=tick,
        motions=len(delays),
        p50=float(np.median(delays)),
        p99=float(np.quantile(delays, 0.99)),
        max=float(delays.max()),
        joints=tuple(found),
    )


def latency_settings(arm: str, found: LatencyCalibration) -> dict[str, str]:
    """For each family of an arm with a hidden latency: its training range around the measured one.

    The range is symmetric about the median of the delays, as wide as the family's own where that is
    possible without negative delays, and contains the longest delay that was measured.
    """
    settings = {}
    for name in FAMILIES:
        try:
            family = make_family(name, arm)
        except PliantError:  # it is not for this arm, or needs an extra
            continue
        for parameter in parameters_of(family):
            if parameter.name == LATENCY:
                settings[name] = _centered(parameter.train.numbers, found)
    return settings


def _centered(own: tuple[float, ...], found: LatencyCalibration) -> str:
    """The setting of one family whose range is ``own``."""
    middle = max(found.p50, 0.0)
    half = min((max(own) - min(own)) / 2, middle)
    half = max(half, found.max - middle, found.tick / 2)
    low = max(0.0, middle - half)
    return f"range.{LATENCY}={low:.4f},{middle + half:.4f}"
