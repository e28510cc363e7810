"""C functions beside the networks: what is compiled, kept and loaded, and what they may read."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from policies.nn import compiled

SOURCE = compiled.FOLDER / "mlp_kernel.c"
PROCESSOR = "flags : fast"

# A compiler that takes its time, counts its calls and writes what it is told to write.
COMPILER = """#!/bin/sh
case "$*" in *--version*) cat "{version}"; exit;; esac
echo call >> "{calls}"
sleep 0.2
while [ "$1" != "-o" ]; do shift; done
echo library > "$2"
"""


class Toolchain:
    """A compiler and a cache folder of a test's own."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.calls = folder / "calls"
        self.version = folder / "version"
        self.version.write_text("my cc 1.0")
        self.compiler = folder / "my cc"
        self.compiler.write_text(COMPILER.format(calls=self.calls, version=self.version))
        self.compiler.chmod(0o755)

    def count(self) -> int:
        return len(self.calls.read_text().splitlines())


@pytest.fixture
def toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolchain:
    tools = Toolchain(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tools.cache))
    monkeypatch.setenv("CC", f"'{tools.compiler}' -pipe")
    monkeypatch.delenv("PLIANT_COMPILE", raising=False)
    return tools


def test_a_library_is_compiled_once(toolchain: Toolchain) -> None:
    first = compiled._compile(SOURCE, PROCESSOR, compiled._cache_folder())
    assert first.read_text() == "library\n"
    assert compiled._compile(SOURCE, PROCESSOR, compiled._cache_folder()) == first
    assert toolchain.count() == 1


def test_what_was_compiled_for_another_processor_is_not_used(toolchain: Toolchain) -> None:
    first = compiled._compile(SOURCE, PROCESSOR, compiled._cache_folder())
    second = compiled._compile(SOURCE, "flags : fast and furious", compiled._cache_folder())
    assert first != second
    assert toolchain.count() == 2


def test_a_processor_that_is_not_known_gets_nothing(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "CPU_INFO", tmp_path / "none")
    assert compiled._load("mlp_kernel.c") is None
    assert not toolchain.cache.exists()


def test_who_compiles_at_the_same_time_does_not_see_half_a_library(toolchain: Toolchain) -> None:
    def compile_and_read(_: int) -> str:
        return compiled._compile(SOURCE, PROCESSOR, compiled._cache_folder()).read_text()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(compile_and_read, range(4)))
    assert found == ["library\n"] * 4
    kept = list((toolchain.cache / "pliant").iterdir())
    assert len(kept) == 1


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "'unbalanced"])
def test_without_a_working_compiler_there_is_no_library(
    toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert compiled._load("mlp_kernel.c") is None


def test_what_is_no_library_is_not_loaded(toolchain: Toolchain) -> None:
    assert compiled._load("mlp_kernel.c") is None
    assert toolchain.count() == 2, "it was compiled anew once"


def test_what_another_version_of_the_compiler_made_is_not_used(toolchain: Toolchain) -> None:
    folder = compiled._cache_folder()
    first = compiled._compile(SOURCE, PROCESSOR, folder)
    toolchain.version.write_text("my cc 2.0")
    assert compiled._compile(SOURCE, PROCESSOR, folder) != first
    assert toolchain.count() == 2


def test_the_cache_is_the_users_own(toolchain: Toolchain) -> None:
    assert compiled._cache_folder().stat().st_mode & 0o777 == 0o700


def test_a_library_that_others_may_write_to_is_compiled_anew(toolchain: Toolchain) -> None:
    folder = compiled._cache_folder()
    path = compiled._compile(SOURCE, PROCESSOR, folder)
    path.write_text("of somebody else")
    path.chmod(0o777)
    assert compiled._compile(SOURCE, PROCESSOR, folder).read_text() == "library\n"


def test_a_cache_that_others_may_write_to_is_not_used(
    toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = compiled._cache_folder()
    folder.chmod(0o777)
    asked: list[Path] = []

    def keep(folder: Path, source: Path, processor: str) -> None:
        asked.append(folder)
        assert compiled._is_ours(folder)

    monkeypatch.setattr(compiled, "_load_from", keep)
    compiled._load("mlp_kernel.c")
    assert len(asked) == 1
    assert asked[0] != folder


def test_a_library_that_a_power_cut_emptied_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the compiler of this machine, if it has one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PLIANT_COMPILE", raising=False)
    processor = compiled._processor()
    if processor is None or shutil.which("cc") is None:
        pytest.skip("this machine compiles nothing")
    path = compiled._compile(SOURCE, processor, compiled._cache_folder())
    path.write_bytes(b"")
    assert compiled._load("mlp_kernel.c") is not None


def test_without_a_folder_to_keep_it_in_there_is_no_library(toolchain: Toolchain) -> None:
    toolchain.cache.write_text("a file is in the way")
    assert compiled._load("mlp_kernel.c") is None


def test_compiling_can_be_turned_off(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLIANT_COMPILE", "0")
    assert compiled._load("mlp_kernel.c") is None
    assert not toolchain.calls.exists()


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(3, 2).T, torch.zeros(3, dtype=torch.float64), torch.zeros(3, device="meta")],
    ids=["not contiguous", "double precision", "elsewhere"],
)
def test_what_a_c_function_would_misread_has_no_address(tensor: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="contiguous float32 in main memory"):
        compiled.pointers([tensor])


def test_failed_memory_is_an_error() -> None:
    compiled.check(0)
    with pytest.raises(MemoryError):
        compiled.check(1)
