"""How fast plans are made: against mbrl-lib's planners and plain PyTorch.

Every planner searches with the same settings (candidates, iterations, horizon, elites) through
ensembles of the same size, one particle of each candidate for each member, with the same reward, on
one core. mbrl-lib (Pineda et al. 2021) is used as it is: its ``ICEMOptimizer`` or ``CEMOptimizer``
over its ``ModelEnv``. The plain one is the same search as most scripts write it: a loop over steps
that normalizes, concatenates, predicts and rewards. Peers plan for one world after the other, ours
for all at once. All take turns in one run; ratios are of medians. Unit: plans per second.

Without a network mbrl-lib's rows are left out. The share of the ceiling is that of the products of
a search, at the speed of a large product on the same core.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from peers import Row, arguments, ceiling, compare, show, timed
from planner_peers import ACTION, CONFIG, OBS, make_problem, mbrl, mbrl_installed, plain

from policies.methods.context_mpc import ContextMPC
from policies.planning.icem import IcemConfig

CPU = torch.device("cpu")
SEARCHES = {
    "iCEM": CONFIG.planner,
    "CEM": replace(
        CONFIG.planner,
        noise_beta=0.0,
        num_kept_elites=1,
        num_samples=200,
        num_elites=20,
        iterations=5,
        cold_iterations=5,
    ),
}


def ours(
    search: IcemConfig,
    n: int,
    device: torch.device = CPU,
    bfloat16: bool = True,
) -> Callable[[], Any]:
    dynamics = replace(CONFIG.dynamics, bfloat16_rollouts=bfloat16)
    config = replace(CONFIG, planner=search, dynamics=dynamics)
    method = ContextMPC(make_problem(search.horizon), config, 0, device)
    belief = method.prior(n)
    obs = torch.rand(n, OBS, device=device)
    start = method.controller.planner.initial_plan(n)
    return partial(method._search, obs, belief, start, search.iterations)


PLANNERS = {
    "mbrl-lib": mbrl,
    "plain PyTorch": plain,
    "ours in float32": partial(ours, bfloat16=False),
    "ours": ours,
}


def operations(search: IcemConfig) -> int:
    """Floating-point operations of the products of a search of one world."""
    c = CONFIG.dynamics
    sizes = [OBS + ACTION + c.latent_dim, *c.hidden, OBS]
    products = [inputs * outputs for inputs, outputs in itertools.pairwise(sizes)]
    row = 2 * sum(products)
    populations = [search.population(i) for i in range(search.iterations)]
    predictions = c.ensemble_size * search.horizon * sum(populations)
    return row * predictions


def measure(name: str, n: int, repeats: int) -> list[Row]:
    runs = {}
    for peer, build in PLANNERS.items():
        if peer != "mbrl-lib" or mbrl_installed():
            runs[peer] = partial(timed, build(SEARCHES[name], n))
    worlds = "1 world" if n == 1 else f"{n} worlds"
    return compare(lambda peer: f"{name} over {peer}, {worlds}", "plans/s", n, runs, repeats)


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--worlds", nargs="+", type=int, default=[1, 64])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    for name in SEARCHES:
        for n in asked.worlds:
            rows += measure(name, n, asked.repeats)
    show(rows, asked.json)
    if not asked.json:
        show_ceiling(rows)


def show_ceiling(rows: list[Row]) -> None:
    """Print how fast each planner multiplies, and how fast the core can."""
    speeds = {}
    for row in rows:
        search, _, peer = row["name"].partition(" over ")
        flops = operations(SEARCHES[search])
        speeds[f"{search}, ours"] = row["ours"] * flops
        speeds[f"{search}, {peer}"] = row["peer"] * flops
    for dtype in (torch.float32, torch.bfloat16):
        speeds[f"a large product in {dtype}"] = ceiling(dtype)
    for name, speed in speeds.items():
        print(f"{speed / 1e9:4.0f} GFLOP/s  {name}")


if __name__ == "__main__":
    main()
