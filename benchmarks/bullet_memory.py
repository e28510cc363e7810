"""Memory of PyBullet over many resets: ``python benchmarks/bullet_memory.py [RESETS]``.

A world builds its object again at every reset. The memory must be flat after the first client is
full (see ``OBJECTS_PER_CLIENT``); the command fails if it is not.
"""

import sys
from pathlib import Path

import numpy as np

from sim.engines.bullet import OBJECTS_PER_CLIENT
from sim.families import FAMILIES
from sim.vec_world import VecWorld

LARGEST_GROWTH = 4.0  # MiB; half of a client's shapes are 1.3 MiB, the rest is the allocator's


def resident_memory() -> float:
    """Memory of this process, MiB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main(resets: int) -> None:
    """Reset a world of ``slide`` so many times."""
    family = FAMILIES["slide"]()
    world = VecWorld(family, "bullet", n=1)
    rng = np.random.default_rng(0)
    before = 0.0
    for number in range(resets + 1):
        world.reset(family.sample(rng, 1))
        if number == 2 * OBJECTS_PER_CLIENT:
            before = resident_memory()
        if number % 1000 == 0:
            print(f"{number} resets: {resident_memory():.1f} MiB", flush=True)
    world.close()
    growth = resident_memory() - before
    if growth > LARGEST_GROWTH:
        sys.exit(f"memory grew by {growth:.1f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
