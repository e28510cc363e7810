"""Atomic writes of folders, and trees of tensors and numbers as safetensors and JSON.

Nothing is pickled.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from adaptation.runs.files import UNREADABLE, read_regular_file, sync_folder
from robots.errors import DamagedError

MANIFEST = "manifest.json"
Tree = Any  # nested dicts, lists and tuples of tensors, arrays, texts and plain numbers
Json = Any

# Errors of decoding bytes that are not a packed tree; RecursionError if it is nested too deeply.
NOT_A_TREE = (
    msgspec.DecodeError,
    SafetensorError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    RecursionError,
)
EXACT = 2**53  # beyond this, readers of JSON round integers differently
READ_ATTEMPTS = 3  # a writer may replace the folder while it is being read


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a folder."""

    sha256: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All files of a folder with their hashes: safetensors misses 29 % of single flipped bits."""

    format: int
    files: dict[str, Entry]


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Replace a folder by these files and their manifest; see ``replace``."""
    entries = {}
    for name, data in files.items():
        entries[name] = Entry(hashlib.sha256(data).hexdigest(), len(data))
    manifest = msgspec.json.encode(Manifest(1, entries))
    replace(folder, partial(write_files, {**files, MANIFEST: manifest}))


def replace(folder: Path, fill: Callable[[Path], None]) -> None:
    """Replace a folder.

    After a kill at any moment it holds all the old files or all the new ones, once
    ``finish_interrupted_write`` was called; after an error, such as a full disk, the old ones.

    Args:
        folder: to replace, or to make.
        fill: makes and fills a folder of another name; returns when everything is on disk.
    """
    finish_interrupted_write(folder)
    new, old = _temporary_names(folder)
    try:
        fill(new)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_files(files: dict[str, bytes], folder: Path) -> None:
    """Write files into a folder and those within it, which are made; all are on disk then."""
    folders = {folder, *((folder / name).parent for name in files)}
    for parent in folders:
        parent.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with open(folder / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for parent in folders:
        sync_folder(parent)


def finish_interrupted_write(folder: Path) -> None:
    """Finish or undo a ``replace`` that was killed; only the process that writes may call this."""
    new, old = _temporary_names(folder)
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def exists(folder: Path) -> bool:
    """Whether a folder was written, also if a later write was killed."""
    _, old = _temporary_names(folder)
    return folder.is_dir() or old.is_dir()


def read(folder: Path) -> dict[str, bytes]:
    """All files of a folder, checked against its manifest.

    Raises:
        FileNotFoundError: nothing has been written here.
        DamagedError: a file is missing, or is not what was written.
    """
    if not exists(folder):
        raise FileNotFoundError(f"no checkpoint at {folder}")
    _, old = _temporary_names(folder)
    for _ in range(READ_ATTEMPTS - 1):
        try:
            return _read(folder if folder.is_dir() else old)
        except DamagedError:
            continue
    return _read(folder if folder.is_dir() else old)


def _read(folder: Path) -> dict[str, bytes]:
    try:
        raw = read_regular_file(folder / MANIFEST)
        manifest = msgspec.json.decode(raw, type=Manifest)
        if manifest.format != 1 or msgspec.json.encode(manifest) != raw:
            raise DamagedError(f"{folder / MANIFEST} is not in the form it was written in")
        files = {}
        for name in manifest.files:
            files[name] = read_regular_file(folder / Path(name).name)
    except (OSError, *UNREADABLE) as error:
        raise DamagedError(f"{folder}: {error}") from error
    for name, data in files.items():
        entry = manifest.files[name]
        if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise DamagedError(
                f"{folder / name} is not what was written: its size or SHA-256 differs"
            )
    return files


def _temporary_names(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


def pack(tree: Tree) -> tuple[bytes, bytes]:
    """Encode nested dicts, lists and tuples of tensors, arrays and plain numbers.

    Returns:
        The tensors as safetensors, and the tree that refers to them as JSON.

    Raises:
        TypeError: a leaf is of another kind; the message says where.
    """
    tensors: dict[str, torch.Tensor] = {}
    form = _encode(tree, "", tensors)
    return safetensors.torch.save(tensors), msgspec.json.encode(form)


def unpack(weights: bytes, form: bytes, origin: str = "bytes") -> Tree:
    """Decode a packed tree, bit for bit.

    Raises:
        DamagedError: the bytes are not a packed tree.
    """
    try:
        return _decode(msgspec.json.decode(form), safetensors.torch.load(weights))
    except NOT_A_TREE as error:
        raise DamagedError(f"{origin}: not a packed tree: {error}") from error


def _encode(value: Tree, path: str, tensors: dict[str, torch.Tensor]) -> Json:
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().cpu().clone().contiguous()
        return {"tensor": path}
    if isinstance(value, np.ndarray):
        tensors[path] = torch.from_numpy(np.array(value))
        return {"array": path}
    if isinstance(value, dict):
        pairs = [[key, _encode(item, f"{path}/{key}", tensors)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_encode(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < EXACT else {"int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    raise TypeError(
        f"state{path} is a {type(value).__name__}; "
        "a checkpoint holds tensors and plain numbers only"
    )


def _decode(form: Json, tensors: dict[str, torch.Tensor]) -> Tree:
    if not isinstance(form, dict):
        if isinstance(form, list):
            raise ValueError("a list without its kind")
        return form
    ((kind, content),) = form.items()
    match kind:
        case "tensor":
            return tensors[content].clone()
        case "array":
            return tensors[content].clone().numpy()
        case "dict":
            return {key: _decode(item, tensors) for key, item in content}
        case "list":
            return [_decode(item, tensors) for item in content]
        case "tuple":
            return tuple(_decode(item, tensors) for item in content)
        case "int":
            return int(content)
        case "float":
            return float(content)
    raise ValueError(f"unknown kind {kind!r}")
