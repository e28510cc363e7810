"""How fast GrBAL adapts, predicts and learns: in the low-rank form of its step, against weights of each world's own.

Both give the same numbers, which is checked first. Peers are written with torch.func as it is meant to be used
(``grad`` under ``vmap`` for n worlds' steps, ``functional_call`` under ``vmap`` with the weights that come out), and as
most scripts have it, a Python loop over worlds with ``torch.autograd.grad``. Measured are a step; a step and what a
plan asks for, all candidates rolled out in every round; and a meta-step, whose gradient goes back through the step.
All take turns in one run on one core; ratios are of medians.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peers import Row, arguments, compare, show, timed
from torch import Tensor
from torch.func import functional_call, grad, vmap

from policies.methods.grbal import PRESETS
from policies.models.grbal_dynamics import GrbalDynamics, LowRankUpdate, Window

OBS, ACTION = 18, 6  # those of cheetah_cripple
PRESET = PRESETS["cheetah_cripple"]
CANDIDATES, HORIZON, ROUNDS = (
    PRESET.planner.num_samples,
    PRESET.planner.horizon,
    PRESET.planner.iterations,
)
Weights = dict[str, Tensor]


class LowRank:
    """Ours: no world has weights of its own."""

    def __init__(self, model: GrbalDynamics) -> None:
        self.model = model

    def step(self, window: Window) -> LowRankUpdate:
        return self.model.adapt(window)

    def predict(self, fast: LowRankUpdate, x: Tensor) -> Tensor:
        found: Tensor = self.model(x, fast)
        return found

    def rollout(self, fast: LowRankUpdate, obs: Tensor, actions: Tensor) -> Tensor:
        return self.model.rollout(obs, actions, fast)[0][-1]


class PerWorld:
    """A step on one world's window, by autograd, as a function of the parameters."""

    predict: Callable[[Any, Tensor], Tensor]  # every subclass its own way

    def __init__(self, model: GrbalDynamics) -> None:
        self.model = model

    def loss(self, weights: Weights, x: Tensor, y: Tensor, there: Tensor) -> Tensor:
        error = (functional_call(self.model, weights, (x[None],))[0] - y) * there[:, None]
        return 0.5 * error.square().sum() / len(x)

    def moved(self, weights: Weights, gradient: Weights) -> Weights:
        return {
            name: weights[name] - rate * gradient[name] for name, rate in self.model.rates().items()
        }

    def rollout(self, weights: Any, obs: Tensor, actions: Tensor) -> Tensor:
        """Where all candidates (n, P, H, a) end, (n, P, o)."""
        model, state = self.model, obs[:, None].expand(-1, actions.shape[1], -1)
        for action in actions.unbind(2):
            x = torch.cat([model.obs(state), action], -1)
            state = state + model.outcome.shift + self.predict(weights, x) / model.outcome.scale
        return state

    @property
    def weights(self) -> Weights:
        found = dict(self.model.named_parameters())
        return {name: found[name] for name in self.model.rates()}


class Func(PerWorld):
    """All worlds at once, each with weights of its own."""

    def step(self, window: Window) -> Weights:
        def one(x: Tensor, y: Tensor, there: Tensor) -> Weights:
            return self.moved(self.weights, grad(self.loss)(self.weights, x, y, there))

        found: Weights = vmap(one)(window.x, window.y, window.there)
        return found

    def predict(self, weights: Weights, x: Tensor) -> Tensor:
        found: Tensor = vmap(lambda w, rows: functional_call(self.model, w, (rows[None],))[0])(
            weights, x
        )
        return found


class Loop(PerWorld):
    """One world after the other."""

    def step(self, window: Window) -> list[Weights]:
        found = []
        for x, y, there in zip(window.x, window.y, window.there, strict=True):
            with torch.enable_grad():
                again = torch.is_grad_enabled() and self.model.log_rates.requires_grad
                loss = self.loss(self.weights, x, y, there)
                gradient = torch.autograd.grad(
                    loss, list(self.weights.values()), create_graph=again
                )
            found.append(self.moved(self.weights, dict(zip(self.weights, gradient, strict=True))))
        return found

    def predict(self, weights: list[Weights], x: Tensor) -> Tensor:
        each = zip(weights, x, strict=True)
        return torch.cat([functional_call(self.model, w, (rows[None],)) for w, rows in each])


KINDS: dict[str, Any] = {"a loop over worlds": Loop, "torch.func": Func, "ours": LowRank}


def drawn(n: int) -> tuple[GrbalDynamics, Window, torch.Generator]:
    """A model, and windows full of transitions."""
    g = torch.Generator().manual_seed(0)
    m = PRESET.past
    model = GrbalDynamics(OBS, ACTION, False, PRESET.hidden, m, PRESET.inner_lr, g)
    model.outcome.update(torch.randn(1000, OBS, generator=g))
    x, y = torch.randn(n, m, OBS + ACTION, generator=g), torch.randn(n, m, OBS, generator=g)
    return model, Window(x, y, torch.ones(n, m, dtype=torch.bool)), g


def stepping(kind: Any, n: int, rounds: int) -> Callable[[], Tensor]:
    """One step of n worlds, and so many rounds of a search."""
    model, window, g = drawn(n)
    it, obs = kind(model.requires_grad_(kind is Loop)), torch.randn(n, OBS, generator=g)
    actions = torch.rand(n, CANDIDATES, HORIZON, ACTION, generator=g) * 2 - 1
    first = torch.cat([obs, actions[:, 0, 0]], -1)[:, None]

    @torch.no_grad()
    def run() -> Tensor:
        adapted = it.step(window)
        for _ in range(rounds):
            found: Tensor = it.rollout(adapted, obs, actions)
        return found if rounds else it.predict(adapted, first)

    return run


def learning(kind: Any, n: int) -> Callable[[], Tensor]:
    """The meta-learnt weights' gradient, by the future after a step of n windows."""
    model, window, g = drawn(n)
    it, learnt = kind(model), list(model.parameters())
    x, y = (
        torch.randn(n, PRESET.future, OBS + ACTION, generator=g),
        torch.randn(n, PRESET.future, OBS, generator=g),
    )

    def run() -> Tensor:
        error = it.predict(it.step(window), x) - y
        gradients = torch.autograd.grad(error.square().mean(), learnt)
        return torch.cat([gradient.flatten() for gradient in gradients])

    return run


def measure(
    name: str, unit: str, many: int, runs: dict[str, Callable[[], Tensor]], repeats: int
) -> list[Row]:
    """A row against each peer, once all have given the same."""
    for answer in [run() for run in runs.values()]:
        torch.testing.assert_close(answer, runs["ours"](), atol=1e-4, rtol=1e-3)
    turns = {kind: partial(timed, run) for kind, run in runs.items()}
    return compare(lambda peer: f"{name} against {peer}", unit, many, turns, repeats)


def main() -> None:
    parser = arguments(__doc__, repeats=9)
    parser.add_argument("--worlds", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--windows", nargs="+", type=int, default=[10, 64], help="in a meta-step")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for n in asked.worlds:
        for rounds, what in ((0, "inner step"), (ROUNDS, "inner step and plan")):
            runs = {kind: stepping(build, n, rounds) for kind, build in KINDS.items()}
            rows += measure(
                f"{what}, {n} world{'s' * (n > 1)},", "worlds/s", n, runs, asked.repeats
            )
    for n in asked.windows:
        runs = {kind: learning(build, n) for kind, build in KINDS.items()}
        rows += measure(f"meta-step of {n} windows", "meta-steps/s", 1, runs, asked.repeats)
    show(rows, asked.json)


if __name__ == "__main__":
    main()
