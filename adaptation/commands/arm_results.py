"""What ``pliant deploy`` and ``pliant trial`` print for people."""

from typing import TYPE_CHECKING

from robots.counting import counted

if TYPE_CHECKING:
    from adaptation.jobs.deploy import DeployResult
    from adaptation.runs.records import TrialResult
    from hw_interface.control.timing import Timing


def is_complete(result: "DeployResult | TrialResult") -> bool:
    """Whether the recording is complete and the arm was parked if that was requested."""
    return result.recording_error is None and result.park_error is None


def print_deployed(result: "DeployResult") -> None:
    """Print what ``pliant deploy`` did."""
    verdicts = [f"{name.lower()} {count}" for name, count in result.verdicts.items()]
    solved = sum(result.success)
    returns = " ".join(f"{value:.3f}" for value in result.returns if value is not None)
    print(f"{counted(result.episodes, 'episode')}, {solved} successful, {result.seconds:.1f} s")
    print(f"return per episode: {returns}")
    happened = {event.event for event in result.events}
    not_adapted = "this object" if "NOT_ADAPTED" in happened else ""
    _print_beliefs(not_adapted, "this object" if "UPDATE_FAILED" in happened else "")
    print(f"control periods by verdict: {', '.join(verdicts) or 'all ok'}")
    if result.timing is not None:
        print(describe_timing(result.timing))
    if result.recording is not None:
        complete = "" if result.recording_error is None else ", not complete"
        print(f"recording: {result.recording}{complete}")


def print_trial(result: "TrialResult") -> None:
    """Print the table of a trial, and what else happened."""
    from adaptation.reporting.table import table

    print(table(result))
    _print_beliefs(_name_objects(result.not_adapted), _name_objects(result.updates_failed))
    if result.skipped:
        print(f"skipped by the operator, and not counted: {_name_objects(result.skipped)}")
    if result.timing is not None:
        print(describe_timing(result.timing))


def _print_beliefs(not_adapted: str, updates_failed: str) -> None:
    """Describe a problem of the belief, with the objects it concerns; empty without objects."""
    if not_adapted:
        print(f"not adapted: the belief predicts {not_adapted} worse than before any experience")
    if updates_failed:
        print(f"not all experience was learned from: updates failed with {updates_failed}")


def _name_objects(numbers: list[int]) -> str:
    """The numbers of objects, counted from 1; empty without objects."""
    names = ", ".join(str(number + 1) for number in numbers)
    return f"object {names}" if names else ""


def describe_timing(timing: "Timing") -> str:
    """How the control loop kept time, in one line."""
    lateness = timing.lateness_ms
    policy = timing.policy_ms
    return (
        f"control loop: {timing.rate_hz:.0f} Hz, {counted(timing.ticks, 'tick')},"
        f" {timing.missed} missed, lateness {lateness.p50:.3f} ms (median),"
        f" {lateness.p99:.3f} ms (99 %), {lateness.max:.3f} ms (largest);"
        f" policy {policy.p50:.1f} ms (median), {policy.max:.1f} ms (largest)"
    )
