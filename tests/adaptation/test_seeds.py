"""Several trainings in one call."""

from pathlib import Path

import pytest

from adaptation import cli

ROLES = ("--no-references", "--evaluations", "0")
SMALL = ("--set", "gradient_steps=1", "--set", "schedule.random_trials=1")


def test_every_seed_has_a_run_folder_and_those_not_begun_are_begun_by_resume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "runs")
    command = ["train", "blind", "--family", "point", "--out", out, *ROLES, *SMALL]
    assert cli.main([*command, "--seeds", "0", "--iterations", "1"]) == 0
    assert cli.main([*command, "--seeds", "0-1", "--iterations", "1"]) == 2
    assert "seed-0 holds a run already" in capfd.readouterr().err
    assert not (tmp_path / "runs/seed-1").exists()
    assert cli.main([*command, "--seeds", "0-1", "--iterations", "2", "--resume"]) == 0
    answer = capfd.readouterr().out
    assert "seed-0: 2 iterations" in answer
    assert "seed-1: 2 iterations" in answer
    weights = [tmp_path / f"runs/seed-{seed}/method/weights.safetensors" for seed in (0, 1)]
    assert weights[0].read_bytes() != weights[1].read_bytes()


def test_a_training_that_fails_is_named_and_the_others_are_trained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "runs")
    command = ["train", "blind", "--family", "point", "--out", out, *ROLES, *SMALL]
    assert cli.main([*command, "--seeds", "0,1", "--iterations", "1"]) == 0
    (tmp_path / "runs/seed-0/method/weights.safetensors").write_bytes(b"")
    assert cli.main(["train", "--resume", "--out", out, "--seeds", "0,1", "--iterations", "2"]) == 1
    complaint = capfd.readouterr().err
    assert "seed-0: " in complaint
    assert "is not what was written" in complaint
    assert '"iteration":2' in (tmp_path / "runs/seed-1/log.jsonl").read_text()
