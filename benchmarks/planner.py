"""How fast plans are made: against mbrl-lib's planners and plain PyTorch.

Every planner searches with the same settings (candidates, iterations, horizon, elites) through
ensembles of the same size, one particle of each candidate for each member, with the same reward, on
one core. mbrl-lib (Pineda et al. 2021) is used as it is: its ``ICEMOptimizer`` or ``CEMOptimizer``
over its ``ModelEnv``. The plain one is the same search as most scripts write it: a loop over steps
that normalizes, concatenates, predicts and rewards. Peers plan for one world after the other, ours
for all at once. All take turns in one run; ratios are of medians. Unit: plans per second.

mbrl-lib asks for a Gymnasium of 2022; it is installed without its dependencies into a folder of its
own, once. Without a network its rows are left out. The share of the ceiling is that of the products
of a search, at the speed of a large product on the same core.
"""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import Row, arguments, ceiling, compare, show, timed
from torch import Tensor, nn

from policies.method import Problem
from policies.methods.context_mpc import ContextMPC, ContextMpcConfig
from policies.planning.icem import IcemConfig
from policies.presets import load_preset
from policies.settings import configure
from robots.signals import ArrayLike

OBS, ACTION = 13, 2  # an object, its target, and the tool that pushes it
CPU = torch.device("cpu")
MBRL = (
    "mbrl==0.2.0",
    "hydra-core==1.3.*",
    "omegaconf==2.3.*",
    "antlr4-python3-runtime==4.9.*",
    "termcolor",
    "pyyaml",
)


def reward(
    obs: ArrayLike,
    applied: ArrayLike,
    next_obs: ArrayLike,
    task: ArrayLike,
) -> ArrayLike:
    """Minus the distance between two pairs of columns."""
    difference = next_obs[..., 4:6] - next_obs[..., 11:13]
    return -((difference**2).sum(-1) ** 0.5)


def make_problem(horizon: int) -> Problem:
    return Problem(
        family="push",
        obs_names=tuple(f"o{i}" for i in range(OBS)),
        obs_low=(-1.0,) * OBS,
        obs_high=(1.0,) * OBS,
        action_names=("x", "y"),
        horizon=horizon,
        episodes=3,
        task_names=("hidden",),
        task_low=(0.0,),
        task_high=(1.0,),
        reward=reward,
    )


CONFIG = configure(ContextMpcConfig, make_problem(20), load_preset("context_mpc", "slide"), {})
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


@cache
def mbrl_installed() -> bool:
    """Whether mbrl-lib can be imported; it is installed beside the temporary files at first use."""
    folder = Path(tempfile.gettempdir()) / "pliant-mbrl-0.2.0"
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "site"
            done = subprocess.run([*command, str(made), *MBRL], capture_output=True, text=True)
            if done.returncode != 0:
                reason = done.stderr.strip().splitlines()[-1:]
                print(f"mbrl-lib is left out, for it cannot be installed: {reason}")
                return False
            made.rename(folder)
    sys.path.append(str(folder))
    return True


def mbrl_environment(search: IcemConfig) -> Any:
    """mbrl-lib's ensemble as an environment; the latent is a part of the observation."""
    import gymnasium
    from mbrl.models import GaussianMLP, ModelEnv, OneDTransitionRewardModel

    c = CONFIG.dynamics
    size = OBS + c.latent_dim
    net = GaussianMLP(
        size + ACTION,
        size,
        "cpu",
        len(c.hidden),
        c.ensemble_size,
        c.hidden[0],
        True,
        propagation_method="fixed_model",
    )

    class Env:
        observation_space = gymnasium.spaces.Box(-1, 1, (size,))
        action_space = gymnasium.spaces.Box(-1, 1, (ACTION,))

    def never(action: Tensor, next_obs: Tensor) -> Tensor:
        return torch.zeros(len(next_obs), 1, dtype=torch.bool)

    def column(action: Tensor, next_obs: Tensor) -> Any:
        return reward(None, action, next_obs, None)[:, None]

    model = OneDTransitionRewardModel(net, normalize=True, learned_rewards=False)
    return ModelEnv(
        Env(),
        model,
        termination_fn=never,
        reward_fn=column,
        generator=torch.Generator(),
    )


