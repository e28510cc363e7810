"""The operator's console: reads keys and a signal, shows a status line and a last line.

A thread reads the keys and redraws the line, so that a stop is requested at once, even while the
policy computes. The operator's requests have a slot of their own in the shared memory.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from adaptation.jobs.status_line import Status, StatusLine
from adaptation.live.snapshot import CLEAR, HOLD, RELEASE, STOP
from hw_interface.arm_world import ArmWorld
from hw_interface.operator_keys import OperatorKeys
from robots.errors import ArmError, PliantError
from robots.world import Step

if TYPE_CHECKING:
    from adaptation.live.client import LivePage  # imports torch

REFRESH = 0.2  # s between two drawings of the status line
HELP = "keys: space hold or release, s stop, c clear, q end after the episode, Ctrl-C end now"
HELP_GUIDED = "r run this episode again, n next object: both after the episode"
BEFORE_MOTION = "The arm is about to move: clear its way, then press Enter. "
ENTER = ("\r", "\n")


class EndedByOperator(PliantError):  # noqa: N818  no error
    """The operator asked for the end, and all is in order."""


class OperatorConsole:
    """A context manager around one or more arms, opened one after another."""

    def __init__(self, page: "LivePage | None" = None, guides: bool = False) -> None:
        """Take no keys yet.

        Args:
            page: the live page, whose buttons do what the keys do.
            guides: whether an episode may be run again, and an object skipped.
        """
        self.page = page
        self.status = Status()
        self.end_requested = False  # whether to end after this episode
        self.skip_requested = False  # whether to leave this object after this episode
        self._guides = guides
        self._again_requested = False
        self.waits_for_clear = False  # whether an episode after a fault waits until it is cleared
        self._keys = OperatorKeys()
        self._line = StatusLine()
        self._world: ArmWorld | None = None
        self._may_move = False  # whether somebody at the keyboard has allowed motion
        self._closing = threading.Event()
        self._confirmed = threading.Event()
        self._thread: threading.Thread | None = None
        self.recordings: set[Path] = set()  # of all workers, where there are several
        self._last_line = "arm: not connected; not recorded"

    def __enter__(self) -> Self:
        """Take keys and signals."""
        self._keys.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the terminal and say how the arm was left."""
        self._keys.__exit__()
        self._line.say(self._last_line)
        if len(self.recordings) > 1:
            names = " ".join(sorted(str(path) for path in self.recordings))
            self._line.say(f"recordings of all workers: {names}")

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
        if self._keys.has_keyboard and self._guides:
            self._line.say(HELP_GUIDED)
        if self.page is not None:
            self._line.say(f"live page: {self.page.address}")
            self.page.attach(world, self.obey_button)
        if self.shows_status(world.clock):
            self._line.start()
        self._thread = threading.Thread(target=self._work, args=(world,), daemon=True)
        self._thread.start()

    def detach(self) -> None:
        """Leave the arm, which is about to be closed."""
        self._closing.set()
        if self.page is not None:
            self.page.detach()
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
        self.skip_requested = False
        self.waits_for_clear = waits_for_clear
        if real_arm and self._keys.has_keyboard and not self._may_move:
            self._ask(BEFORE_MOTION)
            self._may_move = True

    @property
    def ends_object(self) -> bool:
        """Whether no further episode with this object is wanted."""
        return self.end_requested or self.skip_requested

    def take_again(self) -> bool:
        """Whether the episode that has ended is to be run again; asked for once, done once."""
        again = self._again_requested
        self._again_requested = False
        return again

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
        if self.ends_object:
            return "ending" if self.end_requested else "next object"
        return "again after this" if self._again_requested else ""

    def _obey(self, key: str, world: ArmWorld) -> None:
        if key == "s":
            self._say(STOP, world.stop)
        elif key == "c":
            self._say(CLEAR, world.clear)
        elif key == " " and world.is_held:
            self._say(RELEASE, world.release)
        elif key == " ":
            self._say(HOLD, world.hold)
        elif key == "q":
            self.end_requested = True
        elif key == "r" and self._guides:
            self._again_requested = True
        elif key == "n" and self._guides:
            self.skip_requested = True
        elif key in ENTER:
            self._confirmed.set()

    def obey_button(self, button: str) -> str:
        """Carry out a button of the live page as its key; returns what came of it."""
        world = self._world
        if world is None:
            return f"{button}: no arm is open"
        words = {HOLD: world.hold, RELEASE: world.release, STOP: world.stop, CLEAR: world.clear}
        return self._say(button, words[button])

    def _say(self, name: str, word: Callable[[], None]) -> str:
        """Say a word to the arm; a failure is shown. Returns what came of it."""
        try:
            word()
        except ArmError as error:
            self._line.say(f"{name}: {error}")
            return f"{name}: {error}"
        return f"{name}: the arm has obeyed"


def _describe_mode(world: ArmWorld) -> str:
    """The mode of an arm; of a fault, with its cause."""
    return world.control.explain_mode() if world.is_latched else world.mode.name
