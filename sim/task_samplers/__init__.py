"""Task samplers: which of a family's tasks a method is trained on next."""

from robots.registry import Registry

DEFAULT = "uniform"

TASK_SAMPLERS = Registry(
    "task sampler",
    "pliant.samplers",
    {
        "uniform": "sim.task_samplers.uniform:UniformTasks",
        "widening": "sim.task_samplers.widening:WideningRanges",
        "hard": "sim.task_samplers.hard:HardTasks",
    },
)
