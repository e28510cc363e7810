"""What a training's result depends on, as hashes: its config, its family, the code, the versions.

A result is kept under the hash of all four. A commit that changes only documents, tests, another
family or another method changes none of them, and nothing is trained again.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from adaptation.runs.range_settings import ranges_in
from adaptation.runs.run_config import RunConfig
from adaptation.runs.versions import ROOT, installed_version
from policies.nn.compiled import mlp_library, rollout_library
from robots.world import Family
from sim.engines import ENGINES, engine_for
from sim.task_samplers import DEFAULT, TASK_SAMPLERS

PACKAGES = ("robots", "sim", "policies", "adaptation")  # their sources determine what training does
# With models of robots, as URDF, MJCF or JSON, and with sources in C.
FOLDERS_OF_DATA = ("robots", "sim", "policies/nn")
CELLS = "adaptation.jobs.cells"  # trains and judges
VERSIONS = ("torch", "mujoco", "numpy", "pybullet")
LENGTH = 10  # hexadecimal digits of a hash, as it is shown

# Tables of names: what a name stands for is looked up and hashed, so a new name changes nothing.
TABLES = (
    "policies.methods",
    "policies.presets",
    "sim.families",
    "sim.engines",
    "sim.task_samplers",
    "robots.catalog",
)
REPORTING = "adaptation.reporting"  # has no influence on a training
# fields of a problem that are hashed as code
FUNCTIONS = ("reward", "training_reward", "true_reward", "simulate")
NO_INFLUENCE = ("references", "save_iterations", "save_seconds")  # fields of the config


class Fingerprint(msgspec.Struct, frozen=True):
    """The hashes of what a result depends on."""

    config: str  # of the training and, with every number resolved, of the method
    family: str  # of shapes, times, the body's numbers and the ranges of task parameters
    # Of the sources of method, family, engine, task sampler and trainer, with what they import.
    code: str
    # Of packages, without those that are not installed, and whether the functions in C were
    # compiled: what computes instead of them rounds otherwise.
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """One hash of everything."""
        return digest(msgspec.json.encode(self))


def digest(data: bytes) -> str:
    """A short hash of bytes."""
    return hashlib.sha256(data).hexdigest()[:LENGTH]


def fingerprint(config: RunConfig) -> Fingerprint:
    """The fingerprint of a training on this machine.

    Args:
        config: as ``check_config`` gives it.

    Raises:
        BadArgumentError: it names something that does not exist.
    """
    c = config
    family = checkpoint.family_for(c.family, c.arm, c.settings, c.objects)
    found = {package: installed_version(package) for package in VERSIONS}
    versions = {name: version for name, version in found.items() if version is not None}
    is_compiled = mlp_library() is not None and rollout_library() is not None
    versions["C functions"] = "compiled" if is_compiled else "not compiled"
    return Fingerprint(
        config=_config_hash(config, family),
        family=family_hash(family),
        code=_code_hash(config, family),
        versions=versions,
    )


def _config_hash(config: RunConfig, family: Family) -> str:
    training = msgspec.to_builtins(config)
    for name in (*NO_INFLUENCE, "settings", "preset"):
        del training[name]
    # what was added later counts only where it is used, so that earlier fingerprints stay valid
    if config.task_sampler == DEFAULT:
        del training["task_sampler"]
    if config.collectors == 1:
        del training["collectors"]
    if not config.objects:
        del training["objects"]
    settings = checkpoint.method_config(config.method, family, config.preset, config.settings)
    parts = [training, settings]
    ranges = ranges_in(config.settings)
    if ranges:
        parts.append(ranges)
    return digest(msgspec.json.encode(parts, order="sorted"))


def family_hash(family: Family) -> str:
    """The hash of a family's shapes, times, ranges and body."""
    problem = asdict(problem_of(family))
    for name in FUNCTIONS:
        del problem[name]
    numbers = [problem, family.dt, family.tick, family.scene.timestep, family.body]
    return digest(msgspec.json.encode(numbers, order="sorted", enc_hook=_plain))


def _plain(value: object) -> object:
    """What msgspec cannot encode: an array, or the path of a model, which may lie anywhere."""
    if isinstance(value, Path):
        return value.name
    return np.asarray(value).tolist()


def _code_hash(config: RunConfig, family: Family) -> str:
    engine = engine_for(family.scene, config.engine)
    modules: set[str] = set()
    method = checkpoint.method_class(config.method)
    sampler = TASK_SAMPLERS[config.task_sampler]
    for part in (method, type(family), ENGINES[engine], sampler):
        modules.update(base.__module__ for base in part.__mro__)
    own = {CELLS}
    foreign = []  # of a user's project, whose imports are not followed
    for module in modules:
        package = module.split(".")[0]
        if package in PACKAGES:
            own.add(module)
        elif package not in sys.stdlib_module_names:
            foreign.append(_file_of(module))
    hashes = [_own_hash(frozenset(own))]
    hashes += [source_hash(path) for path in sorted(foreign)]
    return digest("".join(hashes).encode())


@cache
def _own_hash(roots: frozenset[str]) -> str:
    """The hash of all sources that modules of Pliant need, and of the data beside them."""
    hashes = [source_hash(path) for path in reachable_sources(roots, ROOT)]
    hashes += [digest(path.read_bytes()) for path in _data_files(ROOT)]
    return digest("".join(hashes).encode())


def _file_of(module: str) -> Path:
    """The source of a module that is imported."""
    file = sys.modules[module].__file__
    assert file is not None, module  # only namespace packages have none, and no classes either
    return Path(file)


def reachable_sources(roots: Iterable[str], folder: Path) -> list[Path]:
    """The sources of modules and of all that they import from ``PACKAGES``, sorted by name.

    Args:
        roots: names of modules.
        folder: that holds the packages.
    """
    modules = _modules(folder)
    reached: set[str] = set()
    waiting = [name for name in roots if name in modules]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for imported in _imports(modules[name]):
            if imported in modules and _decides(imported):
                waiting.append(imported)
    return [modules[name] for name in sorted(reached)]


def _decides(module: str) -> bool:
    """Whether a module may change what a training does."""
    return module not in TABLES and not module.startswith(REPORTING)


@cache
def _modules(folder: Path) -> dict[str, Path]:
    """The source of every module by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (folder / package).rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join(parts)] = path
    return found


@cache
def _imports(path: Path) -> frozenset[str]:
    """All names that a source imports, submodules and attributes alike."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def source_hash(path: Path) -> str:
    """A hash of a source that ignores its comments, docstrings and formatting."""
    return digest(ast.dump(_tree(path)).encode())


@cache
def _tree(path: Path) -> ast.AST:
    """The syntax tree of a source, without docstrings."""
    source = ast.parse(path.read_text(encoding="utf-8"))
    tree: ast.AST = _WithoutDocstrings().visit(source)
    return tree


class _WithoutDocstrings(ast.NodeTransformer):
    """Leaves out statements that are a string alone: docstrings, also those of fields."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        value = node.value
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return None if is_text else node


def _data_files(folder: Path) -> list[Path]:
    files = []
    for package in FOLDERS_OF_DATA:
        for path in (folder / package).rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                files.append(path)
    return sorted(files)
