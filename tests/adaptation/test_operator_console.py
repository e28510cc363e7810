"""The operator's keys, signals, status line and last line, in a terminal that the test holds."""

import io
import os
import pty
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from rich.console import Console

from adaptation.jobs.operator_console import OperatorConsole
from adaptation.jobs.status_line import Status, StatusLine

WIDTH = 80
PATIENCE = 60.0  # s


class Terminal:
    """A program in a terminal of its own, which it leads as a shell would."""

    def __init__(self, file: str, *arguments: str) -> None:
        path = Path(__file__).with_name(file)
        tests = Path(__file__).parents[1]
        folders = os.pathsep.join([str(tests.parent), str(tests)])
        environment = {**os.environ, "PYTHONPATH": folders}
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            # a shell in the background ignores the first two, and nohup the last
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            words = [sys.executable, str(path), *arguments]
            os.execve(sys.executable, words, environment)
        self.text = ""
        self.status: int | None = None

    def read_until(self, words: str) -> None:
        """Collect what is shown until it holds ``words``."""
        give_up = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < give_up, self.text
            self._read(0.1)

    def _read(self, timeout: float) -> bool:
        """Whether the program has its terminal still open."""
        ready, _, _ = select.select([self.master], [], [], timeout)
        if not ready:
            return True
        try:
            data = os.read(self.master, 4096)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def hang_up(self) -> None:
        os.close(self.master)
        self.master = -1

    def wait(self) -> int:
        """The exit status; the terminal's last words are collected."""
        give_up = time.monotonic() + PATIENCE
        while self.status is None and time.monotonic() < give_up:
            if self.master >= 0:
                self._read(0.05)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.status = os.waitstatus_to_exitcode(status)
        assert self.status is not None, self.text
        while self.master >= 0 and select.select([self.master], [], [], 0.1)[0]:
            if not self._read(0.1):
                break
        return self.status


