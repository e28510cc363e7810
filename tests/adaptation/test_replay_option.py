"""``pliant train --replay``: kept in the run's config, refused where it means nothing."""

from pathlib import Path

import pytest

from adaptation import cli
from adaptation.runs.run import Run

WORDS = ["--no-references", "--evaluations", "0", "--iterations", "1"]
SMALL = ["--set", "gradient_steps=1", "--set", "schedule.meta_batch=2", "--set", "meta_batch=2"]


def test_the_choice_is_a_setting_of_the_run_and_the_method_is_trained_with_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    words = ["train", "blind", "--family", "point", *WORDS, *SMALL, "--out", out]
    assert cli.main([*words, "--replay", "remind"]) == 0
    run = Run.open(tmp_path / "run")
    assert run.config.settings["replay.sampling"] == "remind"
    assert run.load("method").method.config.replay.sampling == "remind"
    progress = run.last_progress("method")
    assert progress is not None
    assert "denoising" in (progress.learn or {})
    assert progress.gradient_steps == 2, "one of the method, one of the denoiser"
    assert run.load("method").method.config.optimizer_steps == 2
    again = ["train", "--resume", "--out", out, "--iterations", "2", "--replay", "propensity"]
    assert cli.main(again) != 0
    assert "was begun with settings" in capfd.readouterr().err


def test_a_name_that_is_not_known_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "pearl", "--family", "point", *WORDS, "--out", str(tmp_path / "run")]
    assert cli.main([*words, "--replay", "diffuse"]) != 0
    assert "give one of uniform, propensity, remind" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["rl2", "sequence"])
def test_a_method_that_cannot_exchange_transitions_is_refused_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], method: str
) -> None:
    words = ["train", method, "--family", "point", *WORDS, "--out", str(tmp_path / "run")]
    assert cli.main([*words, "--replay", "uniform"]) != 0
    message = capfd.readouterr().err
    assert f"{method} takes no --replay" in message
    assert "blind, oracle, pearl, caster, finetune, mql" in message
    assert not (tmp_path / "run").exists()
