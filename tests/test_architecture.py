"""The structure of the packages as the design draws it, checked on their source."""

import ast
import re
import statistics
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("robots", "sim", "policies", "adaptation", "hw_interface")
MAY_IMPORT = {
    "robots": {"robots"},
    "sim": {"robots", "sim"},
    "policies": {"robots", "policies"},
    "hw_interface": {"robots", "hw_interface"},
    "adaptation": set(PACKAGES),
    "pliant": {"pliant", *PACKAGES},
}
# Where the kind of a body may be asked for, and why; elsewhere functions dispatch on it.
MAY_ASK_KIND_OF_BODY = {
    "adaptation/runs/fitting.py": "explains why a run cannot drive an arm",
}
POLICIES_MAY_IMPORT = {"robots.errors", "robots.registry", "robots.signals"}
SIMULATORS = {"mujoco", "pybullet", "pybullet_data", "dm_control", "gymnasium"}
SOURCES = sorted(p for package in MAY_IMPORT for p in (ROOT / package).rglob("*.py"))
ALL_PYTHON = SOURCES + sorted(
    path
    for folder in ("tests", "benchmarks", "docs", "examples")
    for path in (ROOT / folder).rglob("*.py")
)

FILE_LINES = 300
FUNCTION_LINES = 60
LINE_CHARACTERS = 100
NAMES_PER_ASSIGNMENT = 2

