"""C functions beside the networks: what is compiled, kept and loaded, and what they may read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from policies.nn import compiled

SOURCE = compiled.FOLDER / "mlp_kernel.c"
PROCESSOR = "flags : fast"

# A compiler that takes its time, counts its calls and writes what it is told to write.
COMPILER = """#!/bin/sh
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
        self.compiler = folder / "my cc"
        self.compiler.write_text(COMPILER.format(calls=self.calls))
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
    first = compiled._compile(SOURCE, PROCESSOR)
    assert first.read_text() == "library\n"
    assert compiled._compile(SOURCE, PROCESSOR) == first
    assert toolchain.count() == 1


def test_what_was_compiled_for_another_processor_is_not_used(toolchain: Toolchain) -> None:
    first = compiled._compile(SOURCE, PROCESSOR)
    second = compiled._compile(SOURCE, "flags : fast and furious")
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
        return compiled._compile(SOURCE, PROCESSOR).read_text()

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
    assert toolchain.count() == 1


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
