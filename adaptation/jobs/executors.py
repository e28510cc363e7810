"""The executors by name: what a suite's cells are trained on.

An executor is built as ``kind(workers, address)`` and is a context manager; see ``Executor``.
``kind.check(address)`` refuses, before anything slow, what building it would refuse.
"""

from robots.registry import Registry

EXECUTORS = Registry(
    "executor",
    "pliant.executors",
    {
        "processes": "adaptation.jobs.executor:ProcessExecutor",
        "ray": "adaptation.jobs.ray_executor:RayExecutor",
    },
)
