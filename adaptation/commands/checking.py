"""``pliant doctor``: check a computer and an arm before the first motion."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptation.commands.arguments import Incomplete, Json, check_name, check_positive
from adaptation.commands.arm import DriverOptions
from robots.catalog import ARMS

if TYPE_CHECKING:
    from adaptation.jobs.checked import DoctorResult, Finding


@dataclass(frozen=True, kw_only=True)
class Doctor(DriverOptions):
    """Check a computer and an arm before the first motion; nothing moves.

    Each line says what was found, and what to do about it. The exit status is 1 if a check failed.
    """

    arm: str
    """Arm to check."""
    seconds: float = 10.0
    """Time for which the control loop is measured, s."""
    as_json: Json = False

    def run(self) -> "DoctorResult | Incomplete":
        """Run all checks and print their findings."""
        check_name(ARMS, self.arm)
        self.check_names()
        check_positive(seconds=self.seconds)
        from adaptation.jobs.doctor import doctor

        result = doctor(self.arm, self.driver, self.driver_options, self.seconds, _tell)
        failed = [finding.check for finding in result.findings if finding.status == "fail"]
        if failed:
            print(f"not ready: {', '.join(failed)}")
            return Incomplete(result)
        print(f"{self.arm} may be driven by {self.driver}")
        return result


def _tell(finding: "Finding") -> None:
    print(f"{finding.status:4}  {finding.check:10}  {finding.found}", flush=True)
    if finding.advice:
        print(f"{'':18}{finding.advice}")
