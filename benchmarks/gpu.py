"""What a GPU gives: gradient steps, belief updates, plans, and a training against the clock.

Every part runs on the CPU and on the device, and names the device. A part that fails prints why and
the others go on. The training learns on the device with one CUDA graph per gradient step, while
worlds and acting stay on the CPU: ``HalfCheetah-Vel`` (``cheetah_vel``), held-out tasks, third
episode. Evaluation is not part of the training's time.

Run all: ``python benchmarks/gpu.py``; without a GPU, small: ``--device cpu --seconds 5``.
"""

import argparse
import json
import platform
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from pearl_step import TASKS, experience
from pearl_step import problem as step_problem
from planner import SEARCHES
from planner import ours as planner

import policies.nn.repeat
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from policies.belief import to_device
from policies.method import TrialBatch
from policies.methods.oracle import Oracle
from policies.methods.pearl import Pearl, PearlConfig
from policies.nn.repeat import repeat
from policies.nn.state import SavedState
from policies.presets import load_preset
from policies.rl.sac import SacConfig
from policies.settings import configure
from robots.world import Task
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.vec_world import VecWorld

CPU = torch.device("cpu")
EVALUATION_TASKS = 100
STEPS = 200  # gradient steps of a measurement


@dataclass(frozen=True)
class Training:
    """Settings of the timed training, for a GPU: larger batches than one core learns from."""

    worlds: int = 64  # tasks of an iteration
    episodes: int = 2  # of a task
    gradient_steps: int = 800  # of an iteration
    meta_batch: int = 64  # tasks of a gradient step
    batch_per_task: int = 16  # transitions of each
    hidden: tuple[int, ...] = (256, 256)


SMALL = Training(worlds=8, gradient_steps=4, meta_batch=8, hidden=(32, 32))


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """Median seconds of a call, after one to warm up."""
    seconds = []
    for _ in range(1 + repeats):
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def report(name: str, device: torch.device, value: float, unit: str) -> None:
    row = {"name": name, "device": device_name(device), "value": round(value, 3), "unit": unit}
    print(json.dumps(row), flush=True)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} thread(s) of {platform.processor() or 'x86-64'}"


def make_pearl(device: torch.device) -> Pearl:
    """PEARL at its preset's size for ``slide``, with random experience."""
    family = step_problem()
    config = configure(PearlConfig, family, load_preset("pearl", family.family), {})
    method = Pearl(family, config, 0, device)
    method.replay.add(to_device(experience(TASKS), device))
    return method


def make_oracle(device: torch.device) -> Oracle:
    family = step_problem()
    config = configure(SacConfig, family, load_preset("oracle", family.family), {})
    method = Oracle(family, config, 0, device)
    method.learner.replay.add(to_device(experience(TASKS), device))
    return method


def measure_steps(device: torch.device) -> None:
    pearl = make_pearl(device)
    learner = make_oracle(device).learner
    for name, part in (("PEARL", pearl), ("SAC", learner)):
        seconds = seconds_of(part.step, device, repeats=20)
        report(f"{name} gradient step", device, 1e3 * seconds, "ms")
        many = partial(repeat, part.step, STEPS, part.generator)
        attempt(f"{name} {STEPS} steps", partial(measure_repeated, name, many, device))


def measure_repeated(name: str, many: Callable[[], object], device: torch.device) -> None:
    """Steps taken by ``repeat``: on a GPU as one CUDA graph."""
    seconds = seconds_of(many, device, repeats=3) / STEPS
    report(f"{name} gradient step, {STEPS} repeated", device, 1e3 * seconds, "ms")


def measure_beliefs(device: torch.device) -> None:
    pearl = make_pearl(device)
    for n in (64, 1024, 16384):
        tick = to_device(experience(n).ticks[0, 0], device)
        belief = pearl.prior(n)
        update = partial(pearl.observe, belief, tick)
        seconds = seconds_of(update, device)
        per_second = n / seconds
        report(f"belief updates, {n} worlds", device, per_second / 1e6, "M/s")


def measure_planner(device: torch.device) -> None:
    for name, search in SEARCHES.items():
        for n in (1, 64):
            plan = planner(search, n, device)
            per_second = n / seconds_of(plan, device)
            report(f"{name}, {n} worlds", device, per_second, "plans/s")


def weights_of(method: Any) -> SavedState:
    """What holds a method's weights: itself, or the learner of a reference."""
    return method if isinstance(method, SavedState) else method.learner


def training_settings(name: str, training: Training) -> dict[str, Any]:
    sac = {
        "hidden": training.hidden,
        "meta_batch": training.meta_batch,
        "batch_per_task": training.batch_per_task,
        "gradient_steps": training.gradient_steps,
    }
    if name != "pearl":
        return sac
    return {f"sac.{key}": value for key, value in sac.items()}


