"""dm_control's quadruped at a commanded velocity, on slopes and with payloads."""

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.signals import Torque
from robots.world import Start, Task
from sim.engines.suite import SuiteEngine
from sim.families.quadruped_vel import COMMAND, FORWARD, HEIGHT, OBS, QuadrupedVel
from sim.suite.factors import SLOPE_X, SLOPE_Y, density_name

FAMILY = QuadrupedVel()
GRAVITY = 9.81


def test_gravity_pulls_down_the_slope() -> None:
    slopes = np.array([[0.0, 0.0], [0.2, 0.0], [0.0, -0.1]])
    n = len(slopes)
    engine = SuiteEngine()
    engine.load(FAMILY.scene, n)
    engine.write(Task((SLOPE_X, SLOPE_Y), slopes, np.arange(n)))
    q = np.zeros((n, 23))
    q[:, 2] = 50.0  # it falls, and touches nothing
    q[:, 3] = 1.0
    engine.reset(Start(q))
    engine.run(Torque(np.zeros((1, n, 12))), 40)
    fallen = engine.read().q[:, :3] - q[:, :3]
    engine.close()
    down = fallen / np.linalg.norm(fallen, axis=1, keepdims=True)
    for axis in range(2):
        angle = np.arctan(slopes[:, axis])
        np.testing.assert_allclose(down[:, axis], -np.sin(angle), atol=2e-3)
    length = np.linalg.norm(fallen, axis=1)  # of the torso, whose legs hardly move
    np.testing.assert_allclose(length, GRAVITY * 0.2**2 / 2, rtol=0.05)


def test_a_slope_that_is_not_a_number_is_refused() -> None:
    engine = SuiteEngine()
    engine.load(FAMILY.scene, 1)
    with pytest.raises(BadArgumentError, match="slope"):
        engine.write(Task((SLOPE_X,), np.array([[np.nan]]), np.arange(1)))


def test_a_payload_presses_the_torso_down() -> None:
    engine = SuiteEngine()
    engine.load(FAMILY.scene, 2)
    engine.write(Task((density_name("torso"),), np.array([[1.0], [1.5]]), np.arange(2)))
    q = np.zeros((2, 23))
    q[:, 2] = HEIGHT
    q[:, 3] = 1.0
    engine.reset(Start(q))
    engine.run(Torque(np.zeros((1, 2, 12))), 600)
    light, heavy = engine.read().q[:, 2]
    engine.close()
    assert 0.4 < heavy < light - 0.002


def test_a_reward_is_the_command_that_is_kept_less_the_effort() -> None:
    obs = np.zeros(len(OBS))
    obs[OBS.index("quat.w")] = 1.0
    obs[FORWARD : FORWARD + 2] = (0.5, 0.1)
    obs[COMMAND : COMMAND + 2] = (0.8, -0.3)
    action = np.full(12, 0.5)
    task = np.zeros(len(FAMILY.task_names))
    expected = np.exp(-(0.3**2 + 0.4**2) / 0.25) - 0.005 * 12 * 0.25
    assert FAMILY.reward(obs, action, obs, task) == pytest.approx(expected)
    assert not FAMILY.success(obs, task)
    obs[FORWARD : FORWARD + 2] = (0.8, -0.3)
    assert FAMILY.success(obs, task)
    obs[OBS.index("quat.w")] = 0.0
    obs[OBS.index("quat.x")] = 1.0  # on its back
    assert FAMILY.reward(obs, 0 * action, obs, task) == pytest.approx(0.0)
    assert not FAMILY.success(obs, task)
