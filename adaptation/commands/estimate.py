"""How long a training will take, for a method that has no preset for a family."""

import os
import time
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch

from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.config import MethodConfig
from policies.presets import load_preset
from policies.settings import estimate
from robots.counting import counted
from sim.vec_world import VecWorld

MEASURED_TICKS = 5  # control periods of all worlds, with the method acting

# One gradient step on one core of a server of 2025 with the networks of the cpu presets: soft
# actor-critic 8 ms, PEARL 12 ms, context MPC 14 ms.
GRADIENT_STEP_SECONDS = 0.01


class Estimate(NamedTuple):
    """What a training takes."""

    steps: int  # environment steps, over all worlds
    gradient_steps: int
    minutes: float  # wall time on one core


def describe_untuned(run: Run) -> str | None:
    """Say that a method has no preset for its family, and what its training takes.

    Returns:
        A few sentences; None if it has a preset.
    """
    c = run.config
    if load_preset(c.method, run.family.name, c.preset) is not None:
        return None
    notice = (
        f"{c.method} has no {c.preset} preset for {c.family}: its settings follow from the family's"
        " shapes and horizon."
    )
    config = checkpoint.method_config(c.method, run.family, c.preset, c.settings)
    if not isinstance(config, MethodConfig):
        return notice  # a method of another package that does not report its gradient steps
    length = estimate_training(run, config)
    return (
        f"{notice} Training will take about {length.steps:,} environment steps,"
        f" {counted(length.gradient_steps, 'gradient step')} and"
        f" {describe_minutes(length.minutes)} on one core."
    )


def describe_plan(run: Run) -> str:
    """What a training will do: its bound, who else is trained, and how the cores are used."""
    c = run.config
    references = " and ".join(run.roles[1:])
    cores = len(os.sched_getaffinity(0))
    end = "as its schedule says"
    if c.minutes is not None:
        bound = describe_minutes(c.minutes) if c.minutes >= 1 else f"{60 * c.minutes:.0f} s"
        end = f"for at most {bound}"
    elif (c.iterations, c.steps, c.gradient_steps) != (None, None, None):
        end = "to the bound that is given"
    plan = f"trains {c.method} {end}"
    if references:
        plan += f"; {references} beside it, with at least its steps"
        if c.minutes is not None:
            plan += ", in the same time"
    if cores < len(run.roles):
        plan += f"; {counted(len(run.roles), 'training')} share {counted(cores, 'core')}"
    return f"{plan}."


def describe_minutes(minutes: float) -> str:
    """A duration as a person says it."""
    if minutes < 1:
        return "less than a minute"
    return f"{minutes:.1f} minutes" if minutes < 10 else f"{minutes:.0f} minutes"


def estimate_training(run: Run, config: MethodConfig) -> Estimate:
    """What the training of a run's method takes, references not counted.

    The time of acting is measured for a few ticks; a gradient step is taken to last
    ``GRADIENT_STEP_SECONDS``.
    """
    steps, gradient_steps = estimate(config, problem_of(run.family))
    share = _bounded_share(run.config, steps, gradient_steps, config.schedule.iterations)
    acting = share * steps * _measure_step_seconds(run, config)
    learning = share * gradient_steps * GRADIENT_STEP_SECONDS
    minutes = (acting + learning) / 60
    bound = run.config.minutes
    if bound is not None and bound < minutes:
        share *= bound / minutes
        minutes = bound
    return Estimate(round(share * steps), round(share * gradient_steps), minutes)


def _bounded_share(bounds: RunConfig, steps: int, gradient_steps: int, iterations: int) -> float:
    """The share of the method's full training after which the first bound is reached."""
    shares = []
    if bounds.steps is not None:
        shares.append(bounds.steps / steps)
    if bounds.gradient_steps is not None and gradient_steps > 0:
        shares.append(bounds.gradient_steps / gradient_steps)
    if bounds.iterations is not None:
        shares.append(bounds.iterations / iterations)
    return min(shares, default=1.0)


@torch.no_grad()
def _measure_step_seconds(run: Run, config: MethodConfig) -> float:
    """Wall time of one environment step, s, while the untrained method acts in all worlds."""
    torch.set_num_threads(1)  # as training does
    worlds = config.schedule.meta_batch
    method = checkpoint.build(run.config.method, run.family, run.config.seed, config)
    task = run.family.sample(np.random.default_rng(0), worlds)
    truth = torch.from_numpy(task.values).float()
    with closing(VecWorld(run.family, run.config.engine, worlds, seed=0)) as world:
        obs = world.reset(task)
        belief = method.prior(worlds, truth if method.privileged else None)
        started = time.monotonic()
        for _ in range(MEASURED_TICKS):
            observed = torch.from_numpy(obs).float()
            action = method.act(observed, belief, explore=True)
            obs = world.step(action.double().numpy()).obs
        elapsed = time.monotonic() - started
    return elapsed / (MEASURED_TICKS * worlds)
