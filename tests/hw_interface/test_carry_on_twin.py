"""The family carry on the twin: no tracker, and the payload of the task."""

from contextlib import closing

import numpy as np
import pytest

from hw_interface.arm_world import ArmWorld
from robots.catalog.panda import PANDA
from sim.families.carry import Carry


def test_the_twin_carries_the_payload_of_the_task() -> None:
    family = Carry()
    task = family.sample(np.random.default_rng(0), 1)
    masses = task.names[:2]
    middle = np.zeros((1, 3))
    heights = []
    with closing(ArmWorld(family, PANDA, "twin")) as world:
        for factor in (0.2, 1.5):
            weighed = task.with_columns(dict.fromkeys(masses, np.array([factor])))
            world.reset(weighed)
            for _ in range(5):
                step = world.step(middle)
                assert step.verdict.tolist() == [0]
            heights.append(step.obs[0, family.obs.index("tool.z")])
    light, heavy = heights
    assert light - heavy > 0.02
    spec = family.action.spec
    sent_to = (spec.low[2] + spec.high[2]) / 2
    assert light == pytest.approx(sent_to, abs=0.03)
