"""The policy's side of the control process: start it, send actions and requests, wait, end it."""

import atexit
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.context import SpawnProcess
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from hw_interface.control.config import ControlConfig
from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import EVENTS, Record, Sizes
from hw_interface.control.own_session import end_process, signals_wait
from hw_interface.control.requests import Request
from hw_interface.control.serve import serve
from hw_interface.control.shared_state import SharedState
from hw_interface.control.timing import Timing, summarize_timing
from hw_interface.control.words import Word
from hw_interface.devices import DevicePlan
from hw_interface.exit_status import describe_exit
from hw_interface.recording.process import RecorderProcess, RecordTo
from robots.errors import ArmError
from robots.signals import Array
from robots.world import Family

TIMEOUT = 20.0  # s, for the control process to answer
WORD_TIMEOUT = 0.9  # s, for a ``Word`` to be handled in real time; it stays posted
POLL = 2e-4  # s, shortest time between two polls of the published state
LONGEST_POLL = 2e-3  # s, longest time between two polls
POLL_SHARE = 0.05  # time between two polls as a share of the time waited so far
# s, for the control process to end: braking and the release of a contact take up to 3.5 s, and the
# driver of Universal Robots arms waits up to 3 s for the arm to come to rest, and 3 s to close
QUIT_TIMEOUT = 12.0
HANG_TIMEOUT = 1.0  # s, for a control process that hangs to end
ENDING = 0.2  # s, in which a process that was killed is gone


