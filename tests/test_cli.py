"""The command line: answers, refusals and exit statuses as a script sees them."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import Any

import pytest
import tiny

from adaptation import cli
from adaptation.commands import COMMANDS
from adaptation.commands.listing import REGISTRIES
from adaptation.jobs import collection, evaluate

INTERRUPTED = '{"error":"interrupted"}\n'
POLICIES = ("adapted", "no_adaptation", "blind", "oracle")
COMPARISON = {
    *POLICIES,
    "rivals",
    "adaptation",
    "over_blind",
    "over_rivals",
    "gap_closed",
    "interval_over",
    "seeds",
    "tasks",
    "trials",
    "episodes",
    "seconds",
    "run",
    "commit",
    "fingerprints",
}
ESTIMATE = {"success", "gained", "lost", "mcnemar_p", "value", "interval"}
SLOW_IMPORTS = {"torch", "mujoco", "pybullet", "matplotlib", "viser", "rich.table"}


def pliant(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, the JSON object on the last line, and what is on standard error."""
    capfd.readouterr()
    stdout = os.dup(1)  # a command that answers in JSON gives it away: its process ends then
    try:
        status = cli.main([*words, "--json"])
    except SystemExit as exit_request:
        status = int(exit_request.code or 0)
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    output = capfd.readouterr()
    return status, json.loads(output.out.splitlines()[-1]), output.err


