"""Whatever lies where a command expects a file: one clear line, a status, an answer, no debris."""

import errno
import json
import os
import resource
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import pliant

from adaptation import cli
from adaptation.commands import COMMANDS
from adaptation.jobs import train as train_job
from adaptation.runs import archive
from adaptation.runs.files import whole_file

ROOT = Path(__file__).parents[1]
# Words of every command that opens a path, with {} for the path; None: it opens none.
OPENS: dict[str, str | None] = {
    "list": None,
    "settings": "settings blind --family point --preset {}",
    "train": "train blind --family point --iterations 1 --no-references --out {}",
    "evaluate": "evaluate {} --tasks 2",
    "compare": "compare {} --tasks 2",
    "bench": "bench --suite {}",
    "gap": "gap reach --run {}",
    "families": None,  # a page of results that cannot be read has none
    "deploy": "deploy {} --arm panda",
    "trial": "trial {} --arm panda",
    "report": "report {}",
    "view": "view point --out {}/point.png",
    "recover": "recover {}",
    "play": "play {}",
    "replay": "replay {}",
    "sysid": "sysid {}",
    "arm": "arm add crane --model {}",
    "gripper": "gripper add hand --model {} --pads left right --arm ur5e",
    "board": "board tag --out {}/board.pdf",
    "calibrate": "calibrate camera {}",
    "move": None,
    "jog": None,
    "park": None,
    "doctor": None,  # a damaged calibration is a finding
    "emulate": "emulate dynamixel --arm viperx --seconds 0.1 --calibration {}",
}
# Words of every command that writes one file, with {out} for it and {run} for a run; its ending.
WRITES = {
    "view": ("view point --out {out}", ".png"),
    "play": ("play {run} --out {out}", ".mp4"),
    "report": ("report {run} --out {out}", ".html"),
    "compare": ("compare {run} --tasks 2 --plot {out}", ".svg"),
    "bench": ("bench --suite quick --no-train --out {run} --page {out}", ".md"),
    "families": ("families --only point --page {out}", ".md"),
    "board": ("board tag --out {out}", ".pdf"),
}
GARBAGE = b"\xff\x00 garbage {["


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one iteration."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = f"train blind --family point --iterations 1 --no-references --out {folder}"
    settings = "--set gradient_steps=1 --set schedule.meta_batch=2 --evaluations 0"
    assert cli.main([*words.split(), *settings.split()]) == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """The run, to be damaged."""
    subprocess.run(["cp", "-r", str(trained), str(tmp_path / "run")], check=True)
    return tmp_path / "run"


