"""``pliant recover``, ``pliant sysid`` and ``pliant emulate``: tools around an arm."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from adaptation.commands.arguments import (
    Incomplete,
    Json,
    OptionalFloat,
    OptionalName,
    OptionalPath,
    Pairs,
    check_name,
    check_positive,
    check_seed,
    parse_pairs,
)
from hw_interface.emulators import EMULATORS
from robots.catalog import ARMS
from robots.counting import counted
from sim.families import FAMILIES

if TYPE_CHECKING:
    from adaptation.jobs.emulate import EmulationResult
    from adaptation.jobs.sysid import SysidResult


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
        print(f"{counted(result.messages, 'message')} in {self.file}")
        if result.lost_bytes:
            lost = counted(result.lost_messages, "message")
            print(f"lost: {lost} or more, {counted(result.lost_bytes, 'byte')}")
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
    """Address or interface to serve at, for an emulator on a network. Default: loopback."""
    emulator_set: Pairs = ()
    """Further options of the emulator, as NAME=VALUE, such as fault=silence for ros2."""
    between: OptionalFloat = None
    """Width, m, of an object between the fingers of the arm's gripper. Default: there is none."""
    family: OptionalName = None
    """Family whose object is simulated before the arm, such as push. Default: there is none."""
    object_port: int = 41500
    """Port of this computer to which the object's poses are sent, for the tracker mocap; it is
    placed by the next port."""
    seed: int = 0
    """Random seed of the objects."""
    seconds: OptionalFloat = None
    """Time to run, s. Default: until Ctrl-C."""
    as_json: Json = False

    def run(self) -> "EmulationResult":
        """Serve, and count the position goals that arrived."""
        check_name(EMULATORS, self.emulator)
        check_name(ARMS, self.arm)
        check_name(FAMILIES, self.family)
        check_positive(seconds=self.seconds, between=self.between)
        check_seed(self.seed)
        from adaptation.jobs.emulate import ObjectBeside, emulate

        beside = None
        if self.family is not None:
            beside = ObjectBeside(self.family, self.object_port, self.seed)

        options = parse_pairs("--emulator-set", self.emulator_set)
        if self.calibration is not None:
            options["calibration"] = str(self.calibration)
        if self.port is not None:
            options["port"] = self.port
        result = emulate(self.emulator, self.arm, options, self.seconds, self.between, beside)
        came = counted(result.goals, "goal")
        print(f"{came} came, {result.outside} of them beyond the arm's limits")
        return result


@dataclass(frozen=True)
class Sysid:
    """Find the parameters of a recorded arm: mass, friction, gain, delay, with intervals.

    The recorded setpoints are simulated again and again, each time with other parameters of the
    family, until the simulated joints move as the measured ones. The last quarter of the episodes
    is held out, to check the result. Prints the ranges to train with. Status 1 if the held-out
    motion is not explained better than by the middle of the present ranges.
    """

    file: Annotated[Positional[Path], arg(metavar="RECORDING")]
    """The .mcap file, recorded by `pliant deploy` or `pliant trial`."""
    family: OptionalName = None
    """Family whose parameters are fitted, such as carry. Default: the recording's own."""
    fit: Annotated[tuple[str, ...], arg(metavar="NAME")] = ()
    """Parameters to fit. Default: all numbers among the family's ranges, and the delay."""
    trial: int = 0
    """A trial in the recording, from 0: its object is meant."""
    as_json: Json = False

    def run(self) -> "SysidResult | Incomplete":
        """Fit, check, and print."""
        check_name(FAMILIES, self.family)
        from adaptation.jobs.sysid import sysid

        result = sysid(self.file, self.fit, self.family, self.trial, _tell_progress)
        for each in result.parameters:
            shown = f"not shown by this motion (effect {1e3 * each.effect:.2g} mrad)"
            if each.value is not None:
                shown = f"{each.value:.4g} {each.unit} [{each.low:.4g}, {each.high:.4g}]"
            print(f"{each.name:<24} {shown}")
        fitted = counted(result.episodes, "episode")
        heldout = counted(result.heldout_episodes, "episode")
        print(
            f"joints, rms error: {1e3 * result.error:.3g} mrad over {fitted}, "
            f"{1e3 * result.nominal_error:.3g} in the middle of the ranges"
        )
        print(
            f"held out:          {1e3 * result.heldout_error:.3g} mrad over "
            f"{heldout}, {1e3 * result.heldout_nominal_error:.3g} in the middle of the ranges"
        )
        if result.better:
            words = " ".join(f"--set {setting}" for setting in result.settings)
            print(f"to train for this arm: pliant train METHOD --family {result.family} {words}")
            return result
        print("pliant: the held-out motion is not explained better than before", file=sys.stderr)
        return Incomplete(result)


def _tell_progress(line: str) -> None:
    """A line on standard error, which does not belong to the results."""
    print(f"sysid: {line}", file=sys.stderr, flush=True)