def run_process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("words", "answer"), [(["list"], ""), (["list", "--json"], INTERRUPTED)])
def test_an_interruption_while_words_are_read_has_no_traceback(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    answer: str,
) -> None:
    def interrupt(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_parse", interrupt)
    assert cli.main(words) == 130
    printed = capsys.readouterr()
    assert printed.out == answer
    assert "Traceback" not in printed.err


def test_help_whose_reader_has_gone_ends_without_a_traceback() -> None:
    """As with ``pliant train --help | head``."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-P", "-m", "adaptation.cli", "train", "--help"]
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert ended.returncode == 1
    assert ended.stderr == ""


def check_comparison(answer: dict[str, Any]) -> None:
    """The record that scripts may rely on."""
    assert set(answer) >= COMPARISON
    for policy in POLICIES:
        result = answer[policy]
        if result is None:
            assert policy != "adapted"
            continue
        by_name = (result["metrics"], result["metric_medians"])
        by_episode = [result["returns"], result["success"], result["success_interval"]]
        for numbers in by_name:
            assert numbers
            by_episode += numbers.values()
        assert len(result) == len(by_name) + 3
        for values in by_episode:
            assert len(values) == answer["episodes"]
    for difference, baseline in (("adaptation", "no_adaptation"), ("over_blind", "blind")):
        estimate = answer[difference]
        assert (estimate is None) == (answer[baseline] is None)
        if estimate is not None:
            assert set(estimate) == ESTIMATE
            apart = answer["adapted"]["returns"][-1] - answer[baseline]["returns"][-1]
            assert estimate["value"] == pytest.approx(apart)
    assert set(answer["gap_closed"]) == {"value", "interval", "note"}
    assert (answer["gap_closed"]["value"] is None) == (answer["gap_closed"]["note"] is not None)
    assert answer["seconds"] > 0


def test_list_prints_what_is_registered_without_importing_it() -> None:
    program = (
        "import sys; from adaptation.cli import main; status = main(['list', '--json']); "
        f"sys.exit(status or bool({SLOW_IMPORTS} & set(sys.modules)))"
    )
    answer = run_process("-c", program)
    assert answer.returncode == 0, answer.stderr
    names = json.loads(answer.stdout.splitlines()[-1])
    assert set(names) == {
        "families",
        "methods",
        "arms",
        "engines",
        "samplers",
        "drivers",
        "trackers",
        "emulators",
        "suite",
        "metaworld",
    }
    assert "suite/walker-walk" in names["suite"]
    assert "metaworld/ML10" in names["metaworld"]
    for kind, table in REGISTRIES.items():
        assert names[kind] == sorted(table)


@pytest.mark.parametrize("words", ["--help", "--version"])
def test_help_answers_without_importing_what_is_slow(words: str) -> None:
    program = f"""
import sys
from adaptation.cli import main
try:
    main([{words!r}])
except SystemExit:
    pass
sys.exit(bool({SLOW_IMPORTS} & set(sys.modules)))
"""
    assert run_process("-c", program).returncode == 0


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"pliant {version('pliant')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text(capfd: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as exit_request:
        cli.main([command, "--help"])
    assert exit_request.value.code == 0
    assert "--json" in capfd.readouterr().out


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_module",
        "class Other: ...",
        "raise RuntimeError('no license')",
        "class Command(:",
        "Command = 1 / 0",
    ],
)
def test_a_command_of_another_package_that_cannot_be_imported_is_skipped_with_a_warning(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    source: str,
) -> None:
    (tmp_path / "broken_commands.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_commands", raising=False)
    point = EntryPoint("broken", "broken_commands:Command", COMMANDS.group)
    monkeypatch.setitem(vars(COMMANDS), "_plugins", {"broken": point})
    status, names, warnings = pliant(capfd, "list")
    assert status == 0
    assert names["families"]
    (warning,) = warnings.splitlines()
    assert warning.startswith("pliant: warning: command 'broken' cannot be imported: ")


REFUSALS = [
    ("train pearl --family point --seeds 0-x", "--seeds takes 0-4 or 0,1,2, got '0-x'"),
    ("train pearl --family point --seeds 3-1", "--seeds must name each seed once, got '3-1'"),
    ("train pearl --family point --seeds 1,1", "--seeds must name each seed once, got '1,1'"),
    ("train pearl --family point --seeds 0-9999999999", "--seeds must be at most 1000"),
    ("train pearl --family point --seeds 0-4 --seed 2", "give --seed or --seeds, not both"),
    ("train --resume --out nowhere --seeds 0-4", "nowhere/seed-0 is no run folder"),
    ("train perl --family slide", "no method named 'perl'; there are: blind"),
    ("train pearl --family skate", "no family named 'skate'; there are:"),
    ("train pearl --family slide --engine ode", "no engine named 'ode'; there are:"),
    ("train pearl --family point --engine bullet", "point runs on ideal, not on bullet"),
    ("train pearl --family point --preset gpu", "no preset named 'gpu'; there are: cpu, paper"),
    ("train pearl --family no.such:Family", "family 'no.such:Family' cannot be imported"),
    ("train no.such:Method --family point", "method 'no.such:Method' cannot be imported"),
    ("train pearl", "needs a METHOD and --family"),
    ("train --resume", "or --resume --out RUN"),
    ("train pearl --family point --resume", "runs/pearl-point-0 is no run folder"),
    ("train --resume --out nowhere", "nowhere is no run folder"),
    ("train pearl --family point --iterations 0", "--iterations must be above 0, got 0"),
    ("train pearl --family point --steps -1", "--steps must be above 0, got -1"),
    ("train pearl --family point --gradient-steps 0", "--gradient-steps must be above 0, got 0"),
    ("train pearl --family point --minutes nan", "--minutes must be above 0, got nan"),
    ("train pearl --family point --seed -1", "--seed must be from 0 to 4294967295, got -1"),
    ("train pearl --family point --seed 4294967296", "--seed must be from 0 to 4294967295, got"),
    ("train pearl --family point --seeds 9999999999", "--seed must be from 0 to 4294967295, got"),
    ("train pearl --family point --out /dev/null", "/dev/null is a file, no folder for a run"),
    ("train pearl --family point --set speed=9", "no setting 'speed'; there are:"),
    ("train pearl --family point --set speed", "--set takes NAME=VALUE, got 'speed'"),
    ("train pearl --family point --set sac.lr=-1", "sac.lr=-1 is not allowed: give a number"),
    ("train pearl --family point --set sac.gamma=2", "sac.gamma=2 is not allowed: give a number"),
    ("train pearl --family point --set sac.hidden=64,0", "sac.hidden='64,0' is not allowed"),
    ("train pearl --family point --set sac.lr=fast", "sac.lr='fast' is not allowed"),
    (
        "train pearl --family slide --set range.object.mass=-1,0.5",
        "range.object.mass=-1,0.5 is not allowed: give LOW,HIGH in ascending order, from 0.01 to 5",
    ),
    (
        "train pearl --family slide --set range.object.mas=0.2,0.5",
        "slide has no range.object.mas; there are: range.object.shape",
    ),
    (
        "train pearl --family slide --set range.object.mass=light",
        "range.object.mass='light' is not allowed: give numbers",
    ),
    ("settings pearl --family point --set range.goal.x=1,-1", "range.goal.x=1,-1 is not allowed"),
    ("settings pearl --family skate", "no family named 'skate'; there are:"),
    ("settings pearl --family point --set sac.lr=-1", "sac.lr=-1 is not allowed"),
    ("settings pearl", "--family"),
    ("evaluate nowhere", "nowhere is no run folder"),
    ("evaluate nowhere --tasks -3", "--tasks must be above 0"),
    ("evaluate nowhere --split best", "best"),
    ("evaluate nowhere --tasks 1000000000", "--tasks must be at most 10000, got 1000000000"),
    ("evaluate nowhere --episodes 1000000000", "--episodes must be at most 10000, got 1000000000"),
    ("train pearl --family point --evaluation-tasks 99999", "--evaluation-tasks must be at most"),
    ("compare nowhere --tasks 1000000000", "--tasks must be at most 10000, got 1000000000"),
    ("trial nowhere --arm panda --objects 99999", "--objects must be at most 10000, got 99999"),
    ("trial nowhere --arm panda --objects 3 --tasks 3", "--tasks belongs to --objects FOLDER"),
    ("trial nowhere --arm panda --objects things --tasks 0", "--tasks must be above 0, got 0"),
    ("train pearl --family slide --objects nowhere", "nowhere is no folder of objects"),
    ("evaluate nowhere --seed 9999999999", "--seed must be from 0 to 4294967295, got"),
    ("evaluate nowhere --seed -1", "--seed must be from 0 to 4294967295, got -1"),
    ("compare", "compare needs run folders"),
    ("compare nowhere", "nowhere is no run folder"),
    ("compare nowhere --tasks 0", "--tasks must be above 0, got 0"),
    ("compare nowhere --engine ode", "no engine named 'ode'; there are:"),
    ("bench --suite slow", "no suite 'slow'; there are: quick, full"),
    ("bench --suite slow.toml", "no suite 'slow.toml'; there are: quick, full"),
    ("bench --workers 0", "--workers must be above 0, got 0"),
    ("bench --minutes nan", "--minutes must be above 0, got nan"),
    ("bench --seeds 0 -1", "-1"),
    ("bench --seeds 9999999999", "--seed must be from 0 to 4294967295, got"),
    ("bench --page results.html", "results.html must end in .md"),
    ("bench --page .", ". must end in .md"),
    ("bench --page nowhere/results.md", "no folder nowhere"),
    ("bench --readme README.md", "give --page too"),
    ("bench --page results.md --readme README.md", "README.md cannot be read"),
    ("bench --out /dev/null", "--out takes a folder, got /dev/null"),
    ("bench --grid sac.lrr=1,2", "no setting 'sac.lrr'; --grid is over settings of: blind,"),
    ("bench --executor slurm", "no executor named 'slurm'; there are: processes, ray"),
    ("bench --address 127.0.0.1:6379", "--address is of --executor ray"),
    ("bench --executor ray --address ray://head:10001", "--address takes HOST:PORT"),
    ("deploy nowhere --arm hand", "no arm named 'hand'; there are: fr3"),
    ("deploy nowhere --arm panda --driver psychic", "no driver named 'psychic'; there are:"),
    ("deploy nowhere --arm panda --tracker eye", "no tracker named 'eye'; there are:"),
    ("deploy nowhere --arm panda --clock wall", "wall"),
    ("deploy nowhere --arm panda", "nowhere is no run folder"),
    ("trial nowhere --arm panda", "nowhere is no run folder"),
    ("trial nowhere --arm panda --seed -1", "--seed must be from 0 to 4294967295, got -1"),
    ("trial nowhere --arm panda --realtime-episodes -1", "--realtime-episodes must not be"),
    ("trial nowhere", "nowhere is no run folder"),
    ("park", "--arm"),
    ("jog", "--arm"),
    ("doctor --arm panda --seconds 0", "--seconds"),
    ("doctor --arm panda --seconds inf", "--seconds must be finite, got inf"),
    ("train blind --family reach --arm hand", "no arm named 'hand'; there are: fr3"),
    ("train blind --family point --arm panda", "point takes no arm"),
    ("view slide --arm viperx --out slide.png", "arms that have one: panda"),
    ("settings blind --family reach --arm hand", "no arm named 'hand'"),
    ("report nowhere", "no folder nowhere"),
    ("view point --seed -1", "--seed must be from 0 to 4294967295, got -1"),
    ("view point --out nowhere/point.png", "no folder nowhere"),
    ("view skate", "suite/DOMAIN-TASK, metaworld/ML1-TASK"),
    ("view cheetah_vel --out cheetah.html", "cheetah_vel has no arm to show in 3-D"),
    ("recover nowhere.mcap", "no file nowhere.mcap"),
    ("replay nowhere.mcap", "nowhere.mcap"),
    ("sysid nowhere.mcap", "nowhere.mcap"),
    ("sysid nowhere.mcap --family skate", "no family named 'skate'"),
    ("emulate pigeon --arm viperx", "no emulator named 'pigeon'; there are: dynamixel, feetech"),
    ("emulate dynamixel --arm hand", "no arm named 'hand'"),
    ("emulate dynamixel --arm panda", "no calibration file"),
    ("emulate dynamixel --arm viperx --port 127.0.0.1", "'dynamixel' has no port, but calibration"),
    ("emulate ur --arm panda", "panda has no controller of Universal Robots"),
    ("emulate ur --arm ur5e --family skate", "no family named 'skate'"),
    ("emulate ur --arm ur5e --family reach", "reach has 0 objects, and not one"),
    ("emulate ur --arm ur5e --family push --object-port 65535", "port must be 1 to 65534"),
    ("calibrate camera nowhere", "nowhere is no folder of pictures"),
    ("calibrate camera nowhere --board 9", "--board takes two counts such as 9x6, got '9'"),
    ("calibrate camera nowhere --pattern tags", "with a checkerboard or charuco, not tags"),
    ("board charuco --out board.txt", "board.txt must end in .pdf, .svg or .png"),
    ("board charuco --out board.pdf --paper a9", "no paper 'a9'; there are: a4, a3"),
    (
        "board charuco --out board.pdf --square 0.04",
        "360 x 240 mm does not fit on a4",
    ),
    ("board charuco --out board.pdf --board 12x10", "has 60 markers, and DICT_5X5_50 has 50"),
    ("board charuco --out board.pdf --marker 0.03", "a marker must be smaller than its square"),
    ("board tag --out tag.pdf --id 587", "DICT_APRILTAG_36h11 has the tags 0 to 586, got --id 587"),
    (
        "board charuco --out board.pdf --dictionary 5x5",
        "no dictionary '5x5'; there are: DICT",
    ),
    ("calibrate hand-eye nowhere.toml", "needs --arm NAME and --tracker FILE"),
    ("calibrate camera", "calibrate camera needs a PATH"),
    ("calibrate latency", "calibrate latency needs --arm NAME"),
    ("calibrate latency pictures --arm panda", "calibrate latency takes no PATH"),
    ("calibrate latency --arm panda --joint elbow", "panda has no joint 'elbow'"),
    ("calibrate latency --arm panda --out nowhere/latency.json", "no folder nowhere"),
    ("calibrate latency --arm panda --repeats 0", "--repeats must be above 0, got 0"),
    ("calibrate joints --arm panda", "with 'twin', signs and zeros are those of the arm's own"),
    ("calibrate payload --arm panda --postures 3", "--postures must be at least 4, got 3"),
    ("conquer", "conquer"),
    ("", "--json"),
]


@pytest.mark.parametrize(("words", "reason"), REFUSALS, ids=[words for words, _ in REFUSALS])
def test_what_is_impossible_is_refused_with_status_2_and_writes_nothing(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: str,
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    status, answer, complaint = pliant(capfd, *words.split())
    assert status == 2
    assert reason in complaint
    assert set(answer) == {"error"}
    assert reason in answer["error"]
    assert "Traceback" not in complaint
    assert not list(tmp_path.iterdir())


def test_without_a_command_all_of_them_are_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_request:
        cli.main([])
    assert exit_request.value.code == 2
    complaint = capfd.readouterr().err
    for command in COMMANDS:
        assert command in complaint


def test_settings_show_value_source_and_meaning(capfd: pytest.CaptureFixture[str]) -> None:
    words = ("settings", "pearl", "--family", "slide", "--set", "sac.hidden=64,32")
    status, answer, _ = pliant(capfd, *words)
    assert status == 0
    settings = {setting["name"]: setting for setting in answer["settings"]}
    assert all(
        set(setting) == {"name", "value", "source", "unit", "meaning"}
        for setting in settings.values()
    )
    assert settings["sac.hidden"]["value"] == [64, 32]
    assert settings["sac.hidden"]["source"] == "--set"
    assert settings["sac.reward_scale"]["source"] == "preset slide.toml"
    assert settings["latent_dim"]["source"] == "default"
    assert all(setting["meaning"] for setting in settings.values())
    assert answer["steps"] > 0
    assert answer["gradient_steps"] > 0


def test_settings_that_no_preset_tunes_follow_from_the_family(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _, answer, _ = pliant(capfd, "settings", "pearl", "--family", "point", "--preset", "paper")
    sources = {setting["source"] for setting in answer["settings"]}
    assert "derived" in sources


def test_settings_are_a_plain_table_when_they_are_piped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["settings", "rl2", "--family", "point"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["setting", "value", "source", "unit", "meaning"]
    assert any(row.startswith("gae_lambda") for row in rows)


@pytest.mark.usefixtures("registered")
def test_train_resume_and_evaluate(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in (collection, evaluate):
        monkeypatch.setattr(module, "VecWorld", tiny.World)
    out = str(tmp_path / "run")
    train = ("train", "counter", "--family", "tiny", "--out", out)
    bounded = (*train, "--iterations", "2", "--no-references")
    changes = ("--set", "gain=0.25", "--set", "schedule.episodes_per_trial=3")
    status, trained, notice = pliant(capfd, *bounded, *changes)
    assert (status, trained["iteration"], trained["run"]) == (0, 2, out)
    assert "counter has no cpu preset for tiny" in notice
    config = json.loads((tmp_path / "run/method/contract.json").read_bytes())["config"]
    assert (config["gain"], config["schedule"]["episodes_per_trial"]) == (0.25, 3)
    status, _, complaint = pliant(capfd, *bounded)
    assert status == 2
    assert "holds a run already" in complaint
    assert pliant(capfd, "train", "--resume", "--out", out)[0] == 0
    assert pliant(capfd, *bounded, "--resume")[0] == 0
    others = ("pearl", "--seed 3", "--preset paper", "--set gain=1")
    for other in others:
        status, _, complaint = pliant(capfd, "train", *other.split(), "--resume", "--out", out)
        assert status == 2
        assert "was begun with" in complaint

    again = ("train", "--resume", "--out", out)
    status, longer, _ = pliant(capfd, *again, "--iterations", "4")
    assert (status, longer["iteration"]) == (0, 4)
    assert json.loads((tmp_path / "run/config.json").read_bytes())["config"]["iterations"] == 4
    status, finished, said = pliant(capfd, *again)
    assert (status, finished["iteration"]) == (0, 4)
    assert "has nothing left to do" in said
    status, _, complaint = pliant(capfd, *again, "--steps", "4")
    assert status == 2
    assert "already: to train it further, ask for more than that in all, not for 4" in complaint

    judge = ("evaluate", out, "--tasks", "5", "--episodes", "4")
    status, comparison, _ = pliant(capfd, *judge)
    assert status == 0
    check_comparison(comparison)
    assert (comparison["tasks"], comparison["episodes"]) == (5, 4)
    assert comparison["blind"] is comparison["oracle"] is comparison["over_blind"] is None
    assert comparison["gap_closed"]["value"] is comparison["gap_closed"]["interval"] is None
    assert "blind" in comparison["gap_closed"]["note"]
    assert comparison["run"] == out
    _, again, _ = pliant(capfd, *judge)
    assert again | {"seconds": 0} == comparison | {"seconds": 0}

    weights = tmp_path / "run/method/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    status, answer, complaint = pliant(capfd, "evaluate", out)
    assert status == 1
    assert "is not what was written" in complaint
    assert "is not what was written" in answer["error"]


def test_a_training_ends_at_the_first_bound_that_is_reached(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    train = ("train", "blind", "--family", "point", "--no-references", "--iterations", "50")
    by_steps = ("--out", str(tmp_path / "steps"), "--steps", "12801")
    status, trained, _ = pliant(capfd, *train, *by_steps, "--set", "gradient_steps=1")
    assert status == 0
    assert trained["iteration"] == 2  # the first one, with its random trials, has 12,800 steps
    by_gradient = ("--out", str(tmp_path / "gradient"), "--gradient-steps", "3")
    status, trained, _ = pliant(capfd, *train, *by_gradient, "--set", "gradient_steps=1")
    assert status == 0
    assert trained["gradient_steps"] == trained["iteration"] == 3


def test_what_an_untuned_training_takes_is_said_before_it_begins(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    train = ("train", "rl2", "--family", "point_sparse", "--no-references", "--iterations", "1")
    train += ("--minutes", "0.5")
    small = ("--set", "schedule.meta_batch=8", "--set", "hidden=8", "--set", "memory_size=8")
    status, _, notice = pliant(capfd, *train, *small, "--out", str(tmp_path / "run"))
    assert status == 0
    assert "rl2 has no cpu preset for point_sparse" in notice
    assert "environment steps" in notice
    assert "gradient steps" in notice
    assert "less than a minute on one core" in notice
    assert "for at most 30 s" in notice
    assert notice.index("has no cpu preset") < notice.index("iteration 1")


def test_a_short_training_with_references_is_judged_between_them(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    train = ("train", "blind", "--family", "point", "--out", out, "--iterations", "1")
    assert pliant(capfd, *train)[0] == 0
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "method", "oracle", "log.jsonl"} <= files
    status, comparison, _ = pliant(capfd, "evaluate", out, "--tasks", "4")
    assert status == 0
    check_comparison(comparison)
    assert comparison["blind"] == comparison["adapted"]  # a run of blind is its own reference
    assert all(comparison[policy] is not None for policy in POLICIES)
    status, _, complaint = pliant(capfd, "deploy", out, "--arm", "panda")
    assert status == 2
    assert "asked to drive 'panda'" in complaint


def test_a_trial_answers_with_a_comparison_and_what_the_arm_did(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    train = ("train", "blind", "--family", "reach", "--out", out, "--iterations", "1")
    small = ("--no-references", "--set", "schedule.meta_batch=2", "--set", "gradient_steps=1")
    assert pliant(capfd, *train, *small, "--set", "schedule.random_trials=0")[0] == 0
    arm = ("--arm", "panda", "--objects", "1", "--episodes", "1", "--workers", "1")
    status, trial, _ = pliant(capfd, "trial", out, *arm)
    assert status == 0
    check_comparison(trial)
    of_the_arm = {"arm", "driver", "verdicts", "timing", "recording_error", "park_error"}
    of_the_belief = {"not_adapted", "updates_failed", "skipped"}
    assert set(trial) == COMPARISON | of_the_arm | of_the_belief
    assert (trial["arm"], trial["driver"], trial["timing"]) == ("panda", "twin", None)
    assert trial["adaptation"]["interval"] is None  # one object is no sample
    assert trial["gap_closed"]["value"] is None


def test_a_body_that_is_no_arm_is_refused_by_name(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    small = [
        "--set=schedule.episodes_per_trial=1",
        "--set=schedule.random_trials=1",
        "--set=schedule.meta_batch=2",
        "--set=gradient_steps=1",
    ]
    train = ("train", "blind", "--family", "cheetah_vel", "--out", out, "--iterations", "1")
    assert pliant(capfd, *train, "--no-references", *small)[0] == 0
    before = sorted(tmp_path.rglob("*"))
    for command in ("deploy", "trial"):
        status, answer, complaint = pliant(capfd, command, out, "--arm", "panda")
        assert status == 2
        assert "half_cheetah is no arm" in complaint
        assert "half_cheetah is no arm" in answer["error"]
        assert "Traceback" not in complaint
    assert sorted(tmp_path.rglob("*")) == before
