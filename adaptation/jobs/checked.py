"""What the doctor checks: an arm, its driver, and this computer."""

from dataclasses import dataclass
from typing import Any

from robots.arm import ArmSpec


@dataclass(frozen=True)
class Checked:
    """What is checked."""

    arm: ArmSpec
    driver: str  # a name in ``DRIVERS``
    options: dict[str, Any]  # of the driver
    seconds: float  # for which the loop is measured
