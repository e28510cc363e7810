"""Physics engines: each loads a ``Scene`` and steps n independent simulations of it."""

from robots.registry import Registry

ENGINES = Registry(
    "engine",
    "pliant.engines",
    {
        "mujoco": "sim.engines.mujoco:MujocoEngine",
        "bullet": "sim.engines.bullet:BulletEngine",
        "ideal": "sim.engines.ideal:IdealEngine",
    },
)
