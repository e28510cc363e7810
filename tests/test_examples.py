"""Every example runs as it stands, in seconds, and prints something."""

from pathlib import Path

import pytest
from forked import Forks

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
def test_an_example_runs(example: Path, forks: Forks, tmp_path: Path) -> None:
    done = forks.run(str(example), (), tmp_path, str(ROOT))
    assert done.returncode == 0, done.stderr
    for text in PRINTS[example.stem]:
        assert text in done.stdout
