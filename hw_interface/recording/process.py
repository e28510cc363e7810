"""The policy's side of the recorder's process: start it, send messages, notice its end.

Nothing here waits for the disk, and a failure of the recorder does not disturb the arm.
"""

import multiprocessing
import os
import socket
import time
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec

from hw_interface.control.layout import Sizes
from hw_interface.control.own_session import end_process
from hw_interface.devices import DevicePlan
from hw_interface.exit_status import describe_exit
from hw_interface.recording.files import claim_next
from hw_interface.recording.recorder import INFO, WARNING, RecordingPlan
from hw_interface.recording.serve import record
from hw_interface.warn import warn
from robots.signals import Array
from robots.world import Family, Step

CLOSE_TIMEOUT = 10.0  # s, for the recorder to write what is left, before it is terminated
LOCKSTEP_PATIENCE = 1.0  # s that a policy in lockstep waits for the recorder to take a message
MAX_REASON = 1000  # bytes of the message that says why the recorder failed


@dataclass(frozen=True)
class RecordTo:
    """The folder to record to, and notes for the recording's metadata."""

    folder: Path  # gets the next ``recording-N.mcap``
    notes: dict[str, str] = field(default_factory=dict)  # seed, run, ...; see ``describe_arm``


class RecorderProcess:
    """A recorder in a process of its own; without a place to record to, it does nothing.

    Attributes:
        path: the file; None without one.
        failure: why the recording is not complete; None while it is, as far as is known.
        failed_at: when the failure was noticed, s, monotonic.
        lost: messages that the recorder did not take and that the recording does not mention yet.
    """

    def __init__(
        self,
        record_to: RecordTo | None,
        family: Family,
        plan: DevicePlan,
        shared: str,
        lockstep: bool,
    ) -> None:
        """Create the file and start the process; ``shared`` names the shared memory."""
        self.path: Path | None = None
        self.failure: str | None = None
        self.failed_at = 0.0
        self.lost = 0
        self._episode = -1  # since the arm was opened, from 0
        self._stamp = 0.0 if lockstep else time.monotonic()  # s, of the newest decision
        self._process: SpawnProcess | None = None
        if record_to is None:
            return
        try:
            self.path = claim_next(record_to.folder)
        except OSError as error:
            self._fail(f"nothing is recorded in {record_to.folder}: {error.strerror}")
            return
        arm = plan.arm
        notes = describe_arm(family, plan, lockstep) | record_to.notes
        recording_plan = RecordingPlan(self.path, arm.joints, lockstep, notes, arm.urdf)
        # SEQPACKET: a message arrives whole or not at all; the recorder answers only if it fails
        self._notes, recorder_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # in lockstep the policy waits for the recorder; in real time a message that does not fit
        # into the socket is lost
        self._notes.settimeout(LOCKSTEP_PATIENCE if lockstep else 0.0)
        sizes = Sizes.of(family)
        arguments = (recording_plan, sizes, shared, os.getpid(), recorder_end)
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=record, args=arguments, daemon=True)
        self._process.start()
        recorder_end.close()

    @property
    def pid(self) -> int | None:
        """The process id of the recorder; None if it was not started."""
        return None if self._process is None else self._process.pid

    @property
    def is_recording(self) -> bool:
        """Whether a recorder runs, as far as is known."""
        return self._process is not None and self.failure is None

    def write(self, topic: str, message: dict[str, Any]) -> None:
        """Record a message at the time of the newest decision.

        Args:
            topic: a key of ``schemas.TOPICS``.
            message: as its schema says, without the timestamp.
        """
        if not self.is_recording:
            return
        if self.lost:
            text = f"messages of the policy that were not recorded: {self.lost}"
            if self._send("/events", log_message("recorder", text, WARNING)):
                self.lost = 0
        if not self._send(topic, message):
            self.lost += 1

    def log(self, text: str) -> None:
        """Record a text for human readers."""
        self.write("/events", log_message("policy", text))

    def write_decision(
        self, stamp: float, number: int, obs: Array, action: Array, step: Step, distance: float
    ) -> None:
        """Record a decision of the policy and its outcome.

        Args:
            stamp: s, on the control process's clock.
            number: of the decision in its episode, from 1.
            obs: (1, o) the observation.
            action: (1, a) the action, as the policy chose it.
            step: the outcome.
            distance: of the observation from the middle of its range, in half ranges.
        """
        self._stamp = stamp
        if number == 1:
            self._episode += 1
        message = {
            "episode": self._episode,
            "tick": number - 1,
            "observation": obs[0].tolist(),
            "observation_distance": distance,
            "action": action[0].tolist(),
            "applied": step.applied[0].tolist(),
            "verdict": int(step.verdict[0]),
            "reward": float(step.reward[0]),
            "next_observation": step.obs[0].tolist(),
            "success": bool(step.success[0]),
            "terminated": bool(step.terminated[0]),
            "truncated": bool(step.truncated[0]),
        }
        self.write("/decision", message)

    def _send(self, topic: str, message: dict[str, Any]) -> bool:
        """Send a message to the recorder; returns whether it took it."""
        try:
            self._notes.send(msgspec.json.encode((topic, self._stamp, message)))
        except OSError:  # the recorder is behind, or has ended
            self._notes.settimeout(0.0)
            return False
        return True

    def check(self) -> str | None:
        """Check the recorder; returns why it failed, or None if it has not."""
        if self._process is None or self.failure is not None:
            return self.failure
        status = self._process.exitcode
        if status:  # 0 once everything is written
            reason = self._read_reason() or f"the recorder {describe_exit(status)}"
            self._fail(f"the recording {self.path} is not complete: {reason}")
        return self.failure

    @property
    def failure_event(self) -> dict[str, Any] | None:
        """The failure of the recording as an event of the session; None without one."""
        if self.check() is None:
            return None
        return {"number": 0, "event": "RECORDING_FAILED", "stamp": self.failed_at, "detail": 0.0}

    def _read_reason(self) -> str:
        try:
            return self._notes.recv(MAX_REASON).decode(errors="replace")
        except OSError:
            return ""

    def _fail(self, failure: str) -> None:
        """Keep the reason, and warn the user once that the recording has failed."""
        self.failure = failure
        self.failed_at = time.monotonic()
        warn(failure)

    def close(self) -> None:
        """Wait until all is written, and end the process; ``SharedState.finish`` comes first."""
        if self._process is None:
            return
        end_process(self._process, CLOSE_TIMEOUT)
        self.check()
        self._notes.close()


def describe_arm(family: Family, plan: DevicePlan, lockstep: bool) -> dict[str, str]:
    """The notes that every recording has: arm, family, clock, and the columns of a decision."""
    return {
        "arm": plan.arm.name,
        "family": family.name,
        "clock": "lockstep" if lockstep else "realtime",
        "observation": ", ".join(family.obs.names),
        "action": ", ".join(family.action.spec.names),
    }


def log_message(name: str, text: str, level: int = INFO) -> dict[str, Any]:
    """A message of the topic ``/events``."""
    return {"level": level, "name": name, "message": text}