class EventRecord(TypedDict):
    """An event of the watchdog."""

    number: int  # counted from 0
    event: str  # name of an Event
    stamp: float  # s, monotonic; in lockstep s of control
    detail: float  # see Event


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
        with signals_wait():  # this also starts multiprocessing's resource tracker
            self.shared = SharedState(sizes)
        self._last_action_seq = 0
        self._last_request_seq = 0
        self._words_said = np.zeros(len(Word), dtype=np.int64)
        self._word_timeout = TIMEOUT if lockstep else WORD_TIMEOUT
        self._word_lock = threading.RLock()  # reentrant for signal handlers
        self._request_lock = threading.Lock()
        self._closed = False
        self.final_state: Record | None = None  # once closed
        parent = os.getpid()
        config = ControlConfig(family, plan.build, lockstep, self.shared.name, parent)
        self.shared.promise(TIMEOUT)  # on behalf of the control process, until it runs
        spawn = multiprocessing.get_context("spawn")
        self.process: SpawnProcess = spawn.Process(target=serve, args=(config,), daemon=True)
        with signals_wait():
            self.recorder = RecorderProcess(record_to, family, plan, self.shared.name, lockstep)
            self.process.start()
        # else multiprocessing would wait at exit for this process, even if it hangs
        atexit.register(self.close)
        try:
            self.wait_for(_is_connected, "connect")
        except BaseException:  # Ctrl-C too
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

    def post_action(self, action: Array, stamp: float, continues: bool, distance: float) -> int:
        """Post an action; returns its sequence number.

        Args:
            action: (a,) in [-1, 1].
            stamp: s, monotonic: of the observation that it answers.
            continues: whether it repeats an earlier decision (an action held for several periods).
            distance: of that observation from the middle of its range, see ``range_distance``.
        """
        self._last_action_seq += 1
        self.shared.action.write(
            seq=self._last_action_seq,
            stamp=stamp,
            continues=continues,
            distance=distance,
            action=action,
        )
        return self._last_action_seq

    def say(self, word: Word) -> None:
        """Send a ``Word`` and block until it was handled. May be called from any thread.

        Raises:
            ArmError: it was not handled in time; it stays posted, and is handled if the control
                process runs again.
        """
        count = self._post_word(word)

        def handled(state: Record) -> bool:
            return bool(state["words_handled"][word] >= count)

        self.wait_for(handled, word.name.lower(), self._word_timeout)

    def _post_word(self, word: Word) -> int:
        with self._word_lock:
            if self._closed and word is not Word.QUIT:
                raise ArmError(f"the arm cannot {word.name.lower()}: it is disconnected")
            self._words_said[word] += 1
            count = int(self._words_said[word])
            self.shared.words.write(counts=self._words_said)
        return count

    def request(self, kind: Request, **values: ArrayLike) -> int:
        """Post a request and block until it was handled; returns its sequence number.

        Args:
            kind: what is requested.
            values: further fields of the request's record.

        Raises:
            ArmError: it was refused.
        """
        name = kind.name.lower().replace("_", " ")
        with self._request_lock:  # there is one slot: a request must be handled before the next
            self._last_request_seq += 1
            seq = self._last_request_seq
            self.shared.request.write(seq=seq, kind=int(kind), **values)

            def handled(state: Record) -> bool:
                return bool(state["last_request_seq"] >= seq)

            state = self.wait_for(handled, name)
        if state["rejected_seq"] == seq:
            where = f"the arm is in {self.explain_mode()}"
            raise ArmError(f"{name} was refused, {where}: {self.shared.reason}")
        return seq

    def wait_for(
        self, ready: Callable[[Record], bool], purpose: str, timeout: float = TIMEOUT
    ) -> Record:
        """Block until a published state is ``ready``, and return it.

        Args:
            ready: whether a state is the awaited one.
            purpose: the awaited event as a verb, for the error message.
            timeout: s.

        Raises:
            ArmError: the control process ended or hangs, or the time passed.
        """
        began = time.monotonic()
        state = self.shared.state.read_nonblocking()
        while not ready(state):
            if not self.process.is_alive():
                reason = self.shared.exit_reason or self._describe_exit()
                raise ArmError(f"the control process ended before it could {purpose}: {reason}")
            if self.shared.overdue > 0 and not self._is_ending():
                raise ArmError(
                    f"the control process hangs and cannot {purpose}: a call of its driver does"
                    " not return, or the machine is overloaded. Only the arm itself can stop now"
                )
            waited = time.monotonic() - began
            if waited > timeout:
                where = f"it is in {self.mode.name}"
                raise ArmError(f"the arm did not {purpose} within {timeout} s; {where}")
            time.sleep(min(max(POLL, POLL_SHARE * waited), LONGEST_POLL))
            state = self.shared.state.read_nonblocking()
        return state

    def _is_ending(self) -> bool:
        """Whether the control process is about to end: a killed one is overdue before it ends."""
        self.process.join(ENDING)
        return not self.process.is_alive()

    def _describe_exit(self) -> str:
        """How the control process ended, if it published no reason."""
        status = self.process.exitcode or 0
        end = f"it {describe_exit(status)}"
        return f"{end}, see its message on standard error" if status > 0 else end

    @property
    def events(self) -> list[EventRecord]:
        """Events of the watchdog, oldest first; the newest ``EVENTS`` of them."""
        return newest_events(self.shared, int(self.state["events"]))

    def latest_event(self) -> str:
        """The name of the newest event."""
        events = self.events
        return events[-1]["event"] if events else "no event"

    def explain_mode(self) -> str:
        """The mode, and the cause of a fault or an external stop, or else the newest event."""
        state = self.state
        mode = Mode(int(state["mode"]))
        latched = mode in (Mode.FAULT, Mode.EXTERNAL_STOP)
        cause = _event_name(int(state["cause"])) if latched else self.latest_event()
        return f"{mode.name}: {cause}"

    def timing(self, policy_times: list[float]) -> Timing:
        """How the loop kept time in real time; ``policy_times`` in s."""
        return summarize_timing(self.state, self.shared.lateness, self.rate, policy_times)

    def close(self) -> None:
        """Stop the arm and end all processes; may be called twice. Always returns."""
        with self._word_lock:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        self._post_word(Word.QUIT)
        # all of these are called, in reverse order, even if Ctrl-C interrupts one of them
        with ExitStack() as steps:
            steps.callback(self.shared.close)
            steps.callback(self.recorder.close)
            steps.callback(self.shared.finish)
            steps.callback(self._keep_final_state)
            hangs = self.shared.overdue > 0
            steps.callback(end_process, self.process, HANG_TIMEOUT if hangs else QUIT_TIMEOUT)

    def _keep_final_state(self) -> None:
        self.final_state = self.state


def newest_events(shared: SharedState, count: int) -> list[EventRecord]:
    """The newest ``EVENTS`` of ``count`` events, oldest first."""
    records: list[EventRecord] = []
    for number in range(max(0, count - EVENTS), count):
        kind, stamp, detail = shared.events[number % EVENTS].tolist()
        name = _event_name(kind)
        records.append({"number": number, "event": name, "stamp": stamp, "detail": detail})
    return records


def _event_name(kind: int) -> str:
    known = kind in list(Event)
    return Event(kind).name if known else f"UNKNOWN {kind}"


def _is_connected(state: Record) -> bool:
    return bool(state["mode"] != Mode.DISCONNECTED)
