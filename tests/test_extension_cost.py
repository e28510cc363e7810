"""What an extension costs: one new file, and one line in a table or an entry point.

The toy parts lie in ``tests/toys``. Each is put into a copy of the packages, the files and lines
that this touches are counted, and the part is used.
"""

import difflib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOYS = Path(__file__).parent / "toys"
PACKAGES = ("robots", "sim", "policies", "adaptation", "hw_interface")
EMPTY_TABLE = "{}"
TABLE = "    {\n"
UNTUNED = "untuned"  # a family that the repository has no preset file for


@dataclass(frozen=True)
class Part:
    """A toy part: its file, where that goes, its table of names, and a program that uses it."""

    source: str  # in tests/toys
    target: str  # in the packages
    table: str | None  # the file with the registry; None: the part is found by its file's name
    kind: str  # of the registry, as in the entry point group "pliant.KIND"
    attribute: str
    program: str  # fails if the part cannot be used; NAME is its name

    @property
    def module(self) -> str:
        return self.target.removesuffix(".py").replace("/", ".")


STEP_FAMILY = """
import numpy as np
from sim.families import FAMILIES
from sim.vec_world import VecWorld
family = FAMILIES[NAME]()
world = VecWorld(family, None, 2, seed=0)
before = world.reset(family.sample(np.random.default_rng(0), 2))
step = world.step(np.ones((2, len(family.action.spec))))
assert (step.obs[:, 0] > before[:, 0]).all(), step
assert not step.verdict.any(), step
world.close()
"""
STEP_ENGINE = """
import numpy as np
from sim.families.point import Point
from sim.vec_world import VecWorld
world = VecWorld(Point(), NAME, 2, seed=0)
world.reset(Point().sample(np.random.default_rng(0), 2))
assert np.isfinite(world.step(np.ones((2, 2))).obs).all()
"""
BUILD_METHOD = """
import torch
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from sim.vec_world import VecWorld
import numpy as np
family = checkpoint.family_named("point")
method = checkpoint.build(NAME, family, seed=0)
world = VecWorld(family, None, 3, seed=0)
trial = rollout(world, method, family.sample(np.random.default_rng(0), 3), 2)
assert "return" in method.learn(trial)
"""
LOAD_ARM = """
import numpy as np
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.scene import Scene
from robots.signals import Setpoint
from sim.engines import engine_for, ENGINES
arm = ARMS[NAME]
assert np.isfinite(Kinematics(arm).position(arm.home[None])).all()
scene = Scene(arm)
engine = ENGINES[engine_for(scene)]()
engine.load(scene, 1)
still = np.zeros((1, 1, 2))
engine.run(Setpoint(arm.home[None, None], still, still), 5)
assert np.isfinite(engine.read().q).all()
"""
USE_DRIVER = """
import numpy as np
from hw_interface.drivers import DRIVERS
from robots.catalog.panda import PANDA
from robots.scene import Scene
from robots.signals import Command
kind = DRIVERS[NAME]
driver = kind(PANDA, Scene(PANDA), kind.Options())
driver.connect()
driver.enable()
driver.write(Command(PANDA.home + 0.01, np.zeros(7)))
assert np.allclose(driver.read().q, PANDA.home + 0.01)
"""
USE_TRACKER = """
from hw_interface.trackers import TRACKERS
from robots.catalog.panda import PANDA
kind = TRACKERS[NAME]
assert kind(PANDA, kind.Options(x=0.7)).read().pos[0] == 0.7
"""
USE_PRESET = f"""
from policies.presets import load_preset
assert load_preset("rl2", "{UNTUNED}")["lr"] == 0.00125
"""
RUN_COMMAND = """
from adaptation.cli import main
assert main(["toy", "reader"]) == 0
"""

PARTS = {
    "family": Part(
        source="family.py",
        target="sim/families/toy.py",
        table="sim/families/__init__.py",
        kind="families",
        attribute="Toy",
        program=STEP_FAMILY,
    ),
    "family with a new kind of body": Part(
        source="body.py",
        target="sim/toy_cart.py",
        table="sim/families/__init__.py",
        kind="families",
        attribute="Push",
        program=STEP_FAMILY,
    ),
    "method": Part(
        source="method.py",
        target="policies/methods/toy.py",
        table="policies/methods/__init__.py",
        kind="methods",
        attribute="Toy",
        program=BUILD_METHOD,
    ),
    "arm": Part(
        source="arm",
        target="robots/catalog/toy",
        table="robots/catalog/__init__.py",
        kind="arms",
        attribute="TOY",
        program=LOAD_ARM,
    ),
    "driver": Part(
        source="driver.py",
        target="hw_interface/drivers/toy.py",
        table="hw_interface/drivers/__init__.py",
        kind="drivers",
        attribute="Toy",
        program=USE_DRIVER,
    ),
    "tracker": Part(
        source="tracker.py",
        target="hw_interface/trackers/toy.py",
        table="hw_interface/trackers/__init__.py",
        kind="trackers",
        attribute="Toy",
        program=USE_TRACKER,
    ),
    "engine": Part(
        source="engine.py",
        target="sim/engines/toy.py",
        table="sim/engines/__init__.py",
        kind="engines",
        attribute="Toy",
        program=STEP_ENGINE,
    ),
    "preset": Part(
        source="preset.toml",
        target=f"policies/presets/{UNTUNED}.toml",
        table=None,
        kind="presets",
        attribute="",
        program=USE_PRESET,
    ),
    "command": Part(
        source="command.py",
        target="adaptation/commands/toy.py",
        table="adaptation/commands/__init__.py",
        kind="commands",
        attribute="Toy",
        program=RUN_COMMAND,
    ),
}
LISTED = {name: part for name, part in PARTS.items() if part.kind not in ("presets", "commands")}
PLUGGED_IN = {name: part for name, part in PARTS.items() if part.table is not None}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The packages, apart from those that are installed."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    return tmp_path


