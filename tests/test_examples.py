"""Every example runs as it stands, in seconds, and prints something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PRINTS = {
    "gymnasium_loop": ["task {'goal.x'", "a trial of 3 episodes has 60 steps", "(8, 6)"],
    "own_family": ["return per episode"],
    "own_method": ["no_adaptation", "adapted"],
    "replay_recording": ["/joints", "/setpoint", "moved", "plotted replay.png"],
    "train_and_evaluate": ["blind", "oracle", "adapting is worth", "gap closed"],
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(example)]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for text in PRINTS[example.stem]:
        assert text in done.stdout
