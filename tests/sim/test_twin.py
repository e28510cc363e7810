"""How the twin differs from an ideal arm; what every driver promises is in ``tests/contracts/test_drivers.py``."""

import numpy as np
import pytest

from robots.signals import Command, JointState
from sim.families import FAMILIES
from sim.twin import Twin, TwinOptions

FAMILY = FAMILIES["reach"]()


def readings(twin: Twin, pushed: tuple[int, ...], count: int = 16) -> list[JointState]:
    """Some readings of a twin that is told to move before those in ``pushed``, and told nothing before the others."""
    twin.connect()
    twin.enable()
    goal, seen = FAMILY.body.home.copy(), []
    for k in range(count):
        if k in pushed:
            goal = goal + 1e-3
            twin.write(Command(goal, np.full(7, 1e-3 / twin.dt)))
        seen.append(twin.read())
    twin.disconnect()
    return seen


@pytest.mark.parametrize("late", [0, 1, 2, 10])
def test_every_command_arrives_after_the_latency_whether_others_follow_or_not(late: int) -> None:
    def arm(pushed: tuple[int, ...]) -> list[JointState]:
        return readings(
            Twin(FAMILY.body, FAMILY.scene, TwinOptions(latency=late * Twin.dt, noise=0.0)), pushed
        )

    still, once, twice = arm(()), arm((2,)), arm((2, 3))
    for told, before, first in ((once, still, 2 + late), (twice, once, 3 + late)):
        same = [np.array_equal(a.q, b.q) for a, b in zip(told, before, strict=True)]
        assert same == [k < first for k in range(len(same))]
