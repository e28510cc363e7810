"""One line about an arm at work, redrawn in place on a terminal."""

import contextlib
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text


@dataclass
class Status:
    """What the line shows."""

    mode: str = "DISCONNECTED"
    object: int = 1
    episode: int = 1
    returns: float = 0.0  # of the episode so far
    missed_ticks: int = 0
    belief_age: int = 0  # number of updates by which the belief is behind
    hint: str = ""  # what an operator may do now, or has requested

    def __str__(self) -> str:
        mode = f"{self.mode} ({self.hint})" if self.hint else f"{self.mode:7}"
        parts = [
            mode,
            f"object {self.object}",
            f"episode {self.episode}",
            f"return {self.returns:+.2f}",
            f"missed {self.missed_ticks}",
            f"belief {self.belief_age} behind",
        ]
        return "  ".join(parts)


class StatusLine:
    """Shows a status on standard error; does nothing if that is not a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        """``console``: where to show it; None: standard error."""
        self.console = console or Console(stderr=True)
        self._live: Live | None = None  # between start and stop

    def start(self) -> None:
        """Begin to show the line."""
        if self.console.is_terminal:
            self._live = Live(
                console=self.console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
            )
            with contextlib.suppress(OSError):  # the terminal was closed
                self._live.start()

    def show(self, status: Status) -> None:
        """Redraw the line, cut where the terminal ends; nothing before ``start``."""
        if self._live is not None:
            text = Text(str(status), no_wrap=True, overflow="ellipsis")
            with contextlib.suppress(OSError):
                self._live.update(text, refresh=True)

    def stop(self) -> None:
        """Remove the line."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Print a text above the line, or where there is no line."""
        with contextlib.suppress(OSError):
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
