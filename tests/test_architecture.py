"""The house as the design draws it: who may import whom, and what nobody may do."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("robots", "sim", "policies", "adaptation", "hw_interface")
MAY_IMPORT = {
    "robots": {"robots"},
    "sim": {"robots", "sim"},
    "policies": {"robots", "policies"},
    "hw_interface": {"robots", "hw_interface"},
    "adaptation": set(PACKAGES),
}
SIMULATORS = {"mujoco", "pybullet", "pybullet_data", "dm_control", "gymnasium"}
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
NAMES = [str(p.relative_to(ROOT)) for p in SOURCES]
every_source = pytest.mark.parametrize("path", SOURCES, ids=NAMES)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every imported module, also the ones imported late, in functions."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it comes from"
            yield node.module or ""


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@every_source
def test_packages_import_only_those_below_them(path: Path) -> None:
    for name in imports(path):
        if name.split(".")[0] in PACKAGES:
            assert name.split(".")[0] in MAY_IMPORT[package(path)], f"{path} imports {name}"


@every_source
def test_torch_stays_in_policies_and_adaptation(path: Path) -> None:
    if package(path) not in ("policies", "adaptation"):
        assert "torch" not in roots(path)


@every_source
def test_no_simulator_in_policies_hardware_or_families(path: Path) -> None:
    inner = path.relative_to(ROOT).parts
    if inner[0] == "policies" or (inner[0] == "hw_interface" and inner[1] != "emulators"):
        assert not roots(path) & SIMULATORS
    if inner[:2] == ("sim", "families"):
        assert not roots(path) & SIMULATORS
        assert not {
            name
            for name in imports(path)
            if re.fullmatch(r"sim\.(\w+_engine|vec_world|twin)", name)
        }


@every_source
def test_nothing_unpickles(path: Path) -> None:
    assert not roots(path) & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}, (
                f"{path}:{node.lineno}"
            )
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


@every_source
def test_no_global_randomness(path: Path) -> None:
    allowed = {"default_rng", "Generator", "SeedSequence", "PCG64"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            if found := re.match(r"(?:np|numpy)\.random\.(\w+)$", called):
                assert found[1] in allowed, f"{path}:{node.lineno} {called}"
                assert node.args, f"{path}:{node.lineno} {called} without a seed"
            assert called not in {"torch.manual_seed", "random.seed"}, (
                f"{path}:{node.lineno} {called}"
            )


@every_source
def test_no_hosts_and_no_absolute_paths(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert "0.0.0.0" not in node.value, f"{path}:{node.lineno}"
            assert not re.match(r"/(home|root|work|tmp|usr|opt|Users)/", node.value), (
                f"{path}:{node.lineno}"
            )


def test_only_the_servo_writes_to_a_driver() -> None:
    """Homing and reset included: every command has passed the gate."""
    callers = set()
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "write"
            ):
                written_to = ast.unparse(node.func.value).split(".")[-1]
                if "driver" in written_to.lower():
                    callers.add((str(path.relative_to(ROOT)), node.lineno))
    assert len(callers) == 1, callers
    assert {file for file, _ in callers} == {"hw_interface/control/controller.py"}


def test_only_the_checkpoint_builds_methods() -> None:
    users = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "METHODS"
    }
    assert users == {"adaptation/runs/checkpoint.py"}


def test_only_one_loop_acts() -> None:
    """A second copy of the acting and adapting loop is a second thing to be wrong."""
    loops = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("method.adapt")
    }
    assert loops == {"adaptation/rollout.py"}


@every_source
def test_files_and_functions_stay_readable(path: Path) -> None:
    """The hard ceilings of the house: 450 lines a file, 90 a function."""
    assert len(path.read_text().splitlines()) <= 450
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert (node.end_lineno or 0) - node.lineno < 90, f"{path}: {node.name}"
