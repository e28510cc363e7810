"""MuJoCo leaves no log in the folder of whoever simulates."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIVERGE = """
import sys

sys.path.insert(0, sys.argv[1])
import mujoco
import numpy as np
from sim.families import FAMILIES
from sim.rendering.clip import make_clip
from sim.rendering.stage import Stage
from sim.vec_world import VecWorld

family = FAMILIES["cheetah_vel"]()
world = VecWorld(family, "mujoco")
world.reset(family.sample(world.rng, 1))
now = make_clip("x", world.task, np.zeros(1), [world.signals])
model = Stage(family.scene, now).model
data = mujoco.MjData(model)
data.ctrl[0] = np.nan
mujoco.mj_step(model, data)
assert data.warning[mujoco.mjtWarning.mjWARN_BADCTRL].number == 1
"""


def test_a_simulation_that_breaks_down_writes_no_file(tmp_path: Path) -> None:
    program = [sys.executable, "-P", "-c", DIVERGE, str(ROOT)]
    answer = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert "settotalmass" not in answer.stdout + answer.stderr
    assert "pybullet" not in answer.stdout + answer.stderr
    assert not list(tmp_path.iterdir())