def mbrl_optimizer(search: IcemConfig) -> Any:
    from mbrl.planning import CEMOptimizer, ICEMOptimizer

    ends = np.ones((search.horizon, ACTION))
    elite_ratio = search.num_elites / search.num_samples
    shared = {
        "lower_bound": (-ends).tolist(),
        "upper_bound": ends.tolist(),
        "alpha": 0.1,
        "device": torch.device("cpu"),
    }
    if search.noise_beta == 0:
        return CEMOptimizer(search.iterations, elite_ratio, search.num_samples, **shared)
    return ICEMOptimizer(
        search.iterations,
        elite_ratio,
        search.num_samples,
        1.0,  # no decay of the population
        search.noise_beta,
        keep_elite_frac=search.num_kept_elites / search.num_elites,
        **shared,
    )


def mbrl(search: IcemConfig, n: int) -> Callable[[], Any]:
    env = mbrl_environment(search)
    optimizer = mbrl_optimizer(search)
    particles = CONFIG.dynamics.ensemble_size
    rng = np.random.default_rng(0)
    obs = rng.uniform(size=(n, OBS + CONFIG.dynamics.latent_dim))
    start = torch.zeros(search.horizon, ACTION)

    def run() -> None:
        for world in obs:

            def value(candidates: Tensor, world: np.ndarray = world) -> Tensor:
                return env.evaluate_action_sequences(candidates, world, particles)

            optimizer.optimize(value, x0=start)

    return run


class PlainEnsemble(nn.Module):
    """An ensemble as a stack of layers that normalizes as it goes."""

    def __init__(self, members: int, inputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for i, k in itertools.pairwise([inputs, *hidden, OBS]):
            self.weights.append(torch.randn(members, i, k) / i**0.5)
            self.biases.append(torch.zeros(members, 1, k))
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        last = len(self.weights) - 1
        for layer, weight in enumerate(self.weights):
            x = x @ weight + self.biases[layer]
            if layer < last:
                x = torch.relu(x)
        return x


def plain_noise(search: IcemConfig) -> Tensor:
    """Colored noise of all candidates, (P, H, a)."""
    frequency = torch.fft.rfftfreq(search.horizon).clamp(min=1 / search.horizon)
    amplitude = frequency ** (-search.noise_beta / 2)
    size = (search.num_samples, ACTION, len(amplitude))
    spectrum = torch.complex(torch.randn(size), torch.randn(size))
    noise = torch.fft.irfft(spectrum * amplitude, search.horizon).mT
    return noise / noise.std()


def plain(search: IcemConfig, n: int) -> Callable[[], Any]:
    c = CONFIG.dynamics
    net = PlainEnsemble(c.ensemble_size, OBS + ACTION + c.latent_dim, c.hidden)
    obs = torch.rand(n, OBS)
    z = torch.zeros(c.ensemble_size, search.num_samples, c.latent_dim)

    def value(candidates: Tensor, start: Tensor) -> Tensor:
        state = start.expand(c.ensemble_size, len(candidates), OBS)
        total = torch.zeros(c.ensemble_size, len(candidates))
        for t in range(search.horizon):
            action = candidates[:, t].expand(c.ensemble_size, -1, -1)
            next_state = state + net(torch.cat([state, action, z], -1))
            total = total + reward(state, action, next_state, None)
            state = next_state
        return total.mean(0)

    def plan(world: Tensor) -> Tensor:
        mean = torch.zeros(search.horizon, ACTION)
        std = torch.full((search.horizon, ACTION), search.init_std)
        elites = torch.zeros(0, search.horizon, ACTION)
        for _ in range(search.iterations):
            samples = (mean + std * plain_noise(search)).clamp(-1, 1)
            kept = elites[: search.num_kept_elites]
            candidates = torch.cat([kept, samples])[: search.num_samples]
            ranking = value(candidates, world).argsort(descending=True)
            elites = candidates[ranking[: search.num_elites]]
            mean = elites.mean(0)
            std = elites.std(0)
        return mean

    @torch.no_grad()
    def run() -> None:
        for world in obs:
            plan(world)

    return run


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
    row = 2 * sum(i * k for i, k in itertools.pairwise(sizes))
    candidates = sum(search.population(i) for i in range(search.iterations))
    return row * c.ensemble_size * search.horizon * candidates


def measure(name: str, n: int, repeats: int) -> list[Row]:
    runs = {}
    for peer, build in PLANNERS.items():
        if peer != "mbrl-lib" or mbrl_installed():
            runs[peer] = partial(timed, build(SEARCHES[name], n))
    worlds = f"{n} world{'s' * (n > 1)}"
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
