"""PyBullet's memory: flat over many resets, and refused before it is too large."""

from pathlib import Path

import numpy as np
import pytest

from robots.errors import BadArgumentError
from sim.engines import bullet
from sim.engines.bullet import MOST_WORLDS, WORLD_BYTES, BulletEngine, check_memory
from sim.families import FAMILIES
from sim.vec_world import VecWorld

RESETS = 500
LARGEST_GROWTH = 1.2  # MiB; without fresh clients it is 2.4 MiB


def resident_memory() -> float:
    """Memory of this process, MiB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def reset_often(world: VecWorld, rng: np.random.Generator, times: int) -> None:
    for _ in range(times):
        world.reset(world.family.sample(rng, world.n))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_is_flat_over_many_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bullet, "OBJECTS_PER_CLIENT", 50)
    world = VecWorld(FAMILIES["slide"](), "bullet", n=1)
    rng = np.random.default_rng(0)
    reset_often(world, rng, 110)  # the first clients also fill what is kept and used again
    before = resident_memory()
    reset_often(world, rng, RESETS)
    assert resident_memory() - before < LARGEST_GROWTH
    world.close()


def test_a_fresh_client_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    observed = []
    for objects in (1, 500):
        monkeypatch.setattr(bullet, "OBJECTS_PER_CLIENT", objects)
        world = VecWorld(FAMILIES["slide"](), "bullet", n=1, seed=1)
        rng = np.random.default_rng(0)
        seen = []
        for _ in range(3):
            seen.append(world.reset(world.family.sample(rng, 1)))
            action = rng.uniform(-1, 1, (1, len(world.family.action.spec)))
            seen.append(world.step(action).obs)
        observed.append(np.stack(seen))
        world.close()
    np.testing.assert_array_equal(*observed)


def test_writing_a_task_leaves_the_joints_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bullet, "OBJECTS_PER_CLIENT", 1)
    family = FAMILIES["slide"]()
    world = VecWorld(family, "bullet", n=1, seed=1)
    task = family.sample(np.random.default_rng(0), 1)
    world.reset(task)
    world.step(np.ones((1, len(family.action.spec))))
    before = world.engine.read()
    world.engine.write(task)
    after = world.engine.read()
    np.testing.assert_array_equal(after.q, before.q)
    np.testing.assert_array_equal(after.dq, before.dq)
    world.close()


def test_more_worlds_than_the_memory_holds_are_refused_by_what_each_takes() -> None:
    with pytest.raises(BadArgumentError, match=r"11 PyBullet worlds .* 35 MiB each.* at most 10"):
        check_memory(11, available=10 * WORLD_BYTES)
    check_memory(10, available=10 * WORLD_BYTES)
    with pytest.raises(BadArgumentError, match="at most"):
        BulletEngine().load(FAMILIES["slide"]().scene, 100 * MOST_WORLDS)
