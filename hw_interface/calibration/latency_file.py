"""The file of a measured latency: ``latency-ARM-DRIVER.json`` in the folder of the calibrations."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from robots.errors import BadArgumentError


class JointLatency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one joint follows its setpoints; see ``calibration.response``."""

    joint: str
    delay: float  # s, median of its motions
    error: float  # s, the largest standard error of these delays
    lag: float  # s, time constant
    split: float  # s, by which delay and lag may both be wrong in opposite directions
    residual: float  # rad, root mean square


class LatencyCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The delay from a setpoint to the motion of an arm, beyond the tick in which it is due."""

    arm: str
    driver: str
    measured: datetime  # UTC
    tick: float  # s, period of the control loop
    motions: int  # of all joints together
    p50: float  # s, of the delays of all motions
    p99: float  # s
    max: float  # s
    joints: tuple[JointLatency, ...]

    def age(self, now: datetime) -> float:
        """Days since it was measured."""
        return (now - self.measured).total_seconds() / 86400


def latency_path(arm: str, driver: str) -> Path:
    """Where the latency of an arm is kept: in the present folder."""
    plain = driver.replace(":", "-")  # of a driver in the user's own module
    return Path(f"latency-{arm}-{plain}.json")


def read_latency(path: Path, arm: str, driver: str) -> LatencyCalibration:
    """Read a measured latency.

    Raises:
        FileNotFoundError: there is no such file.
        BadArgumentError: it is damaged, or of another arm or driver.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=LatencyCalibration)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArgumentError(f"{path}: {error}") from error
    if (found.arm, found.driver) != (arm, driver):
        raise BadArgumentError(f"{path} is of {found.arm} and {found.driver}")
    if found.measured.tzinfo is None:
        raise BadArgumentError(f"{path}: the time of the measurement has no zone")
    return found


def now_utc() -> datetime:
    """The time now, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
