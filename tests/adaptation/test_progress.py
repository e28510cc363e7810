"""What the progress bar shows, and that it fits a terminal of 80 columns."""

import io
import re

import pytest
from rich.console import Console

from adaptation.jobs.train import describe_progress
from adaptation.reporting import progress as progress_module
from adaptation.reporting.progress import ProgressReporter
from adaptation.runs.records import TrainProgress

TITLE = "particle_mpc on cheetah_inverted"
HALF_AN_HOUR = 1800.0  # s
LINE = TrainProgress(
    iteration=123,
    steps=1_234_500,
    gradient_steps=999,
    seconds=1000.0,
    returns=[-0.25, -123.4, 0.5],
    success=[0.0, 0.25, 0.45],
    learn={},
)


def shown(width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The last bar on a terminal, after half of a training that will take an hour."""
    screen = io.StringIO()

    def terminal(stderr: bool) -> Console:
        return Console(file=screen, width=width, force_terminal=True, color_system=None)

    now = 0.0
    monkeypatch.setattr(progress_module, "Console", terminal)
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    with ProgressReporter(TITLE) as show:
        show(0.0, "")
        now = HALF_AN_HOUR
        show(0.5, describe_progress(LINE))
    lines = re.sub(r"\x1b\[[?\d;]*\w", "", screen.getvalue()).replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip()][-1]


def test_80_columns_show_the_time_left_the_pace_and_the_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = shown(80, monkeypatch)
    assert len(line) <= 80
    assert line.startswith("particle_mpc on")
    assert "0:30:00 left" in line
    assert "1,234 steps/s, success 45%" in line


def test_a_wide_terminal_shows_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    line = shown(120, monkeypatch)
    assert "0:30:00 left" in line
    assert line.rstrip().endswith("iteration 123, return 0.500")


def test_the_first_iteration_has_no_pace_before_time_has_passed() -> None:
    at_once = TrainProgress(0, 0, 0, 0.0, [None], [0.0], {})
    assert describe_progress(at_once) == "success 0%, iteration 0"


def test_a_plain_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressReporter(TITLE) as show:
        for share, text in ((0.9, "a"), (1.0, "b"), (1.0, "b"), (1.0, "c")):
            show(share, text)
    lines = capsys.readouterr().err.splitlines()
    assert [line[-1] for line in lines] == ["a", "b", "c"]
