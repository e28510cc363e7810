"""What the doctor checks: an arm, its driver, and this computer."""

from dataclasses import dataclass
from typing import Any

import msgspec

from robots.arm import ArmSpec


class Finding(msgspec.Struct, frozen=True):
    """What one check of the doctor has found."""

    check: str
    status: str  # "ok", "warn" or "fail"
    found: str
    advice: str = ""  # what to do; empty: nothing


class DoctorResult(msgspec.Struct, frozen=True):
    """The findings of all checks of a computer and an arm."""

    arm: str
    driver: str
    findings: list[Finding]


@dataclass(frozen=True)
class Checked:
    """What is checked."""

    arm: ArmSpec
    driver: str  # a name in ``DRIVERS``
    options: dict[str, Any]  # of the driver
    seconds: float  # for which the loop is measured
