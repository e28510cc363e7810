"""The policy's side of the live page: it starts the page, sends to it and answers its buttons.

Nothing here waits for the page. The loop that acts only keeps references; a thread describes them
some times a second and sends them without waiting: what the page does not take is lost, and the
next message holds everything again.
"""

import math
import multiprocessing
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from typing import Any, Self

import msgspec
import numpy as np

from adaptation.live.belief_numbers import describe_belief
from adaptation.live.plan import HOST, PagePlan
from adaptation.live.serve import READY, serve_page
from adaptation.live.snapshot import BUTTONS, BeliefNumber, JudgedEpisode, Snapshot
from adaptation.runs.records import finite
from hw_interface.arm_world import ArmWorld
from hw_interface.control.own_session import end_process, signals_wait
from hw_interface.exit_status import describe_exit
from hw_interface.warn import warn
from robots.errors import ArmError, BadArgumentError
from robots.world import Family, Step, Task

PERIOD = 0.2  # s between two messages
START_TIMEOUT = 180.0  # s, for the page to be served: its libraries are slow to load
CLOSE_TIMEOUT = 2.0  # s, for its process to end, before it is terminated
LONGEST_WORD = 400  # bytes
KEPT = 20  # judged episodes that are sent

Obey = Callable[[str], str]  # carries a word of ``BUTTONS`` out, and returns what came of it


class LivePage:
    """A page in a process of its own; a context manager that starts and ends it."""

    def __init__(self, plan: PagePlan, family: Family) -> None:
        """``family`` names what a belief is about."""
        self._plan = plan
        self._family = family
        self._snapshot = Snapshot()
        self._belief: Any = None
        self._policy: object = None
        self._obey: Obey | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: SpawnProcess | None = None

    @property
    def address(self) -> str:
        """What a browser on this computer is pointed at."""
        return f"http://{HOST}:{self._plan.port}"

    def __enter__(self) -> Self:
        """Serve the page.

        Raises:
            BadArgumentError: the port is in use, or may not be used.
            ArmError: the page's process does not come up.
        """
        self._plan = replace(self._plan, port=check_port(self._plan.port))
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        spawn = multiprocessing.get_context("spawn")
        arguments = (self._plan, other, os.getpid())
        self._process = spawn.Process(target=serve_page, args=arguments, daemon=True)
        with signals_wait():
            self._process.start()
        other.close()
        try:
            self._wait_until_served()
        except BaseException:  # Ctrl-C too
            self.__exit__()
            raise
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def _wait_until_served(self) -> None:
        self._socket.settimeout(START_TIMEOUT)
        try:
            answer = self._socket.recv(LONGEST_WORD)
        except OSError:
            answer = b""
        if answer != READY:
            reason = answer.decode(errors="replace") or "its process did not come up"
            raise ArmError(f"the live page is not served: {reason}")
        self._socket.settimeout(0.0)  # nothing waits for the page from now on

    def __exit__(self, *_: object) -> None:
        """End the page; a browser that is still open says that its connection is lost."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()
        if self._process is not None:
            end_process(self._process, CLOSE_TIMEOUT)

    def attach(self, world: ArmWorld, obey: Obey) -> None:
        """Show an arm that was opened, and carry out what the buttons ask for."""
        self._obey = obey
        self._set(shared=world.control.shared.name, clock=world.clock)

    def detach(self) -> None:
        """Leave the arm, which is about to be closed."""
        self._obey = None
        self._set(shared=None)

    def begin(self, name: str, policy_name: str, policy: object, task: Task) -> None:
        """Announce the next object and policy."""
        self._policy = policy
        self._belief = None
        values = zip(task.names, task.values[0].tolist(), strict=True)
        known = {parameter: value for parameter, value in values if math.isfinite(value)}
        marker = self._family.marker(task)[0]
        is_known = bool(np.isfinite(marker).all())
        self._set(
            object=name,
            policy=policy_name,
            episode=0,
            task=known,
            marker=tuple(marker.tolist()) if is_known else (),
        )

    def follow(self, episode: int, tick: int, step: Step, behind: int, belief: object) -> None:
        """Keep what a decision has led to."""
        self._belief = belief
        returns = 0.0 if tick == 0 else self._snapshot.returns or 0.0
        returns += float(step.reward[0])
        self._set(episode=episode + 1, returns=finite(returns), behind=behind)

    def judge(self, episode: int, success: bool, result: str, changed: str) -> None:
        """Keep the verdict of an episode that has ended."""
        shown = self._snapshot
        judged = JudgedEpisode(shown.object, shown.policy, episode + 1, success, result, changed)
        newest = [*shown.judged, judged][-KEPT:]
        self._set(judged=newest)

    def _set(self, **values: Any) -> None:
        self._snapshot = msgspec.structs.replace(self._snapshot, **values)

    # ---- the thread ----

    def _work(self) -> None:
        """Pass buttons on at once, and tell the page what there is, until the end."""
        told = 0.0
        while not self._closing.is_set():
            ready, _, _ = select.select([self._socket], [], [], PERIOD)
            if ready and not self._take_word():
                break
            if time.monotonic() - told > PERIOD:
                self._tell()
                told = time.monotonic()

    def _take_word(self) -> bool:
        """Carry out one button; whether the page is still there."""
        try:
            word = self._socket.recv(LONGEST_WORD).decode(errors="replace")
        except BlockingIOError:  # nothing after all
            return True
        except OSError:
            word = ""
        if not word:
            self._report_loss()
            return False
        if word in BUTTONS:
            obey = self._obey
            notice = f"{word}: no arm is open" if obey is None else obey(word)
            self._set(notice=f"{time.strftime('%H:%M:%S')}  {notice}")
        return True

    def _report_loss(self) -> None:
        """Tell the operator once that there is no page any more; the arm goes on."""
        if self._process is None:
            return
        self._process.join(CLOSE_TIMEOUT)
        status = self._process.exitcode
        how = "does not answer any more" if status is None else describe_exit(status)
        warn(f"the live page {how}; the arm goes on, and the keys still work")

    def _tell(self) -> None:
        """Send a snapshot, unless the page is behind."""
        numbers = self._numbers()
        snapshot = msgspec.structs.replace(self._snapshot, belief=numbers)
        with suppress(OSError):
            self._socket.send(msgspec.json.encode(snapshot))

    def _numbers(self) -> list[BeliefNumber]:
        """The belief in words; a failure is shown, and costs nothing else."""
        if self._belief is None:
            return []
        try:
            return describe_belief(self._belief, self._policy, self._family)
        except Exception as error:  # whatever it is, the arm goes on
            reason = f"{type(error).__name__}: {error}"
            return [BeliefNumber(f"it cannot be shown: {reason}", None, None)]


def check_port(port: int) -> int:
    """Refuse a port that cannot be served, before anything moves.

    Returns:
        The port; a free one for 0.

    Raises:
        BadArgumentError: it is in use, or may not be used.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise BadArgumentError(f"--live {port}: {reason}; name another port") from error
        free: int = trial.getsockname()[1]
    return free