def fill_disk() -> None:
    """No file of this process may grow beyond some bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))


def test_every_command_is_tried() -> None:
    assert set(COMMANDS) == set(OPENS)


@pytest.mark.parametrize("command", [name for name, words in OPENS.items() if words])
@pytest.mark.parametrize("kind", ["garbage", "empty", "below a file", "loop", "device"])
def test_a_path_that_is_not_what_a_command_needs_is_refused_in_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, command: str, kind: str
) -> None:
    path = tmp_path / "given.mcap"
    if kind == "garbage":
        path.write_bytes(GARBAGE)
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "below a file":
        path.write_bytes(GARBAGE)
        path = path / "below.toml"
    if kind == "loop":
        path.symlink_to(path)
    if kind == "device":
        path.symlink_to("/dev/zero")
    before = sorted(tmp_path.rglob("*"))
    words = str(OPENS[command]).format(path)
    status, answer, complaint = pliant(capfd, *words.split())
    assert status in (1, 2), complaint
    assert set(answer) == {"error"}
    assert "Traceback" not in complaint
    assert answer["error"] in complaint
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", WRITES)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    copied: Path,
    tmp_path: Path,
    command: str,
) -> None:
    words, ending = WRITES[command]
    folder = tmp_path / f"folder{ending}"
    folder.mkdir()
    file = tmp_path / "file"
    file.write_bytes(GARBAGE)
    read_only = tmp_path / "read only"
    read_only.mkdir()

    def access(path: Path, mode: int) -> bool:  # of root, for whom no permission counts
        return path != read_only

    monkeypatch.setattr(os, "access", access)
    cases = {
        folder: f"{folder} is a folder",
        file / f"below{ending}": f"no folder {file}",
        read_only / f"new{ending}": f"no permission to write into the folder {read_only}",
        tmp_path / "new.txt": "new.txt must end in .",
        Path("."): ". must end in",
    }
    before = sorted(tmp_path.rglob("*"))
    for out, reason in cases.items():
        filled = [word.format(run=copied, out=out) for word in words.split()]
        status, answer, complaint = pliant(capfd, *filled)
        assert status == 2, complaint
        assert reason in answer["error"]
        assert complaint.splitlines()[-1] == f"pliant: error: {answer['error']}"
        assert "Traceback" not in complaint
    assert sorted(tmp_path.rglob("*")) == before


def write_half(file: Path) -> None:
    """Begin to write a file, until the disk is full."""
    with whole_file(file) as new:
        assert new.suffix == file.suffix
        new.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_replaced_by_a_whole_one_or_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left") as failure:
        write_half(file)
    assert failure.value.filename == str(file)
    assert file.read_bytes() == b"old"
    with whole_file(file) as new:
        new.write_bytes(b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(NotADirectoryError, match="below"), whole_file(file / "below") as new:
        new.write_bytes(b"")


HOSTILE = {
    "config.json": [GARBAGE, b"[]", b"{}", b'{"config": []}', b"[" * 100_000],
    "method/manifest.json": [GARBAGE, b"[]", b"[" * 100_000],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", ["evaluate", "compare", "deploy", "trial"])
def test_a_damaged_run_is_refused_in_one_line(
    capfd: pytest.CaptureFixture[str], copied: Path, name: str, command: str
) -> None:
    for data in HOSTILE[name]:
        (copied / name).write_bytes(data)
        status, answer, complaint = pliant(capfd, *str(OPENS[command]).format(copied).split())
        assert status in (1, 2), complaint
        assert set(answer) == {"error"}
        assert "Traceback" not in complaint


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["manifest.json", "weights.safetensors", "state.json"])
def test_a_checkpoint_that_is_a_pipe_or_a_device_is_refused(
    capfd: pytest.CaptureFixture[str], copied: Path, kind: str, name: str
) -> None:
    file = copied / "method" / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    status, answer, complaint = pliant(capfd, "evaluate", str(copied))
    assert status == 1
    assert "is no regular file" in answer["error"]
    assert "Traceback" not in complaint


def forge(run: Path, name: str, data: bytes) -> None:
    """Replace a file of the checkpoint, with a manifest that fits."""
    files = archive.read(run / "method")
    files[name] = data
    archive.write(run / "method", files)


def test_a_state_that_no_method_wrote_is_refused(
    capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    deep = b'{"list":[' * 900 + b"]}" * 900
    for form in (deep, b'{"dict":[]}', b'{"dict":[["method",{"dict":[]}]]}', b"7", b'"text"'):
        forge(copied, "state.json", form)
        status, answer, complaint = pliant(capfd, "evaluate", str(copied))
        assert status == 1
        assert "Traceback" not in complaint
        assert str(copied / "method") in answer["error"]


def test_a_config_of_absurd_size_is_refused_before_anything_is_built(
    capfd: pytest.CaptureFixture[str], copied: Path
) -> None:
    contract = json.loads((copied / "method/contract.json").read_bytes())
    contract["config"]["hidden"] = [40_000, 40_000]
    forge(copied, "contract.json", json.dumps(contract).encode())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status, answer, _ = pliant(capfd, "evaluate", str(copied))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert status == 1
    assert "hidden" in answer["error"]
    assert grown < 1_000_000
    words = "train pearl --family point --set sac.hidden=40000,40000"
    assert pliant(capfd, *words.split())[0] == 2


def test_a_setting_that_needs_more_memory_than_there_is_is_refused_by_name(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = f"train blind --family point --no-references --out {tmp_path / 'run'}"
    status, answer, complaint = pliant(capfd, *words.split(), "--set", "buffer_tasks=1000000000000")
    assert status == 2
    assert "buffer_tasks=1000000000000" in answer["error"]
    assert "is not allowed" in answer["error"]
    assert "Traceback" not in complaint
    assert not (tmp_path / "run").exists()


def test_memory_that_cannot_be_had_is_an_error_of_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_all_memory(run: Any, executor: Any) -> None:
        torch.empty(10**15)

    monkeypatch.setattr(train_job, "train", take_all_memory)
    words = f"train blind --family point --no-references --out {tmp_path / 'run'}"
    status, answer, complaint = pliant(capfd, *words.split())
    assert status == 1
    assert answer == {"error": "not enough memory"}
    assert "Traceback" not in complaint


@pytest.mark.parametrize("command", ["train", "report", "play", "compare"])
def test_a_full_disk_is_an_error_of_one_line_and_leaves_nothing_half_written(
    copied: Path, command: str
) -> None:
    before = sorted(copied.parent.rglob("*"))
    if command == "train":
        words = str(OPENS[command]).format(copied.parent / "new").split()
    else:
        template, ending = WRITES[command]
        out = copied.parent / f"new{ending}"
        words = template.format(run=copied, out=out).split()
    program = [sys.executable, "-m", "adaptation.cli", *words, "--json"]
    answer = subprocess.run(
        program, cwd=ROOT, capture_output=True, text=True, timeout=60, preexec_fn=fill_disk
    )
    assert answer.returncode == 1, answer.stderr
    assert "File too large" in json.loads(answer.stdout)["error"]
    assert "Traceback" not in answer.stderr
    assert sorted(copied.parent.rglob("*")) == before


# Names of modules that helper processes of Pliant import, and that a user may choose too.
USERS_MODULES = ("random", "signal", "types", "ctypes", "sim", "torch")


def test_files_of_the_user_do_not_hide_modules_of_helper_processes(tmp_path: Path) -> None:
    for name in USERS_MODULES:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} of the user')")
    words = "train blind --family point --iterations 1 --no-references --seeds 0 --out runs"
    settings = "--set gradient_steps=1 --set schedule.meta_batch=2 --evaluations 0"
    script = Path(sysconfig.get_path("scripts")) / "pliant"
    answer = subprocess.run(
        [script, *words.split(), *settings.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    printed = answer.stdout + answer.stderr
    assert "of the user" not in printed
    assert answer.returncode == 0, printed


BARE = {"PATH": os.environ["PATH"]}
SURROUNDINGS = {
    "bare": BARE,
    "ascii": BARE | {"PYTHONUTF8": "0", "LC_ALL": "C"},
    "stale display": BARE | {"DISPLAY": ":77"},
    "no OSMesa": BARE | {"MUJOCO_GL": "osmesa"},
    "unknown GL": BARE | {"MUJOCO_GL": "abacus"},
}


def run_in(surroundings: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = SURROUNDINGS[surroundings] | {"PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "adaptation.cli", *words]
    return subprocess.run(
        program, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60
    )


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_help_is_printed_in_any_surroundings(surroundings: str) -> None:
    answer = run_in(surroundings, "train", "--help")
    assert answer.returncode == 0, answer.stderr
    assert "--family" in answer.stdout


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_a_picture_is_made_or_one_line_says_what_to_set(surroundings: str, tmp_path: Path) -> None:
    folder = tmp_path / "my arm"
    folder.mkdir()
    answer = run_in(surroundings, "view", "reach", "--out", str(folder / "x.png"), "--json")
    result = json.loads(answer.stdout)
    assert "Traceback" not in answer.stderr
    if answer.returncode != 0:
        assert answer.returncode == 2
        assert "unset" in result["error"]
        assert "MUJOCO_GL" in SURROUNDINGS[surroundings]


def test_a_name_that_the_locale_cannot_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "my arm ü"
    answer = run_in("ascii", "evaluate", str(folder), "--json")
    assert answer.returncode == 2
    assert "PYTHONUTF8=1" in json.loads(answer.stdout)["error"]
    assert run_in("bare", "evaluate", str(folder), "--json").returncode == 2


def test_a_reader_that_goes_away_gets_no_complaint() -> None:
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "adaptation.cli", "list"]
    answer = subprocess.run(program, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert answer.returncode == 1
    assert answer.stderr == b""
