"""Follows docs/add_your_own.md to the letter, in a copy of the packages: what it shows is what happens."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/add_your_own.md").read_text(encoding="utf-8")
PACKAGES = ("robots", "sim", "policies", "adaptation", "hw_interface")
TESTS = ("contracts", "laws", "adaptation", "conftest.py", "tiny.py", "emulated.py", "faraway.py")
MODULES = {"pliant": "adaptation.cli", "pytest": "pytest"}
FENCE = re.compile(
    r"(?:^`(?P<path>\S+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages and their tests, apart from what is installed."""
    for name in (*PACKAGES, *(f"tests/{name}" for name in TESTS), "pyproject.toml"):
        there = tmp_path / name
        there.parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, there)
    return tmp_path


def run(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python process that finds the packages in ``where``."""
    env = os.environ | {"PYTHONPATH": str(where), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=where, env=env, capture_output=True, text=True, timeout=120
    )


def write(path: Path, text: str) -> None:
    assert not path.exists(), f"{path} is there already"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def insert(path: Path, diff: str) -> None:
    """Add the lines with a plus after those that stand before them."""
    lines = diff.splitlines(keepends=True)
    before, after = (
        "".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" ", " +")
    )
    text = path.read_text(encoding="utf-8")
    assert diff.count("\n+") == 1, "a part is one line in a table"
    assert text.count(before) == 1, f"{path} reads otherwise than {before!r}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def follow(where: Path, session: str) -> None:
    """Run the commands of a console and compare what each prints."""
    for step in session.split("$ ")[1:]:
        command, _, expected = step.partition("\n")
        name, *words = shlex.split(command)
        done = run(where, "-m", MODULES[name], *words)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert all(
            (where / path).exists() for option, path in pairwise(words) if option == "--out"
        ), command
        same = doctest.OutputChecker().check_output(
            expected, done.stdout, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        )
        assert same, f"{command} printed\n{done.stdout}and not\n{expected}"


def test_the_page_can_be_followed_to_the_letter(copy: Path) -> None:
    found = run(
        copy,
        "-c",
        f"import {', '.join(PACKAGES)}; print({', '.join(f'{p}.__file__' for p in PACKAGES)})",
    )
    assert found.stdout.split() == [str(copy / name / "__init__.py") for name in PACKAGES]
    done = []
    for block in FENCE.finditer(PAGE):
        path, kind, text = block["path"], block["kind"], block["text"]
        if kind == "console":
            follow(copy, text)
        else:
            (insert if kind == "diff" else write)(copy / path, text)
        done.append(kind)
    assert done.count("console") == 5
    assert done.count("diff") == 5
    assert done.count("python") == 5
    checked = run(copy, "-m", "ruff", "check", *PACKAGES)
    assert checked.returncode == 0, checked.stdout
    checked = run(copy, "-m", "ruff", "format", "--check", *PACKAGES)
    assert checked.returncode == 0, checked.stdout
