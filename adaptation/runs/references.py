"""The settings of a run's references: the method's budget in about as many iterations."""

from math import ceil
from typing import Any

from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from policies.config import MethodConfig, iteration_steps
from policies.rl.sac import SacConfig
from robots.world import Family


def reference_settings(
    method: str, family: Family, preset: str, settings: dict[str, Any], reference: str
) -> dict[str, Any]:
    """Changes to a reference's config, so that it can spend the method's budget.

    A reference keeps its own preset, with two exceptions. If an iteration of the method has k times
    the environment steps of the reference's, the reference acts in k times as many tasks, and in
    1/k of the random trials. If it would take fewer gradient steps per environment step than the
    method, it takes as many.

    Args:
        method: name of the method.
        family: that both are to learn.
        preset: of both.
        settings: changes to the method's config.
        reference: name of the reference.
    """
    config = checkpoint.method_config(method, family, preset, settings)
    own = checkpoint.method_config(reference, family, preset, {})
    if not isinstance(config, MethodConfig) or not isinstance(own, SacConfig):
        return {}  # a method of another package that does not say what an iteration takes
    problem = problem_of(family)
    steps = iteration_steps(problem, config.schedule)
    own_steps = iteration_steps(problem, own.schedule)
    factor = max(1, steps // own_steps)
    steps_ratio = factor * own_steps / steps
    gradient_steps = ceil(config.optimizer_steps * steps_ratio)
    return {
        "schedule.meta_batch": factor * own.schedule.meta_batch,
        "schedule.random_trials": ceil(own.schedule.random_trials / factor),
        "buffer_tasks": factor * own.buffer_tasks,
        "gradient_steps": max(own.gradient_steps, gradient_steps),
    }
