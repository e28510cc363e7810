"""A temporary folder is deleted once its process is gone, and not before."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from adaptation.jobs.locked_folder import delete_abandoned_folders, locked_folder

PROGRAM = """
import os, signal
from adaptation.jobs.locked_folder import locked_folder
with locked_folder() as folder:
    (folder / "file").write_text("left behind")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_left_is_deleted_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # as it was read from the environment before
    other = tmp_path / "pliant-job-of-something-else"
    other.mkdir()
    with locked_folder() as used:
        killed = subprocess.run([sys.executable, "-c", PROGRAM], check=False)
        assert killed.returncode == -signal.SIGKILL
        (left,) = set(tmp_path.iterdir()) - {other, used}
        assert (left / "file").exists()
        delete_abandoned_folders()
        assert set(tmp_path.iterdir()) == {other, used}
    assert set(tmp_path.iterdir()) == {other}
