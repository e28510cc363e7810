"""The peers that planner.py compares ours with, and the problem that all of them plan in.

mbrl-lib asks for a Gymnasium of 2022; it is installed without its dependencies into a folder of its
own, once. The plain planner is the same search as most scripts write it: a loop over steps that
normalizes, concatenates, predicts and rewards.
"""

import itertools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from policies.method import Problem
from policies.methods.context_mpc import ContextMpcConfig
from policies.planning.icem import IcemConfig
from policies.presets import load_preset
from policies.settings import configure
from robots.signals import ArrayLike

OBS, ACTION = 13, 2  # an object, its target, and the tool that pushes it
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


def mbrl_environment() -> Any:
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
    env = mbrl_environment()
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
        for rows, columns in itertools.pairwise([inputs, *hidden, OBS]):
            weight = torch.randn(members, rows, columns) / rows**0.5
            bias = torch.zeros(members, 1, columns)
            self.weights.append(weight)
            self.biases.append(bias)
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
    lowest = 1 / search.horizon
    frequency = torch.fft.rfftfreq(search.horizon).clamp(min=lowest)
    exponent = -search.noise_beta / 2
    amplitude = frequency**exponent
    size = (search.num_samples, ACTION, len(amplitude))
    real = torch.randn(size)
    imaginary = torch.randn(size)
    spectrum = amplitude * torch.complex(real, imaginary)
    noise = torch.fft.irfft(spectrum, search.horizon).mT
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
            inputs = torch.cat([state, action, z], -1)
            next_state = state + net(inputs)
            total = total + reward(state, action, next_state, None)
            state = next_state
        return total.mean(0)

    def plan(world: Tensor) -> Tensor:
        mean = torch.zeros(search.horizon, ACTION)
        std = torch.full((search.horizon, ACTION), search.init_std)
        elites = torch.zeros(0, search.horizon, ACTION)
        for _ in range(search.iterations):
            noise = plain_noise(search)
            samples = (mean + std * noise).clamp(-1, 1)
            kept = elites[: search.num_kept_elites]
            candidates = torch.cat([kept, samples])[: search.num_samples]
            ranking = value(candidates, world).argsort(descending=True)
            best = ranking[: search.num_elites]
            elites = candidates[best]
            mean = elites.mean(0)
            std = elites.std(0)
        return mean

    @torch.no_grad()
    def run() -> None:
        for world in obs:
            plan(world)

    return run