@contextmanager
def program(file: str, *arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(file, *arguments)
    try:
        yield terminal
    finally:
        if terminal.status is None:
            with suppress(ProcessLookupError):
                os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        if terminal.master >= 0:
            os.close(terminal.master)


def test_keys_and_the_signal_reach_the_arm_and_the_terminal_is_restored() -> None:
    with program("operated.py") as terminal:
        terminal.read_until("keys: space")
        terminal.read_until("ready")
        assert not terminal.echoes
        terminal.press("s")
        terminal.read_until("said stop")
        terminal.read_until("FAULT: OPERATOR_STOP (c clears)")
        terminal.press("c")
        terminal.read_until("said clear")
        terminal.press(" ")
        terminal.read_until("said hold")
        terminal.press(" ")
        terminal.read_until("said release")
        stops = terminal.text.count("said stop")
        os.kill(terminal.pid, signal.SIGUSR1)
        while terminal.text.count("said stop") == stops:
            terminal.read_until("said stop")
            terminal._read(0.1)
        terminal.press("q")
        terminal.read_until("then press Enter")
        terminal.press("\n")
        assert terminal.wait() == 0
        assert "RUNNING  object 1  episode 1" in terminal.text
        assert terminal.text.rstrip().endswith("arm: at rest, torque on; not recorded")
        assert terminal.echoes


def test_a_real_arm_does_not_move_before_somebody_at_the_keyboard_says_so() -> None:
    with program("operated.py", "real") as terminal:
        terminal.read_until("The arm is about to move")
        terminal.press("c")
        terminal.read_until("said clear")
        assert "ready" not in terminal.text
        terminal.press("\n")
        terminal.read_until("ready")
        assert terminal.text.count("about to move") == 1, "it is asked once"
        terminal.press("\x03")
        terminal.wait()


@pytest.mark.parametrize("key", ["\x03", "\x1c"], ids=["Ctrl-C", "Ctrl-backslash"])
def test_a_key_that_ends_the_program_restores_the_terminal_and_says_how_the_arm_was_left(
    key: str,
) -> None:
    with program("operated.py") as terminal:
        terminal.read_until("ready")
        assert not terminal.echoes
        terminal.press(key)
        assert terminal.wait() != 0
        assert terminal.echoes
        assert "arm: at rest, torque on; not recorded" in terminal.text


@pytest.mark.parametrize("hang_up", [False, True], ids=["Ctrl-C", "closed"])
def test_the_end_comes_also_where_python_drops_the_exception_of_the_signal(hang_up: bool) -> None:
    with program("operated.py", "finalizer") as terminal:
        terminal.read_until("finalizing")
        if hang_up:
            terminal.hang_up()
        else:
            terminal.press("\x03")
        assert terminal.wait() != 0


def test_the_end_comes_also_where_another_thread_gets_the_signal() -> None:
    with program("operated.py", "thread") as terminal:
        terminal.read_until("sent to another thread")
        assert terminal.wait() != 0


@pytest.mark.parametrize("hang_up", [False, True], ids=["Ctrl-C", "closed"])
def test_a_terminal_that_is_closed_leaves_the_arm_at_rest_and_the_recording_whole(
    tmp_path: Path, hang_up: bool
) -> None:
    recording = tmp_path / "recording-0.mcap"
    with program("driven.py", str(tmp_path)) as terminal:
        terminal.read_until("episode 1")
        if hang_up:
            terminal.hang_up()
        else:
            terminal.press("\x03")
        assert terminal.wait() != 0
        if not hang_up:
            text = terminal.text.replace("\r\n", "")
            assert f"arm: at rest, torque on; recording {recording}" in text
    assert_whole(recording)


def assert_whole(recording: Path) -> None:
    """The file has its index, and the arm stood still at its end."""
    with recording.open("rb") as file:
        summary = make_reader(file).get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count > 0
        messages = list(make_reader(file).iter_messages(topics=["/setpoint"]))
    assert b'"velocity":0.0' in messages[-1][2].data.replace(b"-0.0", b"0.0")


@dataclass
class Waiting:
    """An arm that an operator has held or stopped."""

    is_held: bool = False
    is_latched: bool = False


@pytest.mark.parametrize("waits_for_clear", [True, False])
def test_an_episode_waits_until_the_operator_lets_the_arm_go(waits_for_clear: bool) -> None:
    operator = OperatorConsole()
    world: Any = Waiting(is_held=True)
    operator._world = world
    operator.begin_object(0, waits_for_clear)
    waiting = threading.Thread(target=operator.wait_until_free)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    world.is_held = False
    waiting.join(PATIENCE)
    assert not waiting.is_alive()
    world.is_latched = True
    operator.end_requested = True
    if waits_for_clear:
        with pytest.raises(KeyboardInterrupt):
            operator.wait_until_free()
    else:
        operator.wait_until_free()


def test_the_status_line_fits_a_terminal_of_80_columns() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=WIDTH)
    line = StatusLine(console)
    line.start()
    status = Status("RUNNING", 20, 3, -1234.5678, 123, 12)
    line.show(status)
    line.stop()
    assert len(str(status)) < WIDTH
    shown = file.getvalue()
    for words in (
        "RUNNING",
        "object 20",
        "episode 3",
        "return -1234.57",
        "missed 123",
        "belief 12",
    ):
        assert words in shown


def test_the_last_line_says_that_a_recording_is_not_complete() -> None:
    file = io.StringIO()
    operator = OperatorConsole()
    operator._line = StatusLine(Console(file=file))
    with operator:
        operator.report_end("arm: at rest, torque on", Path("r.mcap"), is_complete=False)
    assert file.getvalue() == "arm: at rest, torque on; recording r.mcap, not complete\n"


def test_where_there_is_no_terminal_nothing_is_redrawn() -> None:
    file = io.StringIO()
    line = StatusLine(Console(file=file))
    line.start()
    line.show(Status())
    line.stop()
    assert file.getvalue() == ""
    line.say("arm: at rest")
    assert file.getvalue() == "arm: at rest\n"
