"""Simulated worlds: engines, families of tasks, and what disturbs them."""

from robots.registry import Registry

ENGINES = Registry(
    "engine",
    {
        "mujoco": "sim.mujoco_engine:MujocoEngine",
        "bullet": "sim.bullet_engine:BulletEngine",
        "ideal": "sim.ideal_engine:IdealEngine",
    },
)
