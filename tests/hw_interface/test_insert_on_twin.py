"""The family insert on the twin: the force at the tool is measured, and the peg leaves its hole."""

import numpy as np

from benchmarks.insert_gap import knowing, straight
from hw_interface.arm_world import ArmWorld
from robots.catalog.panda import PANDA
from robots.signals import Array
from robots.world import Step
from sim.families.insert import Insert


def run_episode(world: ArmWorld, family: Insert, seed: int, knows: bool) -> tuple[Step, Array]:
    """The last step, and all observations (T, o)."""
    task = family.sample(np.random.default_rng(seed), 1)
    controller = (knowing if knows else straight)(family, task)
    low = family.obs.low[:3]
    high = family.obs.high[:3]
    obs = world.reset(task)
    seen = []
    for decision in range(family.horizon):
        target = controller(obs, decision)
        step = world.step((2 * target - low - high) / (high - low))
        obs = step.obs
        seen.append(obs[0])
    return step, np.array(seen)


def test_the_peg_goes_in_and_comes_out_again_and_a_rim_is_felt() -> None:
    family = Insert()
    world = ArmWorld(family, PANDA, "twin")
    try:
        for seed in (0, 1):
            inserted, _ = run_episode(world, family, seed, knows=True)
            assert inserted.success[0]
        beside, seen = run_episode(world, family, 0, knows=False)
        assert not beside.success[0]
        assert seen[-1, 5] < -2.0  # N: the peg presses down
        assert world.events == []
    finally:
        world.close()
