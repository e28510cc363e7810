"""The commit that a run names is that of Pliant's own code."""

import shutil
import subprocess
from pathlib import Path

import pytest

from adaptation.runs import versions

GIT = ("git", "-c", "user.name=somebody", "-c", "user.email=somebody@localhost")


def git(folder: Path, *words: str) -> str:
    answer = subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository with Pliant installed in it, untracked."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "the user's own")
    site = tmp_path / ".venv" / "site-packages"
    target = site / "adaptation" / "runs" / "versions.py"
    target.parent.mkdir(parents=True)
    shutil.copy(versions.__file__, target)
    monkeypatch.setattr(versions, "ROOT", site)
    monkeypatch.setattr(versions, "__file__", str(target))
    return tmp_path


def test_the_commit_of_a_users_repository_is_not_taken_for_pliants(installed: Path) -> None:
    assert versions.current_commit() is None


def test_the_commit_of_a_checkout_is_named(installed: Path) -> None:
    git(installed, "add", ".")
    git(installed, "commit", "--quiet", "-m", "Pliant")
    assert versions.current_commit() == git(installed, "rev-parse", "HEAD")
