"""How fast plans are made: ours against mbrl-lib's planners where they are installed, and against plain PyTorch.

Every planner searches with the same numbers (candidates, rounds, horizon, elites) through ensembles of the same size,
one particle of each candidate for each member, by the same reward, on one core. mbrl-lib (Pineda et al. 2021) is used
as it is: its ``ICEMOptimizer`` or ``CEMOptimizer`` over its ``ModelEnv``. The plain one is the same search as most
scripts write it: a loop over steps that normalises, concatenates, predicts and rewards. Peers plan for one world after
the other; ours for all at once. All take turns in one run; ratios are of medians. Unit: plans per second.

mbrl-lib asks for a Gymnasium of 2022, so install it without what it asks for:
``pip install --no-deps mbrl hydra-core omegaconf "antlr4-python3-runtime==4.9.*" termcolor``.
"""

import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from peers import Row, arguments, compare, show, timed
from torch import Tensor, nn

from policies.method import Problem
from policies.methods.context_mpc import PRESETS, ContextMPC
from policies.planning.icem import IcemConfig

OBS, ACTION = 13, 2  # those of slide
SEARCHES = {
    "iCEM": PRESETS["slide"].planner,
    "CEM": replace(
        PRESETS["slide"].planner, color=0.0, kept=1, candidates=200, elites=20, rounds=5, cold=5
    ),
}


def reward(obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
    """Minus the distance of two columns to two others."""
    return -(((next_obs[..., 4:6] - next_obs[..., 11:13]) ** 2).sum(-1) ** 0.5)


def problem(horizon: int) -> Problem:
    names = tuple(f"o{i}" for i in range(OBS))
    ends = ((-1.0,) * OBS, (1.0,) * OBS)
    return Problem(
        "slide", names, *ends, ("x", "y"), horizon, 3, ("hidden",), (0.0,), (1.0,), reward
    )


def ours(search: IcemConfig, n: int) -> Callable[[], Any]:
    method = ContextMPC(problem(search.horizon), replace(PRESETS["slide"], planner=search), seed=0)
    belief, obs = method.prior(n), torch.rand(n, OBS)
    start = method.planner.cold_iterations(n)
    return lambda: method._search(obs, belief, start, search.rounds)


def mbrl(search: IcemConfig, n: int) -> Callable[[], Any]:
    import gymnasium
    from mbrl.models import GaussianMLP, ModelEnv, OneDTransitionRewardModel
    from mbrl.planning import CEMOptimizer, ICEMOptimizer

    c, ends = PRESETS["slide"].dynamics, np.ones((search.horizon, ACTION))
    size = OBS + c.latent  # the latent is a part of the observation
    net = GaussianMLP(
        size + ACTION,
        size,
        "cpu",
        len(c.hidden),
        c.members,
        c.hidden[0],
        True,
        propagation_method="fixed_model",
    )

    class Env:
        observation_space = gymnasium.spaces.Box(-1, 1, (size,))
        action_space = gymnasium.spaces.Box(-1, 1, (ACTION,))

    env = ModelEnv(
        Env(),
        OneDTransitionRewardModel(net, normalize=True, learned_rewards=False),
        termination_fn=lambda action, next_obs: torch.zeros(len(next_obs), 1, dtype=torch.bool),
        reward_fn=lambda action, next_obs: reward(None, action, next_obs, None)[:, None],
        generator=torch.Generator(),
    )
    share = search.elites / search.candidates
    bounds, device = (
        {"lower_bound": (-ends).tolist(), "upper_bound": ends.tolist()},
        torch.device("cpu"),
    )
    if search.color:
        kept = search.kept / search.elites
        optimizer = ICEMOptimizer(
            search.rounds, share, search.candidates, 1.0, search.color, **bounds, keep_elite_frac=kept, alpha=0.1,
            device=device,
        )  # fmt: skip
    else:
        optimizer = CEMOptimizer(
            search.rounds, share, search.candidates, **bounds, alpha=0.1, device=device
        )
    obs, start = (
        np.random.default_rng(0).uniform(size=(n, size)),
        torch.zeros(search.horizon, ACTION),
    )

    def run() -> None:
        for world in obs:
            optimizer.optimize(
                lambda tried, at=world: env.evaluate_action_sequences(tried, at, c.members),
                x0=start,
            )

    return run


class Eager(nn.Module):
    """An ensemble as a stack of layers, normalising as it goes."""

    def __init__(self, members: int, inputs: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        sizes = [inputs, *hidden, OBS]
        pairs = list(itertools.pairwise(sizes))
        self.weights = nn.ParameterList(torch.randn(members, i, k) / i**0.5 for i, k in pairs)
        self.biases = nn.ParameterList(torch.zeros(members, 1, k) for _, k in pairs)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("std", torch.ones(inputs))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x @ weight + bias
            x = torch.relu(x) if i < len(self.weights) - 1 else x
        return x


def plain(search: IcemConfig, n: int) -> Callable[[], Any]:
    c = PRESETS["slide"].dynamics
    net = Eager(c.members, OBS + ACTION + c.latent, c.hidden)
    obs, z = torch.rand(n, OBS), torch.zeros(c.members, search.candidates, c.latent)

    def value(tried: Tensor, at: Tensor) -> Tensor:
        now = at.expand(c.members, len(tried), OBS)
        total = torch.zeros(c.members, len(tried))
        for t in range(search.horizon):
            action = tried[:, t].expand(c.members, -1, -1)
            after = now + net(torch.cat([now, action, z], -1))
            total = total + reward(now, action, after, None)
            now = after
        return total.mean(0)

    def noise() -> Tensor:
        shape = search.candidates, ACTION, search.horizon
        power = torch.fft.rfftfreq(search.horizon).clamp(min=1 / search.horizon) ** (
            -search.color / 2
        )
        spectrum = torch.complex(
            torch.randn(*shape[:2], len(power)), torch.randn(*shape[:2], len(power))
        )
        drawn = torch.fft.irfft(spectrum * power, search.horizon).mT
        return drawn / drawn.std()

    @torch.no_grad()
    def run() -> None:
        for world in obs:
            mean, std = (
                torch.zeros(search.horizon, ACTION),
                torch.full((search.horizon, ACTION), search.std),
            )
            elites = torch.zeros(0, search.horizon, ACTION)
            for _ in range(search.rounds):
                drawn = (mean + std * noise()).clamp(-1, 1)
                tried = torch.cat([elites[: search.kept], drawn])[: search.candidates]
                elites = tried[value(tried, world).argsort(descending=True)[: search.elites]]
                mean, std = elites.mean(0), elites.std(0)

    return run


PLANNERS = {"mbrl-lib": mbrl, "plain PyTorch": plain, "ours": ours}


def measure(name: str, n: int, repeats: int) -> list[Row]:
    there = {
        k: f for k, f in PLANNERS.items() if k != "mbrl-lib" or importlib.util.find_spec("mbrl")
    }
    runs = {kind: partial(timed, build(SEARCHES[name], n)) for kind, build in there.items()}
    return compare(
        lambda peer: f"{name} over {peer}, {n} world{'s' * (n > 1)}", "plans/s", n, runs, repeats
    )


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--worlds", nargs="+", type=int, default=[1, 64])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    show(
        [row for name in SEARCHES for n in asked.worlds for row in measure(name, n, asked.repeats)],
        asked.json,
    )


if __name__ == "__main__":
    main()