def train(
    name: str,
    device: torch.device,
    seconds: float,
    training: Training,
    threads: int | None,
) -> None:
    """Train for some seconds of wall time; evaluate at a quarter, a half and the end of them."""
    family = FAMILIES["cheetah_vel"]()
    settings = training_settings(name, training)
    config = checkpoint.method_config(name, family, "cpu", settings)
    actor = checkpoint.build(name, family, 0, config)
    learner = checkpoint.build(name, family, 0, config, device)
    weights_of(actor).copy_weights_from(weights_of(learner))
    world = VecWorld(family, MujocoEngine(threads), training.worlds)
    rng = np.random.default_rng(0)
    marks = [seconds / 4, seconds / 2, seconds]
    spent = 0.0
    physics = 0.0
    iteration = 0
    env_steps = 0
    while marks:
        began = time.perf_counter()
        task = training_tasks(family, rng, training.worlds, actor.privileged)
        trial = rollout(world, actor, task, training.episodes)
        env_steps += int(trial.ticks.valid.sum())
        physics += time.perf_counter() - began
        learner.learn(to_device(trial, device))
        weights_of(actor).copy_weights_from(weights_of(learner))
        synchronize(device)
        spent += time.perf_counter() - began
        iteration += 1
        returns = trial.returns.mean(1).tolist()
        rounded = [round(value, 1) for value in returns]
        times = f"{spent:.1f} s ({physics:.1f} s acting)"
        print(
            f"# {name} iteration {iteration}, {times}, {env_steps} steps, returns {rounded}",
            flush=True,
        )
        if spent >= marks[0]:
            marks.pop(0)
            value = evaluate(actor, threads)
            gradient_steps = iteration * training.gradient_steps
            title = f"{name} on cheetah_vel, held out, last episode"
            after = f"after {spent:.1f} s, {gradient_steps} gradient steps, {env_steps} steps"
            report(f"{title}, {after}", device, value, "return")


def train_anyhow(*arguments: Any) -> None:
    """Train; without CUDA graphs where they fail."""
    try:
        train(*arguments)
    except RuntimeError:
        print(f"# without CUDA graphs, because:\n{traceback.format_exc()}", flush=True)
        policies.nn.repeat.WARM_UP_STEPS = sys.maxsize
        train(*arguments)


def training_tasks(family: Any, rng: np.random.Generator, n: int, privileged: bool) -> Task:
    """Tasks of the training split; a privileged method learns every second one from the other."""
    tasks = family.sample(rng, n)
    if not privileged:
        return tasks
    other = family.sample(rng, n, "heldout")
    is_odd = np.arange(n) % 2 == 1
    values = np.where(is_odd[:, None], other.values, tasks.values)
    return replace(tasks, values=values)


def evaluate(method: Any, threads: int | None) -> float:
    """Mean return of the last of three episodes on held-out tasks, without exploration at last."""
    family = FAMILIES["cheetah_vel"]()
    world = VecWorld(family, MujocoEngine(threads), EVALUATION_TASKS, seed=1)
    task = family.sample(np.random.default_rng(1), EVALUATION_TASKS, "heldout")
    explores = [False] * 3 if method.privileged else [True, True, False]
    trial: TrialBatch = rollout(world, method, task, 3, explores)
    return float(trial.returns[-1].mean())


def attempt(title: str, part: Callable[[], None]) -> None:
    """Run a part; print why it failed, if it does."""
    began = time.perf_counter()
    try:
        part()
    except Exception:
        print(f"# {title} failed:\n{traceback.format_exc()}", flush=True)
    seconds = time.perf_counter() - began
    print(f"# {title}: {seconds:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training")
    parser.add_argument("--threads", type=int, help="of the physics; default: all cores")
    parser.add_argument("--small", action="store_true", help="a training that only shows it runs")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("# no GPU: nothing is measured", flush=True)
        return
    torch.set_num_threads(1)
    training = SMALL if asked.small else Training()
    attempt(f"gradient steps on {device}", partial(measure_steps, device))
    for name in ("pearl", "oracle"):
        part = partial(train_anyhow, name, device, asked.seconds, training, asked.threads)
        attempt(f"training of {name}", part)
    attempt(f"belief updates on {device}", partial(measure_beliefs, device))
    attempt(f"planner on {device}", partial(measure_planner, device))
    if device != CPU:
        attempt("gradient steps on the CPU", partial(measure_steps, CPU))
        attempt("belief updates on the CPU", partial(measure_beliefs, CPU))
        attempt("planner on the CPU", partial(measure_planner, CPU))


if __name__ == "__main__":
    main()
