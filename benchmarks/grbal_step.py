"""How fast GrBAL adapts, predicts and learns: by low-rank steps, against weights for each world.

Both give the same numbers, which is checked first. Peers are written with torch.func as it is meant
to be used (``grad`` under ``vmap`` for the steps of n worlds, ``functional_call`` under ``vmap``
with the resulting weights), and, as most scripts have it, a Python loop over worlds with
``torch.autograd.grad``. Measured are a step; a step and what a plan needs, all candidates rolled
out in every iteration; and a meta-step, whose gradient goes back through the step. All take turns
in one run on one core; ratios are of medians.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peers import Row, arguments, compare, show, timed
from torch import Tensor
from torch.func import functional_call, grad, vmap

from policies.method import Problem
from policies.methods.grbal import GrbalConfig
from policies.models.grbal_dynamics import GrbalDynamics, LowRankUpdate, Window
from policies.presets import load_preset
from policies.settings import configure

OBS, ACTION = 18, 6  # those of cheetah_cripple
PROBLEM = Problem(
    family="cheetah_cripple",
    obs_names=("",) * OBS,
    obs_low=(-1.0,) * OBS,
    obs_high=(1.0,) * OBS,
    action_names=("",) * ACTION,
    horizon=200,
    episodes=2,
    task_names=("hidden",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=None,
)
CONFIG = configure(GrbalConfig, PROBLEM, load_preset("grbal", "cheetah_cripple"), {})
CANDIDATES = CONFIG.planner.num_samples
HORIZON = CONFIG.planner.horizon
ITERATIONS = CONFIG.planner.iterations
Weights = dict[str, Tensor]


class LowRank:
    """Ours: no world has weights of its own."""

    def __init__(self, model: GrbalDynamics) -> None:
        self.model = model

    def step(self, window: Window) -> LowRankUpdate:
        return self.model.adapt(window)

    def predict(self, update: LowRankUpdate, x: Tensor) -> Tensor:
        out: Tensor = self.model(x, update)
        return out

    def rollout(self, update: LowRankUpdate, obs: Tensor, actions: Tensor) -> Tensor:
        states, _ = self.model.rollout(obs, actions, update)
        return states[-1]


class PerWorld:
    """A step on one world's window, by autograd, as a function of the parameters."""

    predict: Callable[[Any, Tensor], Tensor]  # defined by each subclass

    def __init__(self, model: GrbalDynamics) -> None:
        self.model = model

    def loss(self, weights: Weights, x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
        prediction = functional_call(self.model, weights, (x[None],))[0]
        error = (prediction - y) * mask[:, None]
        return 0.5 * error.square().sum() / len(x)

    def stepped(self, weights: Weights, gradient: Weights) -> Weights:
        rates = self.model.rates()
        return {name: weights[name] - rate * gradient[name] for name, rate in rates.items()}

    def rollout(self, weights: Any, obs: Tensor, actions: Tensor) -> Tensor:
        """Where all candidates (n, P, H, a) end, (n, P, o)."""
        model = self.model
        state = obs[:, None].expand(-1, actions.shape[1], -1)
        for action in actions.unbind(2):
            x = torch.cat([model.obs_norm(state), action], -1)
            outcome = self.predict(weights, x) / model.delta_norm.inv_std
            state = state + model.delta_norm.mean + outcome
        return state

    @property
    def weights(self) -> Weights:
        parameters = dict(self.model.named_parameters())
        return {name: parameters[name] for name in self.model.rates()}


class Func(PerWorld):
    """All worlds at once, each with weights of its own."""

    def step(self, window: Window) -> Weights:
        def one(x: Tensor, y: Tensor, mask: Tensor) -> Weights:
            gradient = grad(self.loss)(self.weights, x, y, mask)
            return self.stepped(self.weights, gradient)

        weights: Weights = vmap(one)(window.x, window.y, window.mask)
        return weights

    def predict(self, weights: Weights, x: Tensor) -> Tensor:
        def one(weights: Weights, rows: Tensor) -> Tensor:
            out: Tensor = functional_call(self.model, weights, (rows[None],))[0]
            return out

        out: Tensor = vmap(one)(weights, x)
        return out


class Loop(PerWorld):
    """One world after the other."""

    def step(self, window: Window) -> list[Weights]:
        stepped = []
        for x, y, mask in zip(window.x, window.y, window.mask, strict=True):
            with torch.enable_grad():
                loss = self.loss(self.weights, x, y, mask)
                parameters = list(self.weights.values())
                differentiable = self.model.log_rates.requires_grad
                gradient = torch.autograd.grad(loss, parameters, create_graph=differentiable)
            named = dict(zip(self.weights, gradient, strict=True))
            stepped.append(self.stepped(self.weights, named))
        return stepped

    def predict(self, weights: list[Weights], x: Tensor) -> Tensor:
        out = []
        for own_weights, rows in zip(weights, x, strict=True):
            out.append(functional_call(self.model, own_weights, (rows[None],)))
        return torch.cat(out)


KINDS: dict[str, Any] = {"a loop over worlds": Loop, "torch.func": Func, "ours": LowRank}


def make_model(n: int) -> tuple[GrbalDynamics, Window, torch.Generator]:
    """A model, and full windows of n worlds."""
    g = torch.Generator().manual_seed(0)
    m = CONFIG.past_steps
    model = GrbalDynamics(OBS, ACTION, False, CONFIG.hidden, m, CONFIG.inner_lr, g)
    model.delta_norm.update(torch.randn(1000, OBS, generator=g))
    window = Window(
        x=torch.randn(n, m, OBS + ACTION, generator=g),
        y=torch.randn(n, m, OBS, generator=g),
        mask=torch.ones(n, m, dtype=torch.bool),
    )
    return model, window, g


def stepping(kind: Any, n: int, iterations: int) -> Callable[[], Tensor]:
    """One step of n worlds, and the rollouts of a search's iterations."""
    model, window, g = make_model(n)
    peer = kind(model.requires_grad_(kind is Loop))
    obs = torch.randn(n, OBS, generator=g)
    actions = torch.rand(n, CANDIDATES, HORIZON, ACTION, generator=g) * 2 - 1
    first = torch.cat([obs, actions[:, 0, 0]], -1)[:, None]

    @torch.no_grad()
    def run() -> Tensor:
        adapted = peer.step(window)
        if iterations == 0:
            return peer.predict(adapted, first)
        for _ in range(iterations):
            states: Tensor = peer.rollout(adapted, obs, actions)
        return states

    return run


def learning(kind: Any, n: int) -> Callable[[], Tensor]:
    """The gradient of the meta-learned weights, by the future after a step of n windows."""
    model, window, g = make_model(n)
    peer = kind(model)
    learned = list(model.parameters())
    x = torch.randn(n, CONFIG.future_steps, OBS + ACTION, generator=g)
    y = torch.randn(n, CONFIG.future_steps, OBS, generator=g)

    def run() -> Tensor:
        error = peer.predict(peer.step(window), x) - y
        gradients = torch.autograd.grad(error.square().mean(), learned)
        return torch.cat([gradient.flatten() for gradient in gradients])

    return run


def measure(
    name: str,
    unit: str,
    count: int,
    runs: dict[str, Callable[[], Tensor]],
    repeats: int,
) -> list[Row]:
    """A row against each peer, after a check that all give the same."""
    for result in [run() for run in runs.values()]:
        torch.testing.assert_close(result, runs["ours"](), atol=1e-4, rtol=1e-3)
    turns = {kind: partial(timed, run) for kind, run in runs.items()}
    return compare(lambda peer: f"{name} against {peer}", unit, count, turns, repeats)


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--worlds", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--windows", nargs="+", type=int, default=[10, 64], help="in a meta-step")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for n in asked.worlds:
        worlds = f"{n} world{'s' * (n > 1)},"
        for iterations, what in ((0, "inner step"), (ITERATIONS, "inner step and plan")):
            runs = {kind: stepping(build, n, iterations) for kind, build in KINDS.items()}
            rows += measure(f"{what}, {worlds}", "worlds/s", n, runs, asked.repeats)
    for n in asked.windows:
        runs = {kind: learning(build, n) for kind, build in KINDS.items()}
        rows += measure(f"meta-step of {n} windows", "meta-steps/s", 1, runs, asked.repeats)
    show(rows, asked.json)


if __name__ == "__main__":
    main()
