"""Options of ``pliant calibrate``: what is calibrated, and how an arm moves for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Flag, OptionalName, OptionalPath
from adaptation.commands.arm import DriverOptions

What = Literal["camera", "hand-eye", "latency", "joints", "payload"]
OptionalFile = Annotated[Positional[Path | None], arg(metavar="PATH", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions(DriverOptions):
    """What is calibrated, and the options of what moves an arm."""

    what: Annotated[Positional[What], arg(metavar="WHAT")]
    """camera, hand-eye, latency, joints or payload."""
    path: OptionalFile = None
    """For camera: folder with the pictures. For hand-eye: TOML file with pictures and joints."""
    arm: OptionalName = None
    """Arm to calibrate; for hand-eye, the one that holds the object."""
    joint: OptionalName = None
    """For latency: the one joint to measure. Default: all that move the tool."""
    repeats: int = 3
    """For latency: how often each joint moves there and back."""
    pose: Literal["rest", "home"] = "rest"
    """For joints: the posture that you bring the arm to."""
    postures: int = 5
    """For payload: postures; the last one checks the others."""
    out: OptionalPath = None
    """File to write. Default for latency: latency-ARM-DRIVER.json; for joints: the one that
    --calibration names; for payload: none."""
    yes: Flag = False
    """Do not wait for Enter before an arm moves."""
