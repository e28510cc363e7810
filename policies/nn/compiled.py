"""C functions from the sources in this folder, compiled on first use; None without a C compiler.

A library is kept in the user's cache folder. Its name contains a hash of the source, the compiler
and its version, the flags and the processor, so a library for other instructions is never loaded;
nor is one that another user could have written. If the processor's instructions are not known
(outside Linux), nothing is compiled. Results differ from those without the libraries in rounding,
so bit-identical resumption needs the same machine, as with any BLAS.
"""

import ctypes
import hashlib
import os
import shlex
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fopenmp-simd", "-shared", "-fPIC")
CPU_INFO = Path("/proc/cpuinfo")

POINTER = ctypes.c_void_p
NUMBER = ctypes.c_long


@cache
def mlp_library() -> ctypes.CDLL | None:
    """``mlp_forward`` and ``mlp_backward`` of ``mlp_kernel.c``."""
    library = _load("mlp_kernel.c")
    if library is not None:
        shape = (NUMBER, NUMBER, NUMBER, POINTER)
        library.mlp_forward.argtypes = shape + 6 * (POINTER,)
        library.mlp_backward.argtypes = shape + 8 * (POINTER,)
    return library


@cache
def rollout_library() -> ctypes.CDLL | None:
    """``ensemble_rollout`` of ``rollout_kernel.c``; it needs a processor with bfloat16 products."""
    library = _load("rollout_kernel.c")
    if library is not None:
        sizes = 4 * (NUMBER,) + (POINTER, POINTER)
        library.ensemble_rollout.argtypes = sizes + 3 * (NUMBER,) + 3 * (POINTER,)
    return library


def is_plain(x: Tensor) -> bool:
    """Whether the C functions can read a tensor, once it is contiguous."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def pointers(tensors: Sequence[Tensor | None]) -> list[int | None]:
    """Addresses of tensors, as arguments of a C function; they must outlive the call.

    Raises:
        ValueError: a tensor is not contiguous, not float32 or not in main memory.
    """
    addresses: list[int | None] = []
    for tensor in tensors:
        if tensor is None:
            addresses.append(None)
            continue
        if not (is_plain(tensor) and tensor.is_contiguous()):
            layout = f"{tensor.dtype} on {tensor.device}, strides {tensor.stride()}"
            raise ValueError(f"C functions read contiguous float32 in main memory, not {layout}")
        addresses.append(tensor.data_ptr())
    return addresses


def long_array(numbers: Sequence[int]) -> ctypes.Array[ctypes.c_long]:
    """Whole numbers as an argument of a C function."""
    return (ctypes.c_long * len(numbers))(*numbers)


def check(failed: int) -> None:
    """MemoryError if a C function failed; they fail only for lack of memory."""
    if failed:
        raise MemoryError("no memory for the passes through a network")


def _load(source: str) -> ctypes.CDLL | None:
    """A library; None if it cannot be compiled, or if ``PLIANT_COMPILE`` is 0."""
    processor = _processor()
    if os.environ.get("PLIANT_COMPILE") == "0" or processor is None:
        return None
    try:
        folder = _cache_folder()
        if _is_ours(folder):
            return _load_from(folder, FOLDER / source, processor)
        with tempfile.TemporaryDirectory() as private:
            return _load_from(Path(private), FOLDER / source, processor)
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError):
        return None  # no compiler, or no writable folder


def _load_from(folder: Path, source: Path, processor: str) -> ctypes.CDLL:
    """A library kept in a folder; compiled again if its file is damaged, as by a power cut."""
    path = _compile(source, processor, folder)
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        path.unlink(missing_ok=True)
        return ctypes.CDLL(str(_compile(source, processor, folder)))


def _compile(source: Path, processor: str, folder: Path) -> Path:
    """The path of a library, which is compiled now if it is not in the folder."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    version = [*compiler, "--version"]
    answer = subprocess.run(version, check=True, capture_output=True, timeout=120)
    key = hashlib.sha256(source.read_bytes())
    key.update(answer.stdout)
    key.update(" ".join([*compiler, *FLAGS, processor]).encode())
    path = folder / f"{source.stem}-{key.hexdigest()[:16]}.so"
    if path.exists() and _is_ours(path):
        return path
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # Another process may compile the same source: each writes its own file and renames it.
        made = Path(scratch) / path.name
        command = [*compiler, *FLAGS, str(source), "-o", str(made)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        made.chmod(0o700)
        made.replace(path)
    return path


def _cache_folder() -> Path:
    """The folder of the libraries; created if it is missing, for this user alone."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(root).expanduser() / "pliant"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _is_ours(path: Path) -> bool:
    """Whether a file or folder belongs to this user and nobody else may write to it."""
    status = path.lstat()
    others_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return status.st_uid == os.geteuid() and others_write == 0


def _processor() -> str | None:
    """The names of the processor's instruction sets; None if they are not known."""
    if not CPU_INFO.exists():
        return None
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    flags = [line for line in lines if line.startswith(("flags", "Features"))]
    return flags[0] if flags else None
