"""The experience of a training's iteration, without a trainer."""

from typing import Any

from adaptation.jobs.collection import collect_each
from adaptation.jobs.training_tasks import draw_tasks
from adaptation.random_policy import concat_trials
from policies.method import Method, TrialBatch
from sim.task_samplers.uniform import UniformTasks
from sim.vec_world import VecWorld


def collect(world: VecWorld, method: Method[Any], seed: int, iteration: int) -> TrialBatch:
    """What a method collects in an iteration, in tasks as the family declares them."""
    tasks = draw_tasks(UniformTasks(world.family), method, seed, iteration, world.n)
    return concat_trials(collect_each(world, method, seed, iteration, tasks))
