"""``pliant recover`` and ``pliant emulate``: tools around an arm."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from adaptation.commands.arguments import (
    Json,
    OptionalFloat,
    OptionalName,
    OptionalPath,
    check_name,
    check_positive,
)
from hw_interface.emulators import EMULATORS
from robots.catalog import ARMS

if TYPE_CHECKING:
    from adaptation.runs.records import EmulationResult


@dataclass(frozen=True)
class Recover:
    """Repair a recording that was cut off or damaged; its intact parts are kept."""

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The .mcap file."""
    as_json: Json = False

    def run(self) -> dict[str, str | int]:
        """Rebuild the recording's index."""
        from hw_interface.recording.recovery import recover

        result = recover(self.file)
        print(f"{result.messages} messages in {self.file}")
        if result.lost_bytes:
            print(f"lost: {result.lost_messages} messages or more, {result.lost_bytes} bytes")
        return {"file": str(self.file), **result._asdict()}


@dataclass(frozen=True)
class Emulate:
    """Emulate an arm's controller: its protocol on a port, with simulated physics behind it.

    A driver can be tried on it without an arm.
    """

    emulator: Annotated[Positional[str], arg(metavar="EMULATOR")]
    """Emulator of a protocol; `pliant list` names them."""
    arm: str
    """Arm to emulate."""
    calibration: OptionalPath = None
    """File with the wiring and zeros of the motors. Default: those of the arm as delivered."""
    port: OptionalName = None
    """Address to serve at, for an emulator on a network. Default: 127.0.0.1."""
    seconds: OptionalFloat = None
    """Time to run, s. Default: until Ctrl-C."""
    as_json: Json = False

    def run(self) -> "EmulationResult":
        """Serve, and count the position goals that arrived."""
        check_name(EMULATORS, self.emulator)
        check_name(ARMS, self.arm)
        check_positive(seconds=self.seconds)
        from adaptation.jobs.emulate import emulate

        options = {}
        if self.calibration is not None:
            options["calibration"] = str(self.calibration)
        if self.port is not None:
            options["port"] = self.port
        result = emulate(self.emulator, self.arm, options, self.seconds)
        print(f"{result.goals} goals came, {result.outside} of them beyond the arm's limits")
        return result
