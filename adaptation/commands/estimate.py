"""How long a training will take, for a method that has no preset for a family."""

import time
from contextlib import closing

import numpy as np
import torch

from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from policies.config import MethodConfig
from policies.presets import load_preset
from policies.settings import estimate
from sim.vec_world import VecWorld

MEASURED_TICKS = 5  # control periods of all worlds, with the method acting

# One gradient step on one core of a server of 2025 with the networks of the cpu presets: soft
# actor-critic 8 ms, PEARL 12 ms, context MPC 14 ms.
GRADIENT_STEP_SECONDS = 0.01


def describe_untuned(run: Run) -> str | None:
    """Say that a method has no preset for its family, and what its training takes.

    Returns:
        One line; None where there is a preset.
    """
    config = run.config
    if load_preset(config.method, config.family, config.preset) is not None:
        return None
    steps, gradient_steps, minutes = estimate_training(run)
    return (
        f"{config.method} has no {config.preset} preset for {config.family}: its settings follow"
        f" from the family's shapes and horizon. Training will take about {steps:,} environment"
        f" steps, {gradient_steps:,} gradient steps and {minutes:.0f} minutes on one core."
    )


def estimate_training(run: Run) -> tuple[int, int, float]:
    """Environment steps, gradient steps and minutes of the training that a run asks for.

    The time of acting is measured for a few ticks; a gradient step is taken to last
    ``GRADIENT_STEP_SECONDS``.
    """
    asked = run.config
    config = checkpoint.method_config(asked.method, asked.family, asked.preset, asked.settings)
    full_steps, full_gradient_steps = estimate(config, checkpoint.problem_of(run.family))
    bounds = {
        "steps": (asked.steps, full_steps),
        "gradient steps": (asked.gradient_steps, full_gradient_steps),
        "iterations": (asked.iterations, config.schedule.iterations),
    }
    shares = [bound / full for bound, full in bounds.values() if bound is not None and full > 0]
    share = min(shares, default=1.0)
    step_seconds = _measure_step_seconds(run, config)
    acting = share * full_steps * step_seconds
    learning = share * full_gradient_steps * GRADIENT_STEP_SECONDS
    minutes = (acting + learning) / 60
    if asked.minutes is not None and asked.minutes < minutes:
        share *= asked.minutes / minutes
        minutes = asked.minutes
    return round(share * full_steps), round(share * full_gradient_steps), minutes


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
            action = method.act(torch.from_numpy(obs).float(), belief, explore=True)
            obs = world.step(action.double().numpy()).obs
        elapsed = time.monotonic() - started
    return elapsed / (MEASURED_TICKS * worlds)
