"""A folder goes to another machine as bytes and comes back, whole or not at all."""

from pathlib import Path

import msgspec
import pytest
import zstandard

from adaptation.jobs.packed_folder import pack_folder, replace_folder, unpack_folder
from robots.errors import DamagedError

FILES = {"config.json": b"{}", "method/weights.safetensors": bytes(range(256)), "a/b/c": b""}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def read(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    packed = pack_folder(write(tmp_path / "cell", FILES))
    unpack_folder(packed, tmp_path / "copy")
    assert read(tmp_path / "copy") == FILES
    assert pack_folder(tmp_path / "copy") == packed


def test_a_folder_that_does_not_exist_has_no_files(tmp_path: Path) -> None:
    unpack_folder(pack_folder(tmp_path / "none"), tmp_path / "copy")
    assert (tmp_path / "copy").is_dir()
    assert read(tmp_path) == {}


def test_a_replaced_folder_keeps_no_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    packed = pack_folder(write(tmp_path / "new", FILES))
    folder = write(tmp_path / "cell", {"old": b"1", "config.json": b"2"})
    replace_folder(packed, folder)
    assert read(folder) == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"new", "cell"}


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", ""])
def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    packed = zstandard.compress(msgspec.msgpack.encode({"a": b"1", name: b"2"}))
    folder = write(tmp_path / "cell", {"old": b"1"})
    with pytest.raises(DamagedError, match="may not hold"):
        replace_folder(packed, folder)
    assert read(tmp_path) == {"cell/old": b"1"}


@pytest.mark.parametrize(
    "packed", [b"", b"PK", zstandard.compress(b"\xc1"), zstandard.compress(b"\x01")]
)
def test_bytes_that_are_no_folder_are_refused(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(DamagedError, match="no packed folder"):
        unpack_folder(packed, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


class Killed(BaseException):
    """Ends the process, as far as this test is concerned."""


@pytest.mark.parametrize("renames", [0, 1])
def test_after_a_kill_the_folder_is_the_old_one_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """Before the old folder is touched, and when it is renamed already."""
    packed = pack_folder(write(tmp_path / "new", FILES))
    files = {"old": b"1", "config.json": b"2"}
    folder = write(tmp_path / "cell", files)
    rename = Path.rename
    left = iter(range(renames))

    def rename_until_killed(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_until_killed)
        with pytest.raises(Killed):
            replace_folder(packed, folder)
    pack_folder(folder)
    assert read(folder) == files
    replace_folder(packed, folder)
    assert read(folder) == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"new", "cell"}
