"""Several trainings in one call."""

from pathlib import Path

import pytest

from adaptation import cli

ROLES = ("--no-references", "--evaluations", "0")
SMALL = ("--set", "gradient_steps=1", "--set", "schedule.random_trials=1")


def test_every_seed_is_trained_and_begun_by_resume_and_one_that_fails_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In one test, because each training is a process that takes seconds to start."""
    runs = tmp_path / "runs"
    out = str(runs)
    command = ["train", "blind", "--family", "point", "--out", out, *ROLES, *SMALL]
    assert cli.main([*command, "--seeds", "0", "--iterations", "1"]) == 0
    assert cli.main([*command, "--seeds", "0-1", "--iterations", "1"]) == 2
    assert "seed-0 holds a run already" in capfd.readouterr().err
    assert not (runs / "seed-1").exists()

    assert cli.main([*command, "--seeds", "0-1", "--iterations", "2", "--resume"]) == 0
    answer = capfd.readouterr().out
    assert "seed-0: 2 iterations" in answer
    assert "seed-1: 2 iterations" in answer
    weights = [runs / f"seed-{seed}/method/weights.safetensors" for seed in (0, 1)]
    assert weights[0].read_bytes() != weights[1].read_bytes()

    weights[0].write_bytes(b"")
    assert cli.main(["train", "--resume", "--out", out, "--seeds", "0,1", "--iterations", "3"]) == 1
    complaint = capfd.readouterr().err
    assert "seed-0: " in complaint
    assert "is not what was written" in complaint
    assert '"iteration":3' in (runs / "seed-1/log.jsonl").read_text()
