"""Follows docs/add_your_own.md to the letter, both ways: what the page prints is what happens."""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from forked import Forks

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/add_your_own.md").read_text(encoding="utf-8")
OWN_PACKAGE, IN_REPOSITORY = PAGE.split("## In this repository")
PACKAGES = ("robots", "sim", "policies", "adaptation", "hw_interface")
MODULES_OF_TESTS = [path.name for path in (ROOT / "tests").glob("*.py")]
HELPERS = [name for name in MODULES_OF_TESTS if not name.startswith("test_")]
TESTS = ("contracts", "laws", "toys", *HELPERS)
COPIED = (
    *PACKAGES,
    "benchmarks",
    "pliant",
    "pyproject.toml",
    *(f"tests/{name}" for name in TESTS),
)
MODULES = {"pliant": "adaptation.cli", "pytest": "pytest", "pip": "pip"}
FENCE = re.compile(
    r"(?:^`(?P<path>\S+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
MOVE = re.compile(r"^\| `(my_lab/\S+)` \| `(\S+)` \|$", re.MULTILINE)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # s, for a busy machine


class Block(NamedTuple):
    """A fenced block of the page."""

    path: str | None  # of the file that it shows
    kind: str
    text: str


def blocks(part: str) -> Iterator[Block]:
    for found in FENCE.finditer(part):
        yield Block(found["path"], found["kind"], found["text"])


class Place:
    """A folder in which the page is followed."""

    def __init__(self, forks: Forks, folder: Path, *path: Path) -> None:
        """``path``: where Python looks for modules besides."""
        self.forks = forks
        self.folder = folder
        self.installed = folder / "installed"
        self._path = os.pathsep.join(map(str, (folder, *path, self.installed)))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A Python process."""
        env = os.environ | {"PYTHONPATH": self._path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300
        )

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        assert not file.exists(), f"{path} exists already"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def patch(self, path: str, diff: str) -> None:
        """Change one line of a file, or add one: that is all a part may cost."""
        lines = diff.splitlines(keepends=True)
        added = [line for line in lines if line.startswith("+")]
        removed = [line for line in lines if line.startswith("-")]
        assert len(added) == 1
        assert len(removed) <= 1
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{path} does not read {before!r}"
        file.write_text(text.replace(before, after), encoding="utf-8")

    def follow(self, session: str) -> None:
        """Run the commands of a console and compare what each prints."""
        for step in session.split("$ ")[1:]:
            command, _, expected = step.partition("\n")
            name, *words = shlex.split(command)
            if name == "pip":  # nothing is installed into the environment of the tests
                words = ["install", "--no-deps", "--no-build-isolation", "--no-index", "."]
                words += ["--target", str(self.installed)]
            done = self.forks.run(MODULES[name], words, self.folder, self._path)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            for option, path in pairwise(words):
                assert option != "--out" or (self.folder / path).exists(), command
            flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            same = doctest.OutputChecker().check_output(expected, done.stdout, flags)
            assert same, f"{command} printed\n{done.stdout}and not\n{expected}"


def test_a_package_of_ones_own_needs_no_line_in_pliant(forks: Forks, tmp_path: Path) -> None:
    place = Place(forks, tmp_path, ROOT)
    before = {path: path.stat().st_mtime_ns for path in ROOT.glob("*/**/__init__.py")}
    consoles = 0
    for block in blocks(OWN_PACKAGE):
        if block.kind == "console":
            place.follow(block.text)
            consoles += 1
        elif block.path is not None and not block.path.startswith("policies/"):
            place.write(block.path, block.text)
    assert consoles == 9
    assert before == {path: path.stat().st_mtime_ns for path in ROOT.glob("*/**/__init__.py")}
    assert_clean(place, "my_lab")


def test_in_the_repository_a_part_is_one_file_and_one_line(forks: Forks, tmp_path: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy2(source, copy)
    place = Place(forks, tmp_path)
    names = ", ".join(f"{package}.__file__" for package in PACKAGES)
    found = place.run("-c", f"import {', '.join(PACKAGES)}; print({names})")
    assert found.stdout.split() == [str(tmp_path / name / "__init__.py") for name in PACKAGES]

    moves = dict(MOVE.findall(IN_REPOSITORY))
    for block in blocks(OWN_PACKAGE):
        if block.path in moves:
            place.write(moves[block.path], moved_imports(block.text, moves))
        elif block.path is not None and block.path.startswith("policies/presets/"):
            place.write(block.path, block.text)
    diffs = 0
    for block in blocks(IN_REPOSITORY):
        if block.kind == "diff":
            assert block.path is not None
            place.patch(block.path, block.text)
            diffs += 1
        else:
            place.follow(block.text)
    files = [path for path in moves.values() if path.endswith(".py")]
    assert diffs == len(files)
    assert_clean(place, *PACKAGES)


def moved_imports(text: str, moves: dict[str, str]) -> str:
    """A file whose imports name the places to which other files have moved."""
    for old, new in moves.items():
        text = text.replace(module(old), module(new))
    return text


def module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def assert_clean(place: Place, *folders: str) -> None:
    config = ("--config", str(ROOT / "pyproject.toml"))
    for command in (("check",), ("format", "--check")):
        done = place.run("-m", "ruff", *command, *config, *folders)
        assert done.returncode == 0, done.stdout