def put(source: Path, target: Path) -> None:
    """Copy a file, or a folder, to a place where nothing is yet."""
    assert not target.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def add_line(table: Path, name: str, entry: str) -> None:
    """Enter a part into a registry's table."""
    text = table.read_text(encoding="utf-8")
    line = f'"{name}": "{entry}"'
    if TABLE in text:
        assert text.count(TABLE) == 1
        changed = text.replace(TABLE, f"{TABLE}        {line},\n")
    else:
        assert text.count(EMPTY_TABLE) == 1
        changed = text.replace(EMPTY_TABLE, f"{{{line}}}")
    table.write_text(changed, encoding="utf-8")


def changes(copy: Path) -> tuple[list[str], list[str]]:
    """The new files of a copy (a new folder counts once), and the lines new in files of before."""
    new_files: set[str] = set()
    new_lines: list[str] = []
    for path in sorted(copy.rglob("*")):
        relative = path.relative_to(copy)
        original = ROOT / relative
        if path.is_dir() or "__pycache__" in relative.parts:
            continue
        if not original.exists():
            is_in_new_folder = not original.parent.exists()
            new_files.add(str(relative.parent if is_in_new_folder else relative))
            continue
        before = original.read_bytes().splitlines()
        after = path.read_bytes().splitlines()
        if before != after:
            matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
            for tag, _, _, start, end in matcher.get_opcodes():
                if tag != "equal":
                    new_lines += [f"{relative}: {line!r}" for line in after[start:end]]
    return sorted(new_files), new_lines


def run(copy: Path, *words: str) -> str:
    """The output of a Python process that finds the packages, and plug-ins, in the copy."""
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def listed(copy: Path) -> dict[str, list[str]]:
    """What ``pliant list --json`` says."""
    output = run(copy, "-m", "adaptation.cli", "list", "--json")
    return dict(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("name", PARTS)
def test_a_part_costs_one_file_and_at_most_one_line(copy: Path, name: str) -> None:
    part = PARTS[name]
    put(TOYS / part.source, copy / part.target)
    if part.table is not None:
        add_line(copy / part.table, "toy", f"{part.module}:{part.attribute}")
    new_files, new_lines = changes(copy)
    assert new_files == [part.target]
    assert len(new_lines) == (0 if part.table is None else 1)
    run(copy, "-c", f"NAME = 'toy'\n{part.program}")
    if name in LISTED:
        assert "toy" in listed(copy)[part.kind]


@pytest.fixture
def plugged_in(copy: Path) -> Path:
    """A copy beside which a package ``toys`` is installed that enters every part by entry point."""
    put(TOYS, copy / "toys")
    (copy / "toys/__init__.py").touch()
    groups: dict[str, list[str]] = {}
    for name, part in PLUGGED_IN.items():
        module = part.source.removesuffix(".py")
        line = f"{plugged_name(name)} = toys.{module}:{part.attribute}"
        groups.setdefault(f"pliant.{part.kind}", []).append(line)
    put(TOYS / "preset.toml", copy / f"toys/{UNTUNED}.toml")
    groups["pliant.presets"] = [f"{UNTUNED} = toys"]
    blocks = ["\n".join([f"[{group}]", *lines]) for group, lines in groups.items()]
    metadata = copy / "toys-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("\n\n".join(blocks) + "\n")
    return copy


def plugged_name(name: str) -> str:
    """What a part is called: two of them are families."""
    return "toy_cart" if name == "family with a new kind of body" else "toy"


def test_a_package_of_ones_own_adds_every_part_without_an_edit(plugged_in: Path) -> None:
    new_files, new_lines = changes(plugged_in)
    assert new_lines == []
    assert {Path(path).parts[0] for path in new_files}.isdisjoint(PACKAGES)
    names = listed(plugged_in)
    for name, part in PLUGGED_IN.items():
        run(plugged_in, "-c", f"NAME = {plugged_name(name)!r}\n{part.program}")
        if name in LISTED:
            assert plugged_name(name) in names[part.kind]
    run(plugged_in, "-c", USE_PRESET)


def test_a_part_is_also_found_by_its_module_in_the_current_directory(copy: Path) -> None:
    put(TOYS, copy / "mine/toys")
    (copy / "mine/toys/__init__.py").touch()
    program = f"""
import os
os.chdir({str(copy / "mine")!r})
from adaptation.cli import main
words = ["train", "toys.method:Toy", "--family", "toys.family:Toy", "--no-references"]
assert main([*words, "--out", "run", "--iterations", "1"]) == 0
assert main(["evaluate", "run", "--tasks", "2"]) == 0
"""
    assert "trained run" in run(copy, "-c", program)
    _, new_lines = changes(copy)
    assert new_lines == []
