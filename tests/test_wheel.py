"""What is installed: the wheel, built from this tree, in folders of users that have our names."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pliant", "robots", "sim", "policies", "adaptation", "hw_interface")
OTHER_FILES = ("pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys, setuptools.build_meta as m; m.build_wheel(sys.argv[1])"
TRAP = "raise RuntimeError('a file of the user was imported')"
# A process that a command starts has the path of the command.
HELPER_PROCESS = """
import importlib
from adaptation.commands.arguments import allow_local_modules
from adaptation.jobs.processes import start_process

allow_local_modules("own_family:Own")
process = start_process(importlib.import_module, "own_family")
process.join()
raise SystemExit(process.exitcode)
"""
OWN_FAMILY = """
from sim.families.point import Point


class Own(Point):
    name = "own"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders behind."""
    source = tmp_path_factory.mktemp("source")
    names = [name for name in (*PACKAGES, *OTHER_FILES) if (ROOT / name).exists()]
    ignored = ["--exclude=__pycache__", "--exclude=*.pyc"]
    packed = subprocess.run(
        ["tar", "-c", *ignored, *names], cwd=ROOT, check=True, capture_output=True
    )
    subprocess.run(["tar", "-x"], cwd=source, check=True, input=packed.stdout)
    target = tmp_path_factory.mktemp("wheel")
    program = [sys.executable, "-c", BUILD, str(target)]
    subprocess.run(program, cwd=source, check=True, capture_output=True, timeout=120)
    (file,) = target.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with packages of the same names as ours."""
    for name in PACKAGES[1:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(TRAP)
    (tmp_path / "sim/mine.py").write_text(OWN_FAMILY)
    (tmp_path / "own_family.py").write_text(OWN_FAMILY)
    return tmp_path


def run(installed: Path, project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def pliant(installed: Path, project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(installed, project, "-P", "-m", "adaptation.cli", *words)


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    tree = set()
    for package in PACKAGES:
        files = [path for path in (ROOT / package).rglob("*") if path.is_file()]
        tree |= {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert tree - packed == set()
    assert not [name for name in packed if name.startswith(("tests", "benchmarks", "docs"))]


def test_every_package_says_that_it_is_typed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= packed


def test_folders_of_the_user_do_not_hide_packages_of_ours(installed: Path, project: Path) -> None:
    names = pliant(installed, project, "list")
    assert names.returncode == 0, names.stderr
    shown = pliant(installed, project, "settings", "blind", "--family", "own_family:Own")
    assert shown.returncode == 0, shown.stderr
    helper = run(installed, project, "-P", "-c", HELPER_PROCESS)
    assert helper.returncode == 0, helper.stderr


def test_a_module_of_the_user_that_ours_hides_is_named(installed: Path, project: Path) -> None:
    refused = pliant(installed, project, "view", "sim.mine:Own", "--out", "x.png")
    assert refused.returncode == 2
    assert f"'sim' is {installed / 'sim/__init__.py'}: rename yours" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_script_beside_a_folder_of_our_name_says_what_hides_what(
    installed: Path, project: Path
) -> None:
    (project / "script.py").write_text("import pliant")
    refused = run(installed, project, "script.py")
    assert refused.returncode == 1
    last_line = refused.stderr.splitlines()[-1]
    assert f"{project / 'robots/__init__.py'} hides Pliant's own package 'robots'" in last_line
    for name in PACKAGES[1:]:
        (project / name).rename(project / f"my_{name}")
    accepted = run(installed, project, "script.py")
    assert accepted.returncode == 0, accepted.stderr