# AST nodes per line of code. Six well-kept code bases (mink, dm_control, mjlab, Gymnasium, CleanRL,
# TD-MPC2) have 7.2 to 9.4 overall, 8.2 to 10.9 in the median function, 12.6 to 16.0 at the 95th
# percentile.
DENSITY_OVERALL = 9.5
DENSITY_MEDIAN = 11.0
DENSITY_P95 = 16.0
SHORTEST_FUNCTION = 6  # lines of code: the density of a shorter function says little

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (*FUNCTION, ast.ClassDef, ast.Module)
LOOPS = (ast.comprehension, ast.For)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def every_source(law: Callable[[Path], None]) -> Callable[[], None]:
    """A test that a law holds for every file; it names all that break it.

    A case for each file and law would be thousands that take a millisecond: it costs more to
    collect and to report them than to run them.
    """

    def test_every_source() -> None:
        broken = []
        for path in SOURCES:
            try:
                law(path)
            except AssertionError as error:
                broken.append(f"{relative(path)}: {error}")
        assert not broken, "\n".join(broken)

    test_every_source.__doc__ = law.__doc__
    return test_every_source


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a file."""
    return list(ast.walk(tree(path)))


def imports(path: Path) -> Iterator[str]:
    """Every imported module; also those imported in functions and under TYPE_CHECKING."""
    for node in nodes(path):
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
        root = name.split(".")[0]
        if root in PACKAGES:
            assert root in MAY_IMPORT[package(path)], f"{path} imports {name}"


@every_source
def test_policies_know_nothing_of_bodies_and_worlds(path: Path) -> None:
    if package(path) == "policies":
        from_robots = {name for name in imports(path) if name.split(".")[0] == "robots"}
        assert from_robots <= POLICIES_MAY_IMPORT


@every_source
def test_torch_stays_in_policies_and_adaptation(path: Path) -> None:
    if package(path) not in ("policies", "adaptation", "pliant"):
        assert "torch" not in roots(path)


@every_source
def test_no_simulator_in_policies_and_hardware(path: Path) -> None:
    folders = path.relative_to(ROOT).parts
    in_hardware = folders[0] == "hw_interface" and folders[1] != "emulators"
    if folders[0] == "policies" or in_hardware:
        assert not roots(path) & SIMULATORS


@every_source
def test_families_import_neither_simulators_nor_engines(path: Path) -> None:
    if path.relative_to(ROOT).parts[:2] == ("sim", "families"):
        assert not roots(path) & SIMULATORS
        assert not [n for n in imports(path) if re.match(r"sim\.(engines|vec_world|twin)\b", n)]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules of the five packages that a file imports, submodules told from attributes."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            submodules = {f"{base}.{alias.name}" for alias in node.names}
            found |= submodules & set(modules)
            attributes = [name for name in submodules if name not in modules]
            if attributes:
                found.add(base)
    return found & set(modules)


def find_circle(imported: dict[str, set[str]]) -> list[str]:
    """The modules along one import circle; empty if there is none. Depth-first search."""
    finished: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in finished:
            return []
        path.append(module)
        for target in sorted(imported[module]):
            circle = visit(target)
            if circle:
                return circle
        path.pop()
        finished.add(module)
        return []

    for module in imported:
        circle = visit(module)
        if circle:
            return circle
    return []


def test_a_circle_of_imports_is_found() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_there_is_no_import_circle() -> None:
    """Late imports and imports for type checkers count too: they hide a circle, not break it."""
    modules = {module_name(path): path for path in SOURCES}
    imported = {name: imported_modules(path, modules) for name, path in modules.items()}
    circle = find_circle(imported)
    assert not circle, " -> ".join(circle)


@every_source
def test_nothing_unpickles(path: Path) -> None:
    assert not roots(path) & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = (node.value.id, node.attr)
            unpickles = {("torch", "load"), ("torch", "save")}
            assert used not in unpickles, f"{path}:{node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


@every_source
def test_no_global_randomness(path: Path) -> None:
    allowed = {"default_rng", "Generator", "SeedSequence", "PCG64"}
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            where = f"{path}:{node.lineno} {called}"
            numpy_random = re.match(r"(?:np|numpy)\.random\.(\w+)$", called)
            if numpy_random:
                assert numpy_random[1] in allowed, where
                assert node.args, f"{where} without a seed"
            assert called not in {"torch.manual_seed", "random.seed"}, where


@every_source
def test_no_hosts_and_no_absolute_paths(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            where = f"{path}:{node.lineno}"
            assert "0.0.0.0" not in node.value, where
            assert not re.match(r"/(home|root|work|tmp|usr|opt|Users)/", node.value), where


def test_kept_results_and_pages_name_no_absolute_paths() -> None:
    """What a command has written on one machine is read on others."""
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs" / "results").rglob("*.json")]
    assert len(pages) > 60
    for path in pages:
        found = re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", path.read_text())
        assert found is None, f"{path}: {found}"


def files_with(kind: type[ast.AST], pattern: str) -> set[str]:
    """The files in which a node of this kind reads as the regular expression says."""
    return {
        relative(path)
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, kind) and re.search(pattern, ast.unparse(node))
    }


def test_only_the_controller_writes_to_a_driver() -> None:
    """Homing and reset included: every command has passed the gate."""
    callers = [
        f"{relative(path)}:{node.lineno}"
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Call) and re.search(r"driver\w*\.write$", ast.unparse(node.func))
    ]
    assert len(callers) == 1, callers
    assert callers[0].startswith("hw_interface/control/controller.py:")


def test_every_gate_of_a_real_arm_has_all_checks() -> None:
    """They are built in one place, which knows what a driver needs and a simulation does not."""
    assert files_with(ast.Call, r"^SafetyGate\(") == {"robots/bodies.py"}
    with_links = files_with(ast.Call, r"^make_arm_gate\(")
    assert with_links == {"hw_interface/control/guided_move.py"}


def test_only_the_checkpoint_builds_methods() -> None:
    assert files_with(ast.Subscript, r"^METHODS\[") == {"adaptation/runs/checkpoint.py"}


def test_only_one_loop_acts() -> None:
    """A second copy of the acting and adapting loop is a second thing to be wrong."""
    assert files_with(ast.Call, r"^(\w+\.)*method\.adapt\(") == {"adaptation/rollout.py"}


@every_source
def test_the_kind_of_a_body_is_not_asked_for(path: Path) -> None:
    """A new kind of body registers its answers in its own file: see ``robots.bodies``."""
    questions = [
        node.lineno
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and re.match(r"isinstance\(.*\b(ArmSpec|Walker)\b", ast.unparse(node))
    ]
    allowed = 1 if relative(path) in MAY_ASK_KIND_OF_BODY else 0
    assert len(questions) <= allowed, f"{path}: lines {questions}"


@every_source
def test_nothing_is_guessed_from_attributes(path: Path) -> None:
    """What a part can do is declared by its type or in its capabilities."""
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            where = f"{path}:{node.lineno}"
            assert node.func.id != "hasattr", where
            has_default = node.func.id == "getattr" and len(node.args) == 3
            assert not has_default, where


def targets_of_literals(path: Path) -> Iterator[ast.expr]:
    """What is assigned or looped over where the value is written out as a tuple or list."""
    literal = (ast.Tuple, ast.List)
    for node in nodes(path):
        if isinstance(node, ast.Assign) and isinstance(node.value, literal):
            yield from node.targets
        elif isinstance(node, LOOPS) and isinstance(node.iter, literal):
            yield node.target


@every_source
def test_an_assignment_names_at_most_two_things(path: Path) -> None:
    for target in targets_of_literals(path):
        if isinstance(target, ast.Tuple):
            names = len(target.elts)
            assert names <= NAMES_PER_ASSIGNMENT, f"{path}:{target.lineno} names {names} things"


@every_source
def test_no_lambda_has_defaults(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Lambda):
            defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            assert not defaults, f"{path}:{node.lineno}"


@every_source
def test_files_and_functions_stay_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= FILE_LINES, f"{path} has {lines} lines"
    for node in nodes(path):
        if isinstance(node, FUNCTION):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{path}: {node.name} has {length} lines"


def test_no_line_is_long() -> None:
    long_lines = [
        f"{relative(path)}:{number}"
        for path in ALL_PYTHON
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LINE_CHARACTERS
    ]
    assert not long_lines


class Density(NamedTuple):
    """How full lines are: AST nodes per line of code; docstrings and comments do not count."""

    nodes: int
    lines: int
    functions: dict[str, float]  # nodes per line of the functions that are long enough


def docstring_lines(module: ast.Module) -> set[int]:
    """The numbers of all lines that a docstring covers."""
    covered: set[int] = set()
    for node in ast.walk(module):
        if not isinstance(node, DOCUMENTED) or ast.get_docstring(node, clean=False) is None:
            continue
        docstring = node.body[0]
        covered.update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return covered


def code_lines(path: Path) -> set[int]:
    """The numbers of the lines that hold code."""
    docstrings = docstring_lines(tree(path))
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    code = {number for number, line in lines if line.strip() and not line.strip().startswith("#")}
    return code - docstrings


def count_nodes(node: ast.AST) -> int:
    return sum(1 for _ in ast.walk(node))


def measure_density(path: Path) -> Density:
    code = code_lines(path)
    functions = {}
    for node in nodes(path):
        if isinstance(node, FUNCTION):
            own = code & set(range(node.lineno, (node.end_lineno or 0) + 1))
            if len(own) >= SHORTEST_FUNCTION:
                name = f"{relative(path)}:{node.lineno} {node.name}"
                functions[name] = count_nodes(node) / len(own)
    return Density(len(nodes(path)), len(code), functions)


def test_lines_are_not_packed() -> None:
    """A short file whose lines are full is not a simple one: say one thing per line."""
    measured = [measure_density(path) for path in SOURCES]
    overall = sum(d.nodes for d in measured) / sum(d.lines for d in measured)
    functions = {name: value for d in measured for name, value in d.functions.items()}
    fullest_first = sorted(functions, key=functions.__getitem__, reverse=True)
    values = sorted(functions.values())
    median = statistics.median(values)
    p95 = values[int(0.95 * len(values))]
    fullest = "\n".join(f"{functions[name]:5.1f} {name}" for name in fullest_first[:20])
    summary = f"overall {overall:.2f}, median {median:.2f}, 95th percentile {p95:.2f}\n{fullest}"
    assert overall <= DENSITY_OVERALL, summary
    assert median <= DENSITY_MEDIAN, summary
    assert p95 <= DENSITY_P95, summary
