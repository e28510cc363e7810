"""What a session adds to its recording, so that the policy can be repeated on it later."""

from typing import Any

from adaptation.runs.records import finite
from adaptation.runs.run import Run
from robots.errors import DamagedError
from robots.world import Task

LATENCY = "latency"  # in the metadata: s that the policy expected
WEIGHTS = "weights"  # in the metadata, ``weights.ROLE`` is the fingerprint of a role


def notes_of(run: Run | None) -> dict[str, str]:
    """A run's folder, weights and expected latency, for the metadata of a recording."""
    if run is None:
        return {}
    weights = {f"{WEIGHTS}.{role}": sha256 for role, sha256 in run.fingerprints().items()}
    return {"run": str(run.path), LATENCY: str(run.latency), **weights}


def expected_latency(notes: dict[str, str]) -> float:
    """The latency that the policy expected, s; older recordings name none, and it was 0.

    Raises:
        DamagedError: it is no number.
    """
    noted = notes.get(LATENCY, "0")
    try:
        return float(noted)
    except ValueError as error:
        raise DamagedError(f"the recording's latency is no number: {noted!r}") from error


def trial_message(policy: str, task: Task, explore: list[bool], number: int) -> dict[str, Any]:
    """A message of the topic ``/trial``."""
    parameters = [finite(value) for value in task.values[0]]
    return {
        "object": number,
        "policy": policy,
        "explore": explore,
        "parameters": dict(zip(task.names, parameters, strict=True)),
    }
