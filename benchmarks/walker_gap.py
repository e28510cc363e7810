"""The value of knowing a walker's task: plans made with the true task, or for tasks in general.

Nothing is learned here. iCEM plans on MuJoCo itself, from the true state of the world. Both
controllers search for as many plans, with the same noise, in the same tasks from the same starts:

- oracle: a plan's return is what the simulation with the true task gives;
- blind: it is the mean over hypotheses, tasks drawn from the training split anew for each search.
  Blind therefore simulates each plan once per hypothesis. What the family observes, such as a
  commanded velocity, is true in every hypothesis.

An action is held for several decisions, and the next search begins at their end, from the rest of
the last plan. A plan looks beyond the last step of an episode.

    python benchmarks/walker_gap.py --families cheetah_vel ant_goal --tasks 16 --steps 100

Axes: n tasks, K hypotheses, P plans, H planned actions, a actions, o observation, p parameters.
"""

import argparse
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from torch import Tensor

from policies.nn.state import make_generator
from policies.planning.icem import Icem, IcemConfig, shift_plan
from robots.signals import Array, Mask, Verdict
from robots.world import Family, Step, Task
from sim.engines.mujoco import MujocoEngine
from sim.families import make_family
from sim.families.splits import SPLITS
from sim.vec_world import VecWorld

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Search:
    """How plans of a body are searched for."""

    hold: int  # decisions for which an action is held
    actions: int  # H
    plans: int  # P of each iteration
    hypotheses: int  # K of blind
    iterations: int = 1
    cold_iterations: int = 4
    init_std: float = 0.5
    noise_beta: float = 1.0

    @property
    def icem(self) -> IcemConfig:
        """The planner's settings; the best eighth of the plans are elites."""
        elites = max(2, self.plans // 8)
        return IcemConfig(
            horizon=self.actions,
            num_samples=self.plans,
            iterations=self.iterations,
            cold_iterations=self.cold_iterations,
            num_elites=elites,
            num_kept_elites=max(1, elites // 2),
            init_std=self.init_std,
            noise_beta=self.noise_beta,
        )


# Small searches with which each body moves well if its task is known.
PLANAR = Search(hold=2, actions=8, plans=16, hypotheses=6)  # 0.8 s ahead
ANT = Search(hold=2, actions=8, plans=24, hypotheses=16)  # 0.8 s
HOPPING = Search(hold=3, actions=12, plans=24, hypotheses=4)  # 0.58 s
SEARCHES = {
    "cheetah_fwd_back": replace(PLANAR, hypotheses=2),
    "cheetah_vel": replace(PLANAR, hypotheses=16),
    "cheetah_params": PLANAR,
    "cheetah_slope": PLANAR,
    "cheetah_pier": PLANAR,
    "hopper_params": HOPPING,
    "walker_params": HOPPING,
    "ant_fwd_back": replace(ANT, hypotheses=2),
    "ant_goal": ANT,
    "ant_cripple": replace(ANT, hypotheses=3),
    "humanoid_dir": Search(hold=3, actions=10, plans=24, hypotheses=16, init_std=0.3),  # 0.45 s
    "quadruped_vel": Search(hold=4, actions=8, plans=24, hypotheses=4),  # 0.64 s
    "go1_vel": Search(hold=2, actions=12, plans=24, hypotheses=4, init_std=0.3),  # 0.48 s
}


class PlanSimulator:
    """Simulates plans from the states that a world is in."""

    def __init__(self, world: VecWorld, hypotheses: int, plans: int) -> None:
        """For each of the world's n tasks, ``plans`` plans under ``hypotheses`` hypotheses.

        Where only the reward is hidden, one simulation serves all hypotheses.
        """
        self.world = world
        self.family = world.family
        simulated = 1 if self.family.hidden_reward else hypotheses
        self.shape = (world.n, simulated, plans)
        self.worlds = np.repeat(np.arange(world.n), simulated * plans)
        self.simulations = VecWorld(self.family, n=len(self.worlds))

    def returns(self, obs: Array, hypotheses: Array, plans: Array) -> Array:
        """Mean returns (n, P) over the hypotheses.

        Args:
            obs: (n, o) what the world's state is observed as.
            hypotheses: (n, K, p) task parameters.
            plans: (n, P, steps, a) actions, one for each decision.
        """
        self._begin(hypotheses)
        before = obs[:, None, None]
        tasks = hypotheses[:, :, None]
        alive = np.ones(self.shape, dtype=bool)
        total = np.zeros((1, 1, 1))
        for k in range(plans.shape[2]):
            action = plans[:, None, :, k]
            step = self.simulations.step(self._to_rows(action))
            after = self._to_grid(step.obs)
            applied = self._to_grid(step.applied)
            reward = self.family.reward(before, applied, after, tasks)  # (n, K, P)
            total = total + np.where(alive, reward, 0.0)
            alive &= self._to_grid(goes_on(step))
            before = after
        return np.asarray(total.mean(1))

    def _begin(self, hypotheses: Array) -> None:
        """Put every simulation into its world's state, with the physics of its hypothesis."""
        physics = hypotheses[:, : self.shape[1], None]
        rows = self._to_rows(physics)
        task = Task(self.family.task_names, rows, np.arange(len(rows)))
        self.simulations.reset(task)
        copy_state(self.world, self.simulations, self.worlds)

    def _to_rows(self, grid: Array) -> Array:
        """An array that broadcasts to (n, K, P, x) as one row per simulation."""
        width = grid.shape[-1]
        whole = np.broadcast_to(grid, (*self.shape, width))
        return whole.reshape(-1, width)

    def _to_grid(self, rows: Array) -> Array:
        """One row per simulation as (n, K, P, ...)."""
        return rows.reshape(*self.shape, *rows.shape[1:])


def copy_state(source: VecWorld, target: VecWorld, worlds: NDArray[np.int64]) -> None:
    """Put the target's worlds into the state of the source's ``worlds``, one for each."""
    from_batch = cast(MujocoEngine, source.engine).batch
    to_batch = cast(MujocoEngine, target.engine).batch
    to_batch.state[:] = from_batch.state[worlds]
    target.gate.reset(source.gate.setpoint.q[worlds])


def goes_on(step: Step) -> Mask:
    """Worlds that have neither ended nor broken down, (n,)."""
    broken = step.verdict & Verdict.DIVERGED
    return np.asarray(~step.terminated & (broken == 0))


class Planner:
    """Plans for n tasks; each search starts from the rest of the last plan."""

    def __init__(self, world: VecWorld, task: Task, search: Search, knows: bool, seed: int) -> None:
        """A planner that has no plan yet.

        Args:
            world: whose state plans start from.
            task: the n true tasks.
            search: how plans are searched for.
            knows: whether plans are made for the true tasks.
            seed: of the noise and of the hypotheses.
        """
        self.family = world.family
        self.true = task.columns(*self.family.task_names)[:, None]  # (n, 1, p)
        self.count = 1 if knows else search.hypotheses
        self.knows = knows
        self.search = search
        self.rng = np.random.default_rng(seed)
        self.simulator = PlanSimulator(world, self.count, search.plans)
        generator = make_generator(seed, CPU)
        self.icem = Icem(search.icem, len(self.family.action.spec), generator, CPU)
        self.plan = self.icem.initial_plan(len(task))
        self.iterations = search.cold_iterations

    def action(self, obs: Array) -> Array:
        """The actions (n, a) to hold next, from a search at observations (n, o)."""
        score = partial(self._score, obs, self.hypotheses())
        found = self.icem.search(self.plan, score, self.iterations)
        self.plan = shift_plan(found)
        self.iterations = self.search.iterations
        return found.action.double().numpy()

    def hypotheses(self) -> Array:
        """The true tasks, or K new draws for all; (n, 1, p) or (n, K, p)."""
        if self.knows:
            return self.true
        drawn = self.family.sample(self.rng, self.count).values
        is_observed = np.char.startswith(self.family.task_names, "marker.")
        return np.where(is_observed, self.true, drawn)

    def _score(self, obs: Array, hypotheses: Array, plans: Tensor) -> Tensor:
        """Mean returns (n, P) of plans (n, P, H, a)."""
        held = plans.repeat_interleave(self.search.hold, 2)
        returns = self.simulator.returns(obs, hypotheses, held.double().numpy())
        return torch.from_numpy(returns)


def drive(
    family: Family, search: Search, task: Task, steps: int, *, knows: bool, seed: int = 0
) -> tuple[Array, Mask]:
    """Plan an episode of n tasks.

    Args:
        family: with a body that MuJoCo simulates.
        search: how plans are searched for.
        task: n tasks.
        steps: decisions of the episode, at most.
        knows: whether plans are made for the true tasks.
        seed: of the starts, the planner's noise and the hypotheses.

    Returns:
        Return (n,), and success (n,) at the last instant.
    """
    world = VecWorld(family, n=len(task), seed=seed)
    obs = world.reset(task)
    planner = Planner(world, task, search, knows, seed)
    total = np.zeros(len(task))
    alive = np.ones(len(task), dtype=bool)
    for tick in range(steps):
        if tick % search.hold == 0:
            action = planner.action(obs)
        step = world.step(action)
        total += np.where(alive, step.reward, 0.0)
        success = alive & step.success
        alive &= goes_on(step)
        obs = step.obs
    return total, success


def interval(values: Array) -> str:
    """Mean of n values with Student's 95 % interval."""
    mean = values.mean()
    error = values.std(ddof=1) / np.sqrt(len(values))
    half = student.ppf(0.975, len(values) - 1) * error
    return f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"


def main() -> None:
    """Print returns and success of both controllers, and the difference of their returns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=SEARCHES, default=list(SEARCHES))
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=60, help="decisions of an episode")
    parser.add_argument("--split", choices=SPLITS, default="heldout")
    options = parser.parse_args()
    if options.tasks < 2:
        parser.error("an interval needs 2 tasks")
    torch.set_num_threads(1)
    names = ("family", "blind", "oracle", "oracle - blind", "success, blind", "oracle", "CPU s")
    table = Table(*names, title="returns with 95 % intervals")
    for name in options.families:
        began = time.process_time()
        family = make_family(name)
        task = family.sample(np.random.default_rng(0), options.tasks, options.split)
        blind, blind_success = drive(family, SEARCHES[name], task, options.steps, knows=False)
        oracle, oracle_success = drive(family, SEARCHES[name], task, options.steps, knows=True)
        returns = [interval(values) for values in (blind, oracle, oracle - blind)]
        success = [f"{100 * rows.mean():.0f} %" for rows in (blind_success, oracle_success)]
        seconds = time.process_time() - began
        table.add_row(name, *returns, *success, f"{seconds:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
