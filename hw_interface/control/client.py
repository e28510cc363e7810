"""The policy's side of the control process: start it, post to it, wait for it, end it."""

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from hw_interface.control.layout import EVENTS, LATENESS, Record, Sizes
from hw_interface.control.process import ControlConfig, serve
from hw_interface.control.requests import Request
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import Event, Mode
from hw_interface.devices import DevicePlan
from hw_interface.recording.process import RecorderProcess, RecordTo
from robots.errors import ArmError
from robots.signals import Array
from robots.world import Family

TIMEOUT = 20.0  # s, for the control process to answer
POLL = 2e-4  # s between two polls of the published state, at least
LONGEST_POLL = 2e-3  # s, at most
POLL_SHARE = 0.05  # of the time waited so far: a long wait is not spent on polling
QUIT_TIMEOUT = 5.0  # s, for the control process to brake and end


class EventRecord(TypedDict):
    """An event of the watchdog."""

    number: int  # counted from 0
    event: str  # name of an Event
    stamp: float  # s, monotonic; in lockstep s of control
    detail: float  # see Event


class Quantiles(TypedDict):
    """Quantiles of a duration, ms."""

    p50: float
    p99: float
    max: float


class Timing(TypedDict):
    """How the control loop kept time, and how long the policy took."""

    rate_hz: float
    ticks: int
    missed: int  # ticks
    realtime: bool  # whether SCHED_FIFO was granted
    lateness_ms: Quantiles
    policy_ms: Quantiles  # from an observation to its action


class ControlClient:
    """Owns the control process of one arm, the recorder, and the memory between them."""

    def __init__(
        self,
        family: Family,
        plan: DevicePlan,
        lockstep: bool,
        record_to: RecordTo | None,
    ) -> None:
        """Start the processes and wait until the arm is connected.

        Raises:
            ArmError: the arm did not come up; the message says why.
        """
        sizes = Sizes.of(family)
        self.rate = 1 / plan.driver.capabilities.dt  # Hz
        self.shared = SharedState(sizes)
        self._last_action_seq = 0
        self._last_request_seq = 0
        self._closed = False
        parent = os.getpid()
        config = ControlConfig(family, plan.build, lockstep, self.shared.name, parent)
        spawn = multiprocessing.get_context("spawn")
        self.process: SpawnProcess = spawn.Process(target=serve, args=(config,), daemon=True)
        self.process.start()
        self.recorder = RecorderProcess(record_to, family, plan, self.shared.name, lockstep)
        try:
            self.wait_for(_is_connected, "connect")
        except ArmError:
            self.close()
            raise

    @property
    def state(self) -> Record:
        """The newest published state, see ``layout.memory_layout``."""
        return self.shared.state.read_latest()

    @property
    def mode(self) -> Mode:
        """The mode of the control process."""
        return Mode(int(self.state["mode"]))

    def post_action(self, action: Array) -> int:
        """Post an action (a,); returns its sequence number."""
        self._last_action_seq += 1
        self.shared.action.write(
            seq=self._last_action_seq,
            stamp=time.monotonic(),
            action=action,
        )
        return self._last_action_seq

    def request(self, kind: Request, **values: ArrayLike) -> None:
        """Post a request and block until it was handled.

        Args:
            kind: what is requested.
            values: further fields of the request's record.

        Raises:
            ArmError: it was refused.
        """
        name = kind.name.lower().replace("_", " ")
        seq = self._post_request(kind, **values)

        def handled(state: Record) -> bool:
            return bool(state["last_request_seq"] >= seq)

        state = self.wait_for(handled, name)
        if state["rejected_seq"] == seq:
            where = f"the arm is in {self.mode.name}: {self.latest_event()}"
            raise ArmError(f"{name} was refused, {where}")

    def _post_request(self, kind: Request, **values: ArrayLike) -> int:
        self._last_request_seq += 1
        self.shared.request.write(seq=self._last_request_seq, kind=int(kind), **values)
        return self._last_request_seq

    def wait_for(self, ready: Callable[[Record], bool], purpose: str) -> Record:
        """Block until a published state is ``ready``, and return it.

        Args:
            ready: whether a state is the awaited one.
            purpose: the awaited event as a verb, for the message of an error.

        Raises:
            ArmError: the control process ended, or ``TIMEOUT`` passed.
        """
        began = time.monotonic()
        state = self.shared.state.read_nonblocking()
        while not ready(state):
            if not self.process.is_alive():
                reason = self.shared.exit_reason or "see its message on standard error"
                raise ArmError(f"the control process ended before it could {purpose}: {reason}")
            waited = time.monotonic() - began
            if waited > TIMEOUT:
                where = f"it is in {self.mode.name}"
                raise ArmError(f"the arm did not {purpose} within {TIMEOUT} s; {where}")
            time.sleep(min(max(POLL, POLL_SHARE * waited), LONGEST_POLL))
            state = self.shared.state.read_nonblocking()
        return state

    @property
    def events(self) -> list[EventRecord]:
        """Events of the watchdog, oldest first; the newest ``EVENTS`` of them."""
        count = int(self.state["events"])
        records: list[EventRecord] = []
        for number in range(max(0, count - EVENTS), count):
            kind, stamp, detail = self.shared.events[number % EVENTS].tolist()
            name = Event(kind).name
            records.append({"number": number, "event": name, "stamp": stamp, "detail": detail})
        return records

    def latest_event(self) -> str:
        """The name of the newest event."""
        events = self.events
        return events[-1]["event"] if events else "no event"

    def timing(self, policy_times: list[float]) -> Timing:
        """How the loop kept time in real time; ``policy_times`` in s."""
        state = self.state
        ticks = int(state["tick"])
        lateness = self.shared.lateness[: min(ticks, LATENESS)].astype(np.float64)
        return {
            "rate_hz": self.rate,
            "ticks": ticks,
            "missed": int(state["missed_ticks"]),
            "realtime": bool(state["realtime"]),
            "lateness_ms": _quantiles(1e3 * lateness),
            "policy_ms": _quantiles(1e3 * np.array(policy_times)),
        }

    def close(self) -> None:
        """Stop the arm and end all processes; may be called twice."""
        if self._closed:
            return
        self._closed = True
        if self.process.is_alive():
            self._post_request(Request.QUIT)
            self.process.join(QUIT_TIMEOUT)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join()
        self.shared.finish()
        self.recorder.close()
        self.shared.close()


def _is_connected(state: Record) -> bool:
    return bool(state["mode"] != Mode.DISCONNECTED)


def _quantiles(x: Array) -> Quantiles:
    if not len(x):
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    return {
        "p50": float(np.quantile(x, 0.5)),
        "p99": float(np.quantile(x, 0.99)),
        "max": float(x.max()),
    }
