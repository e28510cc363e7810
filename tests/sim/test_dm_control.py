"""The pinned MuJoCo runs dm_control's suite."""

import numpy as np
import pytest


@pytest.mark.filterwarnings("ignore:.*DISPLAY")  # dm_control looks for a screen when imported
def test_a_suite_task_loads_and_steps() -> None:
    from dm_control import suite

    env = suite.load("cartpole", "swingup", task_kwargs={"random": 0})
    action = env.action_spec()
    env.reset()
    for _ in range(10):
        step = env.step(np.full(action.shape, action.maximum))
    assert 0 <= step.reward <= 1
    for name, value in step.observation.items():
        assert np.isfinite(value).all(), name
    assert step.observation["velocity"][0] > 0, "the cart was pushed forward"
