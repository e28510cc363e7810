"""The command line: answers, refusals and exit statuses as a script sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny

from adaptation import cli
from adaptation.jobs import evaluate
from adaptation.jobs import train as meta_train
from policies.methods import METHODS
from robots.catalog import ARMS
from sim.engines import ENGINES
from sim.families import FAMILIES

COMMANDS = ("list", "train", "evaluate", "deploy", "trial", "report", "view", "recover", "emulate")


def pliant(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, the object on the last line, and what was said on standard error."""
    capfd.readouterr()
    stdout = os.dup(
        1
    )  # a command that answers in JSON gives it up, for its process is about to end
    try:
        status = cli.main([*words, "--json"])
    except SystemExit as ended:
        return int(ended.code or 0), {}, capfd.readouterr().err
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    said = capfd.readouterr()
    return status, json.loads(said.out.splitlines()[-1]), said.err


def test_list_names_what_is_registered_without_importing_it() -> None:
    heavy = "{'torch', 'mujoco', 'pybullet', 'matplotlib', 'viser'}"
    program = (
        "import sys; from adaptation.cli import main; status = main(['list', '--json']); "
        f"sys.exit(status or bool({heavy} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 0
    found = json.loads(answer.stdout.splitlines()[-1])
    assert set(found) == {"families", "methods", "arms", "engines", "drivers", "emulators"}
    for kind, table in (
        ("families", FAMILIES),
        ("methods", METHODS),
        ("arms", ARMS),
        ("engines", ENGINES),
    ):
        assert found[kind] == sorted(table)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(capfd: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert "--json" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "perl", "--family", "slide"], "no method named 'perl'; there are: blind"),
        (["train", "pearl", "--family", "skate"], "no family named 'skate'; there are:"),
        (
            ["train", "pearl", "--family", "slide", "--engine", "ode"],
            "no engine named 'ode'; there are:",
        ),
        (
            ["train", "pearl", "--family", "point", "--engine", "bullet"],
            "point runs in ideal, not in 'bullet'",
        ),
        (["train", "pearl"], "needs a METHOD and --family"),
        (["train", "--resume"], "or --resume --out RUN"),
        (
            ["train", "pearl", "--family", "point", "--resume"],
            "runs/pearl-point-0 is no run folder",
        ),
        (["train", "--resume", "--out", "nowhere"], "nowhere is no run folder"),
        (
            ["train", "pearl", "--family", "point", "--iterations", "0"],
            "--iterations must be above 0, got 0",
        ),
        (
            ["train", "pearl", "--family", "point", "--minutes", "nan"],
            "--minutes must be above 0, got nan",
        ),
        (
            ["train", "pearl", "--family", "point", "--set", "speed=9"],
            "pearl has no setting 'speed'; there are:",
        ),
        (
            ["train", "pearl", "--family", "point", "--set", "speed"],
            "--set takes NAME=VALUE, got 'speed'",
        ),
        (["evaluate", "nowhere"], "nowhere is no run folder"),
        (["evaluate", "nowhere", "--tasks", "-3"], "--tasks must be above 0"),
        (["evaluate", "nowhere", "--split", "best"], "best"),
        (["deploy", "nowhere", "--arm", "hand"], "no arm named 'hand'; there are: panda"),
        (
            ["deploy", "nowhere", "--arm", "panda", "--driver", "psychic"],
            "no driver named 'psychic'; there are:",
        ),
        (["deploy", "nowhere", "--arm", "panda"], "nowhere is no run folder"),
        (["trial", "nowhere", "--arm", "panda"], "nowhere is no run folder"),
        (["trial", "nowhere"], "--arm"),
        (["report", "nowhere"], "no folder nowhere"),
        (["view", "skate"], "no family named 'skate'"),
        (["recover", "nowhere.mcap"], "no file nowhere.mcap"),
        (
            ["emulate", "pigeon", "--arm", "viperx"],
            "no emulator named 'pigeon'; there are: dynamixel",
        ),
        (["emulate", "dynamixel", "--arm", "hand"], "no arm named 'hand'"),
        (["emulate", "dynamixel", "--arm", "panda"], "no calibration file"),
        (["conquer"], "conquer"),
        ([], "list"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_is_impossible_is_refused_with_status_2(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, answer, complaint = pliant(capfd, *words)
    assert status == 2
    assert said in complaint
    assert not answer or said in answer["error"]
    assert "Traceback" not in complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("registered")
def test_train_resume_and_evaluate(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in (meta_train, evaluate):
        monkeypatch.setattr(module, "VecWorld", tiny.World)
    out = str(tmp_path / "run")
    train = (
        "train",
        "counter",
        "--family",
        "tiny",
        "--out",
        out,
        "--iterations",
        "2",
        "--no-references",
    )
    status, trained, _ = pliant(
        capfd, *train, "--set", "gain=0.25", "--set", "schedule.episodes_per_trial=3"
    )
    assert (status, trained["iteration"], trained["run"]) == (0, 2, out)
    config = json.loads((tmp_path / "run/method/contract.json").read_bytes())["config"]
    assert (config["gain"], config["schedule"]["episodes_per_trial"]) == (0.25, 3)
    status, _, complaint = pliant(capfd, *train)
    assert status == 2
    assert "holds a run already" in complaint
    assert pliant(capfd, "train", "--resume", "--out", out)[0] == 0
    assert pliant(capfd, *train, "--resume")[0] == 0
    for other in (["pearl"], ["--seed", "3"], ["--iterations", "9"], ["--set", "gain=1"]):
        status, _, complaint = pliant(capfd, "train", *other, "--resume", "--out", out)
        assert status == 2
        assert "was begun with" in complaint

    status, judged, _ = pliant(capfd, "evaluate", out, "--tasks", "5", "--episodes", "4")
    assert status == 0
    assert len(judged["method"]) == len(judged["success"]) == len(judged["frozen"]) == 4
    assert (judged["tasks"], judged["episodes"]) == (5, 4)
    assert judged["blind"] is judged["oracle"] is judged["gap_closed"] is judged["interval"] is None
    assert judged["seconds"] > 0
    assert pliant(capfd, "evaluate", out, "--tasks", "5", "--episodes", "4")[1] | {
        "seconds": 0
    } == judged | {"seconds": 0}

    weights = tmp_path / "run/method/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    status, answer, complaint = pliant(capfd, "evaluate", out)
    assert status == 1
    assert "is not what was written" in complaint
    assert "is not what was written" in answer["error"]


def test_a_short_training_with_references_is_judged_between_them(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    assert (
        pliant(capfd, "train", "blind", "--family", "point", "--out", out, "--iterations", "1")[0]
        == 0
    )
    assert {"config.json", "method", "oracle", "log.jsonl"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    status, judged, _ = pliant(capfd, "evaluate", out, "--tasks", "4")
    assert status == 0
    assert judged["blind"] == judged["method"]  # a run of blind is its own floor
    assert all(
        len(judged[name]) == judged["episodes"]
        for name in ("method", "frozen", "blind", "oracle", "success")
    )
    status, _, complaint = pliant(capfd, "deploy", out, "--arm", "panda")
    assert status == 2
    assert "asked to drive 'panda'" in complaint


def test_a_body_that_is_no_arm_is_refused_by_name(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    small = [f"--set=schedule.{name}=1" for name in ("episodes_per_trial", "random_trials")] + [
        "--set=schedule.meta_batch=2",
        "--set=gradient_steps=1",
    ]
    train = (
        "train",
        "blind",
        "--family",
        "cheetah_vel",
        "--out",
        out,
        "--iterations",
        "1",
        "--no-references",
    )
    assert pliant(capfd, *train, *small)[0] == 0
    there = sorted(tmp_path.rglob("*"))
    for command in ("deploy", "trial"):
        status, answer, complaint = pliant(capfd, command, out, "--arm", "panda")
        assert status == 2
        assert "half_cheetah is no arm" in complaint
        assert "half_cheetah is no arm" in answer["error"]
        assert "Traceback" not in complaint
    assert sorted(tmp_path.rglob("*")) == there
