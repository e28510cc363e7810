"""The operator's console: reads keys and a signal, shows a status line and a last line.

A thread reads the keys and redraws the line, so that a stop is requested at once, even while the
policy computes. The operator's requests have a slot of their own in the shared memory.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from adaptation.jobs.status_line import Status, StatusLine
from hw_interface.arm_world import ArmWorld
from hw_interface.operator_keys import OperatorKeys
from robots.errors import ArmError, PliantError
from robots.world import Step

REFRESH = 0.2  # s between two drawings of the status line
HELP = "keys: space hold or release, s stop, c clear, q end after the episode, Ctrl-C end now"
BEFORE_MOTION = "The arm is about to move: clear its way, then press Enter. "
ENTER = ("\r", "\n")


class EndedByOperator(PliantError):  # noqa: N818  no error
    """The operator asked for the end, and all is in order."""


class OperatorConsole:
    """A context manager around one or more arms, opened one after another."""

    def __init__(self) -> None:
        self.status = Status()
        self.end_requested = False  # whether to end after this episode
        self.waits_for_clear = False  # whether an episode after a fault waits until it is cleared
        self._keys = OperatorKeys()
        self._line = StatusLine()
        self._world: ArmWorld | None = None
        self._may_move = False  # whether somebody at the keyboard has allowed motion
        self._closing = threading.Event()
        self._confirmed = threading.Event()
        self._thread: threading.Thread | None = None
        self._last_line = "arm: not connected; not recorded"

    def __enter__(self) -> Self:
        """Take keys and signals."""
        self._keys.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the terminal and say how the arm was left."""
        self._keys.__exit__()
        self._line.say(self._last_line)

    @property
    def ask(self) -> Callable[[str], object]:
        """A function that shows a text and waits for Enter; the other keys work meanwhile."""
        return self._ask if self._keys.has_keyboard else input

    def shows_status(self, clock: str) -> bool:
        """Whether the status line is shown with a clock, instead of a progress bar.

        In lockstep a progress bar is more useful, because time waits for the policy.
        """
        return clock == "realtime" and self._line.console.is_terminal

    def attach(self, world: ArmWorld) -> None:
        """Pass the operator's requests on to an arm from now on, and show its status."""
        self._last_line = "arm: not known to be at rest; torque unknown"
        self._world = world
        self._closing.clear()
        if self._keys.has_keyboard:
            world.wait_for_operator = self.wait_until_free
            self._line.say(HELP)
        if self.shows_status(world.clock):
            self._line.start()
        self._thread = threading.Thread(target=self._work, args=(world,), daemon=True)
        self._thread.start()

    def detach(self) -> None:
        """Leave the arm, which is about to be closed."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self._line.stop()

    def report_end(self, end: str, recording: Path | None, is_complete: bool = True) -> None:
        """Set the content of the last line: how the arm was left, and where its recording is."""
        recorded = "not recorded" if recording is None else f"recording {recording}"
        if recording is not None and not is_complete:
            recorded += ", not complete"
        self._last_line = f"{end}; {recorded}"

    def begin_object(self, number: int, waits_for_clear: bool, real_arm: bool = False) -> None:
        """Announce the next object, and whether a fault with it may be cleared.

        Somebody at the keyboard is asked before a ``real_arm`` moves for the first time.
        """
        self.status.object = number + 1
        self.waits_for_clear = waits_for_clear
        if real_arm and self._keys.has_keyboard and not self._may_move:
            self._ask(BEFORE_MOTION)
            self._may_move = True

    def follow(self, episode: int, tick: int, step: Step, behind: int) -> None:
        """Update the status line after a tick; ``behind`` is the belief's age in updates."""
        if tick == 0:
            self.status.returns = 0.0
        self.status.episode = episode + 1
        self.status.returns += float(step.reward[0])
        self.status.belief_age = behind

    def wait_until_free(self) -> bool:
        """Wait until a hold is released and, if ``waits_for_clear``, until a fault is cleared.

        Returns:
            Whether the arm may move now.

        Raises:
            KeyboardInterrupt: the operator ends the command while the arm waits.
        """
        world = self._world
        while world is not None and self._must_wait(world):
            if self.end_requested:
                raise KeyboardInterrupt
            self._closing.wait(REFRESH)
        return world is not None and not world.is_latched

    def _must_wait(self, world: ArmWorld) -> bool:
        return world.is_held or (self.waits_for_clear and world.is_latched)

    def _ask(self, text: str) -> None:
        self._confirmed.clear()
        self._line.say(text)
        while not self._confirmed.wait(REFRESH):
            pass

    def _work(self, world: ArmWorld) -> None:
        """The thread: pass requests on until the arm is about to be closed."""
        while not self._closing.is_set():
            self._keys.insist_on_end()
            pressed, stop = self._keys.read(REFRESH)
            if stop:
                self._say("stop", world.stop)
            for key in pressed:
                self._obey(key, world)
            self.status.mode = _describe_mode(world)
            self.status.hint = self._hint(world)
            self.status.missed_ticks = int(world.control.state["missed_ticks"])
            self._line.show(self.status)

    def _hint(self, world: ArmWorld) -> str:
        if not self._keys.has_keyboard:
            return ""
        if world.is_held:
            return "space releases"
        if world.is_latched:
            return "c clears"
        return "ending" if self.end_requested else ""

    def _obey(self, key: str, world: ArmWorld) -> None:
        if key == "s":
            self._say("stop", world.stop)
        elif key == "c":
            self._say("clear", world.clear)
        elif key == " " and world.is_held:
            self._say("release", world.release)
        elif key == " ":
            self._say("hold", world.hold)
        elif key == "q":
            self.end_requested = True
        elif key in ENTER:
            self._confirmed.set()

    def _say(self, name: str, word: Callable[[], None]) -> None:
        try:
            word()
        except ArmError as error:
            self._line.say(f"{name}: {error}")


def _describe_mode(world: ArmWorld) -> str:
    """The mode of an arm; of a fault, with its cause."""
    return world.control.explain_mode() if world.is_latched else world.mode.name
